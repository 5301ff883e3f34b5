//! Answers the calls of other servers.

use crate::barrier::{self, index_here};
use crate::entry_code::Malformed;
use crate::forward::propose_all;
use crate::group::{Group, Member, Receiving};
use crate::group_store::read_applied;
use crate::groups::Shared;
use crate::identity::{Address, life_in};
use crate::ids::GroupId;
use crate::limits::VERDICT_WAIT;
use crate::messages::{
    Append, AskPreVote, AskRoom, AskVote, Call, Introduce, Introduced, NotServed, PieceReply,
    Propose, ReadIndex, SnapshotPiece, Transfer, decode, decode_append, encode,
};
use crate::record::Life;
use crate::snapshot::{GatherError, SnapshotBody, gather};
use crate::types::{Entry, RaftSnapshot, Types};
use bytes::Bytes;
use futures::future::join_all;
use openraft::EntryPayload;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::RaftError;
use openraft::raft::TransferLeaderRequest;
use sdfs_server_group::{Deadline, Payload, ServerId};
use std::sync::PoisonError;

/// A reply: its head and its payload.
pub(crate) type Reply = (Bytes, Payload);

/// Does what a call asks.
pub(crate) async fn answer(shared: &Shared, kind: u16, head: Bytes, payload: Payload) -> Reply {
    let run = payload.to_bytes();
    match kind {
        Append::KIND => reply::<Append>(append(shared, &head, run).await),
        AskVote::KIND => reply::<AskVote>(vote(shared, &head).await),
        AskPreVote::KIND => reply::<AskPreVote>(pre_vote(shared, &head).await),
        Transfer::KIND => reply::<Transfer>(transfer(shared, &head).await),
        SnapshotPiece::KIND => reply::<SnapshotPiece>(piece(shared, &head, run).await),
        Propose::KIND => propose(shared, &head, run).await,
        ReadIndex::KIND => reply::<ReadIndex>(read_index(shared, &head).await),
        Introduce::KIND => reply::<Introduce>(introduce(shared, &head).await),
        AskRoom::KIND => reply::<AskRoom>(Ok(!shared.log.is_without_room())),
        _ => reply::<Introduce>(Err(NotServed::Malformed)),
    }
}

fn reply<C: Call>(answered: Result<C::Reply, NotServed>) -> Reply {
    (encode(&answered), Payload::new())
}

impl From<Malformed> for NotServed {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// This server's membership of a group.
fn member(shared: &Shared, group: GroupId) -> Result<(&Group, &Member), NotServed> {
    let group = shared.groups.get(&group).ok_or(NotServed::UnknownGroup)?;
    let member = group.member.as_ref().ok_or(NotServed::UnknownGroup)?;
    Ok((group, member))
}

/// The membership a call of raft is for. Whoever is called by another life than its own is not
/// whom the caller's group has as a member, and must not answer for it; and a group that was begun
/// another time has another history.
fn addressed<'a>(
    shared: &'a Shared,
    address: &Address,
) -> Result<(&'a Group, &'a Member), NotServed> {
    let (group, member) = member(shared, address.group)?;
    if address.to.life != shared.life {
        shared.doubt.notify_one();
        return Err(NotServed::OtherLife);
    }
    if !member.is_of(address.to.birth) {
        member.told_other_birth.call_once(|| {
            tracing::error!(
                group = %group.id,
                "a server calls this group by another birth: two histories of it exist, and \
                 nothing of the other is taken here; empty the servers of one of them"
            );
        });
        return Err(NotServed::OtherBirth);
    }
    Ok((group, member))
}

fn stopped<E>(error: RaftError<Types, E>) -> NotServed {
    match error {
        RaftError::Fatal(_) | RaftError::APIError(_) => NotServed::Stopped,
    }
}

async fn append(
    shared: &Shared,
    head: &[u8],
    run: Bytes,
) -> Result<<Append as Call>::Reply, NotServed> {
    let head = decode::<Append>(head)?;
    let (group, member) = addressed(shared, &head.address)?;
    let request = decode_append(head, run)?;
    if shared.log.is_without_room() {
        // What it has may come again: a new leader asks so how far its followers are.
        let end = shared.log.with(group.id, |log| log.end());
        let is_new = |entry: &Entry| {
            entry.log_id.index >= end && matches!(entry.payload, EntryPayload::Normal(_))
        };
        if request.entries.iter().any(is_new) {
            return Err(NotServed::NoRoom);
        }
    }
    member.raft.append_entries(request).await.map_err(stopped)
}

async fn vote(shared: &Shared, head: &[u8]) -> Result<<AskVote as Call>::Reply, NotServed> {
    let AskVote { address, request } = decode(head)?;
    addressed(shared, &address)?
        .1
        .raft
        .vote(request)
        .await
        .map_err(stopped)
}

async fn pre_vote(shared: &Shared, head: &[u8]) -> Result<<AskPreVote as Call>::Reply, NotServed> {
    let AskPreVote { address, request } = decode(head)?;
    addressed(shared, &address)?
        .1
        .raft
        .pre_vote(request)
        .await
        .map_err(stopped)
}

async fn transfer(shared: &Shared, head: &[u8]) -> Result<<Transfer as Call>::Reply, NotServed> {
    let Transfer {
        address,
        from,
        to,
        last,
    } = decode(head)?;
    let (_, member) = addressed(shared, &address)?;
    let request = TransferLeaderRequest::new(from, to, last);
    member
        .raft
        .handle_transfer_leader(request)
        .await
        .map_err(|_| NotServed::Stopped)
}

async fn propose(shared: &Shared, head: &[u8], run: Bytes) -> Reply {
    let proposed = async {
        let Propose { group, count } = decode(head)?;
        let raft = &member(shared, group)?.1.raft;
        // Who leads without room is about to lead no more; who follows tells whom to ask.
        if raft.is_leader() && shared.log.is_without_room() {
            return Ok(Err(None));
        }
        propose_all(raft, run, count).await
    };
    match proposed.await {
        Ok(Ok(outcomes)) => {
            let done: Result<<Propose as Call>::Reply, NotServed> = Ok(Ok(()));
            (encode(&done), outcomes.into())
        }
        Ok(Err(leader)) => reply::<Propose>(Ok(Err(leader))),
        Err(refused) => reply::<Propose>(Err(refused)),
    }
}

async fn read_index(shared: &Shared, head: &[u8]) -> Result<Option<u64>, NotServed> {
    let ReadIndex { group, birth } = decode(head)?;
    let (_, member) = member(shared, group)?;
    if !member.raft.is_leader() || member.birth.get() != Some(&birth) {
        return Ok(None);
    }
    Ok(index_here(member).await)
}

async fn introduce(shared: &Shared, head: &[u8]) -> Result<Introduced, NotServed> {
    let Introduce { server, life } = decode(head)?;
    if is_other_life(shared, server, life).await {
        return Ok(Introduced::OtherLife);
    }
    Ok(Introduced::Here {
        life: shared.life,
        existing: shared.existing_groups(),
    })
}

/// Whether a group has agreed that `server` is a member in another life than this one. What this
/// server knows may be old, and the life the newer one: so that counts which it has applied after
/// a majority has confirmed that nothing newer is agreed on.
async fn is_other_life(shared: &Shared, server: ServerId, life: Life) -> bool {
    let deadline = Deadline::after(VERDICT_WAIT);
    // Side by side: a group without a majority must not keep another one from its verdict.
    let verdicts = shared
        .members()
        .map(|(_, member)| is_other_life_in(member, (server, life), deadline));
    join_all(verdicts).await.contains(&true)
}

async fn is_other_life_in(
    member: &Member,
    (server, life): (ServerId, Life),
    deadline: Deadline,
) -> bool {
    let is_other = |known: Option<Life>| known.is_some_and(|known| known != life);
    let known = {
        let metrics = member.raft.metrics();
        let metrics = metrics.borrow_watched();
        life_in(metrics.membership_config.membership(), server)
    };
    if !is_other(known) || barrier::pass(member, deadline).await.is_err() {
        return false;
    }
    let applied = read_applied(&member.current.get());
    let known = applied.map(|applied| life_in(applied.members.membership(), server));
    known.is_ok_and(is_other)
}

async fn piece(shared: &Shared, head: &[u8], run: Bytes) -> Result<PieceReply, NotServed> {
    let head = decode::<SnapshotPiece>(head)?;
    let (group, member) = addressed(shared, &head.address)?;
    // Out of its place while it works on the piece: another transfer then begins anew beside it.
    let taken = member
        .receiving
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut receiving) = receiving_for(member, &head, taken)? else {
        return Ok(PieceReply::Restart);
    };
    if let Err(error) = gather(&receiving.keyspace, run).await {
        discard(member, receiving);
        return Err(match error {
            GatherError::Malformed(_) => NotServed::Malformed,
            GatherError::Store(error) => store_failed(group.id, &error),
        });
    }
    receiving.next += 1;
    let Some(meta) = head.end else {
        let mut place = member
            .receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another transfer may have begun meanwhile.
        let former = place.replace(receiving);
        drop(place);
        if let Some(former) = former {
            discard(member, former);
        }
        return Ok(PieceReply::Taken);
    };
    let Receiving {
        keyspace,
        generation,
        ..
    } = receiving;
    let snapshot = RaftSnapshot {
        meta,
        snapshot: SnapshotBody::Theirs {
            keyspace,
            generation,
        },
    };
    match member.raft.install_full_snapshot(head.vote, snapshot).await {
        Ok(response) => Ok(PieceReply::Installed(response)),
        Err(_) => Err(NotServed::Stopped),
    }
}

/// The transfer this piece continues or begins; `None` when its earlier pieces are not here.
fn receiving_for(
    member: &Member,
    piece: &SnapshotPiece,
    taken: Option<Receiving>,
) -> Result<Option<Receiving>, NotServed> {
    if let Some(receiving) = taken {
        if receiving.transfer == piece.transfer && receiving.next == piece.number {
            return Ok(Some(receiving));
        }
        discard(member, receiving);
    }
    if piece.number != 0 {
        return Ok(None);
    }
    let (keyspace, generation) = member
        .stage
        .next()
        .map_err(|error| store_failed(piece.address.group, &error))?;
    Ok(Some(Receiving {
        transfer: piece.transfer,
        next: 0,
        keyspace,
        generation,
    }))
}

/// Removes what came of a transfer that is given up.
fn discard(member: &Member, receiving: Receiving) {
    if let Err(error) = member.stage.discard(receiving.keyspace) {
        tracing::warn!(%error, "a snapshot that was not completed could not be removed");
    }
}

fn store_failed(group: GroupId, error: &sdfs_store::StoreError) -> NotServed {
    tracing::error!(%group, %error, "a piece of a snapshot could not be stored");
    NotServed::StoreFailed
}
