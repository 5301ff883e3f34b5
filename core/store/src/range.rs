//! A range of keys, as scans take it.

use bytes::Bytes;
use std::ops::Bound;

/// A contiguous range of keys in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<Bytes>,
    end: Bound<Bytes>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// Every key that begins with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let end = match successor_of_prefix(prefix) {
            Some(key) => Bound::Excluded(key),
            None => Bound::Unbounded,
        };
        Self {
            start: Bound::Included(Bytes::copy_from_slice(prefix)),
            end,
        }
    }

    /// Keys from `start` (included) to `end` (excluded).
    #[must_use]
    pub fn between(start: &[u8], end: &[u8]) -> Self {
        Self {
            start: Bound::Included(Bytes::copy_from_slice(start)),
            end: Bound::Excluded(Bytes::copy_from_slice(end)),
        }
    }

    /// The part of this range that lies after `key`: how a scan goes on with its next page.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        let is_further = match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) | Bound::Excluded(start) => key >= start.as_ref(),
        };
        if is_further {
            self.start = Bound::Excluded(Bytes::copy_from_slice(key));
        }
        self
    }

    /// Whether no key can lie in this range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        }
    }

    /// Moves the start past `key`, which must lie in the range.
    pub(crate) fn start_after(&mut self, key: Bytes) {
        self.start = Bound::Excluded(key);
    }

    /// The bounds as the ordered maps of the standard library take them.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (
            self.start.as_ref().map(AsRef::as_ref),
            self.end.as_ref().map(AsRef::as_ref),
        )
    }
}

/// The smallest key greater than every key with this prefix, if there is one.
fn successor_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(Bytes::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_of_all_ones_has_no_end() {
        assert_eq!(KeyRange::prefix(&[255, 255]).bounds().1, Bound::Unbounded);
    }

    #[test]
    fn prefix_ends_before_its_successor() {
        let range = KeyRange::prefix(&[1, 255]);
        assert_eq!(
            range.bounds(),
            (Bound::Included(&[1, 255][..]), Bound::Excluded(&[2][..]))
        );
    }

    #[test]
    fn after_never_widens_a_range() {
        let range = KeyRange::prefix(b"m").after(b"a");
        assert_eq!(range, KeyRange::prefix(b"m"));
        assert!(KeyRange::between(b"a", b"c").after(b"c").is_empty());
    }
}
