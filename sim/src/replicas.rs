//! What the members of each raft group have made of its log: the same, once they are as far as each
//! other.

use std::collections::BTreeMap;

use bytes::Bytes;
use sdfs_server_group::Role;
use sdfs_store::{KeyRange, Keyspace, Store, StoreError};

use crate::cluster::Cluster;

/// Under this key a state tells which entry it has come to.
const APPLIED_KEY: &[u8] = b"\0applied";
/// Differences told of a group, at most.
const TOLD_MAX: usize = 3;

/// How the members' states of a group compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// They are the same.
    Same,
    /// Some have applied more of the log than others.
    Apart(String),
    /// They have applied the same, and these of them differ.
    Different(Vec<String>),
}

type State = BTreeMap<Bytes, Bytes>;

/// Compares the states of all groups.
pub(crate) fn compare(cluster: &Cluster) -> Compared {
    for group in 0..=cluster.of_role(Role::Mserver).len() {
        match compare_group(cluster, group) {
            Ok(Compared::Same) => {}
            Ok(other) => return other,
            Err(error) => return Compared::Different(vec![error.to_string()]),
        }
    }
    Compared::Same
}

fn compare_group(cluster: &Cluster, group: usize) -> Result<Compared, StoreError> {
    let mut first: Option<(&str, State)> = None;
    for number in cluster.of_role(Role::Mserver) {
        let server = &cluster.servers[number];
        let name = server.config.name.as_str();
        let Some(running) = server.running() else {
            return Ok(Compared::Apart(format!("{name} does not stand")));
        };
        let status = running.status();
        let mut groups = status.groups.iter();
        let is_in = |voters: &[_]| voters.contains(&status.server);
        if !groups.any(|of| usize::from(of.group) == group && is_in(&of.voters)) {
            continue;
        }
        let state = state_of(server.store(), group)?;
        let Some((other, expected)) = &first else {
            first = Some((name, state));
            continue;
        };
        let applied = |state: &State| state.get(APPLIED_KEY).cloned();
        if applied(&state) != applied(expected) {
            let what = format!("{name} and {other} in group {group}");
            return Ok(Compared::Apart(what));
        }
        let different = different(&state, expected);
        if !different.is_empty() {
            let what = different.into_iter().take(TOLD_MAX);
            let what = what.map(|key| format!("group {group} of {name} and {other}: {key}"));
            return Ok(Compared::Different(what.collect()));
        }
    }
    Ok(Compared::Same)
}

/// Keys under which two states have different values.
fn different(one: &State, other: &State) -> Vec<String> {
    let keys = one.keys().chain(other.keys());
    let mut keys: Vec<_> = keys
        .filter(|key| one.get(*key) != other.get(*key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let told = keys.into_iter();
    told.map(|key| format!("{key:?}: {:?} and {:?}", one.get(key), other.get(key)))
        .collect()
}

fn state_of(store: &Store, group: usize) -> Result<State, StoreError> {
    let pairs = live_keyspace(store, group)?.scan(&KeyRange::all(), usize::MAX)?;
    Ok(pairs.into_iter().collect())
}

/// The keyspace a group's state is in now: snapshots are gathered in others.
fn live_keyspace(store: &Store, group: usize) -> Result<Keyspace, StoreError> {
    let generation = store.keyspace("raft")?;
    let generation = generation.get(format!("generation/{group}").as_bytes())?;
    let generation = generation.and_then(|bytes| bytes.first_chunk().copied());
    let generation = generation.map_or(0, u32::from_le_bytes);
    store.keyspace(&format!("group-{group}-{generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pairs: &[(&'static str, &'static str)]) -> State {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| (Bytes::from(*key), Bytes::from(*value)))
            .collect()
    }

    #[test]
    fn states_are_compared_key_by_key() {
        let one = state(&[("a", "1"), ("b", "2")]);
        assert!(different(&one, &one).is_empty());
        assert_eq!(different(&one, &state(&[("a", "1"), ("b", "3")])).len(), 1);
        assert_eq!(different(&one, &state(&[("a", "1"), ("c", "2")])).len(), 2);
    }

    #[test]
    fn a_state_is_that_of_the_last_generation() {
        let store = Store::memory();
        let put = |keyspace: &str, key: &'static str, value: Vec<u8>| {
            let mut batch = store.keyspace(keyspace).unwrap().batch();
            batch.put(key, value);
            batch.commit().unwrap();
        };
        put("group-1-0", "a", b"old".to_vec());
        assert_eq!(state_of(&store, 1).unwrap(), state(&[("a", "old")]));
        put("group-1-2", "a", b"new".to_vec());
        put("raft", "generation/1", vec![2, 0, 0, 0]);
        assert_eq!(state_of(&store, 1).unwrap(), state(&[("a", "new")]));
    }
}
