//! The calls that took longest of late, so that somebody can ask what they waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::clock;
use crate::limits::{SLOW_CALL_MIN, SLOW_CALLS_KEPT, SLOW_CALLS_SPAN};
use crate::trace::Trace;

/// A call that took long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlowCall {
    /// Which kind.
    pub kind: u16,
    /// How long until it was answered, microseconds.
    pub took_us: u64,
    /// When it was answered, milliseconds of Unix time.
    pub ended_ms: u64,
    /// Who asked.
    pub from: String,
    /// The operation it was asked for.
    pub trace: Trace,
}

/// The slowest calls of two spans of time, the present and the one before.
#[derive(Debug)]
pub(crate) struct Slowest {
    /// What took less is not among them, microseconds.
    bar_us: AtomicU64,
    /// Touched only by calls above the bar; a leaf.
    spans: Mutex<Spans>,
}

#[derive(Debug, Default)]
struct Spans {
    /// When the present one began; nothing before the first call.
    begun: Option<Instant>,
    present: Vec<SlowCall>,
    former: Vec<SlowCall>,
}

impl Default for Slowest {
    fn default() -> Self {
        Self {
            bar_us: AtomicU64::new(micros(SLOW_CALL_MIN)),
            spans: Mutex::default(),
        }
    }
}

impl Slowest {
    /// Notes a call, if it is one of the slowest; `from` is only asked then.
    pub(crate) fn note(
        &self,
        (kind, trace): (u16, Trace),
        (begun, now): (Instant, Instant),
        from: impl FnOnce() -> String,
    ) {
        let took_us = micros(now.duration_since(begun));
        if took_us < self.bar_us.load(Ordering::Relaxed) {
            return;
        }
        let call = SlowCall {
            kind,
            took_us,
            ended_ms: clock::now_ms(),
            from: from(),
            trace,
        };
        let mut spans = self.spans();
        spans.turn(now);
        let place = spans.present.partition_point(|one| one.took_us > took_us);
        spans.present.insert(place, call);
        spans.present.truncate(SLOW_CALLS_KEPT);
        self.bar_us.store(spans.bar_us(), Ordering::Relaxed);
    }

    /// Begins a new span when the present one is over. Called once in a while, or the bar would
    /// stay as high as one bad minute has put it.
    pub(crate) fn turn(&self, now: Instant) {
        let mut spans = self.spans();
        spans.turn(now);
        self.bar_us.store(spans.bar_us(), Ordering::Relaxed);
    }

    /// The slowest, the slowest first.
    pub(crate) fn all(&self) -> Vec<SlowCall> {
        let spans = self.spans();
        let mut all: Vec<_> = spans.present.iter().chain(&spans.former).cloned().collect();
        all.sort_by_key(|call| std::cmp::Reverse(call.took_us));
        all.truncate(SLOW_CALLS_KEPT);
        all
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spans {
    fn turn(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let age = now.duration_since(begun);
        if age < SLOW_CALLS_SPAN {
            return;
        }
        self.former = std::mem::take(&mut self.present);
        if age >= SLOW_CALLS_SPAN * 2 {
            self.former.clear();
        }
        self.begun = Some(now);
    }

    fn bar_us(&self) -> u64 {
        match self.present.get(SLOW_CALLS_KEPT - 1) {
            Some(last) => last.took_us,
            None => micros(SLOW_CALL_MIN),
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn note(slowest: &Slowest, kind: u16, begun: Instant, took: Duration) {
        let times = (begun, begun + took);
        slowest.note((kind, Trace::NONE), times, || "ann".to_owned());
    }

    fn kinds(slowest: &Slowest) -> Vec<u16> {
        slowest.all().iter().map(|call| call.kind).collect()
    }

    #[test]
    fn the_slowest_are_kept_and_the_quick_are_not() {
        let (slowest, now) = (Slowest::default(), Instant::now());
        note(&slowest, 99, now, SLOW_CALL_MIN / 2);
        assert_eq!(kinds(&slowest), [0_u16; 0]);
        for kind in 0..=SLOW_CALLS_KEPT {
            let kind = u16::try_from(kind).unwrap();
            note(&slowest, kind, now, SLOW_CALL_MIN * (u32::from(kind) + 1));
        }
        let all = slowest.all();
        assert_eq!(all.len(), SLOW_CALLS_KEPT);
        assert_eq!(usize::from(all[0].kind), SLOW_CALLS_KEPT);
        assert_eq!(all.last().unwrap().kind, 1);
        // Above the least a call can be slow by, below those that are kept.
        note(&slowest, 77, now, SLOW_CALL_MIN * 3 / 2);
        assert!(!kinds(&slowest).contains(&77));
    }

    #[test]
    fn what_is_old_goes() {
        let (slowest, now) = (Slowest::default(), Instant::now());
        note(&slowest, 1, now, SLOW_CALL_MIN * 9);
        slowest.turn(now + SLOW_CALLS_SPAN + SLOW_CALL_MIN * 9);
        assert_eq!(kinds(&slowest), [1]);
        let later = now + SLOW_CALLS_SPAN * 3 / 2;
        note(&slowest, 2, later, SLOW_CALL_MIN);
        assert_eq!(kinds(&slowest), [1, 2]);
        slowest.turn(later + SLOW_CALLS_SPAN);
        assert_eq!(kinds(&slowest), [2]);
        slowest.turn(later + SLOW_CALLS_SPAN * 4);
        assert_eq!(kinds(&slowest), [0_u16; 0]);
    }
}
