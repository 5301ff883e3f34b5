//! What is recorded of each operation while a work goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cpu::CpuTime;

/// Longest latency told apart, microseconds: ten minutes, more than any timeout in use.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Decimal digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;
/// Kinds of errors remembered by their words.
const ERRORS_TOLD_MAX: usize = 5;

/// Records operations; all workers share it on one thread.
pub(crate) struct Recorder {
    state: RefCell<State>,
}

struct State {
    latencies: Histogram<u64>,
    operations: u64,
    bytes: u64,
    errors: u64,
    told: BTreeMap<String, u64>,
}

/// What came of a work.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Operations that were done.
    pub(crate) operations: u64,
    /// Bytes of files they moved.
    pub(crate) bytes: u64,
    /// Operations that failed.
    pub(crate) errors: u64,
    /// Words of the errors, and how often.
    pub(crate) told: BTreeMap<String, u64>,
    /// How long it took.
    pub(crate) taken: Duration,
    /// Latencies in microseconds.
    pub(crate) latency: Latency,
    /// Processor time.
    pub(crate) cpu: CpuTime,
}

/// Percentiles of latencies, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    /// Half are below.
    pub(crate) p50_us: u64,
    /// 99 of 100 are below.
    pub(crate) p99_us: u64,
    /// 999 of 1,000 are below.
    pub(crate) p999_us: u64,
    /// The longest.
    pub(crate) max_us: u64,
}

impl Recorder {
    /// Empty; `None` never happens for the constants here.
    pub(crate) fn new() -> Option<Recorder> {
        let latencies = Histogram::new_with_max(LATENCY_US_MAX, LATENCY_DIGITS).ok()?;
        let told = BTreeMap::new();
        let state = State {
            latencies,
            operations: 0,
            bytes: 0,
            errors: 0,
            told,
        };
        Some(Recorder {
            state: RefCell::new(state),
        })
    }

    /// `operations` were done at once within `latency` and moved so many bytes.
    pub(crate) fn done(&self, latency: Duration, operations: u64, bytes: u64) {
        let mut state = self.state.borrow_mut();
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        state.latencies.saturating_record(us.max(1));
        state.operations += operations;
        state.bytes += bytes;
    }

    /// One operation failed.
    pub(crate) fn failed(&self, error: &impl Display) {
        let mut state = self.state.borrow_mut();
        state.errors += 1;
        let words = error.to_string();
        if state.told.len() < ERRORS_TOLD_MAX || state.told.contains_key(&words) {
            *state.told.entry(words).or_insert(0) += 1;
        }
    }

    /// All that was recorded.
    pub(crate) fn finish(self, taken: Duration, cpu: CpuTime) -> Measured {
        let state = self.state.into_inner();
        let at = |quantile| state.latencies.value_at_quantile(quantile);
        let latency = Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: state.latencies.max(),
        };
        Measured {
            operations: state.operations,
            bytes: state.bytes,
            errors: state.errors,
            told: state.told,
            taken,
            latency,
            cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_follow_the_latencies() {
        let recorder = Recorder::new().expect("constants fit");
        for ms in 1..=1_000 {
            recorder.done(Duration::from_millis(ms), 1, 10);
        }
        let measured = recorder.finish(Duration::from_secs(1), CpuTime::default());
        let near = |us: u64, expected: u64| us.abs_diff(expected) * 100 <= expected;
        assert_eq!((measured.operations, measured.bytes), (1_000, 10_000));
        assert!(near(measured.latency.p50_us, 500_000));
        assert!(near(measured.latency.p99_us, 990_000));
        assert!(near(measured.latency.max_us, 1_000_000));
    }
}
