//! Room promised to files that were accepted. Pure: the time is told.

use std::collections::BTreeMap;

/// Bytes reserved, by the second their lease ends: a create promises room many thousand times a
/// second, so promises of a second are kept as one sum.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_end_s: BTreeMap<u64, u64>,
    reserved_bytes: u64,
}

impl Reservations {
    /// Reserves room until `end_s`, if there is as much beside what is reserved; else tells how
    /// much there is.
    pub(crate) fn reserve(
        &mut self,
        bytes: u64,
        free_bytes: u64,
        (now_s, end_s): (u64, u64),
    ) -> Result<(), u64> {
        self.expire(now_s);
        let left = free_bytes.saturating_sub(self.reserved_bytes);
        if bytes > left || left == 0 {
            return Err(left);
        }
        *self.by_end_s.entry(end_s).or_default() += bytes;
        self.reserved_bytes += bytes;
        Ok(())
    }

    /// Bytes reserved now.
    pub(crate) fn reserved_bytes(&mut self, now_s: u64) -> u64 {
        self.expire(now_s);
        self.reserved_bytes
    }

    /// Bytes reserved now and when the last of it ends; nothing when there are none.
    pub(crate) fn standing(&mut self, now_s: u64) -> Option<(u64, u64)> {
        self.expire(now_s);
        let last_end_s = self.by_end_s.keys().next_back()?;
        Some((self.reserved_bytes, *last_end_s))
    }

    fn expire(&mut self, now_s: u64) {
        while let Some(first) = self
            .by_end_s
            .first_entry()
            .filter(|first| *first.key() <= now_s)
        {
            self.reserved_bytes -= first.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_promised_once() {
        let mut all = Reservations::default();
        assert_eq!(all.reserve(60, 100, (0, 30)), Ok(()));
        assert_eq!(all.reserve(60, 100, (1, 31)), Err(40));
        assert_eq!(all.reserve(40, 100, (1, 31)), Ok(()));
        assert_eq!(
            all.reserve(0, 100, (1, 31)),
            Err(0),
            "a full disk accepts nothing"
        );
    }

    #[test]
    fn promises_end_with_their_lease() {
        let mut all = Reservations::default();
        assert_eq!(all.reserve(60, 100, (0, 30)), Ok(()));
        assert_eq!(all.reserved_bytes(29), 60);
        assert_eq!(all.reserved_bytes(30), 0);
        assert_eq!(all.reserve(100, 100, (30, 60)), Ok(()));
    }
}
