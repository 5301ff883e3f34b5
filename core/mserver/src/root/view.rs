//! What everybody but the applying task reads of the root group's state.

use std::collections::BTreeSet;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use sdfs_store::{KeyRange, Keyspace, StoreError};
use sdfs_types::calls::content::Sharing;
use sdfs_types::calls::names::Quota;
use sdfs_types::wire;
use sdfs_types::{
    FileDescriptor, FileMetaMetaData, FilePath, MetaGroup, Name, RequestId, ServerList, VolumeMap,
};

use super::contents::{Content, ContentKey};
use super::keys;
use super::names::{Entries, Walk, walk};
use super::servers::ServerWatch;
use super::trash::{TrashCounters, Trashed};
use super::users::Users;
use crate::cache::{Cache, FixedHasher};
use crate::fault::unreadable;
use crate::life::FileLife;
use crate::outcomes::OutcomeIndex;
use crate::volumes::{MaintenanceWatch, VolumeWatch};

/// Why the view cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewFault {
    /// The root group has not been opened here yet.
    #[error("this server has not opened its state yet")]
    NotOpen,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The root group's state at this mserver. Fresh after a read barrier of the root group, else as
/// far as this mserver has come.
pub struct RootView {
    pub(crate) keyspace: watch::Receiver<Option<Keyspace>>,
    pub(crate) entries: Cache<Box<[u8]>, FileMetaMetaData>,
    pub(crate) users: Users,
    pub(crate) quotas: DashMap<FileDescriptor, Quota, FixedHasher>,
    /// Files nothing goes on from (see `trash`). Read wherever a next life is guessed, so they are
    /// marked before their names can be seen.
    pub(crate) followed: DashMap<FileDescriptor, (), FixedHasher>,
    /// Files that get no name any more. In memory, because every put that ends is looked up.
    pub(crate) given_up: DashMap<FileDescriptor, (), FixedHasher>,
    pub(crate) outcomes: OutcomeIndex,
    pub(crate) volumes: VolumeWatch,
    pub(crate) orders: MaintenanceWatch,
    pub(crate) servers: ServerWatch,
    /// Counts the changes of the list of files to be removed; the duty that removes waits for it.
    pub(crate) removals: watch::Sender<u64>,
    /// Counts the changes of the list of directories to be swept.
    pub(crate) unlinked: watch::Sender<u64>,
}

impl RootView {
    /// Follows a path.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn walk(&self, path: &FilePath) -> Result<Walk, ViewFault> {
        let keyspace = self.keyspace()?;
        Ok(walk(
            &Reading {
                view: self,
                keyspace: &keyspace,
            },
            path,
        )?)
    }

    /// At most `limit` entries of a directory after a name, in order.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn list(
        &self,
        directory: FileDescriptor,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<FileMetaMetaData>, ViewFault> {
        let mut range = KeyRange::prefix(&keys::of_descriptor(keys::ENTRY, directory));
        if let Some(name) = after {
            range = range.after(&keys::of_name(keys::ENTRY, directory, name));
        }
        let keyspace = self.keyspace()?;
        let mut entries = Vec::with_capacity(limit.min(1_024));
        for pair in keyspace.pairs(&range).take(limit) {
            entries.push(wire::decode(&pair?.1).map_err(unreadable)?);
        }
        Ok(entries)
    }

    /// The descriptor a name had when it was last taken away, when that is remembered.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn tombstone(
        &self,
        parent: FileDescriptor,
        name: &str,
    ) -> Result<Option<FileDescriptor>, ViewFault> {
        let value = self
            .keyspace()?
            .get(&keys::of_name(keys::TOMBSTONE, parent, name))?;
        let Some(value) = value else { return Ok(None) };
        let tombstone: super::tombstones::Tombstone = wire::decode(&value).map_err(unreadable)?;
        Ok(Some(tombstone.descriptor))
    }

    /// Whether an outcome of this request is remembered.
    #[must_use]
    pub fn is_decided(&self, request: RequestId) -> bool {
        self.outcomes.contains_key(&request)
    }

    /// The outcome of this request, when it is remembered.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn outcome(
        &self,
        request: RequestId,
    ) -> Result<Option<super::machine::RememberedAnswer>, ViewFault> {
        let Some(slot) = self.outcomes.get(&request).map(|slot| *slot) else {
            return Ok(None);
        };
        let mut key = vec![keys::OUTCOME];
        key.extend_from_slice(&slot.to_be_bytes());
        let Some(value) = self.keyspace()?.get(&key)? else {
            return Ok(None);
        };
        if value.get(..16) != Some(&request.to_key()) {
            return Ok(None);
        }
        Ok(Some(wire::decode(&value[16..]).map_err(unreadable)?))
    }

    /// The quota of a directory, when it has one.
    #[must_use]
    pub fn quota(&self, directory: FileDescriptor) -> Option<Quota> {
        self.quotas.get(&directory).map(|quota| *quota)
    }

    /// Whether any of these directories has a quota.
    #[must_use]
    pub fn any_quota(&self, above: &[FileDescriptor]) -> bool {
        !self.quotas.is_empty() && above.iter().any(|one| self.quotas.contains_key(one))
    }

    /// The users.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Whether nothing goes on from the file, as a later life of its id was given out or names
    /// share it.
    pub(crate) fn is_followed(&self, descriptor: FileDescriptor) -> bool {
        !self.followed.is_empty() && self.followed.contains_key(&descriptor)
    }

    /// The descriptor whose next life a name gets: what it stands for, or stood for last.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn former(&self, path: &FilePath) -> Result<Option<FileDescriptor>, ViewFault> {
        match self.walk(path)? {
            Walk::Found { above, entry } if self.is_followed(entry.descriptor) => {
                match above.last() {
                    Some(parent) => self.tombstone(*parent, &entry.name),
                    None => Ok(None),
                }
            }
            Walk::Found { entry, .. } => Ok(Some(entry.descriptor)),
            Walk::Missing { above } if above.len() == path.names().count() => {
                match (above.last(), path.split_last()) {
                    (Some(parent), Some((_, name))) => self.tombstone(*parent, name),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The list of servers.
    #[must_use]
    pub fn servers(&self) -> Arc<ServerList> {
        Arc::clone(&self.servers.borrow())
    }

    /// The volume map.
    #[must_use]
    pub fn volumes(&self) -> Arc<VolumeMap> {
        Arc::clone(&self.volumes.borrow())
    }

    /// Those of the files that have a name, are in the trash or are to be removed, as of one
    /// moment. Goes through everything.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn named_among(
        &self,
        wanted: &BTreeSet<FileDescriptor>,
    ) -> Result<BTreeSet<FileDescriptor>, ViewFault> {
        let now = self.keyspace()?.snapshot();
        let mut found = BTreeSet::new();
        let mut note = |file: FileDescriptor| {
            if wanted.contains(&file) {
                found.insert(file);
            }
        };
        for pair in now.pairs(&KeyRange::prefix(&[keys::ENTRY])) {
            let entry: FileMetaMetaData = wire::decode(&pair?.1).map_err(unreadable)?;
            note(entry.descriptor);
        }
        for pair in now.pairs(&KeyRange::prefix(&[keys::TRASH])) {
            FileDescriptor::from_key(&pair?.0[1..]).map(&mut note);
        }
        for pair in now.pairs(&KeyRange::prefix(&[keys::REMOVAL])) {
            let life: FileLife = wire::decode(&pair?.1).map_err(unreadable)?;
            note(life.descriptor);
        }
        Ok(found)
    }

    /// Whether a file never gets a name any more.
    #[must_use]
    pub fn is_given_up(&self, file: FileDescriptor) -> bool {
        self.given_up.contains_key(&file)
    }

    /// Some files of a meta group whose meta-data is to be removed, with their places in the list,
    /// from after a place on. Places only grow.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn removals(
        &self,
        group: MetaGroup,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, FileLife)>, ViewFault> {
        let mut range = KeyRange::prefix(&keys::of_removals(group));
        if let Some(sequence) = after {
            range = range.after(&keys::of_removal(group, sequence));
        }
        let pairs = self.keyspace()?.scan(&range, limit)?;
        let read = |(key, value): &(bytes::Bytes, bytes::Bytes)| {
            let sequence = u64::from_be_bytes(key.get(2..)?.try_into().ok()?);
            Some((sequence, wire::decode(value).ok()?))
        };
        Ok(pairs.iter().filter_map(read).collect())
    }

    /// Whether there are directories to be swept.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn has_unlinked(&self) -> Result<bool, ViewFault> {
        Ok(!self
            .keyspace()?
            .scan(&KeyRange::prefix(&[keys::UNLINKED]), 1)?
            .is_empty())
    }

    /// Files in the trash that had the name `path` or lay below it, of at most `limit` paths after
    /// a path, in order of the paths' bytes; and the last path looked at when there may be more.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn trash(
        &self,
        path: &FilePath,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<(Vec<Trashed>, Option<FilePath>), ViewFault> {
        let keyspace = self.keyspace()?;
        let mut found = Vec::new();
        let mut left = limit;
        for range in keys::trash_ranges(path, after) {
            let pairs = keyspace.scan(&range, left)?;
            left -= pairs.len();
            for (_, value) in &pairs {
                let lives: Vec<FileDescriptor> = wire::decode(value).map_err(unreadable)?;
                for life in lives {
                    // A restored one leaves its list with its record; read apart, one may be gone.
                    let key = keys::of_descriptor(keys::TRASH, life);
                    if let Some(value) = keyspace.get(&key)? {
                        found.push(wire::decode(&value).map_err(unreadable)?);
                    }
                }
            }
            if left == 0 {
                let last = pairs.last().and_then(|(key, _)| keys::trash_path_of(key));
                return Ok((found, last));
            }
        }
        Ok((found, None))
    }

    /// What is counted of the trash.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn trash_counters(&self) -> Result<TrashCounters, ViewFault> {
        let value = self.keyspace()?.get(&[keys::TRASH_COUNTERS])?;
        let counters = value.map(|value| wire::decode(&value));
        Ok(counters
            .transpose()
            .map_err(unreadable)?
            .unwrap_or_default())
    }

    /// A content names share.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn content(&self, key: &ContentKey) -> Result<Option<Content>, ViewFault> {
        let keyspace = self.keyspace()?;
        let descriptor = keyspace.get(&keys::of_content(key))?;
        let Some(descriptor) = descriptor.and_then(|value| FileDescriptor::from_key(&value)) else {
            return Ok(None);
        };
        let content = keyspace.get(&keys::of_descriptor(keys::CONTENT, descriptor))?;
        let content = content.map(|value| wire::decode(&value));
        Ok(content.transpose().map_err(unreadable)?)
    }

    /// What is counted of contents names share.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn sharing(&self) -> Result<Sharing, ViewFault> {
        let sharing = self.keyspace()?.get(&[keys::SHARING])?;
        let sharing = sharing.map(|value| wire::decode(&value));
        Ok(sharing.transpose().map_err(unreadable)?.unwrap_or_default())
    }

    /// Whether the time of a file in the trash is over.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn has_due_trash(&self, now_ms: u64) -> Result<bool, ViewFault> {
        let counters = self.trash_counters()?;
        if counters.files == 0 || counters.due_from_ms > now_ms {
            return Ok(false);
        }
        let from = keys::of_due(counters.due_from_ms, FileDescriptor::default());
        let range = KeyRange::between(&from, &[keys::TRASH_DUE + 1]);
        let first = self.keyspace()?.scan(&range, 1)?;
        let due = first.first().and_then(|(key, _)| keys::due_of(key));
        Ok(due.is_some_and(|(until_ms, _)| until_ms <= now_ms))
    }

    /// Whether a directory is being swept whose files go to the trash.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn is_trash_growing(&self) -> Result<bool, ViewFault> {
        let range = KeyRange::prefix(&[keys::UNLINKED_TRASH]);
        Ok(!self.keyspace()?.scan(&range, 1)?.is_empty())
    }

    fn keyspace(&self) -> Result<Keyspace, ViewFault> {
        self.keyspace.borrow().clone().ok_or(ViewFault::NotOpen)
    }
}

struct Reading<'a> {
    view: &'a RootView,
    keyspace: &'a Keyspace,
}

impl Entries for Reading<'_> {
    fn entry(
        &self,
        parent: FileDescriptor,
        name: &str,
    ) -> Result<Option<Arc<FileMetaMetaData>>, StoreError> {
        let key = keys::of_name(keys::ENTRY, parent, name);
        if let Some(known) = self.view.entries.get(key.as_slice()) {
            return Ok(known);
        }
        let stored = self.keyspace.get(&key)?;
        let known = stored
            .map(|value| wire::decode(&value))
            .transpose()
            .map_err(unreadable)?;
        let known = known.map(Arc::new);
        self.view.entries.add(key.into(), known.clone());
        Ok(known)
    }
}
