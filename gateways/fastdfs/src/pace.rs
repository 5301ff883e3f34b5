//! How fast the other side of a connection takes or brings bytes. Only the time in which it is
//! waited for counts.

use std::time::Duration;

use crate::limits::{
    CONTENT_WINDOW, CONTENT_WINDOW_BYTES_MIN, PATIENCE, READER_WINDOW, READER_WINDOW_BYTES_MIN,
    SMALL_UPLOAD_BYTES,
};

/// How bytes go over a connection.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When it is looked how much went.
    window: Duration,
    bytes_min: usize,
    waited: Duration,
    moved: usize,
}

impl Pace {
    /// Of a body that is small: all of it must come in the time.
    pub(crate) fn of_small() -> Self {
        Self::of(PATIENCE, SMALL_UPLOAD_BYTES)
    }

    /// Of a reader of a file, who may be far away.
    pub(crate) fn of_reader() -> Self {
        Self::of(READER_WINDOW, READER_WINDOW_BYTES_MIN)
    }

    fn of(window: Duration, bytes_min: usize) -> Self {
        Self {
            window,
            bytes_min,
            waited: Duration::ZERO,
            moved: 0,
        }
    }

    /// From now on it is content that others may have to wait for.
    pub(crate) fn quicken(&mut self) {
        if self.window != CONTENT_WINDOW {
            *self = Self::of(CONTENT_WINDOW, CONTENT_WINDOW_BYTES_MIN);
        }
    }

    /// How long it may be waited for more.
    pub(crate) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Notes what went in a time; whether it goes on well enough.
    pub(crate) fn note(&mut self, waited: Duration, moved: usize) -> bool {
        self.waited += waited;
        self.moved += moved;
        if self.waited < self.window {
            return true;
        }
        let is_enough = self.moved >= self.bytes_min;
        (self.waited, self.moved) = (Duration::ZERO, 0);
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a body lasts that comes at a rate, bytes a second, until it is there or cut off.
    fn lasts(mut pace: Pace, rate: usize, bytes: usize) -> Result<Duration, Duration> {
        let second = Duration::from_secs(1);
        let (mut begun, mut left) = (Duration::ZERO, bytes);
        while left > 0 {
            begun += second;
            assert!(pace.left() <= pace.window);
            if !pace.note(second, rate.min(left)) {
                return Err(begun);
            }
            left = left.saturating_sub(rate);
        }
        Ok(begun)
    }

    #[test]
    fn content_that_trickles_is_cut_off() {
        let seconds = Duration::from_secs;
        let large = || {
            let mut pace = Pace::of_small();
            pace.quicken();
            pace
        };
        assert_eq!(lasts(large(), 100_000, 10_000_000), Ok(seconds(100)));
        assert_eq!(lasts(large(), 60_000, 10_000_000), Err(seconds(10)));
        assert_eq!(lasts(large(), 1, 10_000_000), Err(seconds(10)));
        assert_eq!(lasts(Pace::of_small(), 2_000, 60_000), Ok(seconds(30)));
        assert_eq!(lasts(Pace::of_small(), 500, 60_000), Err(seconds(60)));
        // It may not stop after it was quick, nor is it told anew by each piece.
        let mut pace = large();
        assert!(pace.note(seconds(1), 10 << 20));
        pace.quicken();
        assert_eq!(pace.left(), seconds(9));
        assert!(pace.note(seconds(9), 0));
        assert!(!pace.note(seconds(10), 0));
    }

    #[test]
    fn readers_that_hardly_read_are_cut_off() {
        let seconds = Duration::from_secs;
        assert_eq!(lasts(Pace::of_reader(), 5_000, 1_000_000), Ok(seconds(200)));
        assert_eq!(lasts(Pace::of_reader(), 500, 1_000_000), Err(seconds(30)));
        assert_eq!(lasts(Pace::of_reader(), 0, 1), Err(seconds(30)));
    }
}
