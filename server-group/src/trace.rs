//! One id for all that is done for one operation, from the client to the disks: whoever begins the
//! operation makes it, every call carries it, and whatever works on a call runs within its scope.
//!
//! An operation is *told* when somebody wants to read in the logs what is done for it. Whoever
//! finds that it is to be told turns its scope; calls tell those they ask, answers those who asked.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;
use tracing::{Instrument, Level};

use crate::limits::TRACE_TARGET;

/// The bit beside the id.
const TOLD: u64 = 1 << 63;

tokio::task_local! {
    /// What the task works on now.
    static CURRENT: Scope;
}

/// What a task works on, and whether that has turned out to be told. No other thread sees it: an
/// atomic, so that whatever runs in the scope may be looked at by others.
struct Scope {
    trace: Trace,
    is_told: AtomicBool,
}

impl Scope {
    fn now(&self) -> Trace {
        if self.is_told.load(Ordering::Relaxed) {
            self.trace.told()
        } else {
            self.trace
        }
    }
}

/// The operation that something is done for: an id of 63 bits, none when it is nobody's, and
/// whether it is told. Beside it the call of the operation that is being served, and the call that
/// made that one: 0 where a program or a door began.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u64,
    span: u64,
    parent: u64,
}

impl Trace {
    /// Nobody's.
    pub const NONE: Trace = Trace {
        id: 0,
        span: 0,
        parent: 0,
    };

    /// As it travels: 0 for none, else the id, and the top bit when it is told; then the call that
    /// is being served.
    #[must_use]
    pub const fn to_wire(self) -> (u64, u64) {
        (self.id, self.span)
    }

    /// What [`Trace::to_wire`] gave.
    #[must_use]
    pub const fn from_wire((id, span): (u64, u64)) -> Trace {
        if id & !TOLD == 0 {
            return Trace::NONE;
        }
        Trace {
            id,
            span,
            parent: 0,
        }
    }

    /// The call being served, 0 when that is none.
    #[must_use]
    pub const fn span(self) -> Span {
        Span(self.span)
    }

    /// The call that made the one being served, 0 when that was none.
    #[must_use]
    pub(crate) const fn parent(self) -> Span {
        Span(self.parent)
    }

    /// Whether it is nobody's.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.id == 0
    }

    /// Whether the logs tell of it.
    #[must_use]
    pub const fn is_told(self) -> bool {
        self.id & TOLD != 0
    }

    /// The same, told.
    #[must_use]
    pub const fn told(mut self) -> Trace {
        if !self.is_none() {
            self.id |= TOLD;
        }
        self
    }

    /// What the present task works on.
    #[must_use]
    pub fn current() -> Trace {
        CURRENT.try_with(Scope::now).unwrap_or(Trace::NONE)
    }

    /// From now on the operation the present task works on is told.
    pub fn tell_current() {
        // A task that works on nobody's has nothing to turn.
        CURRENT
            .try_with(|current| current.is_told.store(true, Ordering::Relaxed))
            .unwrap_or(());
    }

    /// This, told when the scope of the same operation has turned.
    #[must_use]
    pub(crate) fn as_now(self) -> Trace {
        let now = Trace::current();
        if now.is_told() && now.id & !TOLD == self.id & !TOLD {
            self.told()
        } else {
            self
        }
    }

    /// Works on something for this operation. What is logged meanwhile bears its id, if anybody
    /// reads that.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        let scope = Scope {
            trace: self,
            is_told: AtomicBool::new(false),
        };
        // Whatever waits for this, or takes it for a task, would copy its kilobytes several times.
        let work = Box::pin(work);
        CURRENT.scope(scope, work.instrument(self.around()))
    }

    /// What lines of its scope stand in.
    fn around(self) -> tracing::Span {
        if self.is_logged() {
            tracing::info_span!(target: TRACE_TARGET, "call", trace = %self)
        } else {
            tracing::Span::none()
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

impl Serialize for Trace {
    /// As lines name it where people read it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.to_wire().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Trace, D::Error> {
        Deserialize::deserialize(deserializer).map(Trace::from_wire)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.id & !TOLD)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = if self.is_told() { "+" } else { "" };
        write!(f, "{self}{told}")
    }
}

/// One call of an operation, as lines name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
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

    /// An operation nobody has begun.
    pub fn fresh(&self) -> Trace {
        Trace::from_wire((self.id(), 0))
    }

    /// A call of an operation, as it is served here.
    pub(crate) fn call(&self, asked: Trace) -> Trace {
        if asked.is_none() {
            return asked;
        }
        Trace {
            id: asked.id,
            span: self.id(),
            parent: asked.span,
        }
    }

    fn id(&self) -> u64 {
        loop {
            let made = self.made.fetch_add(1, Ordering::Relaxed);
            let id = mixed(self.seed.wrapping_add(made.wrapping_mul(GOLDEN))) & !TOLD;
            if id != 0 {
                return id;
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

/// Writes a line about an operation, within the call being served: always when it is told, else
/// when the level is trace. Nobody's are not written about. What follows the trace is as in
/// tracing's own macros.
#[macro_export]
macro_rules! tell {
    ($trace:expr, $($line:tt)+) => {{
        let trace: $crate::Trace = $trace;
        let span = trace.span();
        if trace.is_told() {
            ::tracing::info!(target: $crate::limits::TRACE_TARGET, %trace, %span, $($line)+);
        } else if !trace.is_none() {
            ::tracing::trace!(target: $crate::limits::TRACE_TARGET, %trace, %span, $($line)+);
        }
    }};
}

/// Microseconds since `begun`, for a line.
#[must_use]
pub fn us_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Writes the line about a call that was answered, or about one of several asks that came in one,
/// for operations of their own.
pub fn tell_call(
    trace: Trace,
    (call, from): (&str, &dyn fmt::Display),
    begun: Instant,
    outcome: &str,
) {
    let (parent, us) = (trace.parent(), us_since(begun));
    crate::tell!(trace, %parent, call, %from, us, outcome, "answered");
}

/// As [`tell_call`] for an ask that was answered without asking anybody: it stands within the call
/// that asked.
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
    fn wire_says_id_told_and_call() {
        for (id, is_none, is_told, text) in [
            (0, true, false, "0000000000000000"),
            (TOLD, true, false, "0000000000000000"),
            (0xab, false, false, "00000000000000ab"),
            (TOLD | 0xab, false, true, "00000000000000ab"),
            (u64::MAX, false, true, "7fffffffffffffff"),
        ] {
            let trace = Trace::from_wire((id, 0xcd));
            assert_eq!(trace.is_none(), is_none, "{id:#x}");
            assert_eq!(trace.is_told(), is_told, "{id:#x}");
            assert_eq!(trace.to_string(), text);
            let again = if is_none { (0, 0) } else { (id, 0xcd) };
            assert_eq!(trace.to_wire(), again);
            let told = if is_none { (0, 0) } else { (id | TOLD, 0xcd) };
            assert_eq!(trace.told().to_wire(), told);
            let bytes = postcard::to_stdvec(&(id, 0xcd_u64)).expect("two numbers");
            assert_eq!(postcard::from_bytes(&bytes), Ok(trace));
        }
    }

    #[test]
    fn ids_of_a_source_differ() {
        let (one, other) = (Traces::new(1), Traces::new(2));
        let ids: BTreeSet<_> = (0..10_000)
            .flat_map(|_| [one.fresh().to_wire().0, other.fresh().to_wire().0])
            .collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id & TOLD == 0 && *id != 0));
        assert_eq!(Traces::new(1).fresh(), Traces::new(1).fresh());
    }

    #[test]
    fn a_call_knows_who_made_it() {
        let traces = Traces::new(1);
        let operation = traces.fresh().told();
        let first = traces.call(operation);
        assert!(first.is_told());
        assert_eq!(first.to_string(), operation.to_string());
        assert_eq!(first.parent(), Span(0));
        assert_ne!(first.span(), Span(0));
        let second = traces.call(Trace::from_wire(first.to_wire()));
        assert_eq!(second.parent(), first.span());
        assert_ne!(second.span(), first.span());
        assert_eq!(traces.call(Trace::NONE), Trace::NONE);
    }

    #[tokio::test]
    async fn scope_turns_told_for_its_own() {
        let trace = Trace::from_wire((7, 70));
        assert_eq!(Trace::current(), Trace::NONE);
        Trace::tell_current();
        let inner = trace.scope(async {
            assert_eq!(Trace::current(), trace);
            Trace::tell_current();
            tokio::task::yield_now().await;
            assert_eq!(trace.as_now(), trace.told());
            let (same, other) = (Trace::from_wire((7, 71)), Trace::from_wire((8, 70)));
            assert_eq!(same.as_now(), same.told());
            assert_eq!(other.as_now(), other);
            let nested = other.scope(async { Trace::current() });
            assert_eq!(nested.await, other);
            Trace::current()
        });
        assert_eq!(inner.await, trace.told());
        assert_eq!(trace.as_now(), trace);
    }
}
