//! Snapshots of a group's state: made by a sync of the store, sent as a walk through one moment of
//! its keyspace, received into a keyspace of their own.

use crate::entry_code::{Malformed, put_number, take_number};
use crate::group_store::{GroupStores, OWN_KEY};
use crate::limits::{SNAPSHOT_BATCH_BYTES, SNAPSHOT_PIECE_BYTES};
use crate::types::{RaftSnapshot, SnapshotMeta, Types};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::storage::RaftSnapshotBuilder;
use sdfs_store::{KeyRange, Keyspace, Pairs, Snapshot, Store, StoreError};
use std::io;

/// The content of a snapshot.
pub(crate) enum SnapshotBody {
    /// The state of this member at one moment.
    Ours(Snapshot),
    /// Another member's, gathered in the keyspace of a generation to come.
    Theirs { keyspace: Keyspace, generation: u32 },
}

/// Makes a snapshot: everything applied up to its moment becomes durable.
pub(crate) struct SnapshotBuilder {
    pub(crate) stores: GroupStores,
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Snapshot,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotBody;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        persist(self.stores.store()).await?;
        let body = SnapshotBody::Ours(self.state.clone());
        Ok(RaftSnapshot {
            meta: self.meta.clone(),
            snapshot: body,
        })
    }
}

/// Makes everything committed to the store durable, away from this thread.
pub(crate) async fn persist(store: &Store) -> io::Result<()> {
    if store.is_memory() {
        return store.persist().map_err(io::Error::other);
    }
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || store.persist()).await;
    done.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// A snapshot cut into pieces for sending.
pub(crate) struct Pieces {
    pairs: Pairs,
    is_over: bool,
}

impl Pieces {
    pub(crate) fn of(state: &Snapshot) -> Self {
        Self {
            pairs: state.pairs(&KeyRange::all()),
            is_over: false,
        }
    }

    /// The next piece and whether it is the last; there is always a last one, maybe empty.
    pub(crate) fn next_piece(&mut self) -> Result<(Bytes, bool), StoreError> {
        let mut piece = BytesMut::with_capacity(SNAPSHOT_PIECE_BYTES / 4);
        while piece.len() < SNAPSHOT_PIECE_BYTES && !self.is_over {
            match self.pairs.next().transpose()? {
                None => self.is_over = true,
                // The receiver notes by itself how far the state has come.
                Some((key, _)) if key.first() == Some(&OWN_KEY) => {}
                Some((key, value)) => put_pair(&mut piece, &key, &value),
            }
        }
        Ok((piece.freeze(), self.is_over))
    }
}

fn put_pair(piece: &mut BytesMut, key: &[u8], value: &[u8]) {
    put_number(piece, key.len() as u64);
    piece.put_slice(key);
    put_number(piece, value.len() as u64);
    piece.put_slice(value);
}

fn take_pair(piece: &mut Bytes) -> Result<(Bytes, Bytes), Malformed> {
    Ok((take_bytes(piece)?, take_bytes(piece)?))
}

fn take_bytes(piece: &mut Bytes) -> Result<Bytes, Malformed> {
    let bytes = usize::try_from(take_number(piece)?).map_err(|_| Malformed)?;
    if bytes > piece.remaining() {
        return Err(Malformed);
    }
    Ok(piece.split_to(bytes))
}

/// Puts a received piece into the keyspace that gathers the snapshot.
pub(crate) async fn gather(keyspace: &Keyspace, mut piece: Bytes) -> Result<(), GatherError> {
    while piece.has_remaining() {
        let mut batch = keyspace.batch();
        while piece.has_remaining() && batch.bytes() < SNAPSHOT_BATCH_BYTES {
            let (key, value) = take_pair(&mut piece)?;
            batch.put(key, value);
        }
        batch.commit()?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Why a piece could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GatherError> for io::Error {
    fn from(error: GatherError) -> Self {
        Self::other(error)
    }
}
