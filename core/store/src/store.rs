//! The door: a store, its keyspaces, and snapshots of them, whichever way the bytes are kept.

use crate::batch::Batch;
use crate::disk::{DiskKeyspace, DiskPairs, DiskSnapshot, DiskStore};
use crate::error::StoreError;
use crate::limits::KEYSPACE_NAME_BYTES_MAX;
use crate::memory::{MemoryKeyspace, MemoryPairs, MemorySnapshot, MemoryStore};
use crate::range::KeyRange;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;

/// A key and its value.
pub type Pair = (Bytes, Bytes);

/// A store of keyspaces. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store(StoreKind);

#[derive(Clone)]
enum StoreKind {
    Disk(DiskStore),
    Memory(MemoryStore),
}

impl Store {
    /// Opens the store in directory `path`, making it when absent.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open; otherwise whatever the disk says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self(StoreKind::Disk(DiskStore::open(path)?)))
    }

    /// A store that lives in memory only.
    #[must_use]
    pub fn memory() -> Self {
        Self(StoreKind::Memory(MemoryStore::default()))
    }

    /// Whether this store lives in memory only, so that [`Store::persist`] cannot block.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.0, StoreKind::Memory(_))
    }

    /// The keyspace of that name, made when absent.
    ///
    /// # Errors
    /// [`StoreError::KeyspaceName`] for a name that is empty or too long.
    pub fn keyspace(&self, name: &str) -> Result<Keyspace, StoreError> {
        if name.is_empty() || name.len() > KEYSPACE_NAME_BYTES_MAX {
            return Err(StoreError::KeyspaceName { bytes: name.len() });
        }
        Ok(Keyspace(match &self.0 {
            StoreKind::Disk(store) => KeyspaceKind::Disk(store.keyspace(name)?),
            StoreKind::Memory(store) => KeyspaceKind::Memory(store.keyspace(name)),
        }))
    }

    /// Names of all keyspaces, sorted.
    #[must_use]
    pub fn keyspace_names(&self) -> Vec<String> {
        match &self.0 {
            StoreKind::Disk(store) => store.keyspace_names(),
            StoreKind::Memory(store) => store.keyspace_names(),
        }
    }

    /// Removes a keyspace with everything in it. Its space is given back once every handle to it
    /// is dropped.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn remove_keyspace(&self, keyspace: Keyspace) -> Result<(), StoreError> {
        match (&self.0, keyspace.0) {
            (StoreKind::Disk(store), KeyspaceKind::Disk(keyspace)) => {
                store.remove_keyspace(keyspace)
            }
            (StoreKind::Memory(store), KeyspaceKind::Memory(keyspace)) => {
                store.remove_keyspace(&keyspace);
                Ok(())
            }
            _ => unreachable!("a keyspace belongs to the store that made it"),
        }
    }

    /// Makes every batch committed so far survive the loss of power. Blocks on the disk: call it
    /// away from threads that serve requests.
    ///
    /// # Errors
    /// [`StoreError::Closed`] from now on when the sync fails: it is never retried.
    pub fn persist(&self) -> Result<(), StoreError> {
        match &self.0 {
            StoreKind::Disk(store) => store.persist(),
            StoreKind::Memory(store) => {
                store.persist();
                Ok(())
            }
        }
    }

    /// What a loss of power leaves of a memory store: the state of the last [`Store::persist`].
    /// A disk store is returned as it is.
    #[must_use]
    pub fn after_power_loss(&self) -> Self {
        match &self.0 {
            StoreKind::Disk(_) => self.clone(),
            StoreKind::Memory(store) => Self(StoreKind::Memory(store.after_power_loss())),
        }
    }
}

/// One ordered map of the store. Cheap to clone; all clones are the same keyspace.
#[derive(Clone)]
pub struct Keyspace(KeyspaceKind);

#[derive(Clone)]
enum KeyspaceKind {
    Disk(DiskKeyspace),
    Memory(MemoryKeyspace),
}

impl Keyspace {
    /// The name it was opened with.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0 {
            KeyspaceKind::Disk(keyspace) => keyspace.name(),
            KeyspaceKind::Memory(keyspace) => keyspace.name(),
        }
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match &self.0 {
            KeyspaceKind::Disk(keyspace) => keyspace.get(key),
            KeyspaceKind::Memory(keyspace) => Ok(keyspace.get(key)),
        }
    }

    /// At most `limit` pairs of `range` in key order, all from one moment. The next page begins
    /// at `range.after(last key)`.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.pairs(range).take(limit).collect()
    }

    /// The pairs of `range` in key order, all as they are now, whatever is committed meanwhile.
    #[must_use]
    pub fn pairs(&self, range: &KeyRange) -> Pairs {
        self.snapshot().pairs(range)
    }

    /// The keyspace as it is now, unmoved by later batches.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(match &self.0 {
            KeyspaceKind::Disk(keyspace) => SnapshotKind::Disk(keyspace.snapshot()),
            KeyspaceKind::Memory(keyspace) => SnapshotKind::Memory(keyspace.snapshot()),
        })
    }

    /// An empty batch of changes to this keyspace.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    pub(crate) fn commit(&self, changes: BTreeMap<Bytes, Option<Bytes>>) -> Result<(), StoreError> {
        match &self.0 {
            KeyspaceKind::Disk(keyspace) => keyspace.commit(changes),
            KeyspaceKind::Memory(keyspace) => {
                keyspace.commit(changes);
                Ok(())
            }
        }
    }
}

/// A keyspace as it was at one moment. Holding it keeps superseded values on disk: drop it soon.
#[derive(Clone)]
pub struct Snapshot(SnapshotKind);

#[derive(Clone)]
enum SnapshotKind {
    Disk(DiskSnapshot),
    Memory(MemorySnapshot),
}

impl Snapshot {
    /// The value `key` had.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match &self.0 {
            SnapshotKind::Disk(snapshot) => snapshot.get(key),
            SnapshotKind::Memory(snapshot) => Ok(snapshot.get(key)),
        }
    }

    /// The pairs `range` held, in key order.
    #[must_use]
    pub fn pairs(&self, range: &KeyRange) -> Pairs {
        if range.is_empty() {
            return Pairs(PairsKind::None);
        }
        Pairs(match &self.0 {
            SnapshotKind::Disk(snapshot) => PairsKind::Disk(snapshot.pairs(range)),
            SnapshotKind::Memory(snapshot) => PairsKind::Memory(snapshot.pairs(range)),
        })
    }
}

/// Pairs in key order, from one moment.
pub struct Pairs(PairsKind);

enum PairsKind {
    None,
    Disk(DiskPairs),
    Memory(MemoryPairs),
}

impl Iterator for Pairs {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            PairsKind::None => None,
            PairsKind::Disk(pairs) => pairs.next(),
            PairsKind::Memory(pairs) => pairs.next().map(Ok),
        }
    }
}
