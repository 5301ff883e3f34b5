//! What the HTTP door counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with what was asked for.
    Served,
    /// Answered that the server is not ready.
    NotReady,
    /// There is nothing of that name.
    NotFound,
    /// Something is to be changed, which this door never does.
    NotAllowed,
    /// Asked for under a name that is not this machine's.
    WrongHost,
}

/// Why a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// From a network that is not allowed.
    NotAllowed,
    /// As many are served as may be.
    TooMany,
    /// What came is not HTTP, or too long.
    NotHttp,
    /// The head of a request did not come in time.
    TooSlow,
    /// The other side has gone in the middle.
    Gone,
    /// It has lasted as long as one may.
    Old,
}

const OUTCOMES: [&str; 5] = [
    "served",
    "not_ready",
    "not_found",
    "not_allowed",
    "wrong_host",
];
const CLOSES: [&str; 6] = [
    "not_allowed",
    "too_many",
    "not_http",
    "too_slow",
    "gone",
    "old",
];

/// The counts of one door.
#[derive(Debug, Default)]
pub struct HttpCounters {
    requests: [AtomicU64; OUTCOMES.len()],
    closed: [AtomicU64; CLOSES.len()],
}

impl HttpCounters {
    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests by outcome.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&OUTCOMES, &self.requests)
    }

    /// Connections ended early, by reason.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&CLOSES, &self.closed)
    }
}

fn named<'a>(
    names: &'static [&'static str],
    counts: &'a [AtomicU64],
) -> impl Iterator<Item = (&'static str, u64)> + 'a {
    let names = names.iter().copied();
    names.zip(counts.iter().map(|count| count.load(Ordering::Relaxed)))
}
