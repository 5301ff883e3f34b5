//! How old what is on a disk is at least. The log holds no times, but it is written in one
//! direction: what lies before a place was written before the moment the log's end was there.
//! Compaction writes again, which makes blocks look younger, never older.

use std::collections::VecDeque;
use std::time::Duration;

use sdfs_log::Position;

use crate::limits::AGE_MARKS_MAX;

/// Where the end of a log was when. Pure: the clock is the caller's.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    marks: VecDeque<(Duration, (u32, u32))>,
}

impl Ages {
    /// Notes where the log ends now.
    pub(crate) fn mark(&mut self, now: Duration, end: Position) {
        let end = (end.segment, end.offset);
        if self.marks.back().is_some_and(|(_, last)| *last == end) {
            return;
        }
        self.marks.push_back((now, end));
        if self.marks.len() > AGE_MARKS_MAX {
            // The oldest but one: what is before the oldest of all stays known.
            self.marks.remove(1);
        }
    }

    /// What lies before this place is older than `age`; nothing when none is known to be.
    pub(crate) fn older_than(&self, now: Duration, age: Duration) -> Option<(u32, u32)> {
        let since = now.checked_sub(age)?;
        let older = self.marks.iter().rev().find(|(at, _)| *at <= since);
        older.map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32) -> Position {
        Position {
            segment,
            offset,
            bytes: 0,
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_older_than_it_is() {
        let mut ages = Ages::default();
        assert_eq!(ages.older_than(s(100), s(1)), None);
        ages.mark(s(10), at(1, 64));
        ages.mark(s(20), at(1, 128));
        ages.mark(s(25), at(1, 128));
        ages.mark(s(30), at(2, 0));
        assert_eq!(ages.older_than(s(30), s(25)), None);
        assert_eq!(ages.older_than(s(30), s(15)), Some((1, 64)));
        assert_eq!(ages.older_than(s(30), s(10)), Some((1, 128)));
        assert_eq!(ages.older_than(s(30), s(0)), Some((2, 0)));
        assert_eq!(ages.older_than(s(5), s(10)), None);
    }

    #[test]
    fn marks_are_bounded() {
        let mut ages = Ages::default();
        for second in 0..AGE_MARKS_MAX as u64 * 2 {
            ages.mark(s(second), at(second as u32, 0));
        }
        assert_eq!(ages.marks.len(), AGE_MARKS_MAX);
        let now = s(AGE_MARKS_MAX as u64 * 2);
        assert_eq!(ages.older_than(now, now), Some((0, 0)));
    }
}
