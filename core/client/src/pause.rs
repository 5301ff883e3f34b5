//! How long to wait before a repetition.

use std::time::Duration;

use crate::limits::{PAUSE_FIRST, PAUSE_MAX};

/// The pause after `failures` failures in a row: doubles each time up to a limit, then between
/// half of that and all of it by `random`, so that many clients do not come back together.
pub(crate) fn pause(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let full_us = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
    let half_us = full_us / 2;
    Duration::from_micros(half_us + random % (full_us - half_us + 1))
}

/// A random number; where the system has none to give, pauses are not jittered.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_grow_to_a_limit(failures in 1u32..1_000, random: u64) {
            let this = pause(failures, random);
            prop_assert!(this >= PAUSE_FIRST / 2 && this <= PAUSE_MAX);
            prop_assert!(pause(failures + 1, u64::MAX) >= this / 2);
        }
    }

    #[test]
    fn late_pauses_are_long() {
        assert!(pause(20, 0) >= PAUSE_MAX / 2);
    }
}
