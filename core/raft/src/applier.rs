//! One group's state machine, as openraft wants it: commands go to the machine, its changes and
//! the applied position go to the store in one batch.

use crate::ending::Ending;
use crate::errors::{StartError, StopReason};
use crate::group_store::{Applied, GroupStores, Stage, put_applied, put_members, read_applied};
use crate::ids::GroupId;
use crate::limits::{APPLY_CHANGES_MAX, APPLY_ENTRIES_MAX};
use crate::machine::{ApplyError, StateMachine};
use crate::snapshot::{Pieces, SnapshotBody, SnapshotBuilder, gather, persist};
use crate::types::{
    Answer, Entry, LogId, Payload, RaftSnapshot, SnapshotMeta, StoredMembership, Types,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use sdfs_store::{Batch, Keyspace};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The group's keyspace of the present generation. Read by whoever serves reads, replaced when a
/// snapshot is installed; the lock is held for a clone.
#[derive(Clone)]
pub(crate) struct CurrentKeyspace(Arc<RwLock<Keyspace>>);

impl CurrentKeyspace {
    pub(crate) fn get(&self) -> Keyspace {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, keyspace: Keyspace) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keyspace;
    }
}

/// The state machine of one group.
pub(crate) struct Applier {
    group: GroupId,
    stores: GroupStores,
    keyspace: Keyspace,
    current: CurrentKeyspace,
    stage: Stage,
    applied: Applied,
    /// Only ever reached through `&mut self`; the lock makes it `Sync`, which openraft asks for.
    machine: Mutex<Box<dyn StateMachine>>,
    ending: Ending,
}

type Waiting = (ApplyResponder<Types>, Bytes);

impl Applier {
    pub(crate) fn open(
        group: GroupId,
        stores: GroupStores,
        mut machine: Box<dyn StateMachine>,
        ending: Ending,
    ) -> Result<Self, StartError> {
        let (keyspace, generation) = stores.open_group(group)?;
        let applied = read_applied(&keyspace)?;
        machine.open(&keyspace)?;
        let current = CurrentKeyspace(Arc::new(RwLock::new(keyspace.clone())));
        let machine = Mutex::new(machine);
        let stage = Stage::new(&stores, group, generation);
        Ok(Self {
            group,
            stores,
            keyspace,
            current,
            stage,
            applied,
            machine,
            ending,
        })
    }

    pub(crate) fn current(&self) -> CurrentKeyspace {
        self.current.clone()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.clone()
    }

    pub(crate) fn last_applied(&self) -> Option<LogId> {
        self.applied.last
    }

    fn machine(&mut self) -> &mut dyn StateMachine {
        self.machine
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
    }

    fn apply_one(&mut self, entry: Entry, batch: &mut Batch) -> io::Result<Bytes> {
        let log_id = entry.log_id;
        let answer = match entry.payload {
            Payload::Blank => Bytes::new(),
            Payload::Normal(command) => {
                let answer = self.machine().apply(log_id.index, &command.0, batch);
                answer.map_err(|error| self.not_applied(log_id.index, error))?
            }
            Payload::Membership(members) => {
                self.applied.members = StoredMembership::new(Some(log_id), members);
                put_members(batch, &self.applied.members);
                Bytes::new()
            }
        };
        self.applied.last = Some(log_id);
        Ok(answer)
    }

    /// Tells why this member applies nothing from `index` on.
    fn not_applied(&self, index: u64, error: ApplyError) -> io::Error {
        if matches!(error, ApplyError::NotUnderstood(_)) {
            let group = self.group;
            tracing::error!(%group, index, %error, "a committed entry is not understood");
            self.ending.with(StopReason::NotUnderstood { group, index });
        }
        io::Error::other(error)
    }

    /// Makes the changes visible, then tells the machine and those who wait.
    fn commit(&mut self, mut batch: Batch, waiting: Vec<Waiting>) -> io::Result<()> {
        let Some(last) = self.applied.last else {
            return Ok(());
        };
        put_applied(&mut batch, &last);
        batch.commit().map_err(io::Error::other)?;
        self.machine().committed(last.index);
        for (responder, answer) in waiting {
            responder.send(Answer(answer));
        }
        Ok(())
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied.last,
            last_membership: self.applied.members.clone(),
        }
    }

    /// A snapshot of this server's making, gathered as if it had been sent.
    async fn restage(&self, state: &sdfs_store::Snapshot) -> io::Result<(Keyspace, u32)> {
        let (keyspace, generation) = self.stage.next().map_err(io::Error::other)?;
        let mut pieces = Pieces::of(state);
        loop {
            let (piece, is_last) = pieces.next_piece().map_err(io::Error::other)?;
            gather(&keyspace, piece).await?;
            if is_last {
                return Ok((keyspace, generation));
            }
        }
    }
}

impl RaftStateMachine<Types> for Applier {
    type SnapshotData = SnapshotBody;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied.last, self.applied.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = self.keyspace.batch();
        let mut waiting = Vec::new();
        let mut applied = 0;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let answer = self.apply_one(entry, &mut batch)?;
            waiting.extend(responder.map(|responder| (responder, answer)));
            applied += 1;
            if applied == APPLY_ENTRIES_MAX || batch.len() >= APPLY_CHANGES_MAX {
                let full = std::mem::replace(&mut batch, self.keyspace.batch());
                self.commit(full, std::mem::take(&mut waiting))?;
                applied = 0;
                tokio::task::yield_now().await;
            }
        }
        if applied > 0 {
            self.commit(batch, waiting)?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let state = self.keyspace.snapshot();
        SnapshotBuilder {
            stores: self.stores.clone(),
            meta: self.meta(),
            state,
        }
    }

    /// Replaces the whole state. Everything of the new one is durable before one write makes it
    /// the state, and that write is durable before this returns and the log is purged.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotBody,
    ) -> Result<(), io::Error> {
        let (keyspace, generation) = match snapshot {
            SnapshotBody::Theirs {
                keyspace,
                generation,
            } => (keyspace, generation),
            SnapshotBody::Ours(state) => self.restage(&state).await?,
        };
        let mut batch = keyspace.batch();
        if let Some(last) = &meta.last_log_id {
            put_applied(&mut batch, last);
        }
        put_members(&mut batch, &meta.last_membership);
        batch.commit().map_err(io::Error::other)?;
        persist(self.stores.store()).await?;
        self.stores
            .switch(self.group, generation)
            .map_err(io::Error::other)?;
        persist(self.stores.store()).await?;

        self.machine().open(&keyspace).map_err(io::Error::other)?;
        let former = std::mem::replace(&mut self.keyspace, keyspace.clone());
        self.current.set(keyspace);
        self.applied = Applied {
            last: meta.last_log_id,
            members: meta.last_membership.clone(),
        };
        if let Some(last) = &meta.last_log_id {
            self.machine().committed(last.index);
        }
        self.stores
            .store()
            .remove_keyspace(former)
            .map_err(io::Error::other)
    }

    /// The state as it is: the store itself is the snapshot.
    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        if self.applied.last.is_none() {
            return Ok(None);
        }
        let body = SnapshotBody::Ours(self.keyspace.snapshot());
        Ok(Some(RaftSnapshot {
            meta: self.meta(),
            snapshot: body,
        }))
    }
}
