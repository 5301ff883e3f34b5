//! How fast this dserver brings volumes up to date: one rate for all of them, and the volume with
//! the fewest copies first.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use sdfs_types::VolumeId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{SYNC_BYTES_AT_ONCE, SYNC_BYTES_PER_S, SYNC_URGENT_FOR};
use crate::locked::locked;

/// Looks again this often while a more urgent volume is at work.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Standing still: looked at again when the rate changes, or after this.
const STILL: Duration = Duration::from_secs(5);
/// Less than this is not waited for: timers are no finer.
const SHORT: Duration = Duration::from_millis(5);

/// Shared by all syncs of a dserver. The mutex is held for single looks.
pub(crate) struct SyncPace {
    pace: Mutex<Pace>,
    changed: Notify,
    begun: Instant,
}

impl SyncPace {
    pub(crate) fn new() -> SyncPace {
        SyncPace {
            pace: Mutex::new(Pace::new(SYNC_BYTES_PER_S)),
            changed: Notify::new(),
            begun: Instant::now(),
        }
    }

    /// Sets the rate of all syncs together, bytes a second; `None` for the usual one.
    pub(crate) fn set(&self, bytes_per_s: Option<u64>) {
        let rate = bytes_per_s.unwrap_or(SYNC_BYTES_PER_S);
        locked(&self.pace).set(self.begun.elapsed(), rate);
        self.changed.notify_waiters();
    }

    /// Counts bytes that a sync has gone through, and waits for its next turn.
    pub(crate) async fn turn(&self, volume: VolumeId, copies: usize, bytes: u64) {
        locked(&self.pace).count(self.begun.elapsed(), bytes);
        loop {
            let changed = self.changed.notified();
            let wait = locked(&self.pace).wait(self.begun.elapsed(), volume, copies);
            match wait {
                None => return,
                // Whether the time is over or the rate has changed, the next look tells.
                Some(wait) => drop(tokio::time::timeout(wait, changed).await),
            }
        }
    }

    /// A sync has ended or rests: it keeps nobody back.
    pub(crate) fn rests(&self, volume: VolumeId) {
        locked(&self.pace).at_work.remove(&volume);
    }

    /// Bytes to be copied at once: about a quarter of a second's.
    pub(crate) fn portion_bytes(&self) -> u64 {
        (locked(&self.pace).bytes_per_s / 4).clamp(1, SYNC_BYTES_AT_ONCE)
    }
}

/// The decision alone.
#[derive(Debug)]
struct Pace {
    /// 0 stands still.
    bytes_per_s: u64,
    /// Bytes gone through too early.
    debt_bytes: u64,
    at: Duration,
    /// Copies in sync of each volume at work, and when it last asked for its turn.
    at_work: BTreeMap<VolumeId, (usize, Duration)>,
}

impl Pace {
    fn new(bytes_per_s: u64) -> Pace {
        Pace {
            bytes_per_s,
            debt_bytes: 0,
            at: Duration::ZERO,
            at_work: BTreeMap::new(),
        }
    }

    fn set(&mut self, now: Duration, bytes_per_s: u64) {
        self.pass(now);
        self.bytes_per_s = bytes_per_s;
    }

    fn count(&mut self, now: Duration, bytes: u64) {
        self.pass(now);
        self.debt_bytes += bytes;
    }

    /// How long this volume waits before it looks again; nothing when it is its turn.
    fn wait(&mut self, now: Duration, volume: VolumeId, copies: usize) -> Option<Duration> {
        self.pass(now);
        self.at_work.insert(volume, (copies, now));
        if self.bytes_per_s == 0 {
            return Some(STILL);
        }
        let is_urgent = |(fewer, asked): &(usize, Duration)| {
            *fewer < copies && now.saturating_sub(*asked) < SYNC_URGENT_FOR
        };
        if self.at_work.values().any(is_urgent) {
            return Some(LOOK_AGAIN);
        }
        let wait = Duration::from_secs_f64(self.debt_bytes as f64 / self.bytes_per_s as f64);
        (wait > SHORT).then_some(wait)
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        let paid = passed.as_secs_f64() * self.bytes_per_s as f64;
        self.debt_bytes = self.debt_bytes.saturating_sub(paid as u64);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: VolumeId = VolumeId(1);
    const TWO: VolumeId = VolumeId(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn all_volumes_share_one_rate() {
        let mut pace = Pace::new(1_000);
        let mut done = [0_u64; 2];
        for now in (0..10_000).map(ms) {
            for (at, volume) in [ONE, TWO].into_iter().enumerate() {
                if pace.wait(now, volume, 2).is_none() {
                    pace.count(now, 100);
                    done[at] += 100;
                }
            }
        }
        let all = done[0] + done[1];
        assert!((9_500..=10_500).contains(&all), "{done:?}");
    }

    #[test]
    fn fewest_copies_go_first() {
        let mut pace = Pace::new(1_000_000);
        assert_eq!(pace.wait(ms(0), TWO, 1), None);
        assert_eq!(pace.wait(ms(1), ONE, 2), Some(LOOK_AGAIN));
        assert_eq!(pace.wait(ms(2), TWO, 1), None);
        // One that does not get on keeps nobody back.
        assert_eq!(pace.wait(ms(2) + SYNC_URGENT_FOR, ONE, 2), None);
    }

    #[test]
    fn zero_stands_still() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(STILL));
        pace.count(ms(1), 1_000);
        assert_eq!(pace.wait(ms(60_000), ONE, 1), Some(STILL));
        pace.set(ms(60_000), 1_000);
        assert_eq!(pace.wait(ms(60_000), ONE, 1), Some(ms(1_000)));
        assert_eq!(pace.wait(ms(61_000), ONE, 1), None);
    }

    #[test]
    fn a_higher_rate_counts_at_once() {
        let mut pace = Pace::new(1_000);
        pace.count(ms(0), 10_000);
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(ms(10_000)));
        pace.set(ms(0), 100_000);
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(ms(100)));
    }

    #[tokio::test]
    async fn a_change_wakes_those_who_wait() {
        let pace = SyncPace::new();
        pace.set(Some(0));
        let mut waiting = std::pin::pin!(pace.turn(ONE, 1, 1));
        let early = tokio::time::timeout(ms(20), waiting.as_mut()).await;
        assert!(early.is_err(), "it did not stand still");
        pace.set(None);
        let woken = tokio::time::timeout(STILL / 2, waiting).await;
        assert!(woken.is_ok(), "it was not woken");
    }
}
