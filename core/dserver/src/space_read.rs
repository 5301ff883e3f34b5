//! Reading blocks of a space, verified.

use std::ops::Range;

use bytes::Bytes;
use sdfs_log::{ReadError, StoredRecord, crc32c};
use sdfs_types::limits::PIECE_BYTES;
use sdfs_types::{BlockDescriptor, VolumeId};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::block_index::StoredBlock;
use crate::block_record::{Head, block_head_bytes, decode, piece_sums};
use crate::block_table::{Known, position_of};
use crate::limits::INLINE_READ_BYTES_MAX;
use crate::locked::locked;
use crate::space::Space;

/// Why a block could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum LoadFault {
    /// It is not kept here.
    #[error("the block is not kept here")]
    Absent,
    /// Its bytes are damaged; it is forgotten and will be fetched from another member.
    #[error("the bytes of the block are damaged")]
    Damaged,
    /// Too many reads wait for the disk.
    #[error("too many reads wait for the disk")]
    Busy,
    /// The disk failed.
    #[error("the disk failed")]
    Failed,
}

/// A block or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Where in the block `bytes` begins.
    pub(crate) offset_bytes: u32,
    pub(crate) bytes: Bytes,
    pub(crate) block_bytes: u32,
    /// CRC-32C of the whole block.
    pub(crate) crc32c: u32,
    /// Of each piece in `bytes`; empty when it is the whole block.
    pub(crate) pieces: Vec<u32>,
}

/// What is read of a record to answer for a range of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// Pieces by their numbers.
    Pieces(Range<u32>),
}

/// The pieces that cover a range of a block, or all of it.
fn part_for(offset: u32, length: u32, block_bytes: u32) -> Part {
    let end = offset.saturating_add(length).min(block_bytes);
    let first = offset.min(end) / PIECE_BYTES;
    let last = end.div_ceil(PIECE_BYTES).max(first + 1);
    let pieces = block_bytes.div_ceil(PIECE_BYTES);
    if pieces <= 1 || (first == 0 && last >= pieces) {
        Part::Whole
    } else {
        Part::Pieces(first.min(pieces - 1)..last.min(pieces))
    }
}

impl Space {
    /// What is known of a block that can be read.
    pub(crate) fn look_up(&self, volume: VolumeId, block: &BlockDescriptor) -> Option<StoredBlock> {
        match locked(&self.table).known(volume, block) {
            Known::Stored(stored) => Some(stored),
            Known::Absent | Known::Pending(_) => None,
        }
    }

    /// A small block that is in the page cache; nothing when the disk must be waited for or
    /// anything is out of the ordinary.
    pub(crate) fn load_now(
        &self,
        volume: VolumeId,
        block: &BlockDescriptor,
        (offset, length): (u32, u32),
    ) -> Option<Loaded> {
        let stored = self.look_up(volume, block)?;
        let is_small = stored.length_bytes <= INLINE_READ_BYTES_MAX;
        if !is_small || part_for(offset, length, stored.length_bytes) != Part::Whole {
            return None;
        }
        let record = self.log.read_now(position_of(&stored)).ok()??;
        whole(volume, block, &stored, record)
    }

    /// Reads a range of a block, widened to whole pieces. Waits for the disk on a reader thread.
    pub(crate) async fn load(
        &self,
        volume: VolumeId,
        block: BlockDescriptor,
        (offset, length): (u32, u32),
    ) -> Result<Loaded, LoadFault> {
        self.wait_for_pending(volume, &block).await;
        let mut tried: Option<StoredBlock> = None;
        loop {
            let stored = self.look_up(volume, &block).ok_or(LoadFault::Absent)?;
            // A block found damaged may have been moved by the compaction in between; then its
            // old place was used again, and the new one is good.
            if tried == Some(stored) {
                return Err(self.put_aside(volume, block, &stored));
            }
            let loaded = match part_for(offset, length, stored.length_bytes) {
                Part::Whole => self.load_whole(volume, &block, &stored).await,
                Part::Pieces(pieces) => self.load_pieces((volume, &block), &stored, pieces).await,
            };
            match loaded {
                Err(LoadFault::Damaged) => tried = Some(stored),
                loaded => return loaded,
            }
        }
    }

    /// A block may be acknowledged before it is on the disk, when its writer asked for that.
    async fn wait_for_pending(&self, volume: VolumeId, block: &BlockDescriptor) {
        let told = {
            let mut table = locked(&self.table);
            if !matches!(table.known(volume, block), Known::Pending(_)) {
                return;
            }
            let (tell, told) = oneshot::channel();
            table.wait(volume, block, tell);
            told
        };
        // Whatever became of it, the index says it now.
        drop(told.await);
    }

    async fn load_whole(
        &self,
        volume: VolumeId,
        block: &BlockDescriptor,
        stored: &StoredBlock,
    ) -> Result<Loaded, LoadFault> {
        let record = self
            .log
            .read_async(position_of(stored))
            .await
            .map_err(load_fault)?;
        whole(volume, block, stored, record).ok_or(LoadFault::Damaged)
    }

    async fn load_pieces(
        &self,
        (volume, block): (VolumeId, &BlockDescriptor),
        stored: &StoredBlock,
        pieces: Range<u32>,
    ) -> Result<Loaded, LoadFault> {
        let position = position_of(stored);
        let head_bytes = block_head_bytes(stored.length_bytes);
        let head = self
            .log
            .read_body(position, 0..head_bytes)
            .await
            .map_err(load_fault)?;
        let start = pieces.start * PIECE_BYTES;
        let end = (pieces.end * PIECE_BYTES).min(stored.length_bytes);
        let body = head_bytes + start..head_bytes + end;
        let bytes = self
            .log
            .read_body(position, body)
            .await
            .map_err(load_fault)?;
        // The segment may have been given up and used again while this one waited.
        if decode(&head) != Some(head_of(volume, block, stored)) {
            return Err(LoadFault::Damaged);
        }
        let sums = piece_sums(&head);
        let sums = sums.get(pieces.start as usize..pieces.end as usize);
        let sums = sums.ok_or(LoadFault::Damaged)?.to_vec();
        let found = bytes.chunks(PIECE_BYTES as usize).map(crc32c);
        if !found.eq(sums.iter().copied()) {
            return Err(LoadFault::Damaged);
        }
        Ok(Loaded {
            offset_bytes: start,
            bytes,
            block_bytes: stored.length_bytes,
            crc32c: stored.crc32c,
            pieces: sums,
        })
    }

    /// Puts a damaged block aside, unless it was moved or freed meanwhile.
    fn put_aside(&self, volume: VolumeId, block: BlockDescriptor, at: &StoredBlock) -> LoadFault {
        let at = position_of(at);
        if locked(&self.table).quarantine(volume, block, at) {
            tracing::error!(space = ?self.path, %volume, %block, ?at, "a block is damaged");
            LoadFault::Damaged
        } else {
            LoadFault::Absent
        }
    }

    /// Reads a block on this thread and says whether it is right; a damaged one is put aside.
    pub(crate) fn verify(&self, volume: VolumeId, block: BlockDescriptor) -> Result<(), LoadFault> {
        let mut tried: Option<StoredBlock> = None;
        loop {
            let stored = self.look_up(volume, &block).ok_or(LoadFault::Absent)?;
            if tried == Some(stored) {
                return Err(self.put_aside(volume, block, &stored));
            }
            let record = self.log.read(position_of(&stored)).map_err(load_fault);
            let loaded =
                record.and_then(|r| whole(volume, &block, &stored, r).ok_or(LoadFault::Damaged));
            match loaded {
                Err(LoadFault::Damaged) => tried = Some(stored),
                loaded => return loaded.map(drop),
            }
        }
    }
}

/// The whole block of a record, if it is the one the index means.
fn whole(
    volume: VolumeId,
    block: &BlockDescriptor,
    stored: &StoredBlock,
    record: StoredRecord,
) -> Option<Loaded> {
    let expected = head_of(volume, block, stored);
    let is_right = record.data_crc == stored.crc32c && decode(&record.head) == Some(expected);
    is_right.then(|| Loaded {
        offset_bytes: 0,
        bytes: record.data,
        block_bytes: stored.length_bytes,
        crc32c: stored.crc32c,
        pieces: Vec::new(),
    })
}

fn head_of(volume: VolumeId, block: &BlockDescriptor, stored: &StoredBlock) -> Head {
    Head::Block {
        volume,
        block: *block,
        crc32c: stored.crc32c,
    }
}

fn load_fault(error: ReadError) -> LoadFault {
    match error {
        ReadError::Full => LoadFault::Busy,
        ReadError::Closed => LoadFault::Failed,
        // A disk that cannot read a sector has lost what was in it, like one that returns other
        // bytes; what else it can read is still worth having.
        _ => LoadFault::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u32 = PIECE_BYTES;

    #[test]
    fn ranges_are_widened_to_pieces() {
        let table = [
            // offset, length, block, part
            (0, 10, 100, Part::Whole),
            (0, u32::MAX, 4 * P, Part::Whole),
            (0, 1, 4 * P, Part::Pieces(0..1)),
            (P - 1, 2, 4 * P, Part::Pieces(0..2)),
            (P, P, 4 * P, Part::Pieces(1..2)),
            (3 * P + 5, u32::MAX, 3 * P + 10, Part::Pieces(3..4)),
            (0, 3 * P + 1, 3 * P + 10, Part::Whole),
            (10 * P, 1, 4 * P, Part::Pieces(3..4)),
            (P, 0, 4 * P, Part::Pieces(1..2)),
        ];
        for (offset, length, block, part) in table {
            assert_eq!(
                part_for(offset, length, block),
                part,
                "{offset} {length} {block}"
            );
        }
    }
}
