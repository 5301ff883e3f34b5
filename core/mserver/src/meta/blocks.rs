//! Block entries of a file: written whole, replaced by compare-and-set, cut off, given up.

use std::collections::BTreeMap;

use sdfs_store::KeyRange;
use sdfs_types::calls::names::{BlockWritten, Resize};
use sdfs_types::wire;
use sdfs_types::{
    BlockDescriptor, BlockEntry, BlockIndex, FileDescriptor, FileMetaData, Refusal, RequestId,
    VolumeId,
};

use super::free::FreeEntry;
use super::keys;
use super::machine::Applying;
use super::record::{FileRecord, Place, first_of, place_of, set_at};
use crate::fault::{Applied, unreadable};
use crate::limits::{PAGE_BLOCKS, RECORD_BLOCKS};

/// The record of a file that was written before it got its name; its pages go to the batch.
pub(crate) fn put(
    applying: &mut Applying<'_>,
    request: RequestId,
    file: FileMetaData,
    entries: &[BlockEntry],
) -> FileRecord {
    let in_record = entries.len().min(RECORD_BLOCKS as usize);
    let (first, beyond) = entries.split_at(in_record);
    for (page, entries) in (0..).zip(beyond.chunks(PAGE_BLOCKS as usize)) {
        applying
            .batch
            .put(keys::page(file.descriptor, page), wire::encode(&entries));
    }
    let blocks = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    FileRecord {
        file,
        request,
        blocks,
        first: first.to_vec(),
    }
}

/// Changes the size. Expanding only says so; cutting gives the blocks beyond the end up, which
/// keep their versions so that none is ever given out again.
pub(crate) fn resize(
    applying: &mut Applying<'_>,
    record: &mut FileRecord,
    (size_bytes, resize): (u64, Resize),
    now_ms: u64,
) -> Applied<()> {
    let present = record.file.size_bytes;
    let allowed = match resize {
        Resize::Expand => present..=record.file.block_size.file_bytes_max(),
        Resize::Truncate => 0..=present,
    };
    if !allowed.contains(&size_bytes) {
        return Err(Refusal::OutOfRange {
            what: "the new size".to_owned(),
            value: format!("{size_bytes} bytes"),
            allowed: format!("{} to {} bytes", allowed.start(), allowed.end()),
        }
        .into());
    }
    if size_bytes < present {
        cut(applying, record, size_bytes, now_ms)?;
        record.file.digest = None;
    } else if size_bytes > present {
        record.file.digest = None;
    }
    record.file.size_bytes = size_bytes;
    record.file.modified_ms = now_ms;
    Ok(())
}

/// Sets written blocks, all or none.
pub(crate) fn commit(
    applying: &mut Applying<'_>,
    record: &mut FileRecord,
    written: &[BlockWritten],
    (size_bytes_at_least, now_ms): (u64, u64),
) -> Applied<()> {
    let file_bytes_max = record.file.block_size.file_bytes_max();
    if size_bytes_at_least > file_bytes_max {
        return Err(Refusal::OutOfRange {
            what: "the new size".to_owned(),
            value: format!("{size_bytes_at_least} bytes"),
            allowed: format!("at most {file_bytes_max} bytes"),
        }
        .into());
    }
    let mut pages = Pages::default();
    let mut given_up = GivenUp::default();
    for one in written {
        let block = u32::from(one.block.0);
        let present = pages.entry(applying, record, block)?;
        let is_new = one.entry.version != one.previous && one.entry.version.is_written();
        if present.version != one.previous || !is_new {
            return Err(Refusal::Conflict {
                block,
                current: present.version,
            }
            .into());
        }
        if u64::from(one.entry.length_bytes) > record.file.block_size.bytes() {
            return Err(Refusal::OutOfRange {
                what: format!("the length of block {block}"),
                value: format!("{} bytes", one.entry.length_bytes),
                allowed: format!("at most {} bytes", record.file.block_size.bytes()),
            }
            .into());
        }
        given_up.add(record.file.descriptor, block, present);
        pages.set(record, block, one.entry);
    }
    pages.store(applying, record.file.descriptor);
    given_up.store(applying, now_ms);
    record.file.size_bytes = record.file.size_bytes.max(size_bytes_at_least);
    record.file.modified_ms = now_ms;
    record.file.digest = None;
    Ok(())
}

/// Gives every block of a file that is gone up, and its pages with it.
pub(crate) fn give_up_all(
    applying: &mut Applying<'_>,
    record: &FileRecord,
    now_ms: u64,
) -> Applied<()> {
    let descriptor = record.file.descriptor;
    let mut given_up = GivenUp::default();
    for (block, entry) in (0..).zip(&record.first) {
        given_up.add(descriptor, block, *entry);
    }
    if record.blocks > RECORD_BLOCKS {
        let range = KeyRange::prefix(&keys::pages(descriptor));
        for (key, value) in applying.batch.scan(&range, usize::MAX)? {
            let entries: Vec<BlockEntry> = wire::decode(&value).map_err(unreadable)?;
            if let Some(page) = key.get(9..11).and_then(|page| page.try_into().ok()) {
                for (block, entry) in (first_of(u16::from_be_bytes(page))..).zip(entries) {
                    given_up.add(descriptor, block, entry);
                }
            }
            applying.batch.delete(key);
        }
    }
    given_up.store(applying, now_ms);
    Ok(())
}

/// Gives up what was written for a file that never gets a record.
pub(crate) fn give_up_unmade(
    applying: &mut Applying<'_>,
    descriptor: FileDescriptor,
    entries: &[BlockEntry],
    now_ms: u64,
) {
    let mut given_up = GivenUp::default();
    for (block, entry) in (0..).zip(entries) {
        given_up.add(descriptor, block, *entry);
    }
    given_up.store(applying, now_ms);
}

fn cut(
    applying: &mut Applying<'_>,
    record: &mut FileRecord,
    size_bytes: u64,
    now_ms: u64,
) -> Applied<()> {
    let block_bytes = record.file.block_size.bytes();
    // Fits: a file has at most 65,536 blocks.
    let whole = u32::try_from(size_bytes / block_bytes).unwrap_or(u32::MAX);
    let rest = u32::try_from(size_bytes % block_bytes).unwrap_or(0);
    let mut pages = Pages::default();
    let mut given_up = GivenUp::default();
    for block in whole..record.blocks {
        let present = pages.entry(applying, record, block)?;
        let keeps = if block == whole { rest } else { 0 };
        if present.length_bytes <= keeps {
            continue;
        }
        let entry = if keeps > 0 {
            BlockEntry {
                length_bytes: keeps,
                ..present
            }
        } else {
            given_up.add(record.file.descriptor, block, present);
            BlockEntry {
                version: present.version,
                ..BlockEntry::default()
            }
        };
        pages.set(record, block, entry);
    }
    pages.store(applying, record.file.descriptor);
    given_up.store(applying, now_ms);
    Ok(())
}

/// Pages read and changed by one command.
#[derive(Default)]
struct Pages {
    read: BTreeMap<u16, Vec<BlockEntry>>,
    changed: BTreeMap<u16, ()>,
}

impl Pages {
    fn entry(
        &mut self,
        applying: &Applying<'_>,
        record: &FileRecord,
        block: u32,
    ) -> Applied<BlockEntry> {
        match place_of(block) {
            Place::Record(at) => Ok(record.first.get(at).copied().unwrap_or_default()),
            Place::Page { page, at } => {
                let entries = self.page(applying, record.file.descriptor, page)?;
                Ok(entries.get(at).copied().unwrap_or_default())
            }
        }
    }

    /// Sets an entry whose page [`Pages::entry`] has read.
    fn set(&mut self, record: &mut FileRecord, block: u32, entry: BlockEntry) {
        match place_of(block) {
            Place::Record(at) => set_at(&mut record.first, at, entry),
            Place::Page { page, at } => {
                set_at(self.read.entry(page).or_default(), at, entry);
                self.changed.insert(page, ());
            }
        }
        record.blocks = record.blocks.max(block + 1);
    }

    fn store(self, applying: &mut Applying<'_>, descriptor: FileDescriptor) {
        for page in self.changed.keys() {
            if let Some(entries) = self.read.get(page) {
                applying
                    .batch
                    .put(keys::page(descriptor, *page), wire::encode(entries));
            }
        }
    }

    fn page(
        &mut self,
        applying: &Applying<'_>,
        descriptor: FileDescriptor,
        page: u16,
    ) -> Applied<&Vec<BlockEntry>> {
        let entries = match self.read.remove(&page) {
            Some(entries) => entries,
            None => match applying.batch.get(&keys::page(descriptor, page))? {
                Some(value) => wire::decode(&value).map_err(unreadable)?,
                None => Vec::new(),
            },
        };
        Ok(self.read.entry(page).or_insert(entries))
    }
}

/// Blocks one command gives up, by volume.
#[derive(Default)]
struct GivenUp {
    by_volume: BTreeMap<VolumeId, Vec<BlockDescriptor>>,
}

impl GivenUp {
    fn add(&mut self, file: FileDescriptor, block: u32, entry: BlockEntry) {
        let Ok(index) = u16::try_from(block) else {
            return;
        };
        if !entry.is_hole() {
            let block = BlockDescriptor {
                file,
                block: BlockIndex(index),
                version: entry.version,
            };
            self.by_volume.entry(entry.volume).or_default().push(block);
        }
    }

    fn store(self, applying: &mut Applying<'_>, given_up_ms: u64) {
        for (volume, blocks) in self.by_volume {
            for blocks in blocks.chunks(4 * PAGE_BLOCKS as usize) {
                let entry = FreeEntry {
                    given_up_ms,
                    volume,
                    blocks: blocks.to_vec(),
                };
                let sequence = applying.counters.next_free;
                applying.counters.next_free += 1;
                applying
                    .batch
                    .put(keys::free(sequence), wire::encode(&entry));
            }
        }
    }
}
