//! What the doors count: commands served, and connections closed with the reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Connections taken.
    Accepted,
    /// Refused: from a network that is not allowed.
    NotAllowed,
    /// Refused: as many are served as may be.
    TooMany,
    /// Requests that were answered with success.
    Served,
    /// Requests that were answered with an error.
    Refused,
    /// Closed: a negative length.
    NegativeLength,
    /// Closed: another protocol, such as HTTP.
    OtherProtocol,
    /// Closed: a body longer than the command may have.
    TooLong,
    /// Closed: silent in the middle of a request.
    TooSlow,
    /// Closed: gone in the middle of a request.
    Gone,
    /// Closed after an answer that says the request was wrong.
    Invalid,
}

const COUNTERS: usize = Counted::Invalid as usize + 1;

impl Counted {
    /// Requests, by their outcomes.
    pub const REQUESTS: [(Counted, &str); 2] =
        [(Counted::Served, "served"), (Counted::Refused, "refused")];

    /// Connections, by what became of them.
    pub const CONNECTIONS: [(Counted, &str); 9] = [
        (Counted::Accepted, "accepted"),
        (Counted::NotAllowed, "not_allowed"),
        (Counted::TooMany, "too_many"),
        (Counted::NegativeLength, "negative_length"),
        (Counted::OtherProtocol, "other_protocol"),
        (Counted::TooLong, "too_long"),
        (Counted::TooSlow, "too_slow"),
        (Counted::Gone, "gone"),
        (Counted::Invalid, "invalid"),
    ];
}

/// The counts of one door.
#[derive(Debug, Default)]
pub struct Counters {
    counts: [AtomicU64; COUNTERS],
}

impl Counters {
    /// Counts one.
    pub(crate) fn count(&self, what: Counted) {
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn of(&self, what: Counted) -> u64 {
        self.counts[what as usize].load(Ordering::Relaxed)
    }
}
