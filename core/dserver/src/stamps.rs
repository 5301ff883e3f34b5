//! The stamps of anonymous files this server may give out. Pure: the time is told.

use sdfs_types::anonymous::STAMP_NUMBER_BITS;
use sdfs_types::calls::anonymous::StampsLeased;
use sdfs_types::limits::STAMP_LEASE_S;
use sdfs_types::{ServerId, Stamp};

/// What is left of the leases so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamps {
    /// The next one: second and number.
    next: u64,
    /// The second after the last leased one.
    until_s: u32,
}

impl Stamps {
    /// The next stamp, of the present second if that is leased and not over. A clock that stands
    /// still, goes back or is ahead of the lease does not matter: numbers and leased seconds are
    /// used on.
    pub(crate) fn take(&mut self, server: ServerId, now_s: u32) -> Option<Stamp> {
        let last_s = self.until_s.checked_sub(1)?;
        let next = self.next.max(first_of(now_s.min(last_s)));
        if next >= first_of(self.until_s) {
            return None;
        }
        self.next = next + 1;
        let mask = (1 << STAMP_NUMBER_BITS) - 1;
        Some(Stamp {
            second: u32::try_from(next >> STAMP_NUMBER_BITS).ok()?,
            number: u32::try_from(next & mask).ok()?,
            server,
        })
    }

    /// Whether it is time for another lease.
    pub(crate) fn is_short(&self, now_s: u32) -> bool {
        now_s.saturating_add(STAMP_LEASE_S / 2) >= self.until_s
            || self.next >> STAMP_NUMBER_BITS >= u64::from(self.until_s) - 1
    }

    /// Whether the present second is not leased: stamps would tell an old time.
    pub(crate) fn is_over(&self, now_s: u32) -> bool {
        now_s >= self.until_s || self.next >= first_of(self.until_s)
    }

    /// Adds a lease. One that ends earlier than what there is was answered late and is left.
    pub(crate) fn add(&mut self, lease: StampsLeased) {
        if lease.until_s <= self.until_s {
            return;
        }
        if lease.from_s != self.until_s {
            self.next = first_of(lease.from_s);
        }
        self.until_s = lease.until_s;
    }
}

fn first_of(second: u32) -> u64 {
    u64::from(second) << STAMP_NUMBER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ME: ServerId = ServerId(7);

    fn lease(from_s: u32) -> StampsLeased {
        StampsLeased {
            from_s,
            until_s: from_s + STAMP_LEASE_S,
        }
    }

    fn stamp(second: u32, number: u32) -> Option<Stamp> {
        Some(Stamp {
            second,
            number,
            server: ME,
        })
    }

    #[test]
    fn stamps_tell_the_time_of_the_lease() {
        let mut stamps = Stamps::default();
        assert!(stamps.is_short(100) && stamps.is_over(100));
        assert_eq!(stamps.take(ME, 100), None);
        stamps.add(lease(100));
        assert!(!stamps.is_short(109) && stamps.is_short(110));
        assert!(!stamps.is_over(119) && stamps.is_over(120));
        assert_eq!(stamps.take(ME, 100), stamp(100, 0));
        assert_eq!(stamps.take(ME, 100), stamp(100, 1));
        assert_eq!(stamps.take(ME, 103), stamp(103, 0));
        assert_eq!(stamps.take(ME, 50), stamp(103, 1), "a clock set back");
        assert_eq!(stamps.take(ME, 500), stamp(119, 0), "one that ran ahead");
        stamps.add(lease(120));
        assert_eq!(stamps.take(ME, 119), stamp(119, 1));
        stamps.add(lease(100));
        assert_eq!(stamps.take(ME, 130), stamp(130, 0), "a late answer");
        stamps.add(lease(1_000));
        assert_eq!(stamps.take(ME, 130), stamp(1_000, 0));
    }

    #[test]
    fn a_full_second_goes_on_in_the_next() {
        let mut stamps = Stamps::default();
        stamps.add(lease(100));
        let per_second = 1 << STAMP_NUMBER_BITS;
        for number in 0..per_second {
            assert_eq!(stamps.take(ME, 118), stamp(118, number));
        }
        assert_eq!(stamps.take(ME, 118), stamp(119, 0));
        assert!(stamps.is_short(101), "few are left");
        for number in 1..per_second {
            assert_eq!(stamps.take(ME, 118), stamp(119, number));
        }
        assert!(stamps.is_over(118));
        assert_eq!(stamps.take(ME, 118), None);
    }

    proptest! {
        #[test]
        fn no_stamp_comes_twice(
            steps in proptest::collection::vec((0_u32..400, any::<bool>()), 1..200),
        ) {
            let (mut stamps, mut leased_to, mut last) = (Stamps::default(), 0, None);
            for (now_s, is_lease) in steps {
                if is_lease {
                    let lease = lease(now_s.max(leased_to));
                    leased_to = lease.until_s;
                    stamps.add(lease);
                } else if let Some(stamp) = stamps.take(ME, now_s) {
                    prop_assert!(Some(stamp) > last && stamp.second < leased_to);
                    last = Some(stamp);
                }
            }
        }
    }
}
