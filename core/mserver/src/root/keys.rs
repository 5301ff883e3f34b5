//! Where what is kept in the root group's keyspace. The first byte says what a key is; `v` is the
//! volume map's, 0 the raft crate's.

use sdfs_types::{FileDescriptor, MetaGroup};

/// Directory entries: parent's descriptor, name.
pub(crate) const ENTRY: u8 = b'e';
/// Tombstones: parent's descriptor, name.
pub(crate) const TOMBSTONE: u8 = b't';
/// Tombstones in the order they were made: a counter, big-endian.
pub(crate) const TOMBSTONE_ORDER: u8 = b'T';
/// Outcomes of requests: a slot, big-endian.
pub(crate) const OUTCOME: u8 = b'o';
/// The counters.
pub(crate) const COUNTERS: u8 = b'c';
/// Quotas: the directory's descriptor.
pub(crate) const QUOTA: u8 = b'q';
/// Users: the name.
pub(crate) const USER: u8 = b'w';
/// Files whose meta-data is to be removed: meta group, a counter, big-endian. In order, so that
/// looking for the next never passes what was removed before: deleted keys cost a scan too.
pub(crate) const REMOVAL: u8 = b'd';
/// Directories without a name whose entries are to be swept: the descriptor.
pub(crate) const UNLINKED: u8 = b'u';

/// The key of what `kind` keeps about a file or directory.
pub(crate) fn of_descriptor(kind: u8, descriptor: FileDescriptor) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(kind);
    key.extend_from_slice(&descriptor.to_key());
    key
}

/// The key of what `kind` keeps about a name in a directory.
pub(crate) fn of_name(kind: u8, parent: FileDescriptor, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + name.len());
    key.push(kind);
    key.extend_from_slice(&parent.to_key());
    key.extend_from_slice(name.as_bytes());
    key
}

/// The key of a user.
pub(crate) fn of_user(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(USER);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The key of a counted tombstone.
pub(crate) fn of_order(sequence: u64) -> Vec<u8> {
    let mut key = vec![TOMBSTONE_ORDER];
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The beginning of the keys of a meta group's removals.
pub(crate) fn of_removals(group: MetaGroup) -> Vec<u8> {
    vec![REMOVAL, group.0]
}

/// The key of one removal.
pub(crate) fn of_removal(group: MetaGroup, sequence: u64) -> Vec<u8> {
    let mut key = of_removals(group);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}
