//! Which calls of the other end were given up while being served, so that their answers need not
//! be sent. Best effort: an answer sent anyway is dropped by the caller.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::limits::CANCELLED_KEPT;

/// The ids cancelled last. The mutex is a leaf between the reading task and whoever answers; while
/// nothing is cancelled, which is nearly always, it is not touched.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    count: AtomicUsize,
    ids: Mutex<VecDeque<u64>>,
}

impl Cancelled {
    pub(crate) fn note(&self, id: u64) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= CANCELLED_KEPT {
            ids.pop_front();
        }
        ids.push_back(id);
        self.count.store(ids.len(), Ordering::Relaxed);
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.count.load(Ordering::Relaxed) > 0
            && self
                .ids
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&id)
    }

    /// Forgets an id that was answered.
    pub(crate) fn forget(&self, id: u64) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|cancelled| *cancelled != id);
        self.count.store(ids.len(), Ordering::Relaxed);
    }
}
