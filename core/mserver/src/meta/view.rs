//! What everybody but the applying task reads of a meta group's state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

use sdfs_store::{KeyRange, Keyspace};
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{BlockEntry, BlockPage, FileDescriptor};

use super::free::FreeEntry;
use super::keys;
use super::record::{FileRecord, Place, first_of, place_of};
use crate::cache::Cache;
use crate::fault::unreadable;
use crate::limits::PAGE_BLOCKS;
use crate::root::ViewFault;

/// A meta group's state at this server. Fresh after a read barrier of the group, else as far as
/// this server has come.
pub struct MetaView {
    pub(crate) keyspace: watch::Receiver<Option<Keyspace>>,
    pub(crate) records: Cache<FileDescriptor, FileRecord>,
    /// No file with a higher id has a record: most new files need no look for an older one.
    pub(crate) highest_id: AtomicU32,
    /// Nothing before this place is in the to-be-freed list, and nothing will ever be: deleted
    /// keys cost a scan too.
    pub(crate) free_from: AtomicU64,
    /// The place before which the entries of the list are to be seen.
    pub(crate) next_free: AtomicU64,
}

impl MetaView {
    /// A file's record.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn record(&self, descriptor: FileDescriptor) -> Result<Option<Arc<FileRecord>>, ViewFault> {
        if let Some(known) = self.records.get(&descriptor) {
            return Ok(known);
        }
        if self.is_new(descriptor) {
            return Ok(None);
        }
        let Some(value) = self.keyspace()?.get(&keys::record(descriptor))? else {
            return Ok(None);
        };
        let record: Arc<FileRecord> = Arc::new(wire::decode(&value).map_err(unreadable)?);
        self.records.add(descriptor, Some(Arc::clone(&record)));
        Ok(Some(record))
    }

    /// Whether a file surely has no record, without a look into the keyspace.
    pub(crate) fn is_new(&self, descriptor: FileDescriptor) -> bool {
        descriptor.id.0 > self.highest_id.load(Ordering::Relaxed)
    }

    /// A file's size, without decoding the rest of its record.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn size_bytes(&self, descriptor: FileDescriptor) -> Result<Option<u64>, ViewFault> {
        if let Some(known) = self.records.get(&descriptor) {
            return Ok(known.map(|record| record.file.size_bytes));
        }
        let Some(value) = self.keyspace()?.get(&keys::record(descriptor))? else {
            return Ok(None);
        };
        // A record begins with the file's descriptor and size, after the version of the wire form.
        let begin =
            postcard::take_from_bytes::<(FileDescriptor, u64)>(value.get(1..).unwrap_or(&[]));
        let ((_, size_bytes), _) = begin.map_err(|fault| unreadable(WireFault::Record(fault)))?;
        Ok(Some(size_bytes))
    }

    /// At most `limit` files that have a record, after one, in order; and whether there are more.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn files_after(
        &self,
        after: Option<FileDescriptor>,
        limit: usize,
    ) -> Result<(Vec<FileDescriptor>, bool), ViewFault> {
        let mut range = KeyRange::prefix(&[keys::RECORD]);
        if let Some(after) = after {
            range = range.after(&keys::record(after));
        }
        let mut files = Vec::with_capacity(limit);
        for pair in self.keyspace()?.pairs(&range).take(limit + 1) {
            files.extend(FileDescriptor::from_key(&pair?.0[1..]));
        }
        let more = files.len() > limit;
        files.truncate(limit);
        Ok((files, more))
    }

    /// A run of a file's block entries; shorter at the end of what was ever written.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn blocks(
        &self,
        record: &FileRecord,
        first: u32,
        count: u32,
    ) -> Result<BlockPage, ViewFault> {
        let end = first.saturating_add(count).min(record.blocks);
        let mut entries = Vec::with_capacity(end.saturating_sub(first) as usize);
        let mut block = first;
        while block < end {
            match place_of(block) {
                Place::Record(at) => {
                    entries.push(record.first.get(at).copied().unwrap_or_default());
                    block += 1;
                }
                Place::Page { page, at } => {
                    let stored = self.page(record.file.descriptor, page)?;
                    let page_end = (first_of(page) + PAGE_BLOCKS).min(end);
                    let wanted = (page_end - block) as usize;
                    let hole = BlockEntry::default();
                    entries.extend(
                        (at..at + wanted).map(|at| stored.get(at).copied().unwrap_or(hole)),
                    );
                    block = page_end;
                }
            }
        }
        Ok(BlockPage { first, entries })
    }

    /// The place before which every entry of the to-be-freed list is.
    pub fn next_free(&self) -> u64 {
        self.next_free.load(Ordering::Acquire)
    }

    /// At most `limit` entries of the to-be-freed list after one and before a place.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn to_free(
        &self,
        after: Option<u64>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<(u64, FreeEntry)>, ViewFault> {
        let from = after.map_or_else(|| self.free_from.load(Ordering::Relaxed), |after| after + 1);
        let before = before.min(self.next_free());
        if from >= before {
            return Ok(Vec::new());
        }
        let range = KeyRange::between(&keys::free(from), &keys::free(before));
        let mut found = Vec::new();
        for pair in self.keyspace()?.pairs(&range).take(limit) {
            let (key, value) = pair?;
            let sequence = key.get(1..).and_then(|sequence| sequence.try_into().ok());
            let Some(sequence) = sequence.map(u64::from_be_bytes) else {
                continue;
            };
            found.push((sequence, wire::decode(&value).map_err(unreadable)?));
        }
        if after.is_none() {
            let first = found.first().map(|(sequence, _)| *sequence);
            let from = first.unwrap_or(before);
            self.free_from.fetch_max(from, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn page(&self, descriptor: FileDescriptor, page: u16) -> Result<Vec<BlockEntry>, ViewFault> {
        match self.keyspace()?.get(&keys::page(descriptor, page))? {
            Some(value) => Ok(wire::decode(&value).map_err(unreadable)?),
            None => Ok(Vec::new()),
        }
    }

    fn keyspace(&self) -> Result<Keyspace, ViewFault> {
        self.keyspace.borrow().clone().ok_or(ViewFault::NotOpen)
    }
}
