//! The life of one peer, as a pure machine: `Waiting -> Dialing -> Proving -> Up -> Silent ->
//! Waiting`.
//!
//! Both ends dial; one connection stays. Whose dial it is when both are on their way is decided
//! without a word between them: the lower number's, once its stream is connected.

use std::time::Duration;

use tokio::time::Instant;

use crate::errors::{LostReason, RefusalReason};
use crate::ids::ServerId;
use crate::keep_alive::{Health, KeepAlive};
use crate::limits::{REDIAL_MAX, REDIAL_MIN};
use crate::mesh::PeerState;

/// What a life is lived by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LifeRules {
    pub(crate) me: ServerId,
    pub(crate) peer: ServerId,
    pub(crate) ping_every: Duration,
    pub(crate) silence_max: Duration,
    /// Seeds the jitter of the back-off.
    pub(crate) seed: u64,
}

/// Which dial a result belongs to; results of earlier dials mean nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt(pub(crate) u64);

/// Which connection a report belongs to: how many were established, this one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) u64);

/// What happens to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The time that `due` named has come; what was last heard of the link, if there is one.
    Due { heard: Option<Instant> },
    /// The dial's stream is connected and its handshake begins.
    Connected(Attempt),
    /// The dial's handshake succeeded with this run of the peer.
    Proved(Attempt, u64),
    /// The dial or its handshake failed.
    Failed(Attempt),
    /// The peer dialed and proved itself; this run of it asks to be admitted.
    Offered(u64),
    /// The connection ended.
    Ended(Epoch, LostReason),
    /// The peer leaves the cluster, or this server stops.
    Removed(LostReason),
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Dial.
    Dial(Attempt),
    /// Give the dial up.
    CancelDial,
    /// The connection of the event now is the peer's.
    Establish(Epoch),
    /// The connection of the event is not wanted.
    Refuse(RefusalReason),
    /// The peer's connection is over.
    Lose(LostReason),
    /// Ask for a sign of life.
    Ping,
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Instant,
    },
    Dialing,
    Proving,
    Linked {
        instance: u64,
        keep: KeepAlive,
        is_silent: bool,
    },
    Removed,
}

/// One peer's life.
#[derive(Debug)]
pub(crate) struct PeerLife {
    rules: LifeRules,
    state: State,
    attempt: Attempt,
    epoch: Epoch,
    /// Dials failed in a row.
    failures: u32,
    random: u64,
}

impl PeerLife {
    /// A peer that is dialed at once.
    pub(crate) fn new(rules: LifeRules, now: Instant) -> Self {
        Self {
            rules,
            state: State::Waiting { until: now },
            attempt: Attempt(0),
            epoch: Epoch(0),
            failures: 0,
            random: rules.seed,
        }
    }

    /// The state as others see it.
    pub(crate) fn state(&self) -> PeerState {
        match self.state {
            State::Waiting { .. } | State::Removed => PeerState::Waiting,
            State::Dialing => PeerState::Dialing,
            State::Proving => PeerState::Proving,
            State::Linked {
                is_silent: false, ..
            } => PeerState::Up,
            State::Linked {
                is_silent: true, ..
            } => PeerState::Silent,
        }
    }

    /// When `Due` is to be told; `None` while only somebody else's event matters.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Linked { keep, .. } => Some(keep.due()),
            // The dial and its handshake have their own time limits.
            State::Dialing | State::Proving | State::Removed => None,
        }
    }

    /// Takes one event.
    pub(crate) fn on(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Due { heard } => self.on_due(now, heard),
            Event::Connected(attempt) => {
                if self.is_dialing(attempt) {
                    self.state = State::Proving;
                }
                Vec::new()
            }
            Event::Proved(attempt, instance) if self.is_dialing(attempt) => {
                vec![self.establish(now, instance)]
            }
            Event::Proved(..) => vec![Effect::Refuse(RefusalReason::SimultaneousDial)],
            Event::Failed(attempt) => {
                if self.is_dialing(attempt) {
                    self.wait(now);
                }
                Vec::new()
            }
            Event::Offered(instance) => self.on_offered(now, instance),
            Event::Ended(epoch, reason) => {
                if epoch != self.epoch || !matches!(self.state, State::Linked { .. }) {
                    return Vec::new();
                }
                self.wait(now);
                vec![Effect::Lose(reason)]
            }
            Event::Removed(reason) => match std::mem::replace(&mut self.state, State::Removed) {
                State::Linked { .. } => vec![Effect::Lose(reason)],
                State::Dialing | State::Proving => vec![Effect::CancelDial],
                State::Waiting { .. } | State::Removed => Vec::new(),
            },
        }
    }

    fn is_dialing(&self, attempt: Attempt) -> bool {
        attempt == self.attempt && matches!(self.state, State::Dialing | State::Proving)
    }

    fn on_due(&mut self, now: Instant, heard: Option<Instant>) -> Vec<Effect> {
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                self.attempt.0 += 1;
                self.state = State::Dialing;
                vec![Effect::Dial(self.attempt)]
            }
            State::Linked {
                keep, is_silent, ..
            } => {
                let beat = keep.beat(now, heard.unwrap_or(now));
                if beat.health == Health::Dead {
                    self.wait(now);
                    return vec![Effect::Lose(LostReason::Silent)];
                }
                *is_silent = beat.health == Health::Quiet;
                if beat.is_ping_due {
                    vec![Effect::Ping]
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    fn on_offered(&mut self, now: Instant, instance: u64) -> Vec<Effect> {
        match &self.state {
            State::Removed => vec![Effect::Refuse(RefusalReason::UnknownServer)],
            State::Waiting { .. } => vec![self.establish(now, instance)],
            // The own stream is not even connected (its packets may never get through), while the
            // peer's is proven.
            State::Dialing => vec![Effect::CancelDial, self.establish(now, instance)],
            State::Proving if self.rules.me < self.rules.peer => {
                vec![Effect::Refuse(RefusalReason::SimultaneousDial)]
            }
            State::Proving => vec![Effect::CancelDial, self.establish(now, instance)],
            // The same run of the peer: it lost the connection that still stands at this end.
            State::Linked {
                instance: linked, ..
            } if *linked == instance => {
                vec![
                    Effect::Lose(LostReason::Replaced),
                    self.establish(now, instance),
                ]
            }
            State::Linked { .. } => vec![Effect::Refuse(RefusalReason::DuplicateServer)],
        }
    }

    fn establish(&mut self, now: Instant, instance: u64) -> Effect {
        let keep = KeepAlive::new(now, self.rules.ping_every, self.rules.silence_max);
        self.state = State::Linked {
            instance,
            keep,
            is_silent: false,
        };
        self.failures = 0;
        self.epoch.0 += 1;
        Effect::Establish(self.epoch)
    }

    /// Waits before the next dial: longer after each failure, and never as long as the next
    /// server does.
    fn wait(&mut self, now: Instant) {
        let full = REDIAL_MIN
            .saturating_mul(1 << self.failures.min(10))
            .min(REDIAL_MAX);
        self.failures = self.failures.saturating_add(1);
        let jittered = full / 2 + full.mul_f64(self.next_random() / 2.0);
        self.state = State::Waiting {
            until: now + jittered,
        };
    }

    /// The next number of splitmix64 as a share of 1.
    fn next_random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
