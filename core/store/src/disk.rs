//! The store on disk: fjall behind the door. The only file that knows the engine.

use crate::error::StoreError;
use crate::limits::{
    BLOCK_CACHE_BYTES, JOURNAL_BYTES_MAX, MEMTABLE_BYTES, OPEN_FILES_MAX, TABLE_BYTES,
    WORKER_THREADS,
};
use crate::range::KeyRange;
use crate::store::Pair;
use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::config::PartitioningPolicy;
use fjall::{Database, KeyspaceCreateOptions, PersistMode, Readable};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct DiskStore(Database);

impl DiskStore {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = Database::builder(path)
            .cache_size(BLOCK_CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .worker_threads(WORKER_THREADS)
            .open();
        match opened {
            Ok(database) => Ok(Self(database)),
            Err(fjall::Error::Locked) => Err(StoreError::Locked {
                path: path.to_owned(),
            }),
            Err(other) => Err(other.into()),
        }
    }

    pub(crate) fn keyspace(&self, name: &str) -> Result<DiskKeyspace, StoreError> {
        // A filter or an index of a whole table is read and checked whole for each lookup that
        // does not find it cached; a part of it is a page.
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .compaction_strategy(Arc::new(
                    Leveled::default().with_table_target_size(TABLE_BYTES),
                ))
        };
        let keyspace = self.0.keyspace(name, options)?;
        Ok(DiskKeyspace {
            database: self.0.clone(),
            keyspace,
        })
    }

    pub(crate) fn keyspace_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .list_keyspace_names()
            .iter()
            .map(|name| name.to_string())
            .collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn remove_keyspace(&self, keyspace: DiskKeyspace) -> Result<(), StoreError> {
        Ok(self.0.delete_keyspace(keyspace.keyspace)?)
    }

    pub(crate) fn persist(&self) -> Result<(), StoreError> {
        Ok(self.0.persist(PersistMode::SyncAll)?)
    }
}

#[derive(Clone)]
pub(crate) struct DiskKeyspace {
    database: Database,
    keyspace: fjall::Keyspace,
}

impl DiskKeyspace {
    pub(crate) fn name(&self) -> String {
        self.keyspace.name().to_string()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace.get(key)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    pub(crate) fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot {
            keyspace: self.keyspace.clone(),
            snapshot: Arc::new(self.database.snapshot()),
        }
    }

    pub(crate) fn commit(&self, changes: BTreeMap<Bytes, Option<Bytes>>) -> Result<(), StoreError> {
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), changes.len());
        for (key, change) in &changes {
            match change {
                Some(value) => batch.insert(&self.keyspace, key.as_ref(), value.as_ref()),
                None => batch.remove(&self.keyspace, key.as_ref()),
            }
        }
        match batch.commit() {
            Err(fjall::Error::KeyspaceDeleted) => {
                Err(StoreError::KeyspaceRemoved { name: self.name() })
            }
            done => Ok(done?),
        }
    }
}

#[derive(Clone)]
pub(crate) struct DiskSnapshot {
    keyspace: fjall::Keyspace,
    snapshot: Arc<fjall::Snapshot>,
}

impl DiskSnapshot {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.keyspace, key)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    pub(crate) fn pairs(&self, range: &KeyRange) -> DiskPairs {
        DiskPairs(
            self.snapshot
                .range::<&[u8], _>(&self.keyspace, range.bounds()),
        )
    }
}

pub(crate) struct DiskPairs(fjall::Iter);

impl DiskPairs {
    pub(crate) fn next(&mut self) -> Option<Result<Pair, StoreError>> {
        let guard = self.0.next()?;
        Some(match guard.into_inner() {
            Ok((key, value)) => Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value))),
            Err(error) => Err(error.into()),
        })
    }
}
