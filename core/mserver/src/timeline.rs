//! The timeline of one create, kept only when somebody wants to see it.

use tokio::time::Instant;

use sdfs_types::{ServerId, Trace, TraceStep, TraceWhat};

/// Steps so far, counted from the start.
pub(crate) struct Timeline {
    pub(crate) started: Instant,
    steps: Option<Vec<TraceStep>>,
}

impl Timeline {
    pub(crate) fn start(is_wanted: bool) -> Timeline {
        Timeline {
            started: Instant::now(),
            steps: is_wanted.then(Vec::new),
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.steps.is_some()
    }

    /// Adds a step that happens now; `what` is only made when the timeline is wanted.
    pub(crate) fn add(&mut self, server: ServerId, what: impl FnOnce() -> TraceWhat) {
        let at_us = self.now_us();
        if let Some(steps) = &mut self.steps {
            steps.push(TraceStep {
                at_us,
                server,
                what: what(),
            });
        }
    }

    /// Adds steps of another server, whose times count from when it was asked at `from_us`.
    pub(crate) fn add_all(&mut self, trace: Option<Trace>, from_us: u64) {
        if let (Some(steps), Some(trace)) = (&mut self.steps, trace) {
            steps.extend(trace.steps.into_iter().map(|step| TraceStep {
                at_us: from_us + step.at_us,
                ..step
            }));
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// All steps in the order of time: the main works while the name is being decided.
    pub(crate) fn into_trace(self) -> Option<Trace> {
        self.steps.map(|mut steps| {
            steps.sort_by_key(|step| step.at_us);
            Trace { steps }
        })
    }
}
