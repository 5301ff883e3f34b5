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
    /// Closed: silent in the middle of a request, or too slow a reader.
    TooSlow,
    /// Closed: gone in the middle of a request.
    Gone,
    /// Closed after an answer that says the request was wrong.
    Invalid,
    /// Over HTTP: what the client has is what there is.
    NotModified,
    /// Over HTTP: the client was sent to another group.
    SentOn,
    /// Over HTTP: there is no such file or group.
    NotFound,
    /// Over HTTP: the link is not signed, wrongly, or too old.
    Forbidden,
    /// Over HTTP: the file cannot be read now.
    Failed,
    /// Closed: a file could not be read to its end.
    CutOff,
}

const COUNTERS: usize = Counted::CutOff as usize + 1;

impl Counted {
    /// Requests, by their outcomes.
    pub const REQUESTS: [(Counted, &str); 2] =
        [(Counted::Served, "served"), (Counted::Refused, "refused")];

    /// Requests over HTTP, by their outcomes.
    pub const HTTP_REQUESTS: [(Counted, &str); 7] = [
        (Counted::Served, "served"),
        (Counted::NotModified, "not_modified"),
        (Counted::SentOn, "sent_on"),
        (Counted::NotFound, "not_found"),
        (Counted::Forbidden, "forbidden"),
        (Counted::Refused, "refused"),
        (Counted::Failed, "failed"),
    ];

    /// HTTP connections, by what became of them. One that rests for too long counts as slow.
    pub const HTTP_CONNECTIONS: [(Counted, &str); 8] = [
        (Counted::Accepted, "accepted"),
        (Counted::NotAllowed, "not_allowed"),
        (Counted::TooMany, "too_many"),
        (Counted::OtherProtocol, "not_http"),
        (Counted::TooLong, "too_long"),
        (Counted::TooSlow, "too_slow"),
        (Counted::Gone, "gone"),
        (Counted::CutOff, "cut_off"),
    ];

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
