//! What the client counts while it works.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Links made.
    pub connects: u64,
    /// Attempts after the first one of a call or a block.
    pub retries: u64,
    /// Copies whose bytes did not match their checksum.
    pub corrupt_copies: u64,
    /// Copies that a server should have had and did not.
    pub missing_copies: u64,
    /// How often a file's metadata was asked again while it was read or written.
    pub refreshes: u64,
}

/// The counts, counted from any task.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) retries: AtomicU64,
    pub(crate) corrupt_copies: AtomicU64,
    pub(crate) missing_copies: AtomicU64,
    pub(crate) refreshes: AtomicU64,
}

impl Counting {
    /// The counts now.
    pub(crate) fn now(&self, connects: u64) -> Counters {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            connects,
            retries: of(&self.retries),
            corrupt_copies: of(&self.corrupt_copies),
            missing_copies: of(&self.missing_copies),
            refreshes: of(&self.refreshes),
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
