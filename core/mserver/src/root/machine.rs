//! Applies the root group's committed commands.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use sdfs_raft::{ApplyError, StateMachine};
use sdfs_store::{Batch, KeyRange, Keyspace, StoreError};
use sdfs_types::wire;
use sdfs_types::{FileDescriptor, FileMetaMetaData, MetaGroup, Refusal, RequestId, User};

use super::command::{RootAnswer, RootAnswers, RootCommand, ToTrash};
use super::counters::Counters;
use super::names::Entries;
use super::servers::ServerTable;
use super::trash::{self, TrashCounters};
use super::users::Users;
use super::view::RootView;
use super::{contents, create, delete, given_up, keys, quota, rename, stamps, tombstones, users};
use crate::cache::{Cache, FixedHasher, Known};
use crate::fault::{Applied, Fault, unreadable};
use crate::life::FileLife;
use crate::limits::{ENTRIES_CACHED, ROOT_OUTCOMES_MAX};
use crate::outcomes::{Outcomes, named};
use crate::volumes::{VolumeAnswer, VolumeTable};

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedAnswer {
    /// Its outcome. A refusal is one too where another attempt may be on its way still, held up by
    /// the network: done then, it would undo what others have done since its client was refused.
    pub answer: Result<RootAnswer, Refusal>,
}

/// The root group's state machine.
pub struct RootMachine {
    view: Arc<RootView>,
    keyspace: watch::Sender<Option<Keyspace>>,
    counters: Counters,
    trash: TrashCounters,
    outcomes: Outcomes,
    volumes: VolumeTable,
    servers: ServerTable,
    dirty: Dirty,
}

/// What the batch under way has changed that somebody waits for.
#[derive(Default)]
pub(crate) struct Dirty {
    pub(crate) removals: bool,
    pub(crate) unlinked: bool,
}

/// One command being applied.
pub(crate) struct Applying<'a> {
    pub(crate) view: &'a RootView,
    pub(crate) batch: &'a mut Batch,
    pub(crate) counters: &'a mut Counters,
    pub(crate) trash: &'a mut TrashCounters,
    /// Where what the command takes away goes; nowhere, it is removed.
    pub(crate) to_trash: Option<ToTrash>,
    pub(crate) outcomes: &'a mut Outcomes,
    pub(crate) dirty: &'a mut Dirty,
}

impl RootMachine {
    /// An unopened machine, and what others read of it. `users` is shared with the server group.
    pub fn new(users: Users) -> (RootMachine, Arc<RootView>) {
        let (table, volumes) = VolumeTable::new();
        let (server_table, servers) = ServerTable::new();
        let (keyspace, opened) = watch::channel(None);
        let outcomes = Outcomes::new(keys::OUTCOME, ROOT_OUTCOMES_MAX);
        let view = Arc::new(RootView {
            keyspace: opened,
            entries: Cache::new(ENTRIES_CACHED),
            users,
            quotas: DashMap::with_hasher(FixedHasher::default()),
            followed: DashMap::with_hasher(FixedHasher::default()),
            given_up: DashMap::with_hasher(FixedHasher::default()),
            outcomes: outcomes.index(),
            volumes,
            orders: table.follow_orders(),
            servers,
            removals: watch::channel(0).0,
            unlinked: watch::channel(0).0,
        });
        let machine = RootMachine {
            view: Arc::clone(&view),
            keyspace,
            counters: Counters::default(),
            trash: TrashCounters::default(),
            outcomes,
            volumes: table,
            servers: server_table,
            dirty: Dirty::default(),
        };
        (machine, view)
    }

    fn load(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        self.counters = match keyspace.get(&[keys::COUNTERS])? {
            Some(value) => wire::decode(&value).map_err(unreadable)?,
            None => Counters::default(),
        };
        self.outcomes.load(keyspace, self.counters.outcomes)?;
        self.trash = match keyspace.get(&[keys::TRASH_COUNTERS])? {
            Some(value) => wire::decode(&value).map_err(unreadable)?,
            None => TrashCounters::default(),
        };
        // Those known already stay: they are here too, or their files are gone for good.
        for pair in keyspace.pairs(&KeyRange::prefix(&[keys::FOLLOWED])) {
            if let Some(descriptor) = FileDescriptor::from_key(&pair?.0[1..]) {
                self.view.followed.insert(descriptor, ());
            }
        }
        let mut given_up = BTreeSet::new();
        for pair in keyspace.pairs(&KeyRange::prefix(&[keys::GIVEN_UP])) {
            given_up.extend(FileDescriptor::from_key(&pair?.0[1..]));
        }
        self.view
            .given_up
            .retain(|file, ()| given_up.contains(file));
        for file in given_up {
            self.view.given_up.insert(file, ());
        }
        self.view.entries.clear();
        self.view.users.clear();
        for pair in keyspace.pairs(&KeyRange::prefix(&[keys::USER])) {
            let user: User = wire::decode(&pair?.1).map_err(unreadable)?;
            self.view.users.set(user);
        }
        self.view.quotas.clear();
        for pair in keyspace.pairs(&KeyRange::prefix(&[keys::QUOTA])) {
            let (key, value) = pair?;
            if let Some(directory) = FileDescriptor::from_key(&key[1..]) {
                let quota = wire::decode(&value).map_err(unreadable)?;
                self.view.quotas.insert(directory, quota);
            }
        }
        self.servers.load(keyspace)?;
        self.volumes.load(keyspace)
    }

    fn apply_one(
        &mut self,
        command: &RootCommand,
        batch: &mut Batch,
    ) -> Result<Result<RootAnswer, Refusal>, StoreError> {
        if let RootCommand::Volume(command) = command {
            if command
                .newcomers()
                .iter()
                .any(|one| self.servers.is_gone(*one))
            {
                let answer = VolumeAnswer::NotAllowed;
                return Ok(Ok(RootAnswer::Volume(answer)));
            }
            let answer = self.volumes.apply(command, batch)?;
            if let (Some(server), VolumeAnswer::Done { .. }) = (command.stops_drain(), &answer) {
                self.servers.stays(server, batch);
            }
            return Ok(Ok(RootAnswer::Volume(answer)));
        }
        if let RootCommand::Servers(command) = command {
            return Ok(self.servers.apply(command, self.volumes.upkeep(), batch));
        }
        let (command, to_trash) = match command {
            RootCommand::Trashing { command, to_trash } => (&**command, Some(to_trash.clone())),
            command => (command, None),
        };
        let mut applying = Applying {
            view: &self.view,
            batch,
            counters: &mut self.counters,
            trash: &mut self.trash,
            to_trash,
            outcomes: &mut self.outcomes,
            dirty: &mut self.dirty,
        };
        match applying.once(command) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Fault::Refused(refusal)) => Ok(Err(refusal)),
            Err(Fault::Store(error)) => Err(error),
        }
    }
}

impl StateMachine for RootMachine {
    fn open(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        self.load(keyspace)?;
        self.keyspace.send_replace(Some(keyspace.clone()));
        // Readers that looked into the former keyspace meanwhile may have added what they saw.
        self.view.entries.clear();
        self.dirty = Dirty {
            removals: true,
            unlinked: true,
        };
        self.committed(0);
        Ok(())
    }

    fn apply(
        &mut self,
        _index: u64,
        command: &[u8],
        batch: &mut Batch,
    ) -> Result<Bytes, ApplyError> {
        let commands: Vec<RootCommand> =
            wire::decode(command).map_err(|fault| ApplyError::NotUnderstood(Box::new(fault)))?;
        let before = (self.counters.clone(), self.trash);
        let mut answers = RootAnswers::with_capacity(commands.len());
        for command in &commands {
            answers.push(self.apply_one(command, batch)?);
        }
        if before.0 != self.counters {
            batch.put(vec![keys::COUNTERS], wire::encode(&self.counters));
        }
        if before.1 != self.trash {
            batch.put(vec![keys::TRASH_COUNTERS], wire::encode(&self.trash));
        }
        Ok(wire::encode(&answers))
    }

    fn committed(&mut self, _index: u64) {
        self.volumes.committed();
        self.servers.committed();
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.removals {
            self.view.removals.send_modify(|changes| *changes += 1);
        }
        if dirty.unlinked {
            self.view.unlinked.send_modify(|changes| *changes += 1);
        }
    }
}

impl Applying<'_> {
    /// Applies a command, or answers as the first time when it is repeated.
    fn once(&mut self, command: &RootCommand) -> Applied<RootAnswer> {
        let Some(request) = request_of(command) else {
            return self.now(command);
        };
        named(request)?;
        if let Some(outcome) = self.outcomes.find(request, self.batch)? {
            let remembered: RememberedAnswer = wire::decode(&outcome).map_err(unreadable)?;
            // Tried again by another coordinator, which has begun anew.
            if let RootCommand::Decide(wanted) = command {
                create::give_up_begun(self, wanted, &remembered.answer)?;
            }
            return remembered.answer.map_err(Fault::Refused);
        }
        let answer = match self.now(command) {
            Err(Fault::Refused(refusal)) if stays_refused(command, &refusal) => Err(refusal),
            other => Ok(other?),
        };
        let remembered = RememberedAnswer { answer };
        let next = &mut self.counters.outcomes;
        self.outcomes
            .remember(request, &wire::encode(&remembered), next, self.batch);
        remembered.answer.map_err(Fault::Refused)
    }

    fn now(&mut self, command: &RootCommand) -> Applied<RootAnswer> {
        match command {
            RootCommand::Decide(wanted) => create::decide(self, wanted),
            RootCommand::Withdraw {
                request,
                path,
                descriptor,
                now_ms,
            } => {
                self.outcomes.forget(*request, self.batch);
                delete::withdraw(self, path, *descriptor, *now_ms)
            }
            RootCommand::MakeDirectory {
                request,
                path,
                parents,
                owner,
                now_ms,
            } => {
                let wanted = create::Directory {
                    request: *request,
                    owner,
                    now_ms: *now_ms,
                };
                create::make_directory(self, path, *parents, &wanted)
            }
            RootCommand::Delete {
                path,
                recursive,
                now_ms,
                ..
            } => delete::delete(self, path, *recursive, *now_ms),
            RootCommand::Rename {
                from, to, replace, ..
            } => rename::rename(self, from, to, *replace),
            RootCommand::Redeclare {
                path,
                descriptor,
                size_bytes,
            } => quota::redeclare(self, path, *descriptor, *size_bytes),
            RootCommand::SetQuota {
                path,
                files_max,
                bytes_max,
            } => quota::set(self, path, *files_max, *bytes_max),
            RootCommand::PutUser { name, key, rights } => users::put(self, name, *key, rights),
            RootCommand::DeleteUser { name, .. } => users::delete(self, name),
            RootCommand::FoundAdmin { name, key } => users::found_admin(self, name, *key),
            RootCommand::LeaseFileIds { count } => Ok(RootAnswer::Leased {
                first: self.counters.take_ids(*count)?,
                count: *count,
            }),
            RootCommand::LeaseStamps { server, wanted_s } => {
                stamps::lease(self, *server, *wanted_s)
            }
            RootCommand::Removed { group, sequences } => {
                for sequence in sequences {
                    self.removed(*group, *sequence)?;
                }
                Ok(RootAnswer::Done)
            }
            RootCommand::GiveUp { files } => given_up::give_up(self, files),
            RootCommand::Share {
                path,
                descriptor,
                key,
                size_bytes,
            } => contents::share(self, path, *descriptor, (key, *size_bytes)),
            RootCommand::Link(wanted) => contents::link(self, wanted),
            RootCommand::Sweep { entries_max } => delete::sweep(self, *entries_max),
            RootCommand::Restore { .. }
            | RootCommand::EmptyTrash { .. }
            | RootCommand::ExpireTrash { .. } => trash::apply(self, command),
            // Those of the tables, and what wraps a command, never come here.
            RootCommand::Volume(_) | RootCommand::Servers(_) | RootCommand::Trashing { .. } => {
                Ok(RootAnswer::Done)
            }
        }
    }

    /// Sets or takes away what a name stands for.
    pub(crate) fn set_entry(
        &mut self,
        parent: FileDescriptor,
        name: &str,
        known: Known<FileMetaMetaData>,
    ) {
        let key = keys::of_name(keys::ENTRY, parent, name);
        match &known {
            Some(entry) => self.batch.put(key.clone(), wire::encode(&**entry)),
            None => self.batch.delete(key.clone()),
        }
        self.view.entries.set(key.into(), known);
    }

    /// Hands the meta-data of a file over to be removed.
    pub(crate) fn remove_meta_data(&mut self, entry: &FileMetaMetaData) {
        if let Some(locate) = &entry.locate {
            let life = FileLife {
                descriptor: entry.descriptor,
                request: entry.request,
            };
            self.remove_life(locate.group, life);
        }
    }

    /// Hands the meta-data of one life of a file over to be removed.
    pub(crate) fn remove_life(&mut self, group: MetaGroup, life: FileLife) {
        let key = keys::of_removal(group, self.counters.next_removal);
        self.counters.next_removal += 1;
        self.batch.put(key, wire::encode(&life));
        self.dirty.removals = true;
    }

    /// The meta-data of a file is gone: nobody sees its names any more.
    fn removed(&mut self, group: MetaGroup, sequence: u64) -> Applied<()> {
        let key = keys::of_removal(group, sequence);
        if let Some(value) = self.batch.get(&key)? {
            let life: FileLife = wire::decode(&value).map_err(unreadable)?;
            if !self.is_followed(life.descriptor)? {
                self.view.followed.remove(&life.descriptor);
            }
        }
        self.batch.delete(key);
        Ok(())
    }

    /// Whether nothing goes on from a file. What is in memory only says which are surely none: it
    /// is not the same at all mservers.
    pub(crate) fn is_followed(&self, descriptor: FileDescriptor) -> Applied<bool> {
        if !self.view.is_followed(descriptor) {
            return Ok(false);
        }
        let key = keys::of_descriptor(keys::FOLLOWED, descriptor);
        Ok(self.batch.get(&key)?.is_some())
    }

    /// The descriptor the tombstone of a name holds; the tombstone is used up.
    pub(crate) fn take_tombstone(
        &mut self,
        parent: FileDescriptor,
        name: &str,
    ) -> Applied<Option<FileDescriptor>> {
        tombstones::take(self, parent, name)
    }
}

impl Entries for Applying<'_> {
    fn entry(
        &self,
        parent: FileDescriptor,
        name: &str,
    ) -> Result<Option<Arc<FileMetaMetaData>>, StoreError> {
        let key = keys::of_name(keys::ENTRY, parent, name);
        if let Some(known) = self.view.entries.get(key.as_slice()) {
            return Ok(known);
        }
        let stored = self.batch.get(&key)?;
        let known = stored
            .map(|value| wire::decode(&value))
            .transpose()
            .map_err(unreadable)?;
        Ok(known.map(Arc::new))
    }
}

fn request_of(command: &RootCommand) -> Option<RequestId> {
    match command {
        RootCommand::Decide(wanted) => Some(wanted.request),
        RootCommand::Link(wanted) => Some(wanted.request),
        RootCommand::MakeDirectory { request, .. }
        | RootCommand::Delete { request, .. }
        | RootCommand::Rename { request, .. }
        | RootCommand::Restore { request, .. }
        | RootCommand::EmptyTrash { request, .. }
        | RootCommand::DeleteUser { request, .. } => Some(*request),
        _ => None,
    }
}

/// Whether a refusal is for good. What is busy is tried again, and a content that is not there is
/// sent, each under the same request.
fn stays_refused(command: &RootCommand, refusal: &Refusal) -> bool {
    let is_link = matches!(command, RootCommand::Link(_));
    let is_sent = is_link && *refusal == Refusal::NoSuchContent;
    !is_sent && !matches!(refusal, Refusal::Busy { .. })
}
