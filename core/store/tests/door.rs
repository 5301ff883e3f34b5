//! The store's door, driven the same way on disk and in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use proptest::prelude::*;
use sdfs_store::{KeyRange, Store, StoreError};
use std::collections::BTreeMap;

fn both(check: impl Fn(&Store)) {
    let dir = tempfile::tempdir().unwrap();
    check(&Store::open(dir.path()).unwrap());
    check(&Store::memory());
}

fn keys(pairs: Vec<(Bytes, Bytes)>) -> Vec<Bytes> {
    pairs.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn committed_batch_is_visible_whole() {
    both(|store| {
        let names = store.keyspace("names").unwrap();
        let mut batch = names.batch();
        batch.put("a", "1");
        batch.put("b", "2");
        assert_eq!(names.get(b"a").unwrap(), None);
        batch.commit().unwrap();
        assert_eq!(names.get(b"a").unwrap().unwrap(), "1");
        assert_eq!(names.get(b"b").unwrap().unwrap(), "2");
    });
}

#[test]
fn scan_pages_in_key_order() {
    both(|store| {
        let names = store.keyspace("names").unwrap();
        let mut batch = names.batch();
        for key in ["d/1", "d/2", "d/3", "d0", "c"] {
            batch.put(key, "x");
        }
        batch.commit().unwrap();
        let all = KeyRange::prefix(b"d/");
        assert_eq!(keys(names.scan(&all, 2).unwrap()), ["d/1", "d/2"]);
        assert_eq!(keys(names.scan(&all.after(b"d/2"), 2).unwrap()), ["d/3"]);
    });
}

#[test]
fn snapshot_ignores_later_batches() {
    both(|store| {
        let names = store.keyspace("names").unwrap();
        let mut batch = names.batch();
        batch.put("a", "old");
        batch.put("b", "old");
        batch.commit().unwrap();
        let snapshot = names.snapshot();
        let mut pairs = snapshot.pairs(&KeyRange::all());
        let mut batch = names.batch();
        batch.put("a", "new");
        batch.delete("b");
        batch.commit().unwrap();
        assert_eq!(pairs.next().unwrap().unwrap().1, "old");
        assert_eq!(pairs.next().unwrap().unwrap().1, "old");
        assert_eq!(snapshot.get(b"b").unwrap().unwrap(), "old");
        assert_eq!(names.get(b"b").unwrap(), None);
    });
}

#[test]
fn keyspaces_are_apart() {
    both(|store| {
        let mut batch = store.keyspace("one").unwrap().batch();
        batch.put("a", "1");
        batch.commit().unwrap();
        assert_eq!(store.keyspace("two").unwrap().get(b"a").unwrap(), None);
        assert_eq!(store.keyspace_names(), ["one", "two"]);
    });
}

#[test]
fn removed_keyspace_returns_empty() {
    both(|store| {
        let mut batch = store.keyspace("one").unwrap().batch();
        batch.put("a", "1");
        batch.commit().unwrap();
        store
            .remove_keyspace(store.keyspace("one").unwrap())
            .unwrap();
        assert!(store.keyspace_names().is_empty());
        assert_eq!(store.keyspace("one").unwrap().get(b"a").unwrap(), None);
    });
}

#[test]
fn impossible_key_fails_the_commit() {
    both(|store| {
        let names = store.keyspace("names").unwrap();
        let mut batch = names.batch();
        batch.put("a", "1");
        batch.put(Bytes::new(), "2");
        assert!(matches!(
            batch.commit(),
            Err(StoreError::KeyLength { bytes: 0 })
        ));
        assert_eq!(names.get(b"a").unwrap(), None);
    });
}

#[test]
fn reopened_store_holds_its_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let names = store.keyspace("names").unwrap();
    let mut batch = names.batch();
    batch.put("a", "1");
    batch.commit().unwrap();
    drop((names, store));
    let names = Store::open(dir.path()).unwrap().keyspace("names").unwrap();
    assert_eq!(names.get(b"a").unwrap().unwrap(), "1");
}

#[test]
fn second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path()).unwrap();
    assert!(matches!(
        Store::open(dir.path()),
        Err(StoreError::Locked { .. })
    ));
}

#[test]
fn power_loss_leaves_what_was_persisted() {
    let store = Store::memory();
    let names = store.keyspace("names").unwrap();
    for (key, is_persisted) in [("a", true), ("b", false)] {
        let mut batch = names.batch();
        batch.put(key, "1");
        batch.commit().unwrap();
        if is_persisted {
            store.persist().unwrap();
        }
    }
    let names = store.after_power_loss().keyspace("names").unwrap();
    assert_eq!(keys(names.scan(&KeyRange::all(), 9).unwrap()), ["a"]);
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeletePrefix(Vec<u8>),
    Commit,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0_u8..3, Just(255)], 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::DeletePrefix),
        1 => Just(Step::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn batch_reads_like_a_map(steps in prop::collection::vec(step(), 1..40), from in key()) {
        both(|store| {
            let keyspace = store.keyspace("k").unwrap();
            let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
            let mut batch = keyspace.batch();
            for step in steps.clone() {
                match step {
                    Step::Put(key, value) => {
                        model.insert(key.clone(), value.clone());
                        batch.put(key, value);
                    }
                    Step::Delete(key) => {
                        model.remove(&key);
                        batch.delete(key);
                    }
                    Step::DeletePrefix(prefix) => {
                        model.retain(|key, _| !key.starts_with(&prefix));
                        batch.delete_range(&KeyRange::prefix(&prefix)).unwrap();
                    }
                    Step::Commit => {
                        std::mem::replace(&mut batch, keyspace.batch()).commit().unwrap();
                    }
                }
                let range = KeyRange::all().after(&from);
                let wanted: Vec<_> =
                    model.iter().filter(|(key, _)| **key > from).take(3).collect();
                let found = batch.scan(&range, 3).unwrap();
                assert_eq!(found.len(), wanted.len());
                for ((key, value), wanted) in found.iter().zip(wanted) {
                    assert_eq!((&key.to_vec(), &value.to_vec()), wanted);
                }
            }
            batch.commit().unwrap();
            let all = keyspace.scan(&KeyRange::all(), usize::MAX).unwrap();
            let all: BTreeMap<_, _> =
                all.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            assert_eq!(all, model);
        });
    }
}
