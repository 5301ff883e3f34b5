//! What a space knows of its blocks: where each lies, which are being written, how much of each
//! segment is live. Decides nothing about disks and does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use sdfs_log::limits::{RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES};
use sdfs_log::{LogFailure, Position};
use sdfs_types::{BlockDescriptor, VolumeId};
use tokio::sync::oneshot;

use crate::block_index::{BlockIndex, StoredBlock};
use crate::block_record::block_head_bytes;

/// Told when a block is durable, or will never be.
pub(crate) type Waiter = oneshot::Sender<Result<(), LogFailure>>;

/// Length and checksum of a block, which its descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) length_bytes: u32,
    pub(crate) crc32c: u32,
}

/// What is known of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Absent,
    /// On its way to the disk.
    Pending(Identity),
    Stored(StoredBlock),
}

/// Blocks of one volume.
#[derive(Debug, Default)]
pub(crate) struct VolumeBlocks {
    pub(crate) index: BlockIndex,
    pending: BTreeMap<BlockDescriptor, Pending>,
    /// Bytes of the blocks.
    pub(crate) live_bytes: u64,
}

#[derive(Debug)]
struct Pending {
    identity: Identity,
    waiters: Vec<Waiter>,
}

/// Blocks of all volumes of a space.
#[derive(Debug, Default)]
pub(crate) struct BlockTable {
    pub(crate) volumes: BTreeMap<VolumeId, VolumeBlocks>,
    /// Bytes of live records by segment.
    live: BTreeMap<u32, u64>,
    /// Blocks whose bytes were found damaged or gone, to be fetched from another member.
    damaged: BTreeMap<(VolumeId, BlockDescriptor), Identity>,
    /// Blocks that were ever among them.
    found_damaged: u64,
    /// Volumes that are being synced here.
    syncing: BTreeMap<VolumeId, Syncing>,
}

/// What must be known of a volume while it is being synced.
#[derive(Debug, Default)]
struct Syncing {
    /// Segment and offset of the log's end when the epoch was learnt.
    from: (u32, u32),
    /// Blocks of before that lie behind that now, for their segment was compacted.
    moved: BTreeSet<BlockDescriptor>,
    /// Blocks of before that were written again since: with the same bytes, so that they are where
    /// they were, and acknowledged in this epoch.
    again: BTreeSet<BlockDescriptor>,
    /// Anonymous blocks that were freed meanwhile: a copy of them may be on its way here.
    gone: BTreeSet<BlockDescriptor>,
    /// Blocks of named files that were freed since a page of a source was asked for, which may
    /// list them: a source has freed them before, so the next page does not.
    gone_from_page: BTreeSet<BlockDescriptor>,
}

impl Syncing {
    fn is_of_before(&self, block: &BlockDescriptor, (segment, offset): (u32, u32)) -> bool {
        let lay_here = (segment, offset) < self.from || self.moved.contains(block);
        lay_here && !self.again.contains(block)
    }
}

impl BlockTable {
    pub(crate) fn known(&self, volume: VolumeId, block: &BlockDescriptor) -> Known {
        let Some(blocks) = self.volumes.get(&volume) else {
            return Known::Absent;
        };
        if let Some(stored) = blocks.index.get(block) {
            return Known::Stored(stored);
        }
        let pending = blocks.pending.get(block);
        pending.map_or(Known::Absent, |pending| Known::Pending(pending.identity))
    }

    /// Whether a block is stored or on its way.
    pub(crate) fn is_known(&self, volume: VolumeId, block: &BlockDescriptor) -> bool {
        self.known(volume, block) != Known::Absent
    }

    /// The volume is being synced, in an epoch that was learnt when the log ended there.
    pub(crate) fn begin_sync(&mut self, volume: VolumeId, from: Position) {
        let syncing = self.syncing.entry(volume).or_default();
        syncing.from = (from.segment, from.offset);
        syncing.moved.clear();
        syncing.again.clear();
    }

    /// The volume is being synced no more: no copies are on their way.
    pub(crate) fn end_sync(&mut self, volume: VolumeId) {
        self.syncing.remove(&volume);
    }

    /// Takes none of these blocks any more, until the volume is in sync or, of a named file, the
    /// next page is asked for.
    pub(crate) fn refuse_copies(&mut self, volume: VolumeId, blocks: &[BlockDescriptor]) {
        let syncing = self.syncing.entry(volume).or_default();
        let (anonymous, named): (Vec<_>, Vec<_>) = blocks
            .iter()
            .copied()
            .partition(|block| block.file.is_anonymous());
        syncing.gone.extend(anonymous);
        syncing.gone_from_page.extend(named);
    }

    /// A page of what a source keeps is about to be asked for; what was copied for the one before
    /// is here.
    pub(crate) fn begin_page(&mut self, volume: VolumeId) {
        if let Some(syncing) = self.syncing.get_mut(&volume) {
            syncing.gone_from_page.clear();
        }
    }

    /// Whether a block is not to be taken any more.
    pub(crate) fn refuses_copy(&self, volume: VolumeId, block: &BlockDescriptor) -> bool {
        let syncing = self.syncing.get(&volume);
        syncing.is_some_and(|syncing| {
            syncing.gone.contains(block) || syncing.gone_from_page.contains(block)
        })
    }

    /// A block that is stored, or on its way, is written again, which in a volume that is being
    /// synced makes it one of its epoch.
    pub(crate) fn write_again(&mut self, volume: VolumeId, block: BlockDescriptor) {
        if let Some(syncing) = self.syncing.get_mut(&volume) {
            syncing.again.insert(block);
        }
    }

    /// Whether a block of a volume that is being synced was last written before its epoch was
    /// learnt.
    pub(crate) fn is_of_before(&self, volume: VolumeId, block: &BlockDescriptor) -> bool {
        let Known::Stored(stored) = self.known(volume, block) else {
            return false;
        };
        let syncing = self.syncing.get(&volume);
        syncing.is_some_and(|one| one.is_of_before(block, (stored.segment, stored.offset)))
    }

    /// Notes that a block lies elsewhere now, if it still lay there; it is not stored anew by that.
    pub(crate) fn move_from(
        &mut self,
        from: Position,
        (volume, block): (VolumeId, BlockDescriptor),
        to: StoredBlock,
    ) {
        if !self.lies_at(volume, &block, from) {
            return;
        }
        if let Some(syncing) = self.syncing.get_mut(&volume)
            && syncing.is_of_before(&block, (from.segment, from.offset))
        {
            syncing.moved.insert(block);
        }
        self.set(volume, block, to);
    }

    /// Notes that a block is on its way to the disk.
    pub(crate) fn begin(&mut self, volume: VolumeId, block: BlockDescriptor, identity: Identity) {
        let pending = Pending {
            identity,
            waiters: Vec::new(),
        };
        self.volumes
            .entry(volume)
            .or_default()
            .pending
            .insert(block, pending);
    }

    /// Adds one who waits for a block that is on its way.
    pub(crate) fn wait(&mut self, volume: VolumeId, block: &BlockDescriptor, waiter: Waiter) {
        let blocks = self.volumes.get_mut(&volume);
        if let Some(pending) = blocks.and_then(|blocks| blocks.pending.get_mut(block)) {
            pending.waiters.push(waiter);
        }
    }

    /// Notes that a block is durable and gives those who wait for it. A block that was freed
    /// meanwhile stays free: it has no pending entry any more.
    pub(crate) fn finish(
        &mut self,
        volume: VolumeId,
        block: BlockDescriptor,
        position: Position,
    ) -> Vec<Waiter> {
        let blocks = self.volumes.get_mut(&volume);
        let Some(pending) = blocks.and_then(|blocks| blocks.pending.remove(&block)) else {
            return Vec::new();
        };
        self.set(volume, block, stored_at(position, pending.identity));
        pending.waiters
    }

    /// Forgets all that is on its way, after the log has failed.
    pub(crate) fn abandon(&mut self, volume: VolumeId, block: &BlockDescriptor) -> Vec<Waiter> {
        let blocks = self.volumes.get_mut(&volume);
        let pending = blocks.and_then(|blocks| blocks.pending.remove(block));
        pending.map_or_else(Vec::new, |pending| pending.waiters)
    }

    /// Sets where a block lies, replacing what was known of it.
    pub(crate) fn set(&mut self, volume: VolumeId, block: BlockDescriptor, stored: StoredBlock) {
        let blocks = self.volumes.entry(volume).or_default();
        let before = blocks.index.insert(block, stored);
        blocks.live_bytes += u64::from(stored.length_bytes);
        self.damaged.remove(&(volume, block));
        *self.live.entry(stored.segment).or_default() += record_bytes(stored.length_bytes);
        if let Some(before) = before {
            self.dead(volume, before);
        }
    }

    /// Forgets a block, stored or on its way; whether there was one.
    pub(crate) fn free(&mut self, volume: VolumeId, block: &BlockDescriptor) -> bool {
        self.damaged.remove(&(volume, *block));
        let Some(blocks) = self.volumes.get_mut(&volume) else {
            return false;
        };
        let was_pending = blocks.pending.remove(block).is_some_and(|pending| {
            // It was durable or will be, and is free all the same.
            pending
                .waiters
                .into_iter()
                .for_each(|waiter| drop(waiter.send(Ok(()))));
            true
        });
        match blocks.index.remove(block) {
            Some(stored) => {
                self.dead(volume, stored);
                true
            }
            None => was_pending,
        }
    }

    /// Whether a block lies there.
    pub(crate) fn lies_at(&self, volume: VolumeId, block: &BlockDescriptor, at: Position) -> bool {
        let stored = self
            .volumes
            .get(&volume)
            .and_then(|blocks| blocks.index.get(block));
        stored.is_some_and(|stored| stored.segment == at.segment && stored.offset == at.offset)
    }

    /// Notes that the bytes of a block are not what they should be, if it still lies there.
    pub(crate) fn quarantine(
        &mut self,
        volume: VolumeId,
        block: BlockDescriptor,
        at: Position,
    ) -> bool {
        if !self.lies_at(volume, &block, at) {
            return false;
        }
        let Known::Stored(stored) = self.known(volume, &block) else {
            return false;
        };
        let identity = Identity::of(&stored);
        self.free(volume, &block);
        self.found_damaged += 1;
        self.damaged.insert((volume, block), identity).is_none()
    }

    /// Whether any block is to be fetched from another member; of one volume, or at all.
    pub(crate) fn has_damage(&self, volume: Option<VolumeId>) -> bool {
        match volume {
            None => !self.damaged.is_empty(),
            Some(volume) => self.damaged.keys().any(|(of, _)| *of == volume),
        }
    }

    /// How many blocks were ever found damaged, when none is; of one volume, or at all.
    pub(crate) fn sound(&self, volume: Option<VolumeId>) -> Option<u64> {
        (!self.has_damage(volume)).then_some(self.found_damaged)
    }

    /// How many blocks were found damaged, and how many of those are no more.
    pub(crate) fn damage(&self) -> (u64, u64) {
        let left = self.damaged.len() as u64;
        (self.found_damaged, self.found_damaged.saturating_sub(left))
    }

    /// Blocks of one volume, and their bytes.
    pub(crate) fn totals_of(&self, volume: VolumeId) -> (u64, u64) {
        let blocks = self.volumes.get(&volume);
        blocks.map_or((0, 0), |v| (v.index.len() as u64, v.live_bytes))
    }

    /// Blocks to be fetched from another member.
    pub(crate) fn damaged(&self) -> Vec<(VolumeId, BlockDescriptor)> {
        self.damaged.keys().copied().collect()
    }

    /// What a damaged block was; `None` when it is damaged no more.
    pub(crate) fn identity_of_damaged(
        &self,
        volume: VolumeId,
        block: BlockDescriptor,
    ) -> Option<Identity> {
        self.damaged.get(&(volume, block)).copied()
    }

    /// Bytes of live records in a segment.
    pub(crate) fn live_in(&self, segment: u32) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// Blocks that lie in a segment.
    pub(crate) fn in_segment(&self, segment: u32) -> Vec<(VolumeId, BlockDescriptor, Position)> {
        let all = self.volumes.iter().flat_map(|(volume, blocks)| {
            blocks
                .index
                .after(None)
                .map(|(block, stored)| (*volume, block, stored))
        });
        let there = all.filter(|(_, _, stored)| stored.segment == segment);
        there
            .map(|(volume, block, stored)| (volume, block, position_of(&stored)))
            .collect()
    }

    /// Forgets the account of a segment that is gone.
    pub(crate) fn forget_segment(&mut self, segment: u32) {
        self.live.remove(&segment);
    }

    /// Blocks whose segment is not among those, which come to be after a checkpoint that is older
    /// than a removal; forgets them.
    pub(crate) fn forget_missing(&mut self, segments: &BTreeSet<u32>) {
        let mut missing = Vec::new();
        for (volume, blocks) in &self.volumes {
            let lost = blocks
                .index
                .after(None)
                .filter(|(_, at)| !segments.contains(&at.segment));
            missing.extend(lost.map(|(block, _)| (*volume, block)));
        }
        for (volume, block) in missing {
            self.free(volume, &block);
        }
    }

    /// Blocks of all volumes, and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let each = self
            .volumes
            .values()
            .map(|v| (v.index.len() as u64, v.live_bytes));
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn dead(&mut self, volume: VolumeId, stored: StoredBlock) {
        if let Some(blocks) = self.volumes.get_mut(&volume) {
            blocks.live_bytes -= u64::from(stored.length_bytes);
        }
        if let Some(live) = self.live.get_mut(&stored.segment) {
            *live -= record_bytes(stored.length_bytes);
        }
    }
}

impl Identity {
    /// What a stored block is.
    pub(crate) fn of(stored: &StoredBlock) -> Identity {
        Identity {
            length_bytes: stored.length_bytes,
            crc32c: stored.crc32c,
        }
    }
}

/// Where a block lies whose record lies there.
pub(crate) fn stored_at(position: Position, identity: Identity) -> StoredBlock {
    StoredBlock {
        segment: position.segment,
        offset: position.offset,
        length_bytes: identity.length_bytes,
        crc32c: identity.crc32c,
    }
}

/// Where the record of a block lies.
pub(crate) fn position_of(stored: &StoredBlock) -> Position {
    Position {
        segment: stored.segment,
        offset: stored.offset,
        bytes: unpadded_bytes(stored.length_bytes),
    }
}

fn unpadded_bytes(length_bytes: u32) -> u32 {
    RECORD_HEADER_BYTES + block_head_bytes(length_bytes) + length_bytes
}

/// Bytes the record of a block takes in its segment.
pub(crate) fn record_bytes(length_bytes: u32) -> u64 {
    u64::from(unpadded_bytes(length_bytes).next_multiple_of(RECORD_ALIGN_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{BlockVersion, FileDescriptor};

    const VOLUME: VolumeId = VolumeId(1);
    const SIZE: Identity = Identity {
        length_bytes: 100,
        crc32c: 7,
    };

    fn at(segment: u32, offset: u32) -> Position {
        Position {
            segment,
            offset,
            bytes: 0,
        }
    }

    fn block(version: u16) -> BlockDescriptor {
        BlockDescriptor {
            file: FileDescriptor::default(),
            block: sdfs_types::BlockIndex(0),
            version: BlockVersion(version),
        }
    }

    #[test]
    fn what_was_moved_is_no_newer_for_that() {
        let (old, new) = (block(1), block(2));
        let mut table = BlockTable::default();
        let is_of_before =
            |table: &BlockTable| [old, new].map(|block| table.is_of_before(VOLUME, &block));
        table.set(VOLUME, old, stored_at(at(1, 0), SIZE));
        table.begin_sync(VOLUME, at(2, 64));
        table.set(VOLUME, new, stored_at(at(2, 64), SIZE));
        assert_eq!(is_of_before(&table), [true, false]);
        for segment in 3..5 {
            for (block, from) in [(old, segment - 1), (new, segment - 1)] {
                let offset = u32::from(block.version.0) * 640;
                let from = match segment {
                    3 if block == old => at(1, 0),
                    3 => at(2, 64),
                    _ => at(from, offset),
                };
                table.move_from(from, (VOLUME, block), stored_at(at(segment, offset), SIZE));
                assert!(table.lies_at(VOLUME, &block, at(segment, offset)));
            }
            assert_eq!(is_of_before(&table), [true, false], "moved to {segment}");
        }
        // What is written again is of this epoch, wherever it lies.
        table.write_again(VOLUME, old);
        assert_eq!(is_of_before(&table), [false, false]);
        // In the next epoch what was written in this one is of before too.
        table.begin_sync(VOLUME, at(5, 0));
        assert_eq!(is_of_before(&table), [true, true]);
        table.end_sync(VOLUME);
        assert_eq!(is_of_before(&table), [false, false]);
    }
}
