//! Answers the calls of other servers.

use crate::barrier::index_here;
use crate::entry_code::Malformed;
use crate::forward::propose_all;
use crate::group::{Group, Member, Receiving};
use crate::groups::Shared;
use crate::ids::GroupId;
use crate::lives;
use crate::messages::{
    Append, AskPreVote, AskVote, Call, NotServed, PieceReply, Propose, ReadIndex, Register,
    Registered, SnapshotPiece, Transfer, decode, decode_append, encode,
};
use crate::snapshot::{GatherError, SnapshotBody, gather};
use crate::types::{RaftSnapshot, Types};
use bytes::Bytes;
use openraft::errors::RaftError;
use openraft::raft::TransferLeaderRequest;
use sdfs_server_group::Payload;
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
        Register::KIND => reply::<Register>(register(shared, &head).await),
        _ => reply::<Register>(Err(NotServed::Malformed)),
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

/// The membership a call is for, once this server may take part.
fn member(shared: &Shared, group: GroupId) -> Result<(&Group, &Member), NotServed> {
    let group = shared.groups.get(&group).ok_or(NotServed::UnknownGroup)?;
    let member = group.member.as_ref().ok_or(NotServed::UnknownGroup)?;
    if shared.is_registered() && shared.standing.may_take_part() {
        Ok((group, member))
    } else {
        Err(NotServed::NotReady)
    }
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
    let (_, member) = member(shared, head.group)?;
    let request = decode_append(head, run)?;
    member.raft.append_entries(request).await.map_err(stopped)
}

async fn vote(shared: &Shared, head: &[u8]) -> Result<<AskVote as Call>::Reply, NotServed> {
    let AskVote { group, request } = decode(head)?;
    member(shared, group)?
        .1
        .raft
        .vote(request)
        .await
        .map_err(stopped)
}

async fn pre_vote(shared: &Shared, head: &[u8]) -> Result<<AskPreVote as Call>::Reply, NotServed> {
    let AskPreVote { group, request } = decode(head)?;
    member(shared, group)?
        .1
        .raft
        .pre_vote(request)
        .await
        .map_err(stopped)
}

async fn transfer(shared: &Shared, head: &[u8]) -> Result<<Transfer as Call>::Reply, NotServed> {
    let Transfer {
        group,
        from,
        to,
        last,
    } = decode(head)?;
    let (_, member) = member(shared, group)?;
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
        propose_all(&member(shared, group)?.1.raft, run, count).await
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
    let ReadIndex { group } = decode(head)?;
    let (_, member) = member(shared, group)?;
    if !member.raft.is_leader() {
        return Ok(None);
    }
    Ok(index_here(member).await)
}

async fn register(shared: &Shared, head: &[u8]) -> Result<Registered, NotServed> {
    let Register { server, life } = decode(head)?;
    let is_known = lives::note(&shared.stores, server, life).await;
    match is_known {
        Ok(true) => Ok(Registered::Known {
            existing: shared.existing_groups(),
        }),
        Ok(false) => Ok(Registered::OtherLife),
        Err(error) => {
            tracing::error!(%server, %error, "the life of a server could not be stored");
            Err(NotServed::StoreFailed)
        }
    }
}

async fn piece(shared: &Shared, head: &[u8], run: Bytes) -> Result<PieceReply, NotServed> {
    let head = decode::<SnapshotPiece>(head)?;
    let (group, member) = member(shared, head.group)?;
    // Out of its place while it works on the piece: another transfer then begins anew beside it.
    let taken = member
        .receiving
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut receiving) = receiving_for(member, &head, taken)? else {
        return Ok(PieceReply::Restart);
    };
    match gather(&receiving.keyspace, run).await {
        Ok(()) => receiving.next += 1,
        Err(GatherError::Malformed(_)) => return Err(NotServed::Malformed),
        Err(GatherError::Store(error)) => return Err(store_failed(group.id, &error)),
    }
    let Some(meta) = head.end else {
        let mut place = member
            .receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(receiving);
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
        if let Err(error) = member.stage.discard(receiving.keyspace) {
            tracing::warn!(%error, "a snapshot that was not completed could not be removed");
        }
    }
    if piece.number != 0 {
        return Ok(None);
    }
    let (keyspace, generation) = member
        .stage
        .next()
        .map_err(|error| store_failed(piece.group, &error))?;
    Ok(Some(Receiving {
        transfer: piece.transfer,
        next: 0,
        keyspace,
        generation,
    }))
}

fn store_failed(group: GroupId, error: &sdfs_store::StoreError) -> NotServed {
    tracing::error!(%group, %error, "a piece of a snapshot could not be stored");
    NotServed::StoreFailed
}
