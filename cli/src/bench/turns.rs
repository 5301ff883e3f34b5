//! Hands operations out until a work has gone on for as long as it is to.

use std::cell::Cell;
use std::time::Instant;

use super::args::Extent;

/// The operations of one work; all workers take of them on one thread.
pub(super) struct Turns {
    taken: Cell<u64>,
    max: u64,
    until: Option<Instant>,
}

impl Turns {
    /// From now on.
    pub(super) fn begin(extent: Extent) -> Turns {
        let (max, until) = match extent {
            Extent::Count(count) => (count, None),
            Extent::Time(time) => (u64::MAX, Some(Instant::now() + time)),
        };
        Turns {
            taken: Cell::new(0),
            max,
            until,
        }
    }

    /// The number of the next operation; none when the work is done.
    pub(super) fn next(&self) -> Option<u64> {
        let turn = self.taken.get();
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        if turn >= self.max || is_over {
            return None;
        }
        self.taken.set(turn + 1);
        Some(turn)
    }
}
