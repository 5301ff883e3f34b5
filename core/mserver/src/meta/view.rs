//! What everybody but the applying task reads of a meta group's state.

use std::sync::Arc;

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
        let Some(value) = self.keyspace()?.get(&keys::record(descriptor))? else {
            return Ok(None);
        };
        let record: Arc<FileRecord> = Arc::new(wire::decode(&value).map_err(unreadable)?);
        self.records.add(descriptor, Some(Arc::clone(&record)));
        Ok(Some(record))
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

    /// At most `limit` entries of the to-be-freed list after one, given up at `before_ms` or
    /// earlier.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn to_free(
        &self,
        after: Option<u64>,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<(u64, FreeEntry)>, ViewFault> {
        let mut range = KeyRange::prefix(&[keys::FREE]);
        if let Some(sequence) = after {
            range = range.after(&keys::free(sequence));
        }
        let mut found = Vec::new();
        for pair in self.keyspace()?.pairs(&range).take(limit) {
            let (key, value) = pair?;
            let entry: FreeEntry = wire::decode(&value).map_err(unreadable)?;
            if entry.given_up_ms > before_ms {
                break;
            }
            if let Some(sequence) = key.get(1..).and_then(|sequence| sequence.try_into().ok()) {
                found.push((u64::from_be_bytes(sequence), entry));
            }
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
