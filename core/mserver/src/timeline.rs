//! The timeline of one create: what happened, step by step, and when.

use tokio::time::Instant;

use sdfs_types::{ServerId, Trace, TraceStep, TraceWhat, clock};

/// Steps a create has without anybody refusing: room that is made at once.
const STEPS_USUAL: usize = 16;

/// Steps so far, counted from the start.
#[derive(Clone)]
pub(crate) struct Timeline {
    pub(crate) started: Instant,
    /// The same by the wall clock.
    pub(crate) started_ms: u64,
    steps: Vec<TraceStep>,
}

impl Timeline {
    pub(crate) fn start() -> Timeline {
        Timeline {
            started: Instant::now(),
            started_ms: clock::now_ms(),
            steps: Vec::with_capacity(STEPS_USUAL),
        }
    }

    /// Adds a step that happens now.
    pub(crate) fn add(&mut self, server: ServerId, what: TraceWhat) {
        let at_us = self.now_us();
        self.steps.push(TraceStep {
            at_us,
            server,
            what,
        });
    }

    /// Adds steps of another server, whose times count from when it was asked at `from_us`.
    pub(crate) fn add_all(&mut self, steps: Vec<TraceStep>, from_us: u64) {
        self.steps.extend(steps.into_iter().map(|step| TraceStep {
            at_us: from_us + step.at_us,
            ..step
        }));
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// All steps in the order of time: the main works while the name is being decided.
    pub(crate) fn into_trace(self) -> Trace {
        let mut steps = self.steps;
        steps.sort_by_key(|step| step.at_us);
        Trace { steps }
    }
}
