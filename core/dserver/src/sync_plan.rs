//! Compares what a syncing member keeps of a volume with what a member in sync keeps. Pure.

use std::cmp::Ordering;
use std::iter::Peekable;

use sdfs_types::BlockDescriptor;
use sdfs_types::calls::blocks::BlockKept;

use crate::limits::SYNC_COPIES_AT_ONCE;

/// What is to be done for one stretch of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncPlan {
    /// Kept there and not here.
    pub(crate) missing: Vec<BlockKept>,
    /// Kept at both as the same bytes by their checksums: the bytes here are still to be read.
    pub(crate) present: Vec<BlockKept>,
    /// Kept here as other bytes: to be replaced.
    pub(crate) different: Vec<BlockKept>,
    /// Kept here only.
    pub(crate) surplus: Vec<BlockDescriptor>,
}

/// Compares a stretch; both sides are in order.
pub(crate) fn compare(
    here: impl IntoIterator<Item = BlockKept>,
    there: impl IntoIterator<Item = BlockKept>,
) -> SyncPlan {
    let mut plan = SyncPlan::default();
    let mut here = here.into_iter().peekable();
    for theirs in there {
        while let Some(surplus) = next_before(&mut here, &theirs.block) {
            plan.surplus.push(surplus.block);
        }
        match here.next_if(|mine| mine.block == theirs.block) {
            None => plan.missing.push(theirs),
            Some(mine) if mine == theirs => plan.present.push(mine),
            Some(_) => plan.different.push(theirs),
        }
    }
    plan.surplus.extend(here.map(|mine| mine.block));
    plan
}

/// Cuts what is to be copied into portions that are copied at the same time: few blocks, and at
/// most `bytes_max` unless a single one has more.
pub(crate) fn portions(wanted: &[BlockKept], bytes_max: u64) -> impl Iterator<Item = &[BlockKept]> {
    let mut rest = wanted;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |kept: &&BlockKept| {
            bytes += u64::from(kept.length_bytes);
            bytes <= bytes_max
        };
        let fitting = rest
            .iter()
            .take(SYNC_COPIES_AT_ONCE)
            .take_while(fits)
            .count();
        let (portion, after) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = after;
        (!portion.is_empty()).then_some(portion)
    })
}

fn next_before<I: Iterator<Item = BlockKept>>(
    here: &mut Peekable<I>,
    block: &BlockDescriptor,
) -> Option<BlockKept> {
    here.next_if(|mine| mine.block.cmp(block) == Ordering::Less)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor};

    fn kept(block: u16, crc32c: u32) -> BlockKept {
        let block = BlockDescriptor {
            file: FileDescriptor::default(),
            block: BlockIndex(block),
            version: BlockVersion(1),
        };
        BlockKept {
            block,
            length_bytes: 10,
            crc32c,
        }
    }

    #[test]
    fn each_block_is_in_its_list() {
        let here = [kept(1, 1), kept(2, 2), kept(3, 3), kept(9, 9)];
        let there = [kept(0, 0), kept(2, 2), kept(3, 7), kept(5, 5)];
        let plan = compare(here, there);
        assert_eq!(plan.missing, [kept(0, 0), kept(5, 5)]);
        assert_eq!(plan.present, [kept(2, 2)]);
        assert_eq!(plan.different, [kept(3, 7)]);
        assert_eq!(plan.surplus, [kept(1, 1).block, kept(9, 9).block]);
    }

    #[test]
    fn portions_are_few_blocks_and_few_bytes() {
        let sized = |n: u16, length_bytes| BlockKept {
            length_bytes,
            ..kept(n, 0)
        };
        let small: Vec<_> = (0..20).map(|n| sized(n, 10)).collect();
        assert_eq!(
            portions(&small, 32 << 20)
                .map(<[_]>::len)
                .collect::<Vec<_>>(),
            [8, 8, 4]
        );
        let large = [
            sized(0, 64 << 20),
            sized(1, 20 << 20),
            sized(2, 12 << 20),
            sized(3, 1),
        ];
        assert_eq!(
            portions(&large, 32 << 20)
                .map(<[_]>::len)
                .collect::<Vec<_>>(),
            [1, 2, 1]
        );
        assert_eq!(portions(&[], 32 << 20).count(), 0);
    }

    proptest! {
        #[test]
        fn doing_the_plan_makes_both_equal(
            here in proptest::collection::btree_map(0_u16..200, 0_u32..3, 0..100),
            there in proptest::collection::btree_map(0_u16..200, 0_u32..3, 0..100),
        ) {
            let list = |map: &BTreeMap<u16, u32>| -> Vec<BlockKept> {
                map.iter().map(|(block, crc)| kept(*block, *crc)).collect()
            };
            let plan = compare(list(&here), list(&there));
            let mut result: BTreeMap<BlockDescriptor, BlockKept> =
                list(&here).into_iter().map(|kept| (kept.block, kept)).collect();
            for surplus in &plan.surplus {
                prop_assert!(result.remove(surplus).is_some());
            }
            for copy in plan.missing.iter().chain(&plan.different) {
                result.insert(copy.block, *copy);
            }
            prop_assert_eq!(result.into_values().collect::<Vec<_>>(), list(&there));
            let kinds = [plan.present.len(), plan.missing.len(), plan.different.len()];
            prop_assert_eq!(kinds.iter().sum::<usize>(), there.len());
        }
    }
}
