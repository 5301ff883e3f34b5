//! How long calls of other ends take to be answered here: one histogram a kind, counted with three
//! additions a call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// Buckets of a histogram. The first holds what took up to 64 us, each next one twice as long, the
/// last everything above 8.4 s.
pub const BUCKETS: usize = 19;
/// The limit of the first bucket as a power of two, microseconds.
const FIRST_LOG2: u32 = 6;
/// Kinds with a histogram of their own: the upper byte below [`GROUPS`], the lower below
/// [`KINDS_PER_GROUP`]. Others share one.
const GROUPS: usize = 8;
const KINDS_PER_GROUP: usize = 64;

/// The longest time of a bucket, microseconds; `None` for the last one.
#[must_use]
pub fn bucket_limit_us(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| 1 << (FIRST_LOG2 as usize + bucket))
}

/// The times of one kind of call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallTiming {
    /// Which kind; 0 for all that have no histogram of their own.
    pub kind: u16,
    /// How many took so long, by bucket; not cumulative.
    pub counts: [u64; BUCKETS],
    /// The sum of all times, microseconds.
    pub sum_us: u64,
}

#[derive(Debug, Default)]
struct Times {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// The times of all kinds. A slot is made when the first call of its kind is answered.
#[derive(Debug)]
pub(crate) struct CallTimes {
    slots: Box<[OnceLock<Box<Times>>]>,
}

impl Default for CallTimes {
    fn default() -> Self {
        let slots = std::iter::repeat_with(OnceLock::new);
        Self {
            slots: slots.take(GROUPS * KINDS_PER_GROUP).collect(),
        }
    }
}

impl CallTimes {
    /// Counts one call.
    pub(crate) fn note(&self, kind: u16, took: Duration) {
        let times = self.slots[slot_of(kind)].get_or_init(Box::default);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        times.counts[bucket_of(took_us)].fetch_add(1, Ordering::Relaxed);
        times.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// The kinds that were called, by number.
    pub(crate) fn all(&self) -> Vec<CallTiming> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let called = self.slots.iter().enumerate();
        let timing = |(slot, times): (usize, &OnceLock<Box<Times>>)| {
            let times = times.get()?;
            Some(CallTiming {
                kind: kind_of(slot),
                counts: std::array::from_fn(|bucket| read(&times.counts[bucket])),
                sum_us: read(&times.sum_us),
            })
        };
        called.filter_map(timing).collect()
    }
}

fn bucket_of(took_us: u64) -> usize {
    let log2_above = u64::BITS - took_us.saturating_sub(1).leading_zeros();
    (log2_above.saturating_sub(FIRST_LOG2) as usize).min(BUCKETS - 1)
}

fn slot_of(kind: u16) -> usize {
    let (group, number) = (usize::from(kind >> 8), usize::from(kind & 0xff));
    if group < GROUPS && number < KINDS_PER_GROUP {
        group * KINDS_PER_GROUP + number
    } else {
        0
    }
}

fn kind_of(slot: usize) -> u16 {
    let (group, number) = (slot / KINDS_PER_GROUP, slot % KINDS_PER_GROUP);
    // Both are below 256.
    u16::try_from(group << 8 | number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_bucket() {
        let table = [(0, 0), (64, 0), (65, 1), (128, 1), (129, 2), (1_024, 4)];
        for (took_us, bucket) in table {
            assert_eq!(bucket_of(took_us), bucket, "{took_us}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        for bucket in 0..BUCKETS - 1 {
            let limit_us = bucket_limit_us(bucket).expect("bounded");
            assert_eq!(bucket_of(limit_us), bucket);
            assert_eq!(bucket_of(limit_us + 1), bucket + 1);
        }
        assert_eq!(bucket_limit_us(BUCKETS - 1), None);
    }

    #[test]
    fn kinds_are_kept_apart() {
        let times = CallTimes::default();
        times.note(0x0203, Duration::from_micros(100));
        times.note(0x0203, Duration::from_micros(50));
        times.note(0x0101, Duration::from_secs(20));
        times.note(0x7777, Duration::ZERO);
        let all = times.all();
        let kinds: Vec<_> = all.iter().map(|timing| timing.kind).collect();
        assert_eq!(kinds, [0, 0x0101, 0x0203]);
        assert_eq!(all[2].counts[..2], [1, 1]);
        assert_eq!(all[2].sum_us, 150);
        assert_eq!(all[1].counts[BUCKETS - 1], 1);
    }
}
