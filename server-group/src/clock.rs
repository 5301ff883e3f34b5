//! The wall clock, for what must outlive this process: the end of a ticket.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of Unix time; 0 before 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
