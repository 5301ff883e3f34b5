//! What the console counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was ended by this side, or broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was said so.
    Quit,
    /// The other side has gone, at the end of a line.
    Gone,
    /// Gone in the middle of a line.
    HalfLine,
    /// From a network that is not allowed.
    NotAllowed,
    /// As many sessions are open as may be.
    TooMany,
    /// A line longer than one may be.
    TooLong,
    /// Bytes that are no text.
    Garbage,
    /// No login in time, or something else instead.
    NoLogin,
    /// A wrong proof.
    WrongLogin,
    /// Nothing was typed for too long.
    Idle,
    /// The session has lasted as long as one may.
    Old,
    /// The other side does not read its answers.
    SlowReader,
    /// The system gave no randomness for a challenge.
    NoChallenge,
}

const NAMES: [&str; 13] = [
    "quit",
    "gone",
    "half_line",
    "not_allowed",
    "too_many",
    "too_long",
    "garbage",
    "no_login",
    "wrong_login",
    "idle",
    "old",
    "slow_reader",
    "no_challenge",
];

/// The counts of a console.
#[derive(Debug, Default)]
pub struct ConsoleCounters {
    ended: [AtomicU64; NAMES.len()],
    done: AtomicU64,
    refused: AtomicU64,
    sessions: AtomicU64,
}

impl ConsoleCounters {
    pub(crate) fn count_ended(&self, why: Ended) {
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_command(&self, is_refused: bool) {
        let counter = if is_refused {
            &self.refused
        } else {
            &self.done
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_sessions(&self, count: usize) {
        self.sessions.store(count as u64, Ordering::Relaxed);
    }

    /// Connections that ended, by reason.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.ended.iter().map(|count| count.load(Ordering::Relaxed));
        NAMES.into_iter().zip(counts)
    }

    /// Commands done and refused.
    pub(crate) fn commands(&self) -> [(&'static str, u64); 2] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("done", read(&self.done)), ("refused", read(&self.refused))]
    }

    /// Sessions that are open.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }
}
