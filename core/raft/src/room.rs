//! Whether the disk has room for commands.

use crate::limits::{LOG_RESERVE_BYTES, LOG_ROOM_BYTES};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the room there is.
#[derive(Default)]
pub(crate) struct Room {
    is_short: AtomicBool,
}

impl Room {
    /// Whether commands are refused. What is left is for what lets the server go on: elections,
    /// changes of members, and what was on its way.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    /// Takes note of how much of the disk is free.
    pub(crate) fn note(&self, free_bytes: u64) {
        // What the log makes and removes by itself changes nothing.
        let wanted_bytes = match self.is_short() {
            true => LOG_ROOM_BYTES,
            false => LOG_RESERVE_BYTES,
        };
        let is_short = free_bytes < wanted_bytes;
        if self.is_short.swap(is_short, Ordering::AcqRel) == is_short {
            return;
        }
        if is_short {
            tracing::error!(
                free_bytes,
                wanted_bytes = LOG_ROOM_BYTES,
                "the disk is nearly full: no changes are taken here until it has room"
            );
        } else {
            tracing::info!(free_bytes, "the disk has room again");
        }
    }
}
