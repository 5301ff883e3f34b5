//! A door for the fuzzer alone: what bytes of a disk or of another server are read as, written
//! again. `None` for bytes that are refused.

use crate::entry_code::{Malformed, put_entry, spans, take_entry};
use crate::errors::LogDamage;
use crate::messages::{
    self, Append, AskRoom, AskVote, Introduce, Introduced, PieceReply, Propose, ReadIndex,
    SnapshotPiece, Transfer,
};
use crate::record::RecordHead;
use crate::recovery::Recovery;
use crate::snapshot::{Pieces, gather};
use bytes::{Bytes, BytesMut};
use sdfs_log::{DamagedRange, Position};
use sdfs_store::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The head of a record of the log.
#[must_use]
pub fn record_head(head: &[u8]) -> Option<Vec<u8>> {
    Some(RecordHead::from_bytes(head)?.to_bytes().into())
}

/// A run of so many entries.
#[must_use]
pub fn entries(run: &[u8], count: u32) -> Option<Vec<u8>> {
    spans(run, count).ok()?;
    let mut rest = Bytes::copy_from_slice(run);
    let mut out = BytesMut::new();
    for index in 0..u64::from(count) {
        put_entry(&mut out, &take_entry(&mut rest, index).ok()?);
    }
    Some(out.into())
}

/// The records of a log, one behind the other, each a head and data: whether a server would start
/// with them.
#[must_use]
pub fn starts_with(records: &[(&[u8], &[u8])], damaged: &[DamagedRange]) -> bool {
    let mut recovery = Recovery::default();
    for (offset, (head, data)) in (4_096..).step_by(64).zip(records) {
        let position = Position {
            segment: 1,
            offset,
            bytes: 64,
        };
        recovery.record(position, head, data);
    }
    let recovered: Result<_, LogDamage> = recovery.finish(damaged);
    recovered.is_ok()
}

/// How many kinds of messages [`message`] knows.
pub const MESSAGES: u8 = 11;

/// The head of a message of this kind.
#[must_use]
pub fn message(kind: u8, head: &[u8]) -> Option<Vec<u8>> {
    let again = match kind {
        0 => message_again::<Append>(head),
        1 => message_again::<AskVote>(head),
        2 => message_again::<Transfer>(head),
        3 => message_again::<SnapshotPiece>(head),
        4 => message_again::<Propose>(head),
        5 => message_again::<ReadIndex>(head),
        6 => message_again::<Introduce>(head),
        7 => message_again::<Introduced>(head),
        8 => message_again::<PieceReply>(head),
        9 => message_again::<AskRoom>(head),
        _ => message_again::<Result<(), messages::NotServed>>(head),
    };
    again.ok().map(Into::into)
}

fn message_again<T: Serialize + DeserializeOwned>(head: &[u8]) -> Result<Bytes, Malformed> {
    messages::decode::<T>(head).map(|message| messages::encode(&message))
}

/// An append: its head, and its entries.
#[must_use]
pub fn append(head: &[u8], run: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let head: Append = messages::decode(head).ok()?;
    let address = head.address;
    let rpc = messages::decode_append(head, Bytes::copy_from_slice(run)).ok()?;
    let (head, run) = messages::encode_append(address, &rpc);
    Some((messages::encode(&head).into(), run.into()))
}

/// A run of so many commands.
#[must_use]
pub fn commands(run: &[u8], count: u32) -> Option<Vec<u8>> {
    let commands = messages::take_commands(Bytes::copy_from_slice(run), count).ok()?;
    let mut out = BytesMut::new();
    for command in commands {
        messages::put_command(&mut out, &command);
    }
    Some(out.into())
}

/// A run of so many outcomes.
#[must_use]
pub fn outcomes(run: &[u8], count: u16) -> Option<Vec<u8>> {
    let outcomes = messages::take_outcomes(Bytes::copy_from_slice(run), count.into()).ok()?;
    let mut out = BytesMut::new();
    for outcome in outcomes {
        messages::put_outcome(&mut out, &outcome);
    }
    Some(out.into())
}

/// A snapshot that comes in these pieces, as this server would send it on.
#[must_use]
pub fn snapshot(pieces: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let keyspace = Store::memory().keyspace("group-0-1").ok()?;
    for piece in pieces {
        let gathered = gather(&keyspace, Bytes::copy_from_slice(piece));
        futures::executor::block_on(gathered).ok()?;
    }
    let mut sent = Pieces::of(&keyspace.snapshot());
    let mut again = Vec::new();
    loop {
        let (piece, is_last) = sent.next_piece().ok()?;
        again.push(piece.into());
        if is_last {
            return Some(again);
        }
    }
}
