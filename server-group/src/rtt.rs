//! Round-trip times, smoothed as RFC 6298 does, and the choice of the nearest by them. Pure.

use std::time::Duration;

use serde::Serialize;

/// Round-trip time to another end, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rtt {
    /// The last one measured.
    pub last_us: u64,
    /// Smoothed: each new one counts an eighth.
    pub smoothed_us: u64,
    /// The least since the connection was established.
    pub min_us: u64,
    /// Smoothed deviation from the smoothed value: each new one counts a quarter.
    pub jitter_us: u64,
}

impl Rtt {
    /// The first measurement.
    #[must_use]
    pub fn first(measured: Duration) -> Self {
        let us = micros(measured);
        Self {
            last_us: us,
            smoothed_us: us,
            min_us: us,
            jitter_us: us / 2,
        }
    }

    /// One more measurement.
    #[must_use]
    pub fn then(self, measured: Duration) -> Self {
        let us = micros(measured);
        Self {
            last_us: us,
            // Rounded, or a smoothed value would never rise the last few microseconds.
            smoothed_us: (7 * self.smoothed_us + us + 4) / 8,
            min_us: self.min_us.min(us),
            jitter_us: (3 * self.jitter_us + self.smoothed_us.abs_diff(us) + 2) / 4,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(u64::MAX)
        .min(u64::from(u32::MAX))
}

/// Another server must be nearer than the present one by this share...
const NEARER_PERCENT: u64 = 30;
/// ...and by this much, or servers side by side would take turns.
const NEARER_US: u64 = 200;

/// The nearest of the candidates (each with its smoothed round-trip time in microseconds): the
/// present one while it is a candidate and none is clearly nearer.
pub fn choose_nearest<K: Copy + Ord>(
    present: Option<K>,
    candidates: impl IntoIterator<Item = (K, u64)>,
) -> Option<K> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    let (best, best_us) = *candidates.iter().min_by_key(|(key, us)| (*us, *key))?;
    let kept = present.and_then(|present| {
        let (_, present_us) = *candidates.iter().find(|(key, _)| *key == present)?;
        let is_clearly_nearer =
            best_us * 100 < present_us * (100 - NEARER_PERCENT) && best_us + NEARER_US < present_us;
        (!is_clearly_nearer).then_some(present)
    });
    Some(kept.unwrap_or(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(measured_us: &[u64]) -> Rtt {
        let mut measured = measured_us.iter().map(|us| Duration::from_micros(*us));
        let first = Rtt::first(measured.next().unwrap());
        measured.fold(first, Rtt::then)
    }

    #[test]
    fn steady_times_are_reported_exactly() {
        let rtt = after(&[20_000; 50]);
        assert_eq!(
            (rtt.last_us, rtt.smoothed_us, rtt.min_us),
            (20_000, 20_000, 20_000)
        );
        assert!(rtt.jitter_us < 10);
    }

    #[test]
    fn one_outlier_moves_little() {
        let rtt = after(&[1_000, 1_000, 1_000, 9_000]);
        assert_eq!(
            (rtt.last_us, rtt.smoothed_us, rtt.min_us),
            (9_000, 2_000, 1_000)
        );
    }

    #[test]
    fn new_level_is_taken_over() {
        let mut times = vec![1_000; 10];
        times.extend([20_000; 40]);
        assert!(after(&times).smoothed_us.abs_diff(20_000) < 200);
    }

    #[test]
    fn nearest_is_kept_until_clearly_beaten() {
        let near = |us: [u64; 3]| (1_u16..).zip(us);
        assert_eq!(choose_nearest(None, near([3_000, 1_000, 2_000])), Some(2));
        // A little nearer, or much nearer but by microseconds, is no reason to move.
        assert_eq!(choose_nearest(Some(2), near([900, 1_000, 2_000])), Some(2));
        assert_eq!(choose_nearest(Some(2), near([50, 100, 2_000])), Some(2));
        assert_eq!(choose_nearest(Some(2), near([500, 1_000, 2_000])), Some(1));
        assert_eq!(choose_nearest(Some(9), near([500, 1_000, 2_000])), Some(1));
        assert_eq!(choose_nearest(Some(9), []), None);
    }
}
