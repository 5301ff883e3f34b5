//! How the names this mserver was asked for of late came to be, or did not, for whoever asks
//! afterwards.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sdfs_types::RequestId;
use sdfs_types::calls::negotiation::TimelinePart;

use crate::limits::{TIMELINE_STEPS_MAX, TIMELINES_KEPT};
use crate::timeline::Timeline;

/// The last timelines. A leaf: creates of many tasks leave theirs here.
#[derive(Default)]
pub(crate) struct Timelines {
    kept: Mutex<VecDeque<(RequestId, TimelinePart)>>,
}

impl Timelines {
    /// Keeps what was done for a request; the oldest goes for it.
    pub(crate) fn keep(&self, request: RequestId, timeline: Timeline) {
        let began_ms = timeline.started_ms;
        let mut trace = timeline.into_trace();
        if trace.steps.len() > TIMELINE_STEPS_MAX {
            trace = trace.together();
            trace.steps.truncate(TIMELINE_STEPS_MAX);
        }
        trace.steps.shrink_to_fit();
        let part = TimelinePart { began_ms, trace };
        let mut kept = self.kept();
        if kept.len() >= TIMELINES_KEPT {
            kept.pop_front();
        }
        kept.push_back((request, part));
    }

    /// What is still known of a request, oldest first.
    pub(crate) fn of(&self, request: RequestId) -> Vec<TimelinePart> {
        let kept = self.kept();
        let of_it = kept.iter().filter(|(of, _)| *of == request);
        of_it.map(|(_, part)| part.clone()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(RequestId, TimelinePart)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sdfs_types::{ServerId, TraceWhat};

    use super::*;

    fn request(sequence: u64) -> RequestId {
        RequestId {
            client: 1,
            sequence,
        }
    }

    #[test]
    fn the_last_are_kept_with_all_their_parts() {
        let timelines = Timelines::default();
        timelines.keep(request(0), Timeline::start());
        let mut end = Timeline::start();
        for _ in 0..=TIMELINE_STEPS_MAX {
            end.add(ServerId(1), TraceWhat::Decided);
        }
        timelines.keep(request(0), end);
        let parts = timelines.of(request(0));
        let steps: Vec<_> = parts.iter().map(|part| part.trace.steps.len()).collect();
        assert_eq!(steps, [0, TIMELINE_STEPS_MAX]);
        for sequence in 1..TIMELINES_KEPT as u64 {
            timelines.keep(request(sequence), Timeline::start());
        }
        assert_eq!(timelines.of(request(0)).len(), 1);
        assert_eq!(timelines.of(request(1)).len(), 1);
        timelines.keep(request(9_999_999), Timeline::start());
        assert_eq!(timelines.of(request(0)).len(), 0);
    }
}
