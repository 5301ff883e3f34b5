//! One id for all that is done for one operation, from the client to the disks: whoever begins the
//! operation makes it, every call carries it, and whatever works on a call runs within its scope.
//!
//! An operation is *told* when somebody wants to read in the logs what is done for it. Whoever
//! finds that it is to be told turns its scope; calls tell those they ask, answers those who asked.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{Instrument, Level, Span};

use crate::limits::TRACE_TARGET;

/// The bit beside the id.
const TOLD: u64 = 1 << 63;

tokio::task_local! {
    /// What the task works on now, as it travels. No other thread sees it: an atomic, so that
    /// whatever runs in the scope may be looked at by others.
    static CURRENT: AtomicU64;
}

/// The operation that something is done for: an id of 63 bits, none when it is nobody's, and
/// whether it is told.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Trace(u64);

impl Trace {
    /// Nobody's.
    pub const NONE: Trace = Trace(0);

    /// As it travels: 0 for none, else the id, and the top bit when it is told.
    #[must_use]
    pub const fn to_wire(self) -> u64 {
        self.0
    }

    /// What [`Trace::to_wire`] gave.
    #[must_use]
    pub const fn from_wire(wire: u64) -> Trace {
        if wire & !TOLD == 0 {
            Trace::NONE
        } else {
            Trace(wire)
        }
    }

    /// Whether it is nobody's.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the logs tell of it.
    #[must_use]
    pub const fn is_told(self) -> bool {
        self.0 & TOLD != 0
    }

    /// The same, told.
    #[must_use]
    pub const fn told(self) -> Trace {
        if self.is_none() {
            self
        } else {
            Trace(self.0 | TOLD)
        }
    }

    /// What the present task works on.
    #[must_use]
    pub fn current() -> Trace {
        CURRENT
            .try_with(|current| Trace(current.load(Ordering::Relaxed)))
            .unwrap_or(Trace::NONE)
    }

    /// From now on the operation the present task works on is told.
    pub fn tell_current() {
        // A task that works on nobody's has nothing to turn.
        CURRENT
            .try_with(|current| {
                let trace = Trace(current.load(Ordering::Relaxed));
                current.store(trace.told().0, Ordering::Relaxed);
            })
            .unwrap_or(());
    }

    /// This, told when the scope of the same operation has turned.
    #[must_use]
    pub(crate) fn as_now(self) -> Trace {
        let now = Trace::current();
        if now.0 & !TOLD == self.0 & !TOLD {
            Trace(self.0 | now.0)
        } else {
            self
        }
    }

    /// Works on something for this operation. What is logged meanwhile bears its id, if anybody
    /// reads that.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(AtomicU64::new(self.0), work.instrument(self.span()))
    }

    fn span(self) -> Span {
        if self.is_logged() {
            tracing::info_span!(target: TRACE_TARGET, "call", trace = %self)
        } else {
            Span::none()
        }
    }

    /// Whether lines about it are written at all.
    #[must_use]
    pub fn is_logged(self) -> bool {
        if self.is_told() {
            tracing::enabled!(target: TRACE_TARGET, Level::INFO)
        } else {
            !self.is_none() && tracing::enabled!(target: TRACE_TARGET, Level::TRACE)
        }
    }

    /// What the present task works on and the time, when lines are written about it: how a step of
    /// it begins.
    #[must_use]
    pub fn step() -> Option<(Trace, Instant)> {
        let trace = Trace::current();
        trace.is_logged().then(|| (trace, Instant::now()))
    }
}

impl From<u64> for Trace {
    fn from(wire: u64) -> Trace {
        Trace::from_wire(wire)
    }
}

impl From<Trace> for u64 {
    fn from(trace: Trace) -> u64 {
        trace.to_wire()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0 & !TOLD)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = if self.is_told() { "+" } else { "" };
        write!(f, "{self}{told}")
    }
}

/// Where ids come from. Two are hardly ever the same.
#[derive(Debug)]
pub struct Traces {
    seed: u64,
    made: AtomicU64,
}

impl Traces {
    /// A source. The seed is drawn once: making an id costs no system call.
    #[must_use]
    pub const fn new(seed: u64) -> Traces {
        Traces {
            seed,
            made: AtomicU64::new(0),
        }
    }

    /// An id nobody has.
    pub fn fresh(&self) -> Trace {
        loop {
            let made = self.made.fetch_add(1, Ordering::Relaxed);
            let id = mixed(self.seed.wrapping_add(made.wrapping_mul(GOLDEN))) & !TOLD;
            if id != 0 {
                return Trace(id);
            }
        }
    }
}

/// What splitmix64 steps by (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of splitmix64: one to one, so that numbers that differ stay different.
const fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Writes a line about an operation: always when it is told, else when the level is debug.
/// Nobody's are not written about. What follows the trace is as in tracing's own macros.
#[macro_export]
macro_rules! tell {
    ($trace:expr, $($line:tt)+) => {{
        let trace: $crate::Trace = $trace;
        if trace.is_told() {
            ::tracing::info!(target: $crate::limits::TRACE_TARGET, %trace, $($line)+);
        } else if !trace.is_none() {
            ::tracing::trace!(target: $crate::limits::TRACE_TARGET, %trace, $($line)+);
        }
    }};
}

/// Microseconds since `begun`, for a line.
#[must_use]
pub fn us_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Writes the line about a call that was answered, or about one of several that came in one.
pub fn tell_answered(
    trace: Trace,
    (call, from): (&str, &dyn fmt::Display),
    begun: Instant,
    outcome: &str,
) {
    let us = us_since(begun);
    crate::tell!(trace, call, %from, us, outcome, "answered");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn wire_says_id_and_told() {
        for (wire, is_none, is_told, text) in [
            (0, true, false, "0000000000000000"),
            (TOLD, true, false, "0000000000000000"),
            (0xab, false, false, "00000000000000ab"),
            (TOLD | 0xab, false, true, "00000000000000ab"),
            (u64::MAX, false, true, "7fffffffffffffff"),
        ] {
            let trace = Trace::from_wire(wire);
            assert_eq!(trace.is_none(), is_none, "{wire:#x}");
            assert_eq!(trace.is_told(), is_told, "{wire:#x}");
            assert_eq!(trace.to_string(), text);
            let again = if is_none { 0 } else { wire };
            assert_eq!(trace.to_wire(), again);
            assert_eq!(
                trace.told().to_wire(),
                if is_none { 0 } else { wire | TOLD }
            );
            let bytes = postcard::to_stdvec(&wire).expect("a number");
            assert_eq!(postcard::from_bytes(&bytes), Ok(trace));
        }
    }

    #[test]
    fn ids_of_a_source_differ() {
        let (one, other) = (Traces::new(1), Traces::new(2));
        let ids: BTreeSet<_> = (0..10_000)
            .flat_map(|_| [one.fresh().to_wire(), other.fresh().to_wire()])
            .collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id & TOLD == 0 && *id != 0));
        assert_eq!(Traces::new(1).fresh(), Traces::new(1).fresh());
    }

    #[tokio::test]
    async fn scope_turns_told_for_its_own() {
        let trace = Trace::from_wire(7);
        assert_eq!(Trace::current(), Trace::NONE);
        Trace::tell_current();
        let inner = trace.scope(async {
            assert_eq!(Trace::current(), trace);
            Trace::tell_current();
            tokio::task::yield_now().await;
            assert_eq!(trace.as_now(), trace.told());
            assert_eq!(Trace::from_wire(8).as_now(), Trace::from_wire(8));
            let nested = Trace::from_wire(9).scope(async { Trace::current() });
            assert_eq!(nested.await, Trace::from_wire(9));
            Trace::current()
        });
        assert_eq!(inner.await, trace.told());
        assert_eq!(trace.as_now(), trace);
    }
}
