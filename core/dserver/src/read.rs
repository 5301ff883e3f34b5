//! Serving reads and inventories.

use std::time::Duration;

use sdfs_server_group::{Caller, Deadline, Payload};
use sdfs_types::calls::blocks::{BlockRange, ListVolume, ReadBlock, VolumePage};
use sdfs_types::calls::inspect::{CopiesPage, ListCopies};
use sdfs_types::{BlockDescriptor, GrantRights, Refusal, VolumeId};

use crate::limits::INVENTORY_PAGE;
use crate::locked::locked;
use crate::shared::Shared;
use crate::space::Space;
use crate::space_read::{LoadFault, Loaded};

impl Shared {
    /// A small block that needs no waiting for; nothing when it is not, or when the answer is a
    /// refusal.
    pub(crate) fn read_now(
        &self,
        from: &Caller,
        call: &ReadBlock,
    ) -> Option<(BlockRange, Payload)> {
        let file = call.block.file;
        self.check_grant(from, call.grant.as_ref(), file, GrantRights::Read)
            .ok()?;
        let space = self.space_of(call.volume)?;
        let range = (call.offset_bytes, call.length_bytes);
        space.load_now(call.volume, &call.block, range).map(answer)
    }

    /// Reads a range of a block. Immutable blocks need no epoch: what is here under a descriptor
    /// is right, whatever this server is to the volume.
    pub(crate) async fn read_block(
        &self,
        from: &Caller,
        call: ReadBlock,
        deadline: Deadline,
    ) -> Result<(BlockRange, Payload), Refusal> {
        let file = call.block.file;
        self.check_grant(from, call.grant.as_ref(), file, GrantRights::Read)?;
        let space = self.space_of(call.volume);
        let space = space.ok_or(Refusal::NoSuchVolume {
            volume: call.volume,
        })?;
        let range = (call.offset_bytes, call.length_bytes);
        let loading = space.load(call.volume, call.block, range);
        match tokio::time::timeout_at(deadline.instant(), loading).await {
            Ok(Ok(loaded)) => Ok(answer(loaded)),
            // That it is put aside as damaged must not look as if it had been freed.
            Ok(Err(LoadFault::Absent)) if space.has_put_aside(&call) => Err(Refusal::Corrupt),
            Ok(Err(LoadFault::Absent)) => Err(Refusal::NoSuchBlock),
            Ok(Err(LoadFault::Damaged)) => Err(Refusal::Corrupt),
            Ok(Err(LoadFault::Failed)) => Err(self.disk_failed()),
            Ok(Err(LoadFault::Busy)) => Err(Refusal::Busy {
                why: "too many reads wait for the disk".to_owned(),
            }),
            Err(_) => Err(Refusal::Busy {
                why: "the disk was too slow".to_owned(),
            }),
        }
    }

    /// One page of the blocks kept of a volume: everything that was acknowledged in epochs before
    /// the asker's.
    pub(crate) async fn list_volume(&self, call: ListVolume) -> Result<VolumePage, Refusal> {
        let here = self.volume(call.volume)?;
        if here.volume.epoch > call.epoch {
            return Err(Refusal::StaleEpoch {
                current: Box::new(here.volume.clone()),
            });
        }
        // Before it knows the asker's epoch this server still takes writes of the one before.
        if here.volume.epoch < call.epoch {
            return Err(Refusal::Busy {
                why: "this server is an epoch behind".to_owned(),
            });
        }
        let no_volume = Refusal::NoSuchVolume {
            volume: call.volume,
        };
        let space = here.space.as_ref().ok_or(no_volume)?;
        // What was accepted in the epoch before is listed when it is durable.
        space.log.sync().await.map_err(|_| self.disk_failed())?;
        let limit = call.limit.min(INVENTORY_PAGE) as usize;
        // A block known to be damaged is in no list, and would be taken for one that was freed;
        // one that is repaired meanwhile too.
        let sound = locked(&space.table).sound(Some(call.volume));
        let (blocks, more) = space.list(call.volume, call.after, limit);
        if sound.is_none() || locked(&space.table).sound(Some(call.volume)) != sound {
            return Err(Refusal::Busy {
                why: "damaged blocks are being repaired here".to_owned(),
            });
        }
        Ok(VolumePage { blocks, more })
    }

    /// One page of what is kept of a volume, whatever its epoch: for people who compare.
    pub(crate) async fn list_copies(&self, call: ListCopies) -> Result<CopiesPage, Refusal> {
        let no_volume = Refusal::NoSuchVolume {
            volume: call.volume,
        };
        let space = self.space_of(call.volume).ok_or(no_volume)?;
        // What was acknowledged is in the list when it is durable, or may be.
        space.log.sync().await.map_err(|_| self.disk_failed())?;
        let limit = call.limit.min(INVENTORY_PAGE) as usize;
        let (blocks, more) = space.list(call.volume, call.after, limit);
        let age = Duration::from_secs(call.old_s);
        let is_old = self.older_in(space, call.volume, age);
        let blocks = blocks.into_iter().map(|kept| (kept, is_old(&kept.block)));
        Ok(CopiesPage {
            blocks: blocks.collect(),
            more,
        })
    }

    /// Whether a block kept here is surely older than that.
    pub(crate) fn older_in(
        &self,
        space: &Space,
        volume: VolumeId,
        age: Duration,
    ) -> impl Fn(&BlockDescriptor) -> bool {
        let old = locked(&space.ages).older_than(self.begun.elapsed(), age);
        move |block| {
            let stored = space.look_up(volume, block);
            let at = stored.map(|stored| (stored.segment, stored.offset));
            at.zip(old).is_some_and(|(at, old)| at < old)
        }
    }
}

impl Space {
    fn has_put_aside(&self, call: &ReadBlock) -> bool {
        let damaged = locked(&self.table).identity_of_damaged(call.volume, call.block);
        damaged.is_some()
    }
}

fn answer(loaded: Loaded) -> (BlockRange, Payload) {
    let range = BlockRange {
        offset_bytes: loaded.offset_bytes,
        block_bytes: loaded.block_bytes,
        crc32c: loaded.crc32c,
        piece_crc32c: loaded.pieces,
    };
    (range, Payload::from(loaded.bytes))
}
