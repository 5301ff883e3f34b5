//! Where what is kept in the root group's keyspace. The first byte says what a key is; `v` is the
//! volume map's, `m` the orders' for its upkeep, 0 the raft crate's.

use sdfs_store::KeyRange;
use sdfs_types::{FileDescriptor, FilePath, MetaGroup, ServerId};

use super::contents::ContentKey;

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

/// Directories without a name whose files go to the trash: the descriptor.
pub(crate) const UNLINKED_TRASH: u8 = b'U';
/// Files in the trash: the descriptor.
pub(crate) const TRASH: u8 = b'k';
/// Paths in the trash: the path.
pub(crate) const TRASH_PATH: u8 = b'p';
/// Files in the trash in the order they go: milliseconds, big-endian, the descriptor.
pub(crate) const TRASH_DUE: u8 = b'D';
/// What is counted of the trash.
pub(crate) const TRASH_COUNTERS: u8 = b'K';
/// Files nothing goes on from: those that got a name again when a later life of theirs had been
/// given out, and those whose content names share. The descriptor.
pub(crate) const FOLLOWED: u8 = b'f';
/// Servers: the number, big-endian.
pub(crate) const SERVER: u8 = b's';

/// Files that get no name any more: the descriptor.
pub(crate) const GIVEN_UP: u8 = b'g';

/// Contents names share: the descriptor.
pub(crate) const CONTENT: u8 = b'n';
/// The descriptors of contents names share: digest, owner, group.
pub(crate) const CONTENT_KEY: u8 = b'N';
/// What is counted of them.
pub(crate) const SHARING: u8 = b'C';

/// Where the stamps leased to a dserver end: its number, big-endian.
pub(crate) const STAMPS: u8 = b'S';

/// The key of a content.
pub(crate) fn of_content(content: &ContentKey) -> Vec<u8> {
    let mut key = vec![CONTENT_KEY];
    key.extend_from_slice(&content.digest);
    // No name of a user has a zero byte.
    key.extend_from_slice(content.owner.as_bytes());
    key.push(0);
    if let Some(group) = &content.within {
        key.extend_from_slice(group.as_bytes());
    }
    key
}

/// The key of the stamps of a dserver.
pub(crate) fn of_stamps(server: ServerId) -> Vec<u8> {
    let mut key = vec![STAMPS];
    key.extend_from_slice(&server.0.to_be_bytes());
    key
}

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

/// The key of a path in the trash.
pub(crate) fn of_trash_path(path: &FilePath) -> Vec<u8> {
    let mut key = vec![TRASH_PATH];
    key.extend_from_slice(path.as_str().as_bytes());
    key
}

/// Reads back [`of_trash_path`].
pub(crate) fn trash_path_of(key: &[u8]) -> Option<FilePath> {
    FilePath::parse(std::str::from_utf8(key.get(1..)?).ok()?).ok()
}

/// Where the paths in the trash are that are `path` or lie below it, from after a path on; in
/// order.
pub(crate) fn trash_ranges(path: &FilePath, after: Option<&FilePath>) -> Vec<KeyRange> {
    let mut below = of_trash_path(path);
    let mut ranges = Vec::new();
    if !path.is_root() {
        let itself = below.clone();
        below.push(0);
        ranges.push(KeyRange::between(&itself, &below));
        below.pop();
        below.push(b'/');
    }
    ranges.push(KeyRange::prefix(&below));
    let Some(after) = after.map(of_trash_path) else {
        return ranges;
    };
    let beyond = ranges.into_iter().map(|range| range.after(&after));
    beyond.filter(|range| !range.is_empty()).collect()
}

/// The key of the time a file in the trash goes.
pub(crate) fn of_due(until_ms: u64, descriptor: FileDescriptor) -> Vec<u8> {
    let mut key = vec![TRASH_DUE];
    key.extend_from_slice(&until_ms.to_be_bytes());
    key.extend_from_slice(&descriptor.to_key());
    key
}

/// Reads back [`of_due`].
pub(crate) fn due_of(key: &[u8]) -> Option<(u64, FileDescriptor)> {
    let (until_ms, descriptor) = key.get(1..)?.split_at_checked(8)?;
    let until_ms = u64::from_be_bytes(until_ms.try_into().ok()?);
    Some((until_ms, FileDescriptor::from_key(descriptor)?))
}
