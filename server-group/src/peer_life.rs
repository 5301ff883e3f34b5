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
use crate::observed::PeerState;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING_MS: u64 = 500;
    const SILENCE_MS: u64 = 2_000;

    /// One life in simulated time.
    struct Sim {
        life: PeerLife,
        start: Instant,
        now_ms: u64,
    }

    impl Sim {
        fn new(me: u16, peer: u16) -> Self {
            let rules = LifeRules {
                me: ServerId(me),
                peer: ServerId(peer),
                ping_every: Duration::from_millis(PING_MS),
                silence_max: Duration::from_millis(SILENCE_MS),
                seed: 42,
            };
            let start = Instant::now();
            Self {
                life: PeerLife::new(rules, start),
                start,
                now_ms: 0,
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn on(&mut self, event: Event) -> Vec<Effect> {
            self.life.on(self.at(self.now_ms), event)
        }

        fn due(&mut self) -> Vec<Effect> {
            self.due_heard(None)
        }

        /// Lets the time come that the life waits for.
        fn due_heard(&mut self, heard_ms: Option<u64>) -> Vec<Effect> {
            let wait = self.life.due().expect("something is due") - self.start;
            self.now_ms = self.now_ms.max(wait.as_micros().div_ceil(1000) as u64);
            let heard = heard_ms.map(|ms| self.at(ms));
            self.on(Event::Due { heard })
        }

        fn state(&self) -> PeerState {
            self.life.state()
        }
    }

    fn in_state(state: PeerState, me: u16, peer: u16) -> Sim {
        let mut sim = Sim::new(me, peer);
        if state == PeerState::Waiting {
            return sim;
        }
        assert_eq!(sim.due(), [Effect::Dial(Attempt(1))]);
        if state == PeerState::Dialing {
            return sim;
        }
        assert_eq!(sim.on(Event::Connected(Attempt(1))), []);
        if state == PeerState::Proving {
            return sim;
        }
        assert_eq!(
            sim.on(Event::Proved(Attempt(1), 7)),
            [Effect::Establish(Epoch(1))]
        );
        if state == PeerState::Silent {
            while sim.state() == PeerState::Up {
                sim.due_heard(Some(0));
            }
        }
        sim
    }

    use PeerState::{Dialing, Proving, Silent, Up, Waiting};

    fn refuse(reason: RefusalReason) -> Vec<Effect> {
        vec![Effect::Refuse(reason)]
    }

    /// How many kinds of events there are.
    const EVENTS: u8 = 7;

    fn kind_of(event: &Event) -> u8 {
        match event {
            Event::Due { .. } => 0,
            Event::Connected(_) => 1,
            Event::Proved(..) => 2,
            Event::Failed(_) => 3,
            Event::Offered(_) => 4,
            Event::Ended(..) => 5,
            Event::Removed(_) => 6,
        }
    }

    #[test]
    fn every_transition_of_the_table() {
        let lost = Event::Ended(Epoch(1), LostReason::Closed);
        let linked = || vec![Effect::Establish(Epoch(1))];
        let admitted = || vec![Effect::CancelDial, Effect::Establish(Epoch(1))];
        let replaced = || {
            vec![
                Effect::Lose(LostReason::Replaced),
                Effect::Establish(Epoch(2)),
            ]
        };
        let removed = Event::Removed(LostReason::Removed);
        let lose = |reason| vec![Effect::Lose(reason)];
        let simultaneous = || refuse(RefusalReason::SimultaneousDial);
        let duplicate = || refuse(RefusalReason::DuplicateServer);
        // From, the lower number or not, event, to, effects.
        let table: Vec<(PeerState, bool, Event, PeerState, Vec<Effect>)> = vec![
            (
                Waiting,
                true,
                Event::Due { heard: None },
                Dialing,
                vec![Effect::Dial(Attempt(1))],
            ),
            (Waiting, true, Event::Connected(Attempt(0)), Waiting, vec![]),
            (
                Waiting,
                true,
                Event::Proved(Attempt(0), 7),
                Waiting,
                simultaneous(),
            ),
            (Waiting, true, Event::Failed(Attempt(0)), Waiting, vec![]),
            (
                Waiting,
                true,
                Event::Offered(7),
                Up,
                vec![Effect::Establish(Epoch(1))],
            ),
            (Waiting, true, lost.clone(), Waiting, vec![]),
            (Waiting, true, removed.clone(), Waiting, vec![]),
            (Dialing, true, Event::Due { heard: None }, Dialing, vec![]),
            (Dialing, true, Event::Connected(Attempt(1)), Proving, vec![]),
            (Dialing, true, Event::Connected(Attempt(0)), Dialing, vec![]),
            (Dialing, true, Event::Proved(Attempt(1), 7), Up, linked()),
            (
                Dialing,
                true,
                Event::Proved(Attempt(0), 7),
                Dialing,
                simultaneous(),
            ),
            (Dialing, true, Event::Failed(Attempt(1)), Waiting, vec![]),
            (Dialing, true, Event::Failed(Attempt(0)), Dialing, vec![]),
            (Dialing, true, Event::Offered(7), Up, admitted()),
            (Dialing, false, Event::Offered(7), Up, admitted()),
            (Dialing, true, lost.clone(), Dialing, vec![]),
            (
                Dialing,
                true,
                removed.clone(),
                Waiting,
                vec![Effect::CancelDial],
            ),
            (Proving, true, Event::Due { heard: None }, Proving, vec![]),
            (Proving, true, Event::Connected(Attempt(1)), Proving, vec![]),
            (Proving, true, Event::Connected(Attempt(0)), Proving, vec![]),
            (Proving, true, Event::Proved(Attempt(1), 7), Up, linked()),
            (
                Proving,
                true,
                Event::Proved(Attempt(0), 7),
                Proving,
                simultaneous(),
            ),
            (Proving, true, Event::Failed(Attempt(1)), Waiting, vec![]),
            (Proving, true, Event::Offered(7), Proving, simultaneous()),
            (Proving, false, Event::Offered(7), Up, admitted()),
            (Proving, true, lost.clone(), Proving, vec![]),
            (
                Proving,
                true,
                removed.clone(),
                Waiting,
                vec![Effect::CancelDial],
            ),
            (Up, true, Event::Due { heard: None }, Up, vec![Effect::Ping]),
            (Up, true, Event::Connected(Attempt(1)), Up, vec![]),
            (Up, true, Event::Proved(Attempt(1), 7), Up, simultaneous()),
            (Up, true, Event::Failed(Attempt(1)), Up, vec![]),
            (Up, true, Event::Offered(7), Up, replaced()),
            (Up, true, Event::Offered(8), Up, duplicate()),
            (Up, true, lost.clone(), Waiting, lose(LostReason::Closed)),
            (
                Up,
                true,
                Event::Ended(Epoch(0), LostReason::Closed),
                Up,
                vec![],
            ),
            (
                Up,
                true,
                removed.clone(),
                Waiting,
                lose(LostReason::Removed),
            ),
            (Silent, true, Event::Due { heard: None }, Up, vec![]),
            (Silent, true, Event::Connected(Attempt(1)), Silent, vec![]),
            (
                Silent,
                true,
                Event::Proved(Attempt(1), 7),
                Silent,
                simultaneous(),
            ),
            (Silent, true, Event::Failed(Attempt(1)), Silent, vec![]),
            (Silent, true, Event::Offered(7), Up, replaced()),
            (Silent, true, Event::Offered(8), Silent, duplicate()),
            (Silent, true, lost, Waiting, lose(LostReason::Closed)),
            (Silent, true, removed, Waiting, lose(LostReason::Removed)),
        ];
        let pair = |from, event: &Event| (from, kind_of(event));
        let pairs: Vec<_> = table.iter().map(|row| pair(row.0, &row.2)).collect();
        for from in [Waiting, Dialing, Proving, Up, Silent] {
            for kind in 0..EVENTS {
                assert!(pairs.contains(&(from, kind)), "{from:?} on event {kind}");
            }
        }
        for (from, is_lower, event, to, effects) in table {
            let (me, peer) = if is_lower { (1, 2) } else { (2, 1) };
            let mut sim = in_state(from, me, peer);
            assert_eq!(sim.on(event.clone()), effects, "{from:?} on {event:?}");
            assert_eq!(sim.state(), to, "{from:?} on {event:?}");
        }
    }

    #[test]
    fn silence_leads_to_loss_in_time() {
        let mut sim = in_state(Up, 1, 2);
        let mut states = vec![sim.state()];
        let mut pings = 0;
        while sim.state() != Waiting {
            let effects = sim.due_heard(Some(0));
            pings += effects
                .iter()
                .filter(|effect| **effect == Effect::Ping)
                .count();
            if states.last() != Some(&sim.state()) {
                states.push(sim.state());
            }
            if sim.state() == Waiting {
                assert_eq!(effects, [Effect::Lose(LostReason::Silent)]);
            }
        }
        assert_eq!(states, [Up, Silent, Waiting]);
        assert_eq!(sim.now_ms, SILENCE_MS);
        assert_eq!(pings, (SILENCE_MS / PING_MS) as usize);
    }

    #[test]
    fn word_ends_the_silence() {
        let mut sim = in_state(Silent, 1, 2);
        let heard = sim.now_ms;
        sim.due_heard(Some(heard));
        assert_eq!(sim.state(), Up);
        for _ in 0..100 {
            let heard = sim.now_ms;
            sim.due_heard(Some(heard));
            assert_eq!(sim.state(), Up);
        }
    }

    #[test]
    fn stopped_end_blames_no_peer() {
        let mut sim = in_state(Up, 1, 2);
        sim.due_heard(Some(0));
        sim.now_ms = 60_000;
        assert_eq!(
            sim.on(Event::Due {
                heard: Some(sim.start)
            }),
            [Effect::Ping]
        );
        assert_eq!(sim.state(), Up);
        while sim.state() != Waiting {
            sim.due_heard(Some(0));
        }
        assert_eq!(sim.now_ms, 60_000 + SILENCE_MS);
    }

    #[test]
    fn back_off_grows_to_its_bound() {
        let mut sim = Sim::new(1, 2);
        let mut waits = Vec::new();
        for attempt in 1..=12 {
            sim.due();
            let failed_ms = sim.now_ms;
            sim.on(Event::Failed(Attempt(attempt)));
            waits.push((sim.life.due().unwrap() - sim.at(failed_ms)).as_millis());
        }
        for (number, wait) in waits.iter().enumerate() {
            let full = (50 << number.min(6)).min(2_000);
            assert!(
                (full / 2..=full).contains(wait),
                "wait {number} is {wait} ms"
            );
        }
        let distinct: std::collections::BTreeSet<_> = waits[6..].iter().collect();
        assert!(distinct.len() > 1, "the longest waits are jittered too");
    }

    #[test]
    fn success_resets_the_back_off() {
        let mut sim = Sim::new(1, 2);
        for attempt in 1..=6 {
            sim.due();
            sim.on(Event::Failed(Attempt(attempt)));
        }
        sim.on(Event::Offered(7));
        sim.on(Event::Ended(Epoch(1), LostReason::Closed));
        let wait = sim.life.due().unwrap() - sim.at(sim.now_ms);
        assert!(wait <= REDIAL_MIN);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let attempt = (0_u64..6).prop_map(Attempt);
        prop_oneof![
            4 => Just(Event::Due { heard: None }),
            2 => attempt.clone().prop_map(Event::Connected),
            2 => (attempt.clone(), 0_u64..3).prop_map(|(attempt, run)| Event::Proved(attempt, run)),
            2 => attempt.prop_map(Event::Failed),
            2 => (0_u64..3).prop_map(Event::Offered),
            2 => (0_u64..6).prop_map(|epoch| Event::Ended(Epoch(epoch), LostReason::Closed)),
        ]
    }

    proptest! {
        #[test]
        fn established_and_lost_take_turns(
            events in proptest::collection::vec((any_event(), 0_u64..3_000), 1..80),
            is_lower in any::<bool>(),
        ) {
            let (me, peer) = if is_lower { (1, 2) } else { (2, 1) };
            let mut sim = Sim::new(me, peer);
            let (mut is_linked, mut is_dialing, mut epoch) = (false, false, 0);
            for (event, wait_ms) in events {
                sim.now_ms += wait_ms;
                let brings_connection = matches!(event, Event::Proved(..) | Event::Offered(_));
                let mut used = 0;
                for effect in sim.on(event) {
                    match effect {
                        Effect::Establish(Epoch(new)) => {
                            prop_assert!(!is_linked && new == epoch + 1);
                            (is_linked, is_dialing, epoch, used) = (true, false, new, used + 1);
                        }
                        Effect::Lose(_) => {
                            prop_assert!(is_linked);
                            is_linked = false;
                        }
                        Effect::Dial(_) => {
                            prop_assert!(!is_linked && !is_dialing);
                            is_dialing = true;
                        }
                        Effect::CancelDial => is_dialing = false,
                        Effect::Refuse(_) => used += 1,
                        Effect::Ping => prop_assert!(is_linked),
                    }
                }
                // No connection is ever forgotten: it is used or refused.
                prop_assert_eq!(used, usize::from(brings_connection));
                prop_assert_eq!(is_linked, matches!(sim.state(), Up | Silent));
                is_dialing = matches!(sim.state(), Dialing | Proving);
                prop_assert!(is_dialing || sim.life.due().is_some());
            }
        }
    }
}
