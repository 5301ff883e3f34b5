//! What a name tells of its file, against what came. Pure.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};
use sdfs_fastdfs::{FileKind, FileName};

/// Size and checksum that a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// What a name tells; nothing of a file that grows or stands beside another one.
pub(super) fn told(name: &FileName<'_>) -> Option<Told> {
    match name.kind {
        FileKind::Normal(bytes) | FileKind::Trunk(bytes) if name.tells_content() => Some(Told {
            bytes,
            crc32: name.crc32,
        }),
        _ => None,
    }
}

/// Why a file is not what its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Size { told: u64, found: u64 },
    Checksum { told: u32, found: u32 },
    Metadata { bytes: usize },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Size { told, found } => {
                write!(f, "it has {found} bytes, and {told} by its name")
            }
            Damage::Checksum { told, found } => {
                write!(f, "its checksum is {found:08x}, and {told:08x} by its name")
            }
            Damage::Metadata { bytes } => write!(f, "it has {bytes} bytes of metadata"),
        }
    }
}

/// Content as it passes by.
pub(super) struct Passed {
    pub(super) bytes: u64,
    sum: Digest,
}

impl Passed {
    pub(super) fn begin() -> Passed {
        Passed {
            bytes: 0,
            sum: Digest::new(CrcAlgorithm::Crc32IsoHdlc),
        }
    }

    pub(super) fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.sum.update(piece);
    }

    /// What is wrong with it, now that it is whole.
    pub(super) fn damage(&self, told: Option<Told>) -> Option<Damage> {
        let told = told?;
        let found = u32::try_from(self.sum.finalize()).unwrap_or(0);
        if told.bytes != self.bytes {
            return Some(Damage::Size {
                told: told.bytes,
                found: self.bytes,
            });
        }
        (told.crc32 != found).then_some(Damage::Checksum {
            told: told.crc32,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_their_content_is() {
        let stem = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ";
        let appender = "M00/00/00/CgAAAWVT8QCEAAAAAAAAABI0Vng805.log";
        let table = [
            (format!("{stem}805.bin"), Some(5_000)),
            (format!("{stem}5561570"), Some(5_000)),
            (format!("{stem}805_150x150.jpg"), None),
            (appender.to_owned(), None),
        ];
        for (text, expected) in table {
            let name = FileName::parse(text.as_bytes()).expect("a name");
            assert_eq!(told(&name).map(|told| told.bytes), expected, "{text}");
        }
    }

    #[test]
    fn what_differs_is_damaged() {
        let check = |content: &[u8], told| {
            let mut passed = Passed::begin();
            content.chunks(4).for_each(|piece| passed.take(piece));
            passed.damage(told)
        };
        let told = Told {
            bytes: 9,
            crc32: 0xcbf4_3926,
        };
        assert_eq!(check(b"123456789", Some(told)), None);
        assert_eq!(check(b"anything", None), None);
        let empty = Told { bytes: 0, crc32: 0 };
        assert_eq!(check(b"", Some(empty)), None);
        let short = Damage::Size { told: 9, found: 8 };
        assert_eq!(check(b"12345678", Some(told)), Some(short));
        let other = check(b"123456780", Some(told));
        assert!(matches!(
            other,
            Some(Damage::Checksum {
                told: 0xcbf4_3926,
                ..
            })
        ));
    }
}
