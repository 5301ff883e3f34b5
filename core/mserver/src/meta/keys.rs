//! Where what is kept in a meta group's keyspace. The first byte says what a key is; 0 is the
//! raft crate's.

use sdfs_types::FileDescriptor;

/// Records: the file's descriptor.
pub(crate) const RECORD: u8 = b'f';
/// Pages of block entries beyond the record: the file's descriptor, the page.
pub(crate) const PAGE: u8 = b'b';
/// Blocks to be freed, in order: a counter, big-endian.
pub(crate) const FREE: u8 = b'g';
/// Outcomes of requests: a slot, big-endian.
pub(crate) const OUTCOME: u8 = b'o';
/// Files that were removed: a slot, big-endian.
pub(crate) const REMOVED: u8 = b'x';
/// The counters.
pub(crate) const COUNTERS: u8 = b'c';

/// The key of a file's record.
pub(crate) fn record(descriptor: FileDescriptor) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(RECORD);
    key.extend_from_slice(&descriptor.to_key());
    key
}

/// The beginning of the keys of a file's pages.
pub(crate) fn pages(descriptor: FileDescriptor) -> Vec<u8> {
    let mut key = Vec::with_capacity(11);
    key.push(PAGE);
    key.extend_from_slice(&descriptor.to_key());
    key
}

/// The key of one page.
pub(crate) fn page(descriptor: FileDescriptor, page: u16) -> Vec<u8> {
    let mut key = pages(descriptor);
    key.extend_from_slice(&page.to_be_bytes());
    key
}

/// The key of what is to be freed.
pub(crate) fn free(sequence: u64) -> Vec<u8> {
    let mut key = vec![FREE];
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}
