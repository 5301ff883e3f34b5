//! Where the blocks of one volume lie: an ordered map of 28-byte entries in large leaves.
//!
//! A B-tree of the standard library would take 45 to 70 bytes an entry and a hash table 38 to 75;
//! leaves of up to 512 entries, kept nearly full, take 28 to 36. Order comes for free, which the
//! paged inventories of a volume need.

use std::collections::BTreeMap;
use std::ops::Bound;

use sdfs_types::BlockDescriptor;

use crate::limits::{LEAF_ENTRIES_MAX, LEAF_GROWTH_ENTRIES};

/// Where a block lies and what is known of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Segment of its record.
    pub segment: u32,
    /// Offset of the record in the segment.
    pub offset: u32,
    /// Length of the block.
    pub length_bytes: u32,
    /// CRC-32C of the block.
    pub crc32c: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    block: BlockDescriptor,
    stored: StoredBlock,
}

/// Blocks of one volume in order.
#[derive(Debug, Default)]
pub struct BlockIndex {
    /// Leaves by a lower bound of their blocks. No leaf is empty.
    leaves: BTreeMap<BlockDescriptor, Vec<Entry>>,
    entries: usize,
}

impl BlockIndex {
    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Where a block lies.
    #[must_use]
    pub fn get(&self, block: &BlockDescriptor) -> Option<StoredBlock> {
        let (_, leaf) = self.leaves.range(..=*block).next_back()?;
        let at = find(leaf, block).ok()?;
        Some(leaf[at].stored)
    }

    /// Sets where a block lies and gives where it lay before.
    pub fn insert(&mut self, block: BlockDescriptor, stored: StoredBlock) -> Option<StoredBlock> {
        let entry = Entry { block, stored };
        let Some(bound) = self.bound_for(&block) else {
            self.leaves.insert(block, vec![entry]);
            self.entries = 1;
            return None;
        };
        let leaf = self.leaves.get_mut(&bound)?;
        match find(leaf, &block) {
            Ok(at) => return Some(std::mem::replace(&mut leaf[at].stored, stored)),
            Err(at) if leaf.len() < LEAF_ENTRIES_MAX => {
                if leaf.len() == leaf.capacity() {
                    leaf.reserve_exact(LEAF_GROWTH_ENTRIES);
                }
                leaf.insert(at, entry);
            }
            // Files are written front to back: a full leaf is left full and a new one begun.
            Err(at) if at == leaf.len() => {
                self.leaves.insert(block, vec![entry]);
            }
            Err(at) => {
                let mut right = leaf.split_off(leaf.len() / 2);
                let middle = leaf.len();
                if at <= middle {
                    leaf.insert(at, entry);
                } else {
                    right.reserve_exact(LEAF_GROWTH_ENTRIES);
                    right.insert(at - middle, entry);
                }
                leaf.shrink_to(leaf.len() + LEAF_GROWTH_ENTRIES);
                self.leaves.insert(right[0].block, right);
            }
        }
        self.entries += 1;
        None
    }

    /// Forgets a block and gives where it lay.
    pub fn remove(&mut self, block: &BlockDescriptor) -> Option<StoredBlock> {
        let (bound, leaf) = self.leaves.range_mut(..=*block).next_back()?;
        let at = find(leaf, block).ok()?;
        let removed = leaf.remove(at).stored;
        self.entries -= 1;
        let bound = *bound;
        if leaf.capacity() - leaf.len() > 2 * LEAF_GROWTH_ENTRIES {
            leaf.shrink_to(leaf.len() + LEAF_GROWTH_ENTRIES);
        }
        if leaf.len() < LEAF_ENTRIES_MAX / 4 {
            self.merge(bound);
        }
        Some(removed)
    }

    /// Joins a leaf that has become small with the next one if both fit into one.
    fn merge(&mut self, bound: BlockDescriptor) {
        let after = (Bound::Excluded(bound), Bound::Unbounded);
        let next = self
            .leaves
            .range(after)
            .next()
            .map(|(next, leaf)| (*next, leaf.len()));
        let Some(leaf) = self.leaves.get(&bound) else {
            return;
        };
        if leaf.is_empty() {
            self.leaves.remove(&bound);
            return;
        }
        if let Some((next, _)) = next.filter(|(_, n)| n + leaf.len() <= LEAF_ENTRIES_MAX * 3 / 4)
            && let Some(moved) = self.leaves.remove(&next)
            && let Some(leaf) = self.leaves.get_mut(&bound)
        {
            leaf.reserve_exact(moved.len());
            leaf.extend(moved);
        }
    }

    /// The bound of the leaf that holds or is to hold a block; the lowest leaf's is lowered if
    /// need be. Nothing when there is no leaf.
    fn bound_for(&mut self, block: &BlockDescriptor) -> Option<BlockDescriptor> {
        if let Some((bound, _)) = self.leaves.range(..=*block).next_back() {
            return Some(*bound);
        }
        let (_, lowest) = self.leaves.pop_first()?;
        self.leaves.insert(*block, lowest);
        Some(*block)
    }

    /// Blocks after one (from the first without it), in order.
    pub fn after(
        &self,
        after: Option<BlockDescriptor>,
    ) -> impl Iterator<Item = (BlockDescriptor, StoredBlock)> {
        let start = after.and_then(|after| self.leaves.range(..=after).next_back());
        let start = start.map_or(Bound::Unbounded, |(bound, _)| Bound::Included(*bound));
        let leaves = self.leaves.range((start, Bound::Unbounded));
        leaves.flat_map(move |(_, leaf)| {
            let from = after.map_or(0, |after| {
                leaf.partition_point(|entry| entry.block <= after)
            });
            leaf[from..].iter().map(|entry| (entry.block, entry.stored))
        })
    }

    /// Memory taken, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let leaves = self
            .leaves
            .values()
            .map(|leaf| leaf.capacity() * size_of::<Entry>());
        // A node of the map above has room for 11 keys and vectors and is at least half full.
        let above = 2 * (size_of::<BlockDescriptor>() + size_of::<Vec<Entry>>());
        leaves.sum::<usize>() + self.leaves.len() * above
    }
}

fn find(leaf: &[Entry], block: &BlockDescriptor) -> Result<usize, usize> {
    leaf.binary_search_by(|entry| entry.block.cmp(block))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use sdfs_types::{BlockIndex as Index, BlockVersion, FileDescriptor, FileId, FileVersion};

    fn block(file: u32, index: u16, version: u16) -> BlockDescriptor {
        BlockDescriptor {
            file: FileDescriptor {
                id: FileId(file),
                version: FileVersion(1),
            },
            block: Index(index),
            version: BlockVersion(version),
        }
    }

    fn stored(n: u32) -> StoredBlock {
        StoredBlock {
            segment: n,
            offset: n,
            length_bytes: n,
            crc32c: n,
        }
    }

    #[test]
    fn entry_takes_28_bytes() {
        assert_eq!(size_of::<Entry>(), 28);
    }

    #[test]
    fn last_block_and_version_have_their_place() {
        let mut index = BlockIndex::default();
        index.insert(block(u32::MAX, u16::MAX, u16::MAX), stored(1));
        index.insert(block(u32::MAX, u16::MAX, u16::MAX - 1), stored(2));
        assert_eq!(
            index.get(&block(u32::MAX, u16::MAX, u16::MAX)),
            Some(stored(1))
        );
        assert_eq!(
            index
                .after(Some(block(u32::MAX, u16::MAX, u16::MAX)))
                .count(),
            0
        );
        assert_eq!(index.after(Some(block(0, 0, 0))).count(), 2);
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            steps in proptest::collection::vec((any::<bool>(), 0_u32..6, 0_u16..900), 0..6000),
        ) {
            let mut index = BlockIndex::default();
            let mut model = BTreeMap::new();
            for (n, (insert, file, number)) in steps.into_iter().enumerate() {
                let key = block(file, number, 1);
                if insert || n % 3 == 0 {
                    let value = stored(n as u32);
                    prop_assert_eq!(index.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(index.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(index.len(), model.len());
            }
            let all: Vec<_> = index.after(None).collect();
            prop_assert_eq!(&all, &model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
            for key in [block(0, 0, 1), block(2, 450, 1), block(5, 900, 1)] {
                let after = (Bound::Excluded(key), Bound::Unbounded);
                let expected: Vec<_> = model.range(after).map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(index.after(Some(key)).collect::<Vec<_>>(), expected);
                prop_assert_eq!(index.get(&key), model.get(&key).copied());
            }
        }
    }
}
