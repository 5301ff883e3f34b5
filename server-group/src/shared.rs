//! What all links of one end share: its load, and what is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sdfs_net_layer::{Buffers, Counters};

use crate::awake::Awake;
use crate::call_times::CallTimes;
use crate::errors::RefusalReason;
use crate::observed::Load;
use crate::slowest::Slowest;
use crate::trace::Traces;

/// Counts of the calls and handshakes of one end, since it started.
#[derive(Debug, Default)]
pub(crate) struct CallCounters {
    /// Answers that came after their call had ended.
    pub(crate) late_answers: AtomicU64,
    /// Chunks of payloads nobody assembles: cancelled, refused or late.
    pub(crate) late_chunks: AtomicU64,
    /// Calls whose deadline passed here.
    pub(crate) deadlines: AtomicU64,
    /// Calls whose caller stopped waiting.
    pub(crate) cancelled: AtomicU64,
    /// Calls refused because the role may not send them.
    pub(crate) not_allowed: AtomicU64,
    /// Calls refused because too many are in hand.
    pub(crate) full: AtomicU64,
    /// Calls the service dropped unanswered.
    pub(crate) dropped: AtomicU64,
    refused: [AtomicU64; RefusalReason::NAMES.len()],
}

/// What all links of one end share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) calls: CallCounters,
    pub(crate) times: CallTimes,
    pub(crate) slowest: Slowest,
    pub(crate) net: Arc<Counters>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) clients: AtomicU64,
    /// Whether this end was stopped for a while; kept by servers.
    pub(crate) awake: Awake,
    /// The operations that begin here and the calls that are served.
    pub(crate) traces: Traces,
    /// A few words between whoever measures the load and the links that tell it; a leaf.
    load: Mutex<Load>,
}

impl Shared {
    pub(crate) fn new(traces: Traces) -> Self {
        Self {
            calls: CallCounters::default(),
            times: CallTimes::default(),
            slowest: Slowest::default(),
            net: Arc::default(),
            buffers: Arc::default(),
            clients: AtomicU64::new(0),
            awake: Awake::default(),
            traces,
            load: Mutex::default(),
        }
    }

    pub(crate) fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_load(&self, load: Load) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = load;
    }

    pub(crate) fn note_refused(&self, reason: &RefusalReason) {
        note(&self.calls.refused[reason.index()]);
    }

    /// Every count by its name.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        let calls = &self.calls;
        let mut named = self.net.by_name();
        let own = [
            ("late_answers", &calls.late_answers),
            ("late_chunks", &calls.late_chunks),
            ("calls_deadline", &calls.deadlines),
            ("calls_cancelled", &calls.cancelled),
            ("calls_not_allowed", &calls.not_allowed),
            ("calls_full", &calls.full),
            ("calls_dropped", &calls.dropped),
        ];
        for (name, counter) in own {
            named.insert(name.to_owned(), counter.load(Ordering::Relaxed));
        }
        for (name, counter) in RefusalReason::NAMES.iter().zip(&calls.refused) {
            named.insert(format!("refused_{name}"), counter.load(Ordering::Relaxed));
        }
        named
    }
}

/// Counts one.
pub(crate) fn note(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
