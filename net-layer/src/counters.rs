//! What happened to connections, counted by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::close::CloseReason;

/// Counts since the process started. Readable at any time from any thread; each value is exact,
/// all together are no snapshot of one moment.
#[derive(Debug, Default)]
pub struct Counters {
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
    opened: AtomicU64,
    accept_errors: AtomicU64,
    closed: [AtomicU64; CloseReason::NAMES.len()],
}

impl Counters {
    /// Every count by its name; closes are named `closed_` and their reason.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut named: BTreeMap<String, u64> = [
            ("packets_in", read(&self.packets_in)),
            ("packets_out", read(&self.packets_out)),
            ("bytes_in", read(&self.bytes_in)),
            ("bytes_out", read(&self.bytes_out)),
            ("reads", read(&self.reads)),
            ("writes", read(&self.writes)),
            ("opened", read(&self.opened)),
            ("accept_errors", read(&self.accept_errors)),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        for (name, counter) in CloseReason::NAMES.iter().zip(&self.closed) {
            named.insert(format!("closed_{name}"), read(counter));
        }
        named
    }

    /// Connections opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections closed so far, for whatever reason.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }

    /// Connections closed so far for this reason.
    #[must_use]
    pub fn closed_by(&self, reason: CloseReason) -> u64 {
        self.closed[reason.index()].load(Ordering::Relaxed)
    }

    pub(crate) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_closed(&self, reason: CloseReason) {
        self.closed[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_read(&self, bytes: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_packets_in(&self, packets: u64) {
        self.packets_in.fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn note_write(&self, bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_packets_out(&self, packets: u64) {
        self.packets_out.fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn note_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }
}
