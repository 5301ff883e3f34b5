//! The store in memory: ordered maps, shared copy-on-write with their snapshots.

use crate::range::KeyRange;
use crate::store::Pair;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

type Map = Arc<BTreeMap<Bytes, Bytes>>;

#[derive(Clone, Default)]
struct State {
    now: BTreeMap<String, Map>,
    persisted: BTreeMap<String, Map>,
}

/// All keyspaces. The lock stands in for the engine's own: it is held for single map operations
/// and never across anything that waits.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<RwLock<State>>);

impl MemoryStore {
    pub(crate) fn keyspace(&self, name: &str) -> MemoryKeyspace {
        self.write(|state| {
            state.now.entry(name.to_owned()).or_default();
        });
        MemoryKeyspace {
            store: self.clone(),
            name: name.into(),
        }
    }

    pub(crate) fn keyspace_names(&self) -> Vec<String> {
        self.read(|state| state.now.keys().cloned().collect())
    }

    pub(crate) fn remove_keyspace(&self, keyspace: &MemoryKeyspace) {
        self.write(|state| {
            state.now.remove(&*keyspace.name);
            // The engine on disk removes a keyspace durably at once.
            state.persisted.remove(&*keyspace.name);
        });
    }

    pub(crate) fn persist(&self) {
        self.write(|state| state.persisted = state.now.clone());
    }

    pub(crate) fn after_power_loss(&self) -> Self {
        let persisted = self.read(|state| state.persisted.clone());
        Self(Arc::new(RwLock::new(State {
            now: persisted.clone(),
            persisted,
        })))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone)]
pub(crate) struct MemoryKeyspace {
    store: MemoryStore,
    name: Arc<str>,
}

impl MemoryKeyspace {
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.store
            .read(|state| state.now.get(&*self.name)?.get(key).cloned())
    }

    pub(crate) fn snapshot(&self) -> MemorySnapshot {
        let map = self.store.read(|state| state.now.get(&*self.name).cloned());
        // A removed keyspace reads as an empty one, as it does on disk once it is gone.
        MemorySnapshot(map.unwrap_or_default())
    }

    pub(crate) fn commit(&self, changes: BTreeMap<Bytes, Option<Bytes>>) {
        self.store.write(|state| {
            let Some(map) = state.now.get_mut(&*self.name) else {
                return;
            };
            let map = Arc::make_mut(map);
            for (key, change) in changes {
                match change {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
            }
        });
    }
}

#[derive(Clone)]
pub(crate) struct MemorySnapshot(Map);

impl MemorySnapshot {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    pub(crate) fn pairs(&self, range: &KeyRange) -> MemoryPairs {
        MemoryPairs {
            map: Arc::clone(&self.0),
            rest: range.clone(),
        }
    }
}

pub(crate) struct MemoryPairs {
    map: Map,
    rest: KeyRange,
}

impl Iterator for MemoryPairs {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        if self.rest.is_empty() {
            return None;
        }
        let (key, value) = self.map.range::<[u8], _>(self.rest.bounds()).next()?;
        let pair = (key.clone(), value.clone());
        self.rest.start_after(pair.0.clone());
        Some(pair)
    }
}
