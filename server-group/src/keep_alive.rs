//! When to ping, and when silence means death. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How an end is, by when it was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Heard lately.
    Heard,
    /// Not heard for half of the allowed time.
    Quiet,
    /// Not heard for the allowed time.
    Dead,
}

/// What to do at one beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) is_ping_due: bool,
    pub(crate) health: Health,
}

/// Watches one end.
#[derive(Debug, Clone)]
pub(crate) struct KeepAlive {
    ping_every: Duration,
    silence_max: Duration,
    next_ping: Instant,
    due: Instant,
    /// Silence counts from here at the earliest.
    not_before: Instant,
}

impl KeepAlive {
    pub(crate) fn new(now: Instant, ping_every: Duration, silence_max: Duration) -> Self {
        Self {
            ping_every,
            silence_max,
            next_ping: now,
            due: now,
            not_before: now,
        }
    }

    /// When to beat next.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Judges an end that was last heard at `heard`.
    pub(crate) fn beat(&mut self, now: Instant, heard: Instant) -> Beat {
        // A beat that itself comes late proves that this end was stopped (a signal, an overloaded
        // machine), so what the other end sent may lie unread: the silence begins anew.
        if now.saturating_duration_since(self.due) > self.silence_max / 2 {
            self.not_before = now;
        }
        let is_ping_due = now >= self.next_ping;
        if is_ping_due {
            self.next_ping = now + self.ping_every;
        }
        let silent_since = heard.max(self.not_before);
        let silence = now.saturating_duration_since(silent_since);
        let health = if silence >= self.silence_max {
            Health::Dead
        } else if silence >= self.silence_max / 2 {
            Health::Quiet
        } else {
            Health::Heard
        };
        let judged_next = match health {
            Health::Heard => silent_since + self.silence_max / 2,
            Health::Quiet | Health::Dead => silent_since + self.silence_max,
        };
        self.due = self.next_ping.min(judged_next).max(now);
        Beat {
            is_ping_due,
            health,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_end_is_pinged_and_kept() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(
            start,
            Duration::from_millis(500),
            Duration::from_millis(2_000),
        );
        let mut pings = 0;
        let mut now = start;
        while now < start + Duration::from_secs(60) {
            let beat = keep.beat(now, now - Duration::from_millis(300));
            assert_eq!(beat.health, Health::Heard);
            pings += u32::from(beat.is_ping_due);
            assert!(keep.due() > now);
            now = keep.due();
        }
        assert_eq!(pings, 120);
    }

    #[test]
    fn death_comes_at_the_bound_exactly() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(
            start,
            Duration::from_millis(700),
            Duration::from_millis(2_000),
        );
        let mut now = start;
        while keep.beat(now, start).health != Health::Dead {
            now = keep.due();
        }
        assert_eq!(now - start, Duration::from_millis(2_000));
    }
}
