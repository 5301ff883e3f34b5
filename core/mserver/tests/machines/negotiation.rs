//! The coordinator's machine by tables, and every order of events of two coordinators that want
//! one name at the same time.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use sdfs_mserver::negotiation::{Effect, Event, Moment, Negotiation};
use sdfs_mserver::reservations::{Reservations, Reserved};
use sdfs_types::calls::negotiation::{Ballot, Vote};
use sdfs_types::{Refusal, ServerId};

use crate::driver::{path, request};

const DEADLINE: Moment = Moment(1_000_000);

fn ballot(coordinator: u16) -> Ballot {
    Ballot {
        round: 0,
        coordinator: ServerId(coordinator),
        sequence: 1,
    }
}

fn voters(count: u16) -> Vec<ServerId> {
    (1..=count).map(ServerId).collect()
}

fn negotiation(me: u16, count: u16) -> Negotiation {
    Negotiation::new(path("/a"), ballot(me), &voters(count), DEADLINE, 42)
}

fn begin(machine: &mut Negotiation, up: &[u16]) -> Vec<Effect> {
    machine.on(
        Moment(0),
        Event::Begin {
            up: up.iter().copied().map(ServerId).collect(),
        },
    )
}

fn can(load: u32) -> Vote {
    Vote::Can {
        load,
        free_bytes: 0,
    }
}

fn answered(machine: &mut Negotiation, from: u16, vote: Vote) -> Vec<Effect> {
    let ballot = machine.ballot();
    machine.on(
        Moment(1),
        Event::Answered {
            from: ServerId(from),
            ballot,
            vote,
        },
    )
}

fn lost(machine: &mut Negotiation, from: u16) -> Vec<Effect> {
    let ballot = machine.ballot();
    machine.on(
        Moment(1),
        Event::Lost {
            from: ServerId(from),
            ballot,
        },
    )
}

fn asked(effects: &[Effect]) -> Vec<u16> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask { to, .. } => Some(to.0),
            _ => None,
        })
        .collect()
}

fn has_won(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Won { .. }))
}

fn refusal(effects: &[Effect]) -> Option<Refusal> {
    effects.iter().find_map(|effect| match effect {
        Effect::Refused { refusal, .. } => Some(refusal.clone()),
        _ => None,
    })
}

#[test]
fn everybody_is_asked_at_once() {
    let mut machine = negotiation(1, 5);
    assert_eq!(
        asked(&begin(&mut machine, &[1, 2, 3, 4, 5])),
        [1, 2, 3, 4, 5]
    );
}

#[test]
fn a_majority_is_enough() {
    let mut machine = negotiation(1, 5);
    begin(&mut machine, &[1, 2, 3, 4, 5]);
    assert!(!has_won(&answered(&mut machine, 1, can(5))));
    assert!(!has_won(&answered(&mut machine, 4, can(3))));
    let effects = answered(&mut machine, 2, can(4));
    let least_loaded_first = vec![(ServerId(4), 3), (ServerId(2), 4), (ServerId(1), 5)];
    assert!(effects.contains(&Effect::Won {
        can: least_loaded_first
    }));
    assert_eq!(answered(&mut machine, 3, can(0)), [], "nothing follows");
}

#[test]
fn one_voter_may_be_silent() {
    let mut machine = negotiation(1, 3);
    begin(&mut machine, &[1, 2]);
    answered(&mut machine, 1, can(0));
    assert!(has_won(&answered(&mut machine, 2, can(0))));
}

#[test]
fn silence_is_not_consent() {
    let mut machine = negotiation(1, 3);
    begin(&mut machine, &[1, 2, 3]);
    answered(&mut machine, 1, can(0));
    assert_eq!(
        refusal(&machine.on(Moment(DEADLINE.0 - 1), Event::Due)),
        None
    );
    let effects = machine.on(DEADLINE, Event::Due);
    assert_eq!(
        refusal(&effects),
        Some(Refusal::NoQuorum {
            heard: 1,
            voters: 3
        })
    );
    let given_back = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::GiveBack { .. }))
        .count();
    assert_eq!(given_back, 3, "also what may have been reserved unheard");
}

#[test]
fn no_majority_is_refused_at_once() {
    let mut machine = negotiation(1, 3);
    let effects = begin(&mut machine, &[1]);
    assert!(
        refusal(&effects).is_some(),
        "nobody else is up: {effects:?}"
    );
    let mut machine = negotiation(1, 3);
    begin(&mut machine, &[1, 2, 3]);
    answered(&mut machine, 1, can(0));
    assert_eq!(refusal(&lost(&mut machine, 2)), None);
    let refused = refusal(&lost(&mut machine, 3));
    assert_eq!(
        refused,
        Some(Refusal::NoQuorum {
            heard: 1,
            voters: 3
        })
    );
}

#[test]
fn a_lone_mserver_decides_alone() {
    let mut machine = negotiation(1, 1);
    begin(&mut machine, &[1]);
    assert!(has_won(&answered(&mut machine, 1, can(0))));
}

#[test]
fn a_definite_no_ends_it() {
    let mut machine = negotiation(1, 3);
    begin(&mut machine, &[1, 2, 3]);
    answered(&mut machine, 1, can(0));
    let no = Refusal::Exists {
        path: path("/a"),
        descriptor: Default::default(),
    };
    let effects = answered(
        &mut machine,
        3,
        Vote::Cannot {
            refusal: no.clone(),
        },
    );
    assert!(effects.contains(&Effect::Refused {
        by: Some(ServerId(3)),
        refusal: no
    }));
    assert!(effects.contains(&Effect::GiveBack {
        to: ServerId(1),
        ballot: ballot(1)
    }));
}

#[test]
fn the_higher_ballot_backs_off() {
    let mut machine = negotiation(2, 3);
    begin(&mut machine, &[1, 2, 3]);
    answered(&mut machine, 2, can(0));
    answered(&mut machine, 1, Vote::Outranked { by: ballot(1) });
    let effects = answered(&mut machine, 3, Vote::Outranked { by: ballot(1) });
    assert!(effects.contains(&Effect::GiveBack {
        to: ServerId(2),
        ballot: ballot(2)
    }));
    let Some(Effect::WakeAt(at)) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        machine.on(Moment(at.0 - 1), Event::Due),
        [Effect::WakeAt(*at)]
    );
    assert_eq!(asked(&machine.on(*at, Event::Due)), [2, 1, 3]);
    assert_eq!(machine.ballot().round, 1);
}

#[test]
fn the_lower_ballot_holds_on() {
    let mut machine = negotiation(1, 3);
    begin(&mut machine, &[1, 2, 3]);
    answered(&mut machine, 1, can(0));
    answered(&mut machine, 2, Vote::Outranked { by: ballot(2) });
    let effects = answered(&mut machine, 3, Vote::Outranked { by: ballot(2) });
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::GiveBack { .. }))
    );
    let Some(Effect::WakeAt(at)) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        asked(&machine.on(*at, Event::Due)),
        [2, 3],
        "the holders are asked again"
    );
    assert_eq!(machine.ballot().round, 0);
}

#[test]
fn an_answer_to_a_former_round_is_no_vote() {
    let mut machine = negotiation(2, 3);
    begin(&mut machine, &[1, 2, 3]);
    let former = machine.ballot();
    answered(&mut machine, 1, Vote::Outranked { by: ballot(1) });
    let effects = answered(&mut machine, 3, Vote::Outranked { by: ballot(1) });
    let Some(Effect::WakeAt(at)) = effects.last() else {
        panic!("{effects:?}")
    };
    machine.on(*at, Event::Due);
    let late = |from| Event::Answered {
        from: ServerId(from),
        ballot: former,
        vote: can(0),
    };
    assert!(!has_won(&machine.on(*at, late(1))));
    assert!(!has_won(&machine.on(*at, late(3))));
}

/// Two coordinators, their voters, and messages on the way: in order between two servers, in any
/// order otherwise.
#[derive(Clone)]
struct World {
    now: u64,
    machines: Vec<Negotiation>,
    wakes: Vec<Moment>,
    voters: Vec<Vec<(Ballot, u32)>>,
    ways: Vec<((u16, u16), VecDeque<Message>)>,
    won: BTreeSet<u16>,
    ended: BTreeSet<u16>,
}

#[derive(Clone, Debug)]
enum Message {
    Ask(Ballot),
    GiveBack(Ballot),
    Vote(Ballot, Vote),
}

impl World {
    fn new(count: u16) -> World {
        let mut world = World {
            now: 0,
            machines: vec![negotiation(1, count), negotiation(2, count)],
            wakes: vec![DEADLINE; 2],
            voters: vec![Vec::new(); usize::from(count)],
            ways: Vec::new(),
            won: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        for me in [1, 2] {
            let effects = world.machines[me - 1].on(Moment(0), Event::Begin { up: voters(count) });
            world.perform(me as u16, effects);
        }
        world
    }

    fn send(&mut self, from: u16, to: u16, message: Message) {
        match self.ways.iter_mut().find(|(way, _)| *way == (from, to)) {
            Some((_, way)) => way.push_back(message),
            None => self.ways.push(((from, to), [message].into())),
        }
    }

    fn perform(&mut self, me: u16, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask { to, ballot } => self.send(me, to.0, Message::Ask(ballot)),
                Effect::GiveBack { to, ballot } => self.send(me, to.0, Message::GiveBack(ballot)),
                Effect::WakeAt(at) => self.wakes[usize::from(me) - 1] = at,
                Effect::Won { .. } => {
                    self.won.insert(me);
                    self.ended.insert(me);
                }
                Effect::Refused { .. } => {
                    self.ended.insert(me);
                }
            }
        }
    }

    /// Who can act next: ways with messages, then coordinators that may wake.
    fn choices(&self) -> usize {
        self.ways.iter().filter(|(_, way)| !way.is_empty()).count() + 2
    }

    fn act(&mut self, choice: usize) {
        let busy: Vec<usize> = (0..self.ways.len())
            .filter(|way| !self.ways[*way].1.is_empty())
            .collect();
        let Some(way) = busy.get(choice) else {
            let me = choice - busy.len();
            if !self.ended.contains(&(me as u16 + 1)) {
                self.now = self.now.max(self.wakes[me].0);
                let effects = self.machines[me].on(Moment(self.now), Event::Due);
                self.perform(me as u16 + 1, effects);
            }
            return;
        };
        let (from, to) = self.ways[*way].0;
        let Some(message) = self.ways[*way].1.pop_front() else {
            return;
        };
        match message {
            Message::Ask(ballot) => {
                let vote = self.vote(to, ballot);
                self.send(to, from, Message::Vote(ballot, vote));
            }
            Message::GiveBack(ballot) => {
                self.voters[usize::from(to) - 1].retain(|(held, _)| *held != ballot);
            }
            Message::Vote(ballot, vote) => {
                let event = Event::Answered {
                    from: ServerId(from),
                    ballot,
                    vote,
                };
                let effects = self.machines[usize::from(to) - 1].on(Moment(self.now), event);
                self.perform(to, effects);
            }
        }
    }

    /// As `Reservations` does, without leases (they are longer than all of this).
    fn vote(&mut self, voter: u16, ballot: Ballot) -> Vote {
        let held = &mut self.voters[usize::from(voter) - 1];
        if let Some((by, _)) = held.first()
            && by.coordinator != ballot.coordinator
        {
            return Vote::Outranked { by: *by };
        }
        *held = vec![(ballot, 0)];
        can(0)
    }
}

/// Walks every order of the next `depth` actions.
fn explore(world: &World, depth: usize, seen: &mut u64) {
    assert!(world.won.len() < 2, "two coordinators won one name");
    *seen += 1;
    if depth == 0 {
        return;
    }
    for choice in 0..world.choices() {
        let mut next = world.clone();
        next.act(choice);
        explore(&next, depth - 1, seen);
    }
}

#[test]
fn two_coordinators_never_both_win() {
    let mut seen = 0;
    explore(&World::new(3), 6, &mut seen);
    assert!(seen > 100_000, "{seen} orders");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn one_of_two_wins_in_any_order(
        count in 1_u16..3,
        choices in prop::collection::vec(any::<prop::sample::Index>(), 400),
    ) {
        let mut world = World::new(2 * count + 1);
        for choice in choices {
            // Messages arrive before time passes: timers only fire when nothing is on its way.
            let busy = world.choices() - 2;
            let next = if busy > 0 { choice.index(busy) } else { choice.index(2) };
            world.act(next);
            prop_assert!(world.won.len() < 2);
            if !world.won.is_empty() {
                break;
            }
        }
        prop_assert_eq!(world.won.len(), 1, "somebody wins");
    }

    #[test]
    fn a_voter_promises_a_name_once(
        asks in prop::collection::vec((1_u16..4, 0_u32..3, 0_u64..9_000_000), 1..60),
    ) {
        let mut voter = Reservations::default();
        let mut now = 0;
        let mut holder: Option<(Ballot, u64)> = None;
        for (coordinator, round, passes) in asks {
            now += passes;
            let asked = Ballot { round, coordinator: ServerId(coordinator), sequence: 1 };
            let wanted = (request(u64::from(coordinator)), asked);
            let said = voter.reserve(Moment(now), &path("/a"), wanted, |_| false);
            let held = holder.filter(|(_, until)| now < *until);
            match held.filter(|(by, _)| by.coordinator != asked.coordinator) {
                Some((by, _)) => prop_assert_eq!(said, Reserved::Held { by }),
                None => {
                    prop_assert_eq!(said, Reserved::Yes);
                    holder = Some((asked, now + 5_000_000));
                }
            }
        }
    }
}
