//! Whether this process was stopped for a while: by a signal, or by whoever runs its machine. The
//! clock must have gone on meanwhile: a machine that slept does not know.
//!
//! What arrived meanwhile lies unread in its sockets. Whoever sent it has long given it up and
//! asked elsewhere, and others may have gone on from there: done now, an old request would undo
//! what is newer. So the connections that stood at the stop are closed, unread requests with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::STOPPED_MIN;

/// Counts the stops of this process, once somebody calls [`Awake::beat`], who must do so more often
/// than every [`STOPPED_MIN`] from then on: servers do.
#[derive(Debug)]
pub(crate) struct Awake {
    begun: Instant,
    /// The last beat, in milliseconds since `begun`; [`NEVER`] before the first.
    beaten_ms: AtomicU64,
    stops: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Default for Awake {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            beaten_ms: AtomicU64::new(NEVER),
            stops: AtomicU64::new(0),
        }
    }
}

impl Awake {
    /// The process runs.
    pub(crate) fn beat(&self, now: Instant) {
        self.stops(now);
        self.beaten_ms
            .store(self.since_begun(now), Ordering::Release);
    }

    /// How many stops there have been, one that has just ended included, whoever runs first after
    /// it. Two who see the same one at once may both count it.
    pub(crate) fn stops(&self, now: Instant) -> u64 {
        let now_ms = self.since_begun(now);
        let beaten_ms = self.beaten_ms.load(Ordering::Acquire);
        let stopped_ms = now_ms.saturating_sub(beaten_ms);
        if Duration::from_millis(stopped_ms) >= STOPPED_MIN {
            // Counted before the beat is seen, so that nobody finds the beat and not the stop.
            self.stops.fetch_add(1, Ordering::Release);
            self.beaten_ms.store(now_ms, Ordering::Release);
            tracing::warn!(
                stopped_ms,
                "this server did not run: its connections are closed"
            );
        }
        self.stops.load(Ordering::Acquire)
    }

    fn since_begun(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.begun);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::AWAKE_BEAT;

    #[test]
    fn who_never_beats_was_never_stopped() {
        let awake = Awake::default();
        assert_eq!(awake.stops(awake.begun + 100 * STOPPED_MIN), 0);
    }

    #[test]
    fn a_process_that_runs_has_no_stops() {
        let awake = Awake::default();
        for beat in 0..100 {
            let now = awake.begun + AWAKE_BEAT * beat;
            assert_eq!(awake.stops(now + AWAKE_BEAT / 2), 0);
            awake.beat(now);
        }
    }

    #[test]
    fn a_stop_is_counted_once_whoever_sees_it_first() {
        let awake = Awake::default();
        awake.beat(awake.begun);
        let woken = awake.begun + STOPPED_MIN;
        assert_eq!(awake.stops(woken), 1);
        awake.beat(woken);
        assert_eq!(awake.stops(woken + AWAKE_BEAT), 1);
        awake.beat(woken + AWAKE_BEAT + STOPPED_MIN);
        assert_eq!(awake.stops(woken + AWAKE_BEAT + STOPPED_MIN), 2);
    }
}
