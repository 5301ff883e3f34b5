//! Heads of the records in a space's log. Pure; `docs/DISK.md` describes the same byte by byte.

use bytes::{Bytes, BytesMut};

use sdfs_log::{Crc32c, crc32c};
use sdfs_types::limits::PIECE_BYTES;
use sdfs_types::{BlockDescriptor, VolumeId};

use crate::limits::FREED_BLOCKS_MAX;

const KIND_BLOCK: u8 = 1;
const KIND_FREED: u8 = 2;
/// Kind, three zeroes, volume, block, checksum.
const BLOCK_HEAD_BYTES: usize = 24;
const KEY_BYTES: usize = 12;
const FREED_FRONT_BYTES: usize = 8;

/// The head of a record, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A block, whose bytes are the record's data.
    Block {
        volume: VolumeId,
        block: BlockDescriptor,
        crc32c: u32,
    },
    /// Blocks that are no longer any file's; records of them before this one are dead.
    Freed {
        volume: VolumeId,
        blocks: Vec<BlockDescriptor>,
    },
}

/// Checksums of a block's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSums {
    /// CRC-32C of the block.
    pub(crate) whole: u32,
    /// Of each piece of `PIECE_BYTES`; empty when there is only one.
    pub(crate) pieces: Vec<u32>,
}

impl BlockSums {
    /// Computes the checksums, however the bytes are cut. Each run is summed twice while it is in
    /// the cache: combining the sums of pieces costs ten times as much.
    pub(crate) fn of(parts: &[Bytes]) -> Self {
        let length: usize = parts.iter().map(Bytes::len).sum();
        if let [only] = parts
            && only.len() <= PIECE_BYTES as usize
        {
            return Self {
                whole: crc32c(only),
                pieces: Vec::new(),
            };
        }
        let mut whole = Crc32c::new();
        let mut pieces = Vec::with_capacity(length.div_ceil(PIECE_BYTES as usize));
        let (mut piece, mut room) = (Crc32c::new(), PIECE_BYTES as usize);
        for mut part in parts.iter().map(AsRef::as_ref) {
            while !part.is_empty() {
                let (now, rest): (&[u8], &[u8]) = part.split_at(room.min(part.len()));
                whole.update(now);
                piece.update(now);
                room -= now.len();
                if room == 0 {
                    pieces.push(std::mem::take(&mut piece).sum());
                    room = PIECE_BYTES as usize;
                }
                part = rest;
            }
        }
        if room < PIECE_BYTES as usize {
            pieces.push(piece.sum());
        }
        if length <= PIECE_BYTES as usize {
            pieces.clear();
        }
        Self {
            whole: whole.sum(),
            pieces,
        }
    }
}

/// Bytes of a block record's head, which follow from the block's length.
pub(crate) fn block_head_bytes(length_bytes: u32) -> u32 {
    let pieces = length_bytes.div_ceil(PIECE_BYTES);
    BLOCK_HEAD_BYTES as u32 + if pieces > 1 { 4 * pieces } else { 0 }
}

/// The head of a block's record.
pub(crate) fn encode_block(volume: VolumeId, block: BlockDescriptor, sums: &BlockSums) -> Bytes {
    let mut head = BytesMut::with_capacity(BLOCK_HEAD_BYTES + 4 * sums.pieces.len());
    head.extend_from_slice(&[KIND_BLOCK, 0, 0, 0]);
    head.extend_from_slice(&volume.0.to_le_bytes());
    head.extend_from_slice(&block.to_key());
    head.extend_from_slice(&sums.whole.to_le_bytes());
    for piece in &sums.pieces {
        head.extend_from_slice(&piece.to_le_bytes());
    }
    head.freeze()
}

/// The head of a record of freed blocks, at most `FREED_BLOCKS_MAX` of them.
pub(crate) fn encode_freed(volume: VolumeId, blocks: &[BlockDescriptor]) -> Bytes {
    assert!(
        blocks.len() <= FREED_BLOCKS_MAX,
        "freed blocks come in portions"
    );
    let mut head = BytesMut::with_capacity(FREED_FRONT_BYTES + KEY_BYTES * blocks.len());
    head.extend_from_slice(&[KIND_FREED, 0, 0, 0]);
    head.extend_from_slice(&volume.0.to_le_bytes());
    for block in blocks {
        head.extend_from_slice(&block.to_key());
    }
    head.freeze()
}

/// Reads a record's head; nothing for one of a kind that is not known.
pub(crate) fn decode(head: &[u8]) -> Option<Head> {
    let (front, rest) = head.split_at_checked(FREED_FRONT_BYTES)?;
    let volume = VolumeId(u32_of(&front[4..])?);
    match front[0] {
        KIND_BLOCK => {
            let (key, sums) = rest.split_at_checked(KEY_BYTES)?;
            let block = BlockDescriptor::from_key(key)?;
            Some(Head::Block {
                volume,
                block,
                crc32c: u32_of(sums)?,
            })
        }
        KIND_FREED if rest.len() <= KEY_BYTES * FREED_BLOCKS_MAX => {
            let blocks = rest.chunks(KEY_BYTES).map(BlockDescriptor::from_key);
            Some(Head::Freed {
                volume,
                blocks: blocks.collect::<Option<_>>()?,
            })
        }
        _ => None,
    }
}

/// The piece checksums in the head of a block's record.
pub(crate) fn piece_sums(head: &[u8]) -> Vec<u32> {
    let pieces = head.get(BLOCK_HEAD_BYTES..).unwrap_or_default();
    pieces.chunks_exact(4).filter_map(u32_of).collect()
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor, FileId, FileVersion};

    fn block(n: u16) -> BlockDescriptor {
        BlockDescriptor {
            file: FileDescriptor {
                id: FileId(0x0a0b_0c0d),
                version: FileVersion(2),
            },
            block: BlockIndex(n),
            version: BlockVersion(65_535),
        }
    }

    #[test]
    fn block_head_golden_bytes() {
        let sums = BlockSums {
            whole: 0x1122_3344,
            pieces: vec![],
        };
        let head = encode_block(VolumeId(5), block(65_535), &sums);
        let expected =
            b"\x01\0\0\0\x05\0\0\0\x0a\x0b\x0c\x0d\0\0\0\x02\xff\xff\xff\xff\x44\x33\x22\x11";
        assert_eq!(&head[..], expected);
        assert_eq!(head.len() as u32, block_head_bytes(65_536));
    }

    #[test]
    fn unknown_kind_is_nothing() {
        assert_eq!(decode(&[9, 0, 0, 0, 1, 0, 0, 0]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[KIND_FREED, 0, 0, 0, 1, 0, 0, 0, 7]), None);
    }

    #[test]
    fn freed_blocks_read_back() {
        let blocks: Vec<_> = (0..100).map(block).collect();
        let head = encode_freed(VolumeId(9), &blocks);
        assert_eq!(
            decode(&head),
            Some(Head::Freed {
                volume: VolumeId(9),
                blocks
            })
        );
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_cut(
            length in 0_usize..300_000, cuts in proptest::collection::vec(0_usize..300_000, 0..6),
        ) {
            let whole: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            let whole = Bytes::from(whole);
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(length)).collect();
            at.extend([0, length]);
            at.sort_unstable();
            let parts: Vec<Bytes> = at.windows(2).map(|w| whole.slice(w[0]..w[1])).collect();
            let sums = BlockSums::of(&parts);
            prop_assert_eq!(sums.whole, crc32c(&whole));
            let pieces: Vec<u32> = whole.chunks(PIECE_BYTES as usize).map(crc32c).collect();
            prop_assert_eq!(&sums.pieces, &if pieces.len() > 1 { pieces } else { vec![] });
            let head = encode_block(VolumeId(1), block(3), &sums);
            prop_assert_eq!(head.len() as u32, block_head_bytes(length as u32));
            prop_assert_eq!(piece_sums(&head), sums.pieces);
            let expected = Head::Block { volume: VolumeId(1), block: block(3), crc32c: sums.whole };
            prop_assert_eq!(decode(&head), Some(expected));
        }
    }
}
