//! What the root leader knows of one dserver: whether it can be reached, and whether it has been
//! told of its volumes.

use std::sync::Arc;
use std::time::Duration;

use sdfs_types::ServerId;

use super::super::limits::{FENCE_GRACE, RETRY_MAX, RETRY_MIN};

/// A dserver as the mesh shows it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DserverSeen {
    pub(crate) server: ServerId,
    pub(crate) zone: String,
    pub(crate) group: Option<Arc<str>>,
    /// Which connection with it stands, counted from the first one ever; `None` when none does.
    pub(crate) connection: Option<u64>,
    /// Room it told last.
    pub(crate) free_bytes: Option<u64>,
}

/// Something asked of a dserver over and over until it is done: one at a time, with growing
/// pauses after failures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    is_under_way: bool,
    not_before: Duration,
    failures: u32,
}

impl Asking {
    pub(crate) fn may_begin(&self, now: Duration) -> bool {
        !self.is_under_way && now >= self.not_before
    }

    pub(crate) fn begin(&mut self) {
        self.is_under_way = true;
    }

    pub(crate) fn done(&mut self) {
        *self = Asking::default();
    }

    pub(crate) fn done_until(&mut self, again: Duration) {
        *self = Asking {
            not_before: again,
            ..Asking::default()
        };
    }

    pub(crate) fn failed(&mut self, now: Duration) {
        self.is_under_way = false;
        self.not_before = now + doubled(RETRY_MIN, self.failures, RETRY_MAX);
        self.failures += 1;
    }
}

/// `first` doubled `times` times, at most `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times))
        .min(longest)
}

/// A dserver in the leader's eyes.
#[derive(Clone, Debug)]
pub(crate) struct Dserver {
    pub(crate) zone: String,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) free_bytes: Option<u64>,
    /// The connection that stands.
    pub(crate) connection: Option<u64>,
    /// Since when it stands.
    up_since: Duration,
    /// While none stands: when its volumes go on without it.
    pub(crate) fence_at: Duration,
    /// Version of the map it last answered a push of, over this connection.
    pub(crate) kept: Option<u64>,
    pub(crate) push: Asking,
    pub(crate) probe: Asking,
    /// Version of the orders it was told its heal rate of, over this connection.
    pub(crate) rate_of: Option<u64>,
    pub(crate) rate: Asking,
    /// Whether it left a probe unanswered although the connection stands.
    pub(crate) is_mute: bool,
    /// Whether somebody has reported its silence and it has not yet proven itself since.
    pub(crate) is_doubted: bool,
}

impl Dserver {
    pub(crate) fn new(now: Duration, seen: &DserverSeen, fence_at: Duration) -> Dserver {
        Dserver {
            zone: seen.zone.clone(),
            group: seen.group.clone(),
            free_bytes: seen.free_bytes,
            connection: seen.connection,
            up_since: now,
            fence_at,
            kept: None,
            push: Asking::default(),
            probe: Asking::default(),
            rate_of: None,
            rate: Asking::default(),
            is_mute: false,
            is_doubted: false,
        }
    }

    /// Another connection stands: nothing said over the former one counts any more.
    pub(crate) fn established(&mut self, now: Duration, connection: u64) {
        self.connection = Some(connection);
        self.up_since = now;
        self.forget();
    }

    /// No connection stands; its volumes go on without it from `fence_at`.
    pub(crate) fn lost(&mut self, fence_at: Duration) {
        self.connection = None;
        self.fence_at = fence_at;
        self.forget();
    }

    fn forget(&mut self) {
        self.kept = None;
        self.push = Asking::default();
        self.probe = Asking::default();
        self.rate_of = None;
        self.rate = Asking::default();
        self.is_mute = false;
        self.is_doubted = false;
    }

    /// It has answered something: it is there.
    pub(crate) fn answered(&mut self) {
        self.is_mute = false;
        self.is_doubted = false;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether writes must not wait for it any longer.
    pub(crate) fn must_go(&self, now: Duration) -> bool {
        self.is_mute || (!self.is_up() && now >= self.fence_at)
    }

    /// Whether it has been there for a moment: after a common failure all come back together, and
    /// the first ones must not fence those that are about to follow.
    pub(crate) fn has_settled(&self, now: Duration) -> bool {
        self.is_up() && now >= self.up_since + FENCE_GRACE
    }

    /// Whether it answers and has said which of its volumes it has lost.
    pub(crate) fn is_known_good(&self) -> bool {
        self.is_up() && !self.is_mute && self.kept.is_some()
    }
}
