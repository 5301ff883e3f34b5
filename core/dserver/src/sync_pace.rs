//! How fast this dserver brings volumes up to date: one rate for all of them, lower while clients
//! are served, and the volume with the fewest copies first.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use sdfs_types::VolumeId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{
    CLIENTS_SEEN_FOR, SYNC_BYTES_AT_ONCE, SYNC_BYTES_PER_S, SYNC_BYTES_PER_S_SHARED,
    SYNC_URGENT_FOR,
};
use crate::locked::locked;

/// Looks again this often while a more urgent volume is at work.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Standing still: looked at again when the rate changes, or after this.
const STILL: Duration = Duration::from_secs(5);
/// Less than this is not waited for: timers are no finer.
const SHORT: Duration = Duration::from_millis(5);

/// Bytes a sync has gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gone {
    /// Copied from another member.
    Copied(u64),
    /// Present and verified. A server that was away for a moment must be back soon, and reads what
    /// it has without taking anything from the others: at the full rate, whoever is served.
    Verified(u64),
}

/// Shared by all syncs of a dserver. The mutex is held for single looks.
pub(crate) struct SyncPace {
    pace: Mutex<Pace>,
    changed: Notify,
    begun: Instant,
}

impl SyncPace {
    pub(crate) fn new() -> SyncPace {
        SyncPace {
            pace: Mutex::default(),
            changed: Notify::new(),
            begun: Instant::now(),
        }
    }

    /// Sets the rate of all syncs together, bytes a second; `None` for the usual one.
    pub(crate) fn set(&self, bytes_per_s: Option<u64>) {
        let mut pace = locked(&self.pace);
        pace.pass(self.begun.elapsed());
        pace.ordered = bytes_per_s;
        drop(pace);
        self.changed.notify_waiters();
    }

    /// There are clients who would notice the usual rate.
    pub(crate) fn make_way(&self) {
        let mut pace = locked(&self.pace);
        let now = self.begun.elapsed();
        pace.pass(now);
        pace.clients_at = Some(now);
    }

    /// Counts bytes that a sync has gone through, and waits for its next turn.
    pub(crate) async fn turn(&self, volume: VolumeId, copies: usize, gone: Gone) {
        locked(&self.pace).count(self.begun.elapsed(), gone);
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
        let rate = locked(&self.pace).bytes_per_s(self.begun.elapsed());
        (rate / 4).clamp(1, SYNC_BYTES_AT_ONCE)
    }
}

/// The decision alone.
#[derive(Debug, Default)]
struct Pace {
    /// What an operator has ordered, bytes a second; 0 stands still.
    ordered: Option<u64>,
    /// When clients were last seen.
    clients_at: Option<Duration>,
    /// Bytes gone through too early.
    debt_bytes: u64,
    at: Duration,
    /// Copies in sync of each volume at work, and when it last asked for its turn.
    at_work: BTreeMap<VolumeId, (usize, Duration)>,
}

impl Pace {
    fn bytes_per_s(&self, now: Duration) -> u64 {
        let is_last = |(copies, asked): &(usize, Duration)| {
            *copies < 2 && now.saturating_sub(*asked) < SYNC_URGENT_FOR
        };
        let seen = |at| now.saturating_sub(at) < CLIENTS_SEEN_FOR;
        // Whoever has a single copy left cannot wait for clients to have gone.
        let usual = if self.clients_at.is_some_and(seen) && !self.at_work.values().any(is_last) {
            SYNC_BYTES_PER_S_SHARED
        } else {
            SYNC_BYTES_PER_S
        };
        self.ordered.unwrap_or(usual)
    }

    fn count(&mut self, now: Duration, gone: Gone) {
        self.pass(now);
        self.debt_bytes += match gone {
            Gone::Verified(bytes) if self.ordered.is_none() => {
                bytes * self.bytes_per_s(now) / SYNC_BYTES_PER_S
            }
            Gone::Copied(bytes) | Gone::Verified(bytes) => bytes,
        };
    }

    /// How long this volume waits before it looks again; nothing when it is its turn.
    fn wait(&mut self, now: Duration, volume: VolumeId, copies: usize) -> Option<Duration> {
        self.pass(now);
        self.at_work.insert(volume, (copies, now));
        let bytes_per_s = self.bytes_per_s(now);
        if bytes_per_s == 0 {
            return Some(STILL);
        }
        let is_urgent = |(fewer, asked): &(usize, Duration)| {
            *fewer < copies && now.saturating_sub(*asked) < SYNC_URGENT_FOR
        };
        if self.at_work.values().any(is_urgent) {
            return Some(LOOK_AGAIN);
        }
        let wait = Duration::from_secs_f64(self.debt_bytes as f64 / bytes_per_s as f64);
        // Whoever waits long asks again meanwhile, or would count as one that does not get on.
        (wait > SHORT).then_some(wait.min(SYNC_URGENT_FOR / 2))
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        let paid = passed.as_secs_f64() * self.bytes_per_s(now) as f64;
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

    fn ordered(bytes_per_s: u64) -> Pace {
        Pace {
            ordered: Some(bytes_per_s),
            ..Pace::default()
        }
    }

    #[test]
    fn all_volumes_share_one_rate() {
        let mut pace = ordered(1_000);
        let mut done = [0_u64; 2];
        for now in (0..10_000).map(ms) {
            for (at, volume) in [ONE, TWO].into_iter().enumerate() {
                if pace.wait(now, volume, 2).is_none() {
                    pace.count(now, Gone::Copied(100));
                    done[at] += 100;
                }
            }
        }
        let all = done[0] + done[1];
        assert!((9_500..=10_500).contains(&all), "{done:?}");
    }

    #[test]
    fn fewest_copies_go_first() {
        let mut pace = ordered(1_000_000);
        assert_eq!(pace.wait(ms(0), TWO, 1), None);
        assert_eq!(pace.wait(ms(1), ONE, 2), Some(LOOK_AGAIN));
        assert_eq!(pace.wait(ms(2), TWO, 1), None);
        // One that does not get on keeps nobody back.
        assert_eq!(pace.wait(ms(2) + SYNC_URGENT_FOR, ONE, 2), None);
    }

    #[test]
    fn zero_stands_still() {
        let mut pace = ordered(0);
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(STILL));
        pace.count(ms(1), Gone::Copied(1_000));
        assert_eq!(pace.wait(ms(60_000), ONE, 1), Some(STILL));
        pace.ordered = Some(1_000);
        assert_eq!(pace.wait(ms(60_000), ONE, 1), Some(SYNC_URGENT_FOR / 2));
        assert_eq!(pace.wait(ms(60_900), ONE, 1), Some(ms(100)));
        assert_eq!(pace.wait(ms(61_000), ONE, 1), None);
    }

    #[test]
    fn a_higher_rate_counts_at_once() {
        let mut pace = ordered(1_000);
        pace.count(ms(0), Gone::Copied(10_000));
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(SYNC_URGENT_FOR / 2));
        pace.ordered = Some(100_000);
        assert_eq!(pace.wait(ms(0), ONE, 1), Some(ms(100)));
    }

    #[test]
    fn clients_keep_most_of_the_disks() {
        const SHARED: u64 = SYNC_BYTES_PER_S_SHARED;
        let (none, some) = (None, Some(ms(0)));
        for (clients_at, copies, ordered, expected) in [
            (none, 2, None, SYNC_BYTES_PER_S),
            (some, 2, None, SHARED),
            (some, 1, None, SYNC_BYTES_PER_S),
            (some, 2, Some(1 << 30), 1 << 30),
            (some, 1, Some(0), 0),
            (none, 2, Some(1_000), 1_000),
        ] {
            let mut pace = Pace {
                ordered,
                clients_at,
                ..Pace::default()
            };
            pace.wait(ms(0), ONE, copies);
            let said = format!("{clients_at:?} {copies} {ordered:?}");
            assert_eq!(pace.bytes_per_s(ms(1)), expected, "{said}");
            // A second's bytes, where nobody has ordered anything.
            let second = ordered.unwrap_or(SYNC_BYTES_PER_S);
            pace.count(ms(1), Gone::Verified(second));
            assert_eq!(pace.debt_bytes, expected, "{said}");
        }
    }

    #[test]
    fn clients_and_last_copies_are_forgotten() {
        let mut pace = Pace {
            clients_at: Some(ms(0)),
            ..Pace::default()
        };
        pace.wait(ms(0), ONE, 1);
        for (now, expected) in [
            (SYNC_URGENT_FOR - ms(1), SYNC_BYTES_PER_S),
            // One that does not get on hurries nobody.
            (SYNC_URGENT_FOR, SYNC_BYTES_PER_S_SHARED),
            (CLIENTS_SEEN_FOR - ms(1), SYNC_BYTES_PER_S_SHARED),
            (CLIENTS_SEEN_FOR, SYNC_BYTES_PER_S),
        ] {
            assert_eq!(pace.bytes_per_s(now), expected, "{now:?}");
        }
    }

    /// However many have copied their portion and wait.
    #[test]
    fn last_copies_are_made_at_the_full_rate() {
        let mut pace = Pace::default();
        let mut due = [ms(0); 100];
        pace.count(ms(0), Gone::Copied(due.len() as u64 * SYNC_BYTES_AT_ONCE));
        let all_paid_s = due.len() as u64 * SYNC_BYTES_AT_ONCE / SYNC_BYTES_PER_S;
        let mut turn = None;
        for now in (0..60_000).step_by(100).map(ms) {
            pace.pass(now);
            pace.clients_at = Some(now);
            for (volume, due) in (0..).map(VolumeId).zip(&mut due) {
                if *due > now {
                    continue;
                }
                match pace.wait(now, volume, 1) {
                    Some(wait) => *due = now + wait,
                    None => turn = turn.or(Some(now)),
                }
            }
        }
        let turn = turn.map(|turn| turn.as_secs());
        assert_eq!(turn, Some(all_paid_s));
    }

    #[tokio::test]
    async fn a_change_wakes_those_who_wait() {
        let pace = SyncPace::new();
        pace.set(Some(0));
        let mut waiting = std::pin::pin!(pace.turn(ONE, 1, Gone::Copied(1)));
        let early = tokio::time::timeout(ms(20), waiting.as_mut()).await;
        assert!(early.is_err(), "it did not stand still");
        pace.set(None);
        let woken = tokio::time::timeout(STILL / 2, waiting).await;
        assert!(woken.is_ok(), "it was not woken");
    }
}
