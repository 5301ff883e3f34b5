//! Where groups live in the store: which keyspace holds a group's state now, and what in it is
//! this crate's.
//!
//! A group's state is in keyspace `group-<id>-<generation>`. A snapshot is gathered in the next
//! generation and becomes the state by one write to keyspace `raft`, so it is never half there.

use crate::ids::GroupId;
use crate::record::Life;
use crate::types::{LogId, StoredMembership};
use bytes::Bytes;
use sdfs_server_group::ServerId;
use sdfs_store::{Batch, Keyspace, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Keyspace of what belongs to no single group.
const RAFT_KEYSPACE: &str = "raft";

/// Keys that begin so belong to this crate, not to the state machine.
pub(crate) const OWN_KEY: u8 = 0;

const APPLIED_KEY: &[u8] = b"\0applied";
const MEMBERS_KEY: &[u8] = b"\0members";

/// A value of this crate in the store could not be decoded, or the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupStoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the value of {key} in keyspace {keyspace} is malformed")]
    Malformed { keyspace: String, key: String },
}

/// The store as raft uses it.
#[derive(Clone)]
pub(crate) struct GroupStores {
    store: Store,
    own: Keyspace,
}

/// What is known of a group beside its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) last: Option<LogId>,
    pub(crate) members: StoredMembership,
}

impl GroupStores {
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let own = store.keyspace(RAFT_KEYSPACE)?;
        Ok(Self { store, own })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The life of the server whose store this is.
    pub(crate) fn life_of(&self, server: ServerId) -> Result<Option<Life>, GroupStoreError> {
        let key = life_key(server);
        let Some(bytes) = self.own.get(&key)? else {
            return Ok(None);
        };
        let life = <[u8; 16]>::try_from(bytes.as_ref()).map_err(|_| malformed(&self.own, &key))?;
        Ok(Some(Life(life)))
    }

    /// Notes it. Durable only after the next persist.
    pub(crate) fn put_life(&self, server: ServerId, life: Life) -> Result<(), StoreError> {
        let mut batch = self.own.batch();
        batch.put(life_key(server), life.0.to_vec());
        batch.commit()
    }

    /// Opens the group's keyspace and removes what an interrupted snapshot left behind.
    pub(crate) fn open_group(&self, group: GroupId) -> Result<(Keyspace, u32), GroupStoreError> {
        let generation = match self.own.get(&generation_key(group))? {
            None => 0,
            Some(bytes) => match <[u8; 4]>::try_from(bytes.as_ref()) {
                Ok(bytes) => u32::from_le_bytes(bytes),
                Err(_) => return Err(malformed(&self.own, &generation_key(group))),
            },
        };
        let name = keyspace_name(group, generation);
        let prefix = format!("group-{group}-");
        for other in self.store.keyspace_names() {
            if other.starts_with(&prefix) && other != name {
                self.store.remove_keyspace(self.store.keyspace(&other)?)?;
            }
        }
        Ok((self.store.keyspace(&name)?, generation))
    }

    /// Makes the keyspace of `generation` the group's. Durable only after the next persist.
    pub(crate) fn switch(&self, group: GroupId, generation: u32) -> Result<(), StoreError> {
        let mut batch = self.own.batch();
        batch.put(generation_key(group), generation.to_le_bytes().to_vec());
        batch.commit()
    }
}

/// Makes keyspaces for snapshots of one group to be gathered in, each of a generation never used
/// before, so that two transfers never meet in one.
#[derive(Clone)]
pub(crate) struct Stage {
    store: Store,
    group: GroupId,
    newest: Arc<AtomicU32>,
}

impl Stage {
    pub(crate) fn new(stores: &GroupStores, group: GroupId, generation: u32) -> Self {
        let newest = Arc::new(AtomicU32::new(generation));
        Self {
            store: stores.store.clone(),
            group,
            newest,
        }
    }

    /// An empty keyspace and its generation.
    pub(crate) fn next(&self) -> Result<(Keyspace, u32), StoreError> {
        let generation = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        Ok((
            self.store
                .keyspace(&keyspace_name(self.group, generation))?,
            generation,
        ))
    }

    /// Removes a keyspace whose snapshot will not be completed.
    pub(crate) fn discard(&self, keyspace: Keyspace) -> Result<(), StoreError> {
        self.store.remove_keyspace(keyspace)
    }
}

/// Reads how far the group's state in `keyspace` has come.
pub(crate) fn read_applied(keyspace: &Keyspace) -> Result<Applied, GroupStoreError> {
    let last = match keyspace.get(APPLIED_KEY)? {
        None => None,
        Some(bytes) => {
            let decoded = postcard::from_bytes::<LogId>(&bytes);
            Some(decoded.map_err(|_| malformed(keyspace, APPLIED_KEY))?)
        }
    };
    let members = match keyspace.get(MEMBERS_KEY)? {
        None => StoredMembership::default(),
        Some(bytes) => {
            postcard::from_bytes(&bytes).map_err(|_| malformed(keyspace, MEMBERS_KEY))?
        }
    };
    Ok(Applied { last, members })
}

/// Notes in the batch that moves the state how far it has come.
pub(crate) fn put_applied(batch: &mut Batch, last: &LogId) {
    let bytes = postcard::to_stdvec(last).expect("numbers always encode");
    batch.put(Bytes::from_static(APPLIED_KEY), bytes);
}

/// Notes the members the state was last told of.
pub(crate) fn put_members(batch: &mut Batch, members: &StoredMembership) {
    let bytes = postcard::to_stdvec(members).expect("numbers always encode");
    batch.put(Bytes::from_static(MEMBERS_KEY), bytes);
}

fn keyspace_name(group: GroupId, generation: u32) -> String {
    format!("group-{group}-{generation}")
}

fn life_key(server: ServerId) -> Vec<u8> {
    format!("life/{server}").into_bytes()
}

fn generation_key(group: GroupId) -> Vec<u8> {
    format!("generation/{group}").into_bytes()
}

fn malformed(keyspace: &Keyspace, key: &[u8]) -> GroupStoreError {
    let key = String::from_utf8_lossy(key).into_owned();
    GroupStoreError::Malformed {
        keyspace: keyspace.name(),
        key,
    }
}

impl From<GroupStoreError> for std::io::Error {
    fn from(error: GroupStoreError) -> Self {
        Self::other(error)
    }
}
