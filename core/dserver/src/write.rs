//! Serving writes: every copy at the same time, one answer.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use sdfs_server_group::{Caller, Deadline, Payload, ServerId, Trace, tell, us_since};
use sdfs_types::calls::blocks::{
    BlockStored, Durability, FreeBlocks, FreeOldBlocks, WriteBlock, WriteCopy,
};
use sdfs_types::{BlockDescriptor, GrantRights, MemberState, Refusal, VolumeId};

use crate::limits::COPY_WAIT_MAX;
use crate::locked::locked;
use crate::peers::{AskFault, ask};
use crate::shared::{Shared, VolumeHere};
use crate::space::Space;
use crate::space_write::{BlockBody, Purpose, StoreFault};
use crate::write_state::{Effect, WriteState, check_member};

/// What came of one copy.
enum Copied {
    Here(Result<(), Refusal>),
    There(ServerId, Result<(), AskFault>),
}

impl Shared {
    /// Stores a block at every member that must have it.
    pub(crate) async fn write_block(
        &self,
        from: &Caller,
        call: WriteBlock,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<BlockStored, Refusal> {
        self.check_grant(
            from,
            call.grant.as_ref(),
            call.block.file,
            GrantRights::Write,
        )?;
        let here = self.volume(call.volume)?;
        let copy = WriteCopy {
            volume: call.volume,
            epoch: call.epoch,
            block: call.block,
            crc32c: call.crc32c,
            durability: call.durability,
        };
        self.write_all(&here, copy, payload, deadline).await
    }

    /// Stores a block at every member that must have it, this one among them.
    pub(crate) async fn write_all(
        &self,
        here: &VolumeHere,
        call: WriteCopy,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<BlockStored, Refusal> {
        let mut write = WriteState::begin(&here.volume, call.epoch, self.me, here.copies_min)?;
        let body = checked(call.block, payload.pieces().to_vec(), call.crc32c)?;
        let mut copies: FuturesUnordered<BoxFuture<'_, Copied>> = FuturesUnordered::new();
        for member in write.waiting_for().filter(|member| *member != self.me) {
            copies.push(Box::pin(self.send_copy(
                member,
                call,
                payload.clone(),
                deadline,
            )));
        }
        copies.push(Box::pin(async {
            Copied::Here(
                self.store(here, &body, (call.volume, call.block, call.durability))
                    .await,
            )
        }));
        loop {
            let effects = tokio::select! {
                biased;
                Some(copied) = copies.next() => match copied {
                    Copied::Here(Ok(())) => write.stored(self.me),
                    Copied::Here(Err(refusal)) => write.failed_here(self.me, refusal),
                    Copied::There(member, Ok(())) => write.stored(member),
                    Copied::There(member, Err(fault)) => write.failed(member, fault),
                },
                () = tokio::time::sleep_until(deadline.instant()) => write.deadline(),
            };
            let mut answer = None;
            for effect in effects {
                match effect {
                    Effect::Answer(given) => answer = Some(given),
                    Effect::Report(member, trouble) => {
                        self.report(call.volume, call.epoch, (member, trouble));
                    }
                }
            }
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    async fn send_copy(
        &self,
        member: ServerId,
        copy: WriteCopy,
        payload: Payload,
        deadline: Deadline,
    ) -> Copied {
        let deadline = deadline.earlier(Deadline::after(COPY_WAIT_MAX));
        let answer = ask(&*self.peers, member, (&copy, payload), deadline).await;
        Copied::There(member, answer.map(drop))
    }

    /// Stores the copy another member sends.
    pub(crate) async fn write_copy(
        &self,
        call: WriteCopy,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        let here = self.volume(call.volume)?;
        check_member(&here.volume, call.epoch, self.me)?;
        self.note_client();
        let body = checked(call.block, payload.into_pieces(), call.crc32c)?;
        let stored = self.store(&here, &body, (call.volume, call.block, call.durability));
        let stored = tokio::time::timeout_at(deadline.instant(), stored).await;
        stored.unwrap_or_else(|_| {
            Err(Refusal::Unknown {
                why: "the disk was too slow".to_owned(),
            })
        })
    }

    async fn store(
        &self,
        here: &VolumeHere,
        body: &BlockBody,
        (volume, block, durability): (VolumeId, BlockDescriptor, Durability),
    ) -> Result<(), Refusal> {
        let space = here
            .space
            .as_ref()
            .ok_or(Refusal::NoSuchVolume { volume })?;
        let step = Trace::step();
        let storing = space.store((volume, block), body, Purpose::Write).await;
        let stored = match (storing, durability) {
            (Ok(storing), Durability::Synced) => storing.durable().await,
            (storing, _) => storing.map(drop),
        };
        if let (Some((trace, begun)), Ok(())) = (step, &stored) {
            let (bytes, us) = (body.length_bytes, us_since(begun));
            tell!(trace, %volume, ?block, bytes, ?durability, us, "appended");
        }
        stored.map_err(|fault| self.refusal_of(fault, space.log.stats().free_bytes))?;
        // It may have waited for the disk past the end of the epoch. A member that syncs from here
        // in the next one has then gone through the volume without this block.
        check_member(&self.volume(volume)?.volume, here.volume.epoch, self.me)
    }

    pub(crate) fn refusal_of(&self, fault: StoreFault, free_bytes: u64) -> Refusal {
        match fault {
            StoreFault::Exists => Refusal::BlockExists,
            StoreFault::Gone => Refusal::NoSuchBlock,
            StoreFault::NoSpace => Refusal::NoSpace {
                server: self.me,
                free_bytes,
            },
            StoreFault::TooLarge => too_large(),
            StoreFault::Failed => self.disk_failed(),
        }
    }

    /// Frees blocks that are no longer any file's.
    pub(crate) async fn free_blocks(&self, call: FreeBlocks) -> Result<(), Refusal> {
        // What is not kept here is free here.
        let Some(space) = self.space_of(call.volume) else {
            return Ok(());
        };
        self.refuse_copies(space, call.volume, &call.blocks);
        let freed = space.free(call.volume, &call.blocks).await;
        freed.map_err(|fault| self.refusal_of(fault, space.log.stats().free_bytes))
    }

    /// Takes no copies of freed blocks that are on their way here while their volume is synced.
    pub(crate) fn refuse_copies(&self, space: &Space, volume: VolumeId, freed: &[BlockDescriptor]) {
        let here = self.volume(volume).ok();
        let state = here.and_then(|here| here.my_state(self.me));
        if state == Some(MemberState::Syncing) {
            locked(&space.table).refuse_copies(volume, freed);
        }
    }

    /// Frees blocks nobody has, of those that are old; how many were.
    pub(crate) async fn free_old_blocks(&self, call: FreeOldBlocks) -> Result<u64, Refusal> {
        let Some(space) = self.space_of(call.volume) else {
            return Ok(0);
        };
        let age = Duration::from_secs(call.old_s);
        let (volume, is_old) = (call.volume, self.older_in(space, call.volume, age));
        let blocks: Vec<_> = call.blocks.into_iter().filter(is_old).collect();
        let freed = space.free(volume, &blocks).await;
        freed.map_err(|fault| self.refusal_of(fault, space.log.stats().free_bytes))?;
        Ok(blocks.len() as u64)
    }
}

/// The body of a block, if it is what the writer says.
fn checked(block: BlockDescriptor, parts: Vec<Bytes>, crc32c: u32) -> Result<BlockBody, Refusal> {
    if !block.version.is_written() {
        let why = "block version 0 means never written".to_owned();
        return Err(Refusal::Malformed { why });
    }
    let body = BlockBody::new(parts).ok_or_else(too_large)?;
    if body.sums.whole == crc32c {
        Ok(body)
    } else {
        Err(Refusal::Corrupt)
    }
}

fn too_large() -> Refusal {
    Refusal::OutOfRange {
        what: "the block's length".to_owned(),
        value: "more".to_owned(),
        allowed: format!("up to {} bytes", crate::limits::BLOCK_BYTES_MAX),
    }
}
