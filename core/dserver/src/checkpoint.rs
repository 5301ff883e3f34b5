//! The checkpoint of a space: its index as of a place in the log, so that a restart reads only what
//! was appended behind that place.
//!
//! The place is taken before the index is copied and everything before it is durable by then, so
//! the copy holds all of it; what it holds of later records is found again by the replay, which
//! does the same changes twice with the same end.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use sdfs_log::{Disk, Position, crc32c};
use sdfs_types::{BlockDescriptor, VolumeId};

use crate::block_index::StoredBlock;
use crate::block_table::BlockTable;
use crate::limits::{BLOCK_BYTES_MAX, LISTED_AT_ONCE};
use crate::locked::locked;
use crate::space_file::replace;

const NAME: &str = "checkpoint";
const NEW_NAME: &str = "checkpoint.new";
const MAGIC: &[u8; 8] = b"SDFSCHK1";
/// Magic, checksum of what follows, position, number of entries.
const FRONT_BYTES: usize = 8 + 4 + Position::ENCODED_BYTES + 8;
/// Volume, block, segment, offset, length, checksum.
const ENTRY_BYTES: usize = 4 + 12 + 16;

/// A checkpoint read back.
pub(crate) struct Checkpoint {
    /// Where the replay is to begin.
    pub(crate) replay_from: Position,
    /// Blocks known there.
    pub(crate) table: BlockTable,
}

/// Copies the index. `replay_from` must have been the end of the log when everything before it was
/// durable and in the table.
pub(crate) fn encode(replay_from: Position, table: &Mutex<BlockTable>) -> Vec<u8> {
    let mut out = vec![0; FRONT_BYTES];
    let volumes: Vec<VolumeId> = locked(table).volumes.keys().copied().collect();
    for volume in volumes {
        let mut after = None;
        loop {
            let before = out.len();
            after = copy_some(&locked(table), volume, after, &mut out);
            if out.len() == before {
                break;
            }
        }
    }
    let entries = ((out.len() - FRONT_BYTES) / ENTRY_BYTES) as u64;
    out[..8].copy_from_slice(MAGIC);
    out[12..24].copy_from_slice(&replay_from.to_bytes());
    out[24..32].copy_from_slice(&entries.to_le_bytes());
    let crc = crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Replaces the checkpoint of a space.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, encoded: &[u8]) -> io::Result<()> {
    replace(disk, dir, (NEW_NAME, NAME), encoded)
}

/// Copies some entries behind `after` and gives the last of them.
fn copy_some(
    table: &BlockTable,
    volume: VolumeId,
    after: Option<BlockDescriptor>,
    out: &mut Vec<u8>,
) -> Option<BlockDescriptor> {
    let blocks = table.volumes.get(&volume)?;
    let mut last = after;
    for (block, stored) in blocks.index.after(after).take(LISTED_AT_ONCE) {
        out.extend_from_slice(&volume.0.to_le_bytes());
        out.extend_from_slice(&block.to_key());
        for number in [
            stored.segment,
            stored.offset,
            stored.length_bytes,
            stored.crc32c,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        last = Some(block);
    }
    last
}

/// Reads the checkpoint; nothing when there is none or it is damaged, which only costs a longer
/// replay.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Checkpoint>> {
    let file = match disk.open(&dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let bytes = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
    let checkpoint = decode(&file.read_at(0, bytes)?);
    if checkpoint.is_none() {
        tracing::warn!(
            ?dir,
            "the checkpoint is damaged or of another version; the whole log is replayed"
        );
    }
    Ok(checkpoint)
}

/// What the bytes of a checkpoint say; nothing when they are damaged or of another version.
pub(crate) fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let (front, entries) = bytes.split_at_checked(FRONT_BYTES)?;
    let crc = u32::from_le_bytes(*front[8..].first_chunk()?);
    let count = u64::from_le_bytes(*front[24..].first_chunk()?);
    let is_whole = front[..8] == *MAGIC
        && crc32c(&bytes[12..]) == crc
        && entries.len() as u64 == count.checked_mul(ENTRY_BYTES as u64)?;
    if !is_whole {
        return None;
    }
    let mut table = BlockTable::default();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let number = |at: usize| Some(u32::from_le_bytes(*entry[at..].first_chunk()?));
        let block = BlockDescriptor::from_key(&entry[4..16])?;
        let stored = StoredBlock {
            segment: number(16)?,
            offset: number(20)?,
            length_bytes: number(24)?,
            crc32c: number(28)?,
        };
        // No record is so long: whatever wrote this did not know what it wrote.
        if stored.length_bytes > BLOCK_BYTES_MAX {
            return None;
        }
        table.set(VolumeId(number(0)?), block, stored);
    }
    Some(Checkpoint {
        replay_from: Position::from_bytes(*front[12..].first_chunk()?),
        table,
    })
}

#[cfg(test)]
mod tests {
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor};

    use super::*;

    const BEGIN: Position = Position {
        segment: 0,
        offset: 0,
        bytes: 0,
    };

    #[test]
    fn endless_blocks_are_not_believed() {
        let block = BlockDescriptor {
            file: FileDescriptor::default(),
            block: BlockIndex(0),
            version: BlockVersion(1),
        };
        let stored = StoredBlock {
            segment: 1,
            offset: 4_096,
            length_bytes: 9,
            crc32c: 7,
        };
        let mut table = BlockTable::default();
        table.set(VolumeId(1), block, stored);
        let mut bytes = encode(BEGIN, &Mutex::new(table));
        assert!(decode(&bytes).is_some());
        for (length_bytes, is_taken) in [
            (BLOCK_BYTES_MAX, true),
            (BLOCK_BYTES_MAX + 1, false),
            (u32::MAX, false),
        ] {
            let at = FRONT_BYTES + 24;
            bytes[at..at + 4].copy_from_slice(&length_bytes.to_le_bytes());
            let crc = crc32c(&bytes[12..]);
            bytes[8..12].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(decode(&bytes).is_some(), is_taken, "{length_bytes} bytes");
        }
    }
}
