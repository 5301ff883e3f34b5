//! How much is asked for ahead of a reader.

use crate::limits::{
    PARTS_IN_FLIGHT_MAX, PARTS_IN_FLIGHT_MIN, READ_AHEAD_FIRST_BYTES, WINDOW_BYTES,
};

/// What may be in flight for one reader. One that jumps about begins small and doubles with each
/// part it takes in order; one that wants all of a range begins with the whole window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadAhead {
    window_bytes: u64,
}

impl ReadAhead {
    /// For a reader that will take everything.
    pub(crate) fn whole() -> ReadAhead {
        ReadAhead {
            window_bytes: WINDOW_BYTES,
        }
    }

    /// For a reader that may go elsewhere after the first bytes.
    pub(crate) fn cautious() -> ReadAhead {
        ReadAhead {
            window_bytes: READ_AHEAD_FIRST_BYTES,
        }
    }

    /// The reader took a part in order.
    pub(crate) fn taken(&mut self) {
        self.window_bytes = (self.window_bytes * 2).min(WINDOW_BYTES);
    }

    /// How long the next part may be: a quarter of the window, so that four travel at once.
    pub(crate) fn part_bytes_max(&self) -> u64 {
        if self.window_bytes == WINDOW_BYTES {
            u64::MAX
        } else {
            self.window_bytes / 4
        }
    }

    /// Whether one more part may be asked for.
    pub(crate) fn has_room(&self, parts: usize, bytes: u64) -> bool {
        parts < PARTS_IN_FLIGHT_MIN || (bytes < self.window_bytes && parts < PARTS_IN_FLIGHT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_reader_gets_the_window() {
        let mut ahead = ReadAhead::cautious();
        let begin = ahead.part_bytes_max();
        assert_eq!(begin, READ_AHEAD_FIRST_BYTES / 4);
        ahead.taken();
        assert_eq!(ahead.part_bytes_max(), begin * 2);
        (0..16).for_each(|_| ahead.taken());
        assert_eq!(ahead, ReadAhead::whole());
    }

    #[test]
    fn room_is_counted_in_bytes_and_parts() {
        let ahead = ReadAhead::whole();
        assert!(ahead.has_room(0, 0));
        assert!(ahead.has_room(1, u64::MAX));
        assert!(ahead.has_room(15, WINDOW_BYTES - 1));
        assert!(!ahead.has_room(16, WINDOW_BYTES));
        assert!(!ahead.has_room(PARTS_IN_FLIGHT_MAX, 0));
    }
}
