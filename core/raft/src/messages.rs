//! What raft's calls carry, and their bytes. Pure.
//!
//! Heads are postcard; entries and commands travel in the payload. A reply's head is
//! `Result<_, NotServed>`. Variants and kinds are only ever added at the end.

use crate::entry_code::{Malformed, put_number, take_entry, take_number};
use crate::identity::{Address, Birth};
use crate::ids::GroupId;
use crate::record::Life;
use crate::types::{Entry, LogId, SnapshotMeta, Types, Vote};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use sdfs_server_group::ServerId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The kinds of calls that belong to [`crate::RaftGroups::serve`]. Servers only.
pub const CALL_KINDS: RangeInclusive<u16> = 0x0100..=0x01ff;

/// A call: its kind, what its head is, what a good reply's head is.
pub(crate) trait Call: Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: u16;
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Why a server did not do what a call asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum NotServed {
    #[error("it has no such group")]
    UnknownGroup,
    #[error("the group has stopped there")]
    Stopped,
    #[error("it could not understand the call")]
    Malformed,
    #[error("its store failed")]
    StoreFailed,
    #[error("it is in another life than the one that was called")]
    OtherLife,
    #[error("its group of that number was begun another time: two histories exist")]
    OtherBirth,
    #[error("its disk is nearly full")]
    NoRoom,
}

/// Entries for a follower; they are the payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct Append {
    pub(crate) address: Address,
    pub(crate) vote: Vote,
    pub(crate) previous: Option<LogId>,
    pub(crate) committed: Option<LogId>,
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl Call for Append {
    const KIND: u16 = 0x0100;
    type Reply = AppendEntriesResponse<Types>;
}

/// A candidate asks for a vote.
#[derive(Serialize, Deserialize)]
pub(crate) struct AskVote {
    pub(crate) address: Address,
    pub(crate) request: VoteRequest<Types>,
}

impl Call for AskVote {
    const KIND: u16 = 0x0101;
    type Reply = VoteResponse<Types>;
}

/// A server asks whether it would get a vote.
#[derive(Serialize, Deserialize)]
pub(crate) struct AskPreVote {
    pub(crate) address: Address,
    pub(crate) request: VoteRequest<Types>,
}

impl Call for AskPreVote {
    const KIND: u16 = 0x0102;
    type Reply = VoteResponse<Types>;
}

/// The leader asks a member to lead.
#[derive(Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) address: Address,
    pub(crate) from: Vote,
    pub(crate) to: u64,
    pub(crate) last: Option<LogId>,
}

impl Call for Transfer {
    const KIND: u16 = 0x0103;
    type Reply = TransferLeaderResponse<Types>;
}

/// A piece of a snapshot; its pairs are the payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotPiece {
    pub(crate) address: Address,
    pub(crate) vote: Vote,
    /// Random for each transfer.
    pub(crate) transfer: u64,
    pub(crate) number: u32,
    /// Set in the last piece: the snapshot is then installed before the reply.
    pub(crate) end: Option<SnapshotMeta>,
}

/// What became of a piece.
#[derive(Serialize, Deserialize)]
pub(crate) enum PieceReply {
    Taken,
    /// The receiver lacks an earlier piece; the transfer begins anew.
    Restart,
    Installed(SnapshotResponse<Types>),
}

impl Call for SnapshotPiece {
    const KIND: u16 = 0x0104;
    type Reply = PieceReply;
}

/// Commands for the leader; they are the payload, and the answers the reply's.
#[derive(Serialize, Deserialize)]
pub(crate) struct Propose {
    pub(crate) group: GroupId,
    pub(crate) count: u32,
}

impl Call for Propose {
    const KIND: u16 = 0x0105;
    /// The leader, when the server asked is not it (then nothing was done).
    type Reply = Result<(), Option<ServerId>>;
}

/// Asks the leader up to which entry a read must have applied.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReadIndex {
    pub(crate) group: GroupId,
    /// The one the asker is a member of: an index of another group's says nothing.
    pub(crate) birth: Birth,
}

impl Call for ReadIndex {
    const KIND: u16 = 0x0106;
    /// The index, or nothing when the server asked cannot tell.
    type Reply = Option<u64>;
}

/// A server tells who it is, and asks the same.
#[derive(Serialize, Deserialize)]
pub(crate) struct Introduce {
    pub(crate) server: ServerId,
    pub(crate) life: Life,
}

/// The answer to [`Introduce`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Introduced {
    /// Who the asked server is, and the groups of which it has anything.
    Here { life: Life, existing: Vec<GroupId> },
    /// The asker's number belongs to another life, by what a group has agreed on: its log is lost,
    /// or it was replaced.
    OtherLife,
}

impl Call for Introduce {
    const KIND: u16 = 0x0107;
    type Reply = Introduced;
}

/// Asks a server whether it has room for commands.
#[derive(Serialize, Deserialize)]
pub(crate) struct AskRoom {}

impl Call for AskRoom {
    const KIND: u16 = 0x0108;
    type Reply = bool;
}

/// What became of one forwarded command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Bytes),
    /// Surely not applied, now or later.
    NotDone,
    /// May be applied.
    Unknown,
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_stdvec(message).expect("plain values always encode");
    Bytes::from(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    postcard::from_bytes(bytes).map_err(|_| Malformed)
}

/// The call for openraft's request, and the entries' bytes.
pub(crate) fn encode_append(
    address: Address,
    rpc: &AppendEntriesRequest<Types>,
) -> (Append, Bytes) {
    let mut run = BytesMut::new();
    for entry in &rpc.entries {
        crate::entry_code::put_entry(&mut run, entry);
    }
    let head = Append {
        address,
        vote: rpc.vote,
        previous: rpc.prev_log_id,
        committed: rpc.leader_commit,
        first: rpc.entries.first().map_or(0, |entry| entry.log_id.index),
        count: u32::try_from(rpc.entries.len()).expect("an append has few entries"),
    };
    (head, run.freeze())
}

pub(crate) fn decode_append(
    head: Append,
    mut run: Bytes,
) -> Result<AppendEntriesRequest<Types>, Malformed> {
    // An entry has at least 4 bytes: no more is set aside for them than came.
    let mut entries: Vec<Entry> = Vec::with_capacity((head.count as usize).min(run.len() / 4));
    for place in 0..u64::from(head.count) {
        entries.push(take_entry(
            &mut run,
            head.first.checked_add(place).ok_or(Malformed)?,
        )?);
    }
    if run.has_remaining() {
        return Err(Malformed);
    }
    Ok(AppendEntriesRequest {
        vote: head.vote,
        prev_log_id: head.previous,
        entries,
        leader_commit: head.committed,
    })
}

/// Commands one behind the other, each with its length before it.
pub(crate) fn put_command(run: &mut BytesMut, command: &[u8]) {
    put_number(run, command.len() as u64);
    run.put_slice(command);
}

pub(crate) fn take_commands(mut run: Bytes, count: u32) -> Result<Vec<Bytes>, Malformed> {
    let mut commands = Vec::with_capacity((count as usize).min(run.len()));
    for _ in 0..count {
        commands.push(take_bytes(&mut run)?);
    }
    if run.has_remaining() {
        Err(Malformed)
    } else {
        Ok(commands)
    }
}

/// Outcomes one behind the other: 0 and the answer, 1 for not done, 2 for unknown.
pub(crate) fn put_outcome(run: &mut BytesMut, outcome: &Outcome) {
    match outcome {
        Outcome::Done(answer) => {
            run.put_u8(0);
            put_command(run, answer);
        }
        Outcome::NotDone => run.put_u8(1),
        Outcome::Unknown => run.put_u8(2),
    }
}

pub(crate) fn take_outcomes(mut run: Bytes, count: usize) -> Result<Vec<Outcome>, Malformed> {
    let mut outcomes = Vec::with_capacity(count.min(run.len()));
    for _ in 0..count {
        if !run.has_remaining() {
            return Err(Malformed);
        }
        outcomes.push(match run.get_u8() {
            0 => Outcome::Done(take_bytes(&mut run)?),
            1 => Outcome::NotDone,
            2 => Outcome::Unknown,
            _ => return Err(Malformed),
        });
    }
    if run.has_remaining() {
        Err(Malformed)
    } else {
        Ok(outcomes)
    }
}

fn take_bytes(run: &mut Bytes) -> Result<Bytes, Malformed> {
    let bytes = usize::try_from(take_number(run)?).map_err(|_| Malformed)?;
    if bytes > run.remaining() {
        return Err(Malformed);
    }
    Ok(run.split_to(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            bytes().prop_map(Outcome::Done),
            Just(Outcome::NotDone),
            Just(Outcome::Unknown)
        ]
    }

    proptest! {
        #[test]
        fn commands_survive_their_bytes(commands in prop::collection::vec(bytes(), 0..20)) {
            let mut run = BytesMut::new();
            commands.iter().for_each(|command| put_command(&mut run, command));
            prop_assert_eq!(take_commands(run.freeze(), commands.len() as u32).unwrap(), commands);
        }

        #[test]
        fn outcomes_survive_their_bytes(outcomes in prop::collection::vec(outcome(), 0..20)) {
            let mut run = BytesMut::new();
            outcomes.iter().for_each(|outcome| put_outcome(&mut run, outcome));
            prop_assert_eq!(take_outcomes(run.freeze(), outcomes.len()).unwrap(), outcomes);
        }

        #[test]
        fn any_bytes_decode_or_fail(run in bytes(), count in any::<u32>()) {
            drop(take_commands(run.clone(), count));
            drop(take_outcomes(run.clone(), count as usize));
            drop(decode::<Append>(&run).map(|head| decode_append(head, run.clone())));
        }
    }
}
