//! Which parts of which blocks a range of a file covers. Nothing here knows where blocks are.

use sdfs_types::limits::PIECE_BYTES;
use sdfs_types::{BlockIndex, BlockSize};

/// A range inside one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The block.
    pub(crate) block: BlockIndex,
    /// Where in the block it begins.
    pub(crate) offset_bytes: u32,
    /// How long it is; never 0.
    pub(crate) length_bytes: u32,
}

/// The parts of a range, in order, cut as they are taken.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    at: u64,
    end: u64,
    block_size: BlockSize,
}

impl Parts {
    /// The parts of `[offset, offset + length)`, as far as a file of that block size can reach.
    pub(crate) fn of(offset: u64, length: u64, block_size: BlockSize) -> Parts {
        let max = block_size.file_bytes_max();
        let end = offset.saturating_add(length).min(max);
        Parts {
            at: offset.min(end),
            end,
            block_size,
        }
    }

    /// The next part, at most to the end of its block and at most `bytes_max` long. A part cut
    /// for its length ends where a piece does, so that no piece is read twice.
    pub(crate) fn next_within(&mut self, bytes_max: u64) -> Option<Part> {
        if self.at >= self.end {
            return None;
        }
        let block_bytes = self.block_size.bytes();
        let offset = self.at % block_bytes;
        let whole = (block_bytes - offset).min(self.end - self.at);
        let length = if bytes_max < whole {
            cut(offset, bytes_max.max(1))
        } else {
            whole
        };
        let block = self.at / block_bytes;
        self.at += length;
        Some(Part {
            block: BlockIndex(within(block)),
            offset_bytes: within(offset),
            length_bytes: within(length),
        })
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        self.next_within(u64::MAX)
    }
}

fn cut(offset: u64, length: u64) -> u64 {
    let piece = u64::from(PIECE_BYTES);
    let end = (offset + length) / piece * piece;
    if end > offset { end - offset } else { length }
}

/// Indices and lengths inside a file fit their types because `end` is at most the largest file.
fn within<T: TryFrom<u64>>(value: u64) -> T {
    match T::try_from(value) {
        Ok(value) => value,
        Err(_) => unreachable!("{value} lies within the largest file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(block: u16, offset_bytes: u32, length_bytes: u32) -> Part {
        Part {
            block: BlockIndex(block),
            offset_bytes,
            length_bytes,
        }
    }

    #[test]
    fn ranges_are_cut_at_blocks() {
        let size = BlockSize::from_bytes(65_536).expect("a block size");
        let table: &[(u64, u64, &[Part])] = &[
            (0, 0, &[]),
            (0, 1, &[part(0, 0, 1)]),
            (65_535, 1, &[part(0, 65_535, 1)]),
            (65_535, 2, &[part(0, 65_535, 1), part(1, 0, 1)]),
            (65_536, 65_536, &[part(1, 0, 65_536)]),
            (
                1,
                131_072,
                &[part(0, 1, 65_535), part(1, 0, 65_536), part(2, 0, 1)],
            ),
            (65_536 * 65_536 - 1, 9, &[part(65_535, 65_535, 1)]),
            (u64::MAX, u64::MAX, &[]),
        ];
        for (offset, length, parts) in table {
            let found: Vec<_> = Parts::of(*offset, *length, size).collect();
            assert_eq!(&found, parts, "{length} bytes at {offset}");
        }
    }

    proptest! {
        #[test]
        fn parts_cover_the_range_once(
            offset in 0u64..1 << 32,
            length in 0u64..1 << 24,
            log2 in 16u8..=26,
            most in 1u64..1 << 27
        ) {
            let size = BlockSize::try_from(log2).expect("a block size");
            let mut parts = Parts::of(offset, length, size);
            let most = most.max(length / 4_096);
            let mut at = offset;
            while let Some(part) = parts.next_within(most) {
                let begin = u64::from(part.block.0) * size.bytes() + u64::from(part.offset_bytes);
                prop_assert_eq!(begin, at);
                let end = u64::from(part.offset_bytes) + u64::from(part.length_bytes);
                prop_assert!(end <= size.bytes());
                prop_assert!(part.length_bytes > 0 && u64::from(part.length_bytes) <= most);
                at += u64::from(part.length_bytes);
            }
            prop_assert_eq!(at, (offset + length).min(size.file_bytes_max()).max(at));
        }
    }
}
