//! The requests that change a file, as far as they are no content. Pure.

use crate::errno::Errno;
use crate::fields::{Fields, is_plain};
use crate::limits::PARAMETERS_BYTES_MAX;
use crate::metadata::SetHow;
use crate::wire::{EXTENSION_BYTES, NAME_BYTES_END, PREFIX_BYTES};

/// Bytes in front of the names of a slave upload.
pub(crate) const SLAVE_BYTES: u64 = 38;
/// Bytes in front of the name of an append.
pub(crate) const APPEND_BYTES: u64 = 16;
/// Bytes in front of the name of a modify.
pub(crate) const MODIFY_BYTES: u64 = 24;

/// What follows the fixed part of a request: a name, and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    pub(crate) name_bytes: usize,
    pub(crate) content_bytes: u64,
}

/// Both lengths, when they are the body's.
fn following(name: Option<u64>, content: Option<u64>, left: u64) -> Result<Following, Errno> {
    let (name, content) = name.zip(content).ok_or(Errno::Invalid)?;
    let name_bytes = usize::try_from(name).map_err(|_| Errno::Invalid)?;
    let is_good =
        (1..NAME_BYTES_END).contains(&name_bytes) && name.checked_add(content) == Some(left);
    if is_good {
        Ok(Following {
            name_bytes,
            content_bytes: content,
        })
    } else {
        Err(Errno::Invalid)
    }
}

/// Prefix and extension of a slave file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slave {
    pub(crate) prefix: String,
    pub(crate) extension: String,
}

impl Slave {
    /// Reads the fixed part; `left` bytes follow.
    pub(crate) fn read(fixed: &[u8], left: u64) -> Result<(Slave, Following), Errno> {
        let mut fields = Fields::of(fixed);
        let (name, content) = (fields.length(), fields.length());
        let prefix = fields.text(PREFIX_BYTES).ok_or(Errno::Invalid)?;
        let extension = fields.text(EXTENSION_BYTES).ok_or(Errno::Invalid)?;
        // Such a name would be that of the master's metadata.
        let is_metadata = prefix == "-m" && extension.is_empty();
        if prefix.is_empty() || !is_plain(prefix) || !is_plain(extension) || is_metadata {
            return Err(Errno::Invalid);
        }
        let slave = Slave {
            prefix: prefix.to_owned(),
            extension: extension.to_owned(),
        };
        Ok((slave, following(name, content, left)?))
    }

    /// The name of the slave of a master whose name without its extension is `stem`.
    pub(crate) fn name(&self, stem: &str) -> Result<String, Errno> {
        let dot = if self.extension.is_empty() { "" } else { "." };
        let name = format!("{stem}{}{dot}{}", self.prefix, self.extension);
        if name.len() < NAME_BYTES_END {
            Ok(name)
        } else {
            Err(Errno::Invalid)
        }
    }
}

/// Reads the fixed part of an append; `left` bytes follow.
pub(crate) fn append(fixed: &[u8], left: u64) -> Result<Following, Errno> {
    let mut fields = Fields::of(fixed);
    let (name, content) = (fields.length(), fields.length());
    following(name, content, left)
}

/// Reads the fixed part of a modify; `left` bytes follow. The offset comes first.
pub(crate) fn modify(fixed: &[u8], left: u64) -> Result<(u64, Following), Errno> {
    let mut fields = Fields::of(fixed);
    let name = fields.length();
    let offset = fields.length().ok_or(Errno::Invalid)?;
    let content = fields.length();
    Ok((offset, following(name, content, left)?))
}

/// Reads a truncate: the new size and the name.
pub(crate) fn truncate(body: &[u8]) -> Result<(u64, &[u8]), Errno> {
    let mut fields = Fields::of(body);
    let name_bytes = fields.length().ok_or(Errno::Invalid)?;
    let size = fields.length().ok_or(Errno::Invalid)?;
    let name = fields.rest();
    if name.len() as u64 == name_bytes {
        Ok((size, name))
    } else {
        Err(Errno::Invalid)
    }
}

/// Metadata to be set, in front of group, name and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetMetadata {
    pub(crate) how: SetHow,
    pub(crate) name_bytes: usize,
    pub(crate) text_bytes: usize,
}

impl SetMetadata {
    /// Reads the fixed part.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<SetMetadata, Errno> {
        let name = fields.length().ok_or(Errno::Invalid)?;
        let text = fields.length().ok_or(Errno::Invalid)?;
        let how = fields.byte().and_then(SetHow::of).ok_or(Errno::Invalid)?;
        if name >= NAME_BYTES_END as u64 || text > PARAMETERS_BYTES_MAX {
            return Err(Errno::Invalid);
        }
        Ok(SetMetadata {
            how,
            name_bytes: usize::try_from(name).map_err(|_| Errno::Invalid)?,
            text_bytes: usize::try_from(text).map_err(|_| Errno::Invalid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[i64]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }

    #[test]
    fn lengths_must_be_the_bodys() {
        let good = Following {
            name_bytes: 44,
            content_bytes: 100,
        };
        assert_eq!(append(&numbers(&[44, 100]), 144), Ok(good));
        assert_eq!(modify(&numbers(&[44, 7, 100]), 144), Ok((7, good)));
        for (name, content, left) in [
            (44, 100, 143),
            (0, 100, 100),
            (128, 0, 128),
            (-1, 100, 99),
            (44, i64::MAX, 43),
        ] {
            let read = append(&numbers(&[name, content]), left);
            assert_eq!(read, Err(Errno::Invalid), "{name} {content}");
        }
        assert_eq!(modify(&numbers(&[44, -7, 100]), 144), Err(Errno::Invalid));
        let body = [numbers(&[3, 9]), b"abc".to_vec()].concat();
        assert_eq!(truncate(&body), Ok((9, &b"abc"[..])));
        assert_eq!(truncate(&body[..18]), Err(Errno::Invalid));
    }

    #[test]
    fn slaves_are_named_after_their_master() {
        let fixed = |prefix: &str, extension: &str| {
            let mut fixed = numbers(&[44, 0]);
            fixed.extend(prefix.as_bytes());
            fixed.resize(32, 0);
            fixed.extend(extension.as_bytes());
            fixed.resize(38, 0);
            Slave::read(&fixed, 44).map(|(slave, _)| slave)
        };
        let name = |slave: Slave| slave.name("M00/00/00/stem805");
        let named = fixed("_150x150", "jpg").and_then(name);
        assert_eq!(named.as_deref(), Ok("M00/00/00/stem805_150x150.jpg"));
        assert_eq!(
            fixed("_b", "").and_then(name).as_deref(),
            Ok("M00/00/00/stem805_b")
        );
        for (prefix, extension) in [("", "jpg"), ("-m", ""), ("a/b", "jpg"), ("a", "j/g")] {
            assert_eq!(
                fixed(prefix, extension),
                Err(Errno::Invalid),
                "{prefix}.{extension}"
            );
        }
        assert!(fixed("-m", "jpg").is_ok());
        let slave = fixed("_150x150", "jpg").expect("a slave");
        assert_eq!(slave.name(&"x".repeat(116)), Err(Errno::Invalid));
    }
}
