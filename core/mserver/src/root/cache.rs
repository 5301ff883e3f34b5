//! Directory entries kept decoded, present and absent ones.
//!
//! A shared table, because readers on any thread must not wait for the task that applies. What is
//! applied is always put in here, so an entry here is never older than the keyspace's: a reader
//! that finds none looks into the keyspace and adds what it saw only where nobody was faster.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use sdfs_types::FileMetaMetaData;

use crate::limits::ENTRIES_CACHED;

/// A hasher that is the same in every run.
pub(crate) type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// An entry as it is known: `None` is a name that stands for nothing.
pub(crate) type Known = Option<Arc<FileMetaMetaData>>;

struct Slot {
    known: Known,
    generation: usize,
}

/// The cache. Holds two generations; when one is full the one before it goes, so an entry stays
/// for at least [`ENTRIES_CACHED`] others, far more than one batch of commands holds.
pub(crate) struct EntryCache {
    slots: DashMap<Box<[u8]>, Slot, FixedHasher>,
    generation: AtomicUsize,
    added: AtomicUsize,
}

impl EntryCache {
    pub(crate) fn new() -> EntryCache {
        EntryCache {
            slots: DashMap::with_hasher(FixedHasher::default()),
            generation: AtomicUsize::new(0),
            added: AtomicUsize::new(0),
        }
    }

    /// What is known of `key`; the outer `None` is nothing.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Known> {
        self.slots.get(key).map(|slot| slot.known.clone())
    }

    /// What was just applied.
    pub(crate) fn set(&self, key: Vec<u8>, known: Known) {
        let generation = self.turn();
        self.slots.insert(key.into(), Slot { known, generation });
    }

    /// What a reader saw in the keyspace.
    pub(crate) fn add(&self, key: Vec<u8>, known: Known) {
        let generation = self.turn();
        self.slots.entry(key.into()).or_insert(Slot { known, generation });
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.slots.clear();
    }

    fn turn(&self) -> usize {
        let added = self.added.fetch_add(1, Ordering::Relaxed);
        if added > 0 && added.is_multiple_of(ENTRIES_CACHED) {
            let present = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
            self.slots.retain(|_, slot| slot.generation + 1 >= present);
        }
        self.generation.load(Ordering::Relaxed)
    }
}
