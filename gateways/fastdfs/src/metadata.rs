//! Metadata of files: `name 0x02 value`, records apart by 0x01. Pure.

use std::collections::BTreeMap;

use crate::errno::Errno;
use crate::limits::METADATA_BYTES_MAX;

/// Between two records.
const RECORD: u8 = 1;
/// Between name and value.
const FIELD: u8 = 2;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest value, bytes.
const VALUE_BYTES_MAX: usize = 256;

/// How metadata is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetHow {
    /// In the place of what there is.
    Overwrite,
    /// Added; a name that is there gets the new value.
    Merge,
}

impl SetHow {
    pub(crate) fn of(flag: u8) -> Option<SetHow> {
        match flag {
            b'O' => Some(SetHow::Overwrite),
            b'M' => Some(SetHow::Merge),
            _ => None,
        }
    }
}

/// A name and its value, or a name alone.
type Record<'a> = (&'a [u8], Option<&'a [u8]>);

/// What is kept when `new` is set over `old`: sorted by name. Nothing is no metadata.
pub(crate) fn set(how: SetHow, old: &[u8], new: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut records = records(new)?;
    if how == SetHow::Merge {
        let mut merged: BTreeMap<_, _> = self::records(old)?.into_iter().collect();
        // Of a name given twice the last value counts.
        merged.extend(records);
        records = merged.into_iter().collect();
    }
    records.sort_by_key(|(name, _)| *name);
    let mut text = Vec::with_capacity(old.len() + new.len());
    for (at, (name, value)) in records.iter().enumerate() {
        if at > 0 {
            text.push(RECORD);
        }
        text.extend_from_slice(name);
        if let Some(value) = value {
            text.push(FIELD);
            text.extend_from_slice(value);
        }
    }
    if text.len() > METADATA_BYTES_MAX {
        return Err(Errno::Invalid);
    }
    Ok(text)
}

fn records(text: &[u8]) -> Result<Vec<Record<'_>>, Errno> {
    let record = |record| {
        let record: &[u8] = record;
        let split = record.iter().position(|byte| *byte == FIELD);
        let (name, value) = match split {
            Some(at) => (&record[..at], Some(&record[at + 1..])),
            None => (record, None),
        };
        let is_short =
            name.len() <= NAME_BYTES_MAX && value.is_none_or(|v| v.len() <= VALUE_BYTES_MAX);
        if is_short {
            Ok((name, value))
        } else {
            Err(Errno::Invalid)
        }
    };
    // Some clients send a separator behind each record: behind the last there is no other one.
    let some = text.split(|byte| *byte == RECORD);
    some.filter(|record| !record.is_empty())
        .map(record)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn metadata_is_set_as_the_original_does() {
        let old = b"b\x022\x01d\x024";
        let table: &[(SetHow, &[u8], &[u8])] = &[
            (SetHow::Overwrite, b"z\x021\x01a\x022", b"a\x022\x01z\x021"),
            (SetHow::Overwrite, b"", b""),
            (SetHow::Overwrite, b"a\x021\x01a\x022", b"a\x021\x01a\x022"),
            (SetHow::Overwrite, b"bare", b"bare"),
            (
                SetHow::Overwrite,
                b"z\x021\x01a\x022\x01",
                b"a\x022\x01z\x021",
            ),
            (SetHow::Overwrite, b"\x01\x01", b""),
            (SetHow::Merge, b"", old),
            (SetHow::Merge, b"\x01", old),
            (SetHow::Merge, b"c\x023", b"b\x022\x01c\x023\x01d\x024"),
            (SetHow::Merge, b"d\x02x\x01b\x02y", b"b\x02y\x01d\x02x"),
            (SetHow::Merge, b"d\x02x\x01d\x02y", b"b\x022\x01d\x02y"),
        ];
        for (how, new, expected) in table {
            assert_eq!(
                set(*how, old, new).as_deref(),
                Ok(*expected),
                "{how:?} {new:?}"
            );
        }
    }

    #[test]
    fn overlong_names_and_values_are_refused() {
        let record =
            |name: usize, value: usize| [vec![b'n'; name], vec![2], vec![b'v'; value]].concat();
        assert!(set(SetHow::Overwrite, b"", &record(64, 256)).is_ok());
        assert_eq!(
            set(SetHow::Overwrite, b"", &record(65, 1)),
            Err(Errno::Invalid)
        );
        assert_eq!(
            set(SetHow::Overwrite, b"", &record(1, 257)),
            Err(Errno::Invalid)
        );
    }

    #[test]
    fn metadata_is_bounded() {
        let text = |first: u32, count: u32| {
            let records: Vec<_> = (first..first + count)
                .map(|number| format!("{number:06}\u{2}{number:06}").into_bytes())
                .collect();
            records.join(&RECORD)
        };
        let full = text(0, 18_724);
        assert!(full.len() <= METADATA_BYTES_MAX);
        assert_eq!(set(SetHow::Merge, &full, &full), Ok(full.clone()));
        let more = text(18_724, 1);
        assert_eq!(set(SetHow::Merge, &full, &more), Err(Errno::Invalid));
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(
            old in "[a-c\u{1}\u{2}]{0,20}", new in "[a-c\u{1}\u{2}]{0,20}"
        ) {
            let once = set(SetHow::Merge, old.as_bytes(), new.as_bytes());
            if let Ok(once) = once {
                let twice = set(SetHow::Merge, &once, new.as_bytes());
                prop_assert_eq!(twice, Ok(once));
            }
        }
    }
}
