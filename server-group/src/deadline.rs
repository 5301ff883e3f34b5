//! Until when somebody waits for an answer.

use std::time::Duration;

use tokio::time::Instant;

/// A moment on the monotonic clock after which an answer is of no use. Travels between servers as
/// the milliseconds that remain, so no two clocks are ever compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `wait` from now.
    #[must_use]
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// The moment `ms` milliseconds from now.
    #[must_use]
    pub fn after_ms(ms: u64) -> Self {
        Self::after(Duration::from_millis(ms))
    }

    /// The moment itself.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment as an instant, for `tokio::time::timeout_at`.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The time left; zero when it is over.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The whole milliseconds left, as they travel: at most 49 days.
    #[must_use]
    pub fn remaining_ms(self) -> u32 {
        u32::try_from(self.remaining().as_millis()).unwrap_or(u32::MAX)
    }

    /// Whether the moment has passed.
    #[must_use]
    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }
}
