//! Proposals: handed to the local raft at the leader, sent to the leader elsewhere, many in one
//! call.

use crate::group::Group;
use crate::limits::{FORWARD_BYTES_MAX, FORWARD_CALLS_MAX, FORWARD_ENTRIES_MAX, TRY_WAIT};
use crate::messages::{Outcome, Propose, put_command, put_outcome, take_commands, take_outcomes};
use crate::network::{AskError, ask};
use crate::status::LeaderView;
use crate::types::{Answer, Command, Raft, Types, server_of};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use openraft::errors::{ClientWriteError, RaftError};
use sdfs_server_group::{CallError, Deadline, ServerId};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// A command on its way to the leader.
pub(crate) struct Forward {
    pub(crate) command: Bytes,
    pub(crate) told: oneshot::Sender<Outcome>,
}

/// The group has stopped here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Proposes one command at this server, which leads.
pub(crate) async fn propose_here(raft: &Raft, command: Bytes) -> Result<Outcome, Stopped> {
    match raft.client_write(Command(command)).await {
        Ok(response) => Ok(Outcome::Done(response.data.0)),
        Err(RaftError::APIError(error)) => Ok(outcome_of(&error)),
        Err(RaftError::Fatal(_)) => Err(Stopped),
    }
}

fn outcome_of(error: &ClientWriteError<Types>) -> Outcome {
    match error {
        ClientWriteError::LogEntryDiscarded(_) => Outcome::Unknown,
        ClientWriteError::ForwardToLeader(_)
        | ClientWriteError::ChangeMembershipError(_)
        | ClientWriteError::PreconditionFailed(_) => Outcome::NotDone,
    }
}

/// Proposes commands that another server sent here. The reply says who leads if this server does
/// not, and carries an outcome for each command otherwise.
pub(crate) async fn propose_all(
    raft: &Raft,
    run: Bytes,
    count: u32,
) -> Result<Result<Bytes, Option<ServerId>>, crate::messages::NotServed> {
    use crate::messages::NotServed;
    let commands = take_commands(run, count).map_err(|_| NotServed::Malformed)?;
    if !raft.is_leader() {
        let leader = raft.current_leader().await.map(server_of);
        return Ok(Err(leader));
    }
    let written = raft
        .client_write_many(commands.into_iter().map(Command))
        .await;
    // It ends early when raft stops, and must not be asked again after its end.
    let mut written = written.map_err(|_| NotServed::Stopped)?.fuse();
    let mut outcomes = BytesMut::new();
    for _ in 0..count {
        let outcome = match written.next().await {
            Some(Ok(Ok(done))) => {
                let Answer(answer) = done.response;
                Outcome::Done(answer)
            }
            Some(Ok(Err(error))) => outcome_of(&error),
            Some(Err(_)) | None => Outcome::Unknown,
        };
        put_outcome(&mut outcomes, &outcome);
    }
    Ok(Ok(outcomes.freeze()))
}

/// Gathers commands and sends them to the leader, a few calls at a time, until the group's last
/// handle is gone.
pub(crate) async fn forward(group: Arc<Group>, mut waiting: mpsc::Receiver<Forward>) {
    let calls = Arc::new(Semaphore::new(FORWARD_CALLS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&calls).acquire_owned().await else {
            return;
        };
        let Some(first) = waiting.recv().await else {
            return;
        };
        let batch = gather(first, &mut waiting);
        if batch.is_empty() {
            continue;
        }
        match target(&group) {
            Some(leader) => {
                tokio::spawn(send(Arc::clone(&group), leader, batch, permit));
            }
            None => tell_all(batch, &Outcome::NotDone),
        }
    }
}

fn gather(first: Forward, waiting: &mut mpsc::Receiver<Forward>) -> Vec<Forward> {
    let mut bytes = 0;
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(one) = next {
        // Whoever no longer waits has either been told or will ask again.
        if !one.told.is_closed() {
            bytes += one.command.len();
            batch.push(one);
        }
        let has_room = batch.len() < FORWARD_ENTRIES_MAX && bytes < FORWARD_BYTES_MAX;
        next = has_room.then(|| waiting.try_recv().ok()).flatten();
    }
    batch
}

/// The leader if known; for a server that is no member, else any voter that is up: it will say.
fn target(group: &Group) -> Option<ServerId> {
    let known = group.leader().filter(|leader| group.wire.is_up(*leader));
    if known.is_some() || group.member.is_some() {
        return known.filter(|leader| *leader != group.me());
    }
    let preferred = group.preferred.iter().chain(&group.voters);
    preferred.copied().find(|server| group.wire.is_up(*server))
}

async fn send(
    group: Arc<Group>,
    leader: ServerId,
    batch: Vec<Forward>,
    permit: OwnedSemaphorePermit,
) {
    let mut run = BytesMut::new();
    for forward in &batch {
        put_command(&mut run, &forward.command);
    }
    let call = Propose {
        group: group.id,
        count: batch.len() as u32,
    };
    let deadline = Deadline::after(TRY_WAIT);
    let asked = ask(
        group.wire.as_ref(),
        leader,
        &call,
        run.freeze().into(),
        deadline,
    )
    .await;
    drop(permit);
    match asked {
        Ok((Ok(()), payload)) => match take_outcomes(payload.to_bytes(), batch.len()) {
            Ok(outcomes) => {
                learn(&group, Some(leader));
                for (forward, outcome) in batch.into_iter().zip(outcomes) {
                    tell(forward, outcome);
                }
            }
            Err(_) => tell_all(batch, &Outcome::Unknown),
        },
        Ok((Err(other), _)) => {
            learn(&group, other.filter(|other| *other != leader));
            tell_all(batch, &Outcome::NotDone);
        }
        Err(error) => {
            learn(&group, None);
            tell_all(
                batch,
                &if was_sent(&error) {
                    Outcome::Unknown
                } else {
                    Outcome::NotDone
                },
            );
        }
    }
}

/// Whether the leader may have done what it was asked.
fn was_sent(error: &AskError) -> bool {
    match error {
        AskError::Call(CallError::Lost { maybe_done }) => *maybe_done,
        AskError::Call(CallError::Deadline) | AskError::Malformed(_) => true,
        AskError::Call(_) => false,
        AskError::NotServed(_, refused) => *refused == crate::messages::NotServed::Stopped,
    }
}

/// A server that is no member hears of the leader only by asking.
fn learn(group: &Group, leader: Option<ServerId>) {
    if group.member.is_none() {
        let term = group.view.borrow().term;
        group.set_view(LeaderView {
            leader,
            term,
            is_me: false,
        });
    }
}

fn tell(forward: Forward, outcome: Outcome) {
    // The proposer may have given up at its deadline; then nobody is to be told.
    drop(forward.told.send(outcome));
}

fn tell_all(batch: Vec<Forward>, outcome: &Outcome) {
    for forward in batch {
        tell(forward, outcome.clone());
    }
}
