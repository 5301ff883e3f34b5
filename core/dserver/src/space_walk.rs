//! Walking through the blocks of a space: inventories and scrubbing.

use sdfs_types::calls::blocks::BlockKept;
use sdfs_types::{BlockDescriptor, VolumeId};

use crate::limits::LISTED_AT_ONCE;
use crate::locked::locked;
use crate::space::Space;
use crate::space_read::LoadFault;

impl Space {
    /// Reads and verifies every block; damaged ones are put aside and given back. Blocks for as
    /// long as that takes.
    pub(crate) fn scrub(&self) -> Vec<(VolumeId, BlockDescriptor)> {
        let mut at = None;
        let mut damaged = Vec::new();
        while let Some((volume, block, _)) = self.block_after(at) {
            at = Some((volume, block));
            if self.verify(volume, block) == Err(LoadFault::Damaged) {
                damaged.push((volume, block));
            }
        }
        damaged
    }

    /// The block behind one, in the order of volumes and blocks, and its length.
    pub(crate) fn block_after(
        &self,
        at: Option<(VolumeId, BlockDescriptor)>,
    ) -> Option<(VolumeId, BlockDescriptor, u32)> {
        let table = locked(&self.table);
        let from = at.map_or(VolumeId(0), |(volume, _)| volume);
        table.volumes.range(from..).find_map(|(volume, blocks)| {
            let after = at.filter(|(at, _)| at == volume).map(|(_, block)| block);
            let (block, stored) = blocks.index.after(after).next()?;
            Some((*volume, block, stored.length_bytes))
        })
    }

    /// Blocks of a volume behind one, at most `limit`, and whether there are more.
    pub(crate) fn list(
        &self,
        volume: VolumeId,
        after: Option<BlockDescriptor>,
        limit: usize,
    ) -> (Vec<BlockKept>, bool) {
        let mut blocks = Vec::new();
        let mut last = after;
        while blocks.len() < limit {
            let table = locked(&self.table);
            let Some(of_volume) = table.volumes.get(&volume) else {
                break;
            };
            let take = LISTED_AT_ONCE.min(limit - blocks.len());
            let before = blocks.len();
            blocks.extend(
                of_volume
                    .index
                    .after(last)
                    .take(take)
                    .map(|(block, stored)| BlockKept {
                        block,
                        length_bytes: stored.length_bytes,
                        crc32c: stored.crc32c,
                    }),
            );
            if blocks.len() == before {
                return (blocks, false);
            }
            last = blocks.last().map(|kept| kept.block);
        }
        let table = locked(&self.table);
        let more = table
            .volumes
            .get(&volume)
            .is_some_and(|v| v.index.after(last).next().is_some());
        (blocks, more)
    }
}
