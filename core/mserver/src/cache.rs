//! Records kept decoded, present and absent ones.
//!
//! A shared table, because readers on any thread must not wait for the task that applies. What is
//! applied is always put in here, so a record here is never older than the keyspace's: a reader
//! that finds none looks into the keyspace and adds what it saw only where nobody was faster.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

/// A hasher that is the same in every run.
pub(crate) type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// A record as it is known: `None` is one that does not exist.
pub(crate) type Known<V> = Option<Arc<V>>;

struct Slot<V> {
    known: Known<V>,
    generation: usize,
}

/// The cache. Holds two generations; when one is full the one before it goes, so a record stays
/// while `capacity` others come, far more than one batch of commands holds.
pub(crate) struct Cache<K, V> {
    slots: DashMap<K, Slot<V>, FixedHasher>,
    capacity: usize,
    generation: AtomicUsize,
    added: AtomicUsize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Cache {
            slots: DashMap::with_hasher(FixedHasher::default()),
            capacity,
            generation: AtomicUsize::new(0),
            added: AtomicUsize::new(0),
        }
    }

    /// What is known of `key`; the outer `None` is nothing.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Known<V>>
    where
        K: Borrow<Q>,
    {
        self.slots.get(key).map(|slot| slot.known.clone())
    }

    /// What was just applied.
    pub(crate) fn set(&self, key: K, known: Known<V>) {
        let generation = self.turn();
        self.slots.insert(key, Slot { known, generation });
    }

    /// What a reader saw in the keyspace.
    pub(crate) fn add(&self, key: K, known: Known<V>) {
        let generation = self.turn();
        self.slots.entry(key).or_insert(Slot { known, generation });
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.slots.clear();
    }

    fn turn(&self) -> usize {
        let added = self.added.fetch_add(1, Ordering::Relaxed);
        if added > 0 && added.is_multiple_of(self.capacity) {
            let present = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
            self.slots.retain(|_, slot| slot.generation + 1 >= present);
        }
        self.generation.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_stays() {
        let cache: Cache<u32, u32> = Cache::new(8);
        cache.set(1, Some(Arc::new(10)));
        cache.add(1, Some(Arc::new(9)));
        assert_eq!(cache.get(&1), Some(Some(Arc::new(10))));
        cache.set(1, None);
        cache.add(1, Some(Arc::new(9)));
        assert_eq!(cache.get(&1), Some(None));
    }

    #[test]
    fn the_oldest_generation_goes() {
        let cache: Cache<u32, u32> = Cache::new(8);
        for key in 0..100 {
            cache.set(key, None);
            let youngest = key.saturating_sub(7)..=key;
            assert!(
                youngest.clone().all(|key| cache.get(&key).is_some()),
                "{youngest:?}"
            );
        }
        assert!(cache.slots.len() <= 3 * 8, "{}", cache.slots.len());
    }
}
