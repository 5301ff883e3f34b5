//! Performs the effects of a negotiation: asks voters, waits, and hears their answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::channel::mpsc;

use sdfs_server_group::{Deadline, Role, ServerId};
use sdfs_types::calls::negotiation::{Ballot, CanCreateAsk, Vote};
use sdfs_types::limits::RESERVATION_MS;
use sdfs_types::{FilePath, Refusal, RequestId, TraceWhat, UserName};

use crate::core::Core;
use crate::negotiation::{Effect, Event, Moment, Negotiation};
use crate::timeline::Timeline;
use crate::voter::{Ask, GiveBack};

/// Who wants which name.
#[derive(Clone, Debug)]
pub(crate) struct NameWanted {
    pub(crate) request: RequestId,
    pub(crate) path: FilePath,
    pub(crate) owner: UserName,
    pub(crate) size_bytes: u64,
    pub(crate) replace: bool,
}

/// How a negotiation ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// A majority reserved the name.
    Won {
        can: Vec<(ServerId, u32)>,
        ballot: Ballot,
    },
    /// A voter knows why it cannot be; that voter may be behind.
    Cannot { refusal: Refusal },
    /// No majority in time; nothing was decided.
    NoMajority { refusal: Refusal },
}

/// Negotiates a name with all mservers.
pub(crate) async fn negotiate(
    core: &Arc<Core>,
    wanted: &NameWanted,
    deadline: Deadline,
    timeline: &mut Timeline,
) -> Ended {
    let ballot = Ballot {
        round: 0,
        coordinator: core.me(),
        sequence: core.sequence.fetch_add(1, Ordering::Relaxed),
    };
    let voters = core.layout.mservers();
    let started = timeline.started;
    let at = |moment: Moment| started + std::time::Duration::from_micros(moment.0);
    // A tenth of the time is kept for the answer to arrive within it.
    let until = timeline.now_us() + u64::from(deadline.remaining_ms()) * 900;
    let dice = wanted.request.client ^ wanted.request.sequence.rotate_left(32) ^ ballot.sequence;
    let path = wanted.path.clone();
    let mut machine = Negotiation::new(path, ballot, voters, Moment(until), dice);
    // Room for one answer a round and voter; each clone of the sender brings a place of its own.
    let (votes, mut voted) = mpsc::channel(voters.len());
    let mut wake = at(Moment(until));
    let mut event = Event::Begin {
        up: core.mesh.up(Role::Mserver),
    };
    loop {
        trace_event(&event, timeline);
        let effects = machine.on(Moment(timeline.now_us()), event);
        let mut own = None;
        for effect in effects {
            match effect {
                Effect::Ask { to, ballot } => {
                    let ask = ask_of(wanted, ballot);
                    timeline.add(to, TraceWhat::Asked);
                    match core.askers.get(&to) {
                        Some(asker) => asker.ask(ask, vote_deadline(deadline), &votes),
                        None => own = Some(ask),
                    }
                }
                Effect::GiveBack { to, ballot } => give_back(core, to, &wanted.path, ballot),
                Effect::WakeAt(moment) => wake = at(moment),
                Effect::Won { can } => {
                    note_loads(core, &can);
                    let ballot = machine.ballot();
                    return Ended::Won { can, ballot };
                }
                Effect::Refused {
                    by: Some(_),
                    refusal,
                } => return Ended::Cannot { refusal },
                Effect::Refused { by: None, refusal } => return Ended::NoMajority { refusal },
            }
        }
        event = match own {
            Some(ask) => own_vote(core, ask).await,
            None => tokio::select! {
                biased;
                event = voted.next() => event.unwrap_or(Event::Due),
                () = tokio::time::sleep_until(wake) => Event::Due,
            },
        };
    }
}

/// Gives one reservation back.
pub(crate) fn give_back(core: &Arc<Core>, to: ServerId, path: &FilePath, ballot: Ballot) {
    match core.askers.get(&to) {
        Some(asker) => asker.give_back(path.clone(), ballot),
        // A full mailbox loses it; then it ends with its lease.
        None => drop(core.voter.try_send(GiveBack(vec![(path.clone(), ballot)]))),
    }
}

/// Gives everything a won negotiation has reserved back, because its name was not decided.
pub(crate) fn give_all_back(core: &Arc<Core>, path: &FilePath, ballot: Ballot) {
    for to in core.layout.mservers() {
        give_back(core, *to, path, ballot);
    }
}

async fn own_vote(core: &Arc<Core>, ask: CanCreateAsk) -> Event {
    let (from, ballot) = (core.me(), ask.ballot);
    let vote = core
        .voter
        .send(Ask(vec![ask]))
        .await
        .ok()
        .and_then(|votes| votes.into_iter().next());
    match vote {
        Some(vote) => Event::Answered { from, ballot, vote },
        None => Event::Lost { from, ballot },
    }
}

fn ask_of(wanted: &NameWanted, ballot: Ballot) -> CanCreateAsk {
    CanCreateAsk {
        path: wanted.path.clone(),
        owner: Arc::clone(&wanted.owner),
        size_bytes: wanted.size_bytes,
        request: wanted.request,
        replace: wanted.replace,
        ballot,
    }
}

/// A reservation is good for this long only, so an answer later than that is of no use.
fn vote_deadline(deadline: Deadline) -> Deadline {
    deadline.earlier(Deadline::after_ms(RESERVATION_MS / 2))
}

fn note_loads(core: &Core, can: &[(ServerId, u32)]) {
    for (server, load) in can {
        core.loads.insert(*server, *load);
    }
}

fn trace_event(event: &Event, timeline: &mut Timeline) {
    if let Event::Answered { from, vote, .. } = event {
        let what = match vote {
            Vote::Can { load, .. } => TraceWhat::Can { load: *load },
            Vote::Cannot { refusal } => TraceWhat::Cannot {
                reason: refusal.to_string(),
            },
            Vote::Outranked { .. } => TraceWhat::Cannot {
                reason: "reserved for another coordinator".to_owned(),
            },
        };
        timeline.add(*from, what);
    }
}
