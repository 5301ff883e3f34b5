//! Giving back what is kept of volumes this server is a member of no more: drained, replaced, or
//! moved. A mserver is asked first, which answers from the map as it is; and the volume must have
//! every copy elsewhere. And what a space keeps of a volume that found another home here while the
//! space had failed.
//!
//! The keeper frees some blocks at a time and handles nothing else meanwhile: so a volume that is
//! named again is never freed after the push that names it.

use std::sync::Arc;

use actix::prelude::*;
use sdfs_server_group::{Deadline, Payload};
use sdfs_types::VolumeId;
use sdfs_types::calls::negotiation::MayForget;
use tokio::time::timeout;

use crate::keeper::Keeper;
use crate::limits::{FREED_BLOCKS_MAX, LEFT_BEHIND_PACE, LEFT_BEHIND_WAIT, REPORT_WAIT};
use crate::locked::locked;
use crate::peers::ask;
use crate::shared::{Shared, SpaceSlot};

/// Why what a space keeps of a volume is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// This server is a member of it no more.
    NoMember,
    /// Another space here is its home.
    Double,
}

/// What is left of a volume after some of it was freed.
enum Left {
    /// More, perhaps.
    Blocks,
    /// Nothing, and the space notes it no more.
    Nothing,
    /// The disk has failed, or has no time, or no room.
    Unknown,
}

impl Keeper {
    /// Asks about every volume that is kept and that the last push did not name. Before the first
    /// push nothing is known.
    pub(crate) fn look_for_left_behind(&mut self, ctx: &mut Context<Self>) {
        let mut left = Vec::new();
        let mut doubles = Vec::new();
        for (number, slot) in self.shared.spaces.iter().enumerate() {
            let Some((space, _)) = slot.working() else {
                continue;
            };
            let volumes = space.volumes();
            let behind = self.named.left_behind(&volumes);
            left.extend(behind.into_iter().map(|volume| (number, volume)));
            let here = volumes.into_iter();
            let double = here.filter(|volume| self.shared.is_double(space, *volume));
            doubles.extend(double.map(|volume| (number, volume)));
        }
        // One at a time: each portion holds up the keeper.
        let waiting = doubles
            .iter()
            .all(|(_, volume)| !self.forgetting.contains(volume));
        if let Some((number, volume)) = doubles.first().filter(|_| waiting) {
            self.forgetting.insert(*volume);
            self.forget_some(ctx, (*number, *volume), Behind::Double);
        }
        for (number, volume) in left {
            if !self.forgetting.insert(volume) {
                continue;
            }
            let asked = may_forget(Arc::clone(&self.shared), volume).into_actor(self);
            ctx.spawn(asked.map(move |may, keeper, ctx| match may {
                true => keeper.forget_some(ctx, (number, volume), Behind::NoMember),
                false => keeper.ends_forgetting(volume),
            }));
        }
    }

    fn ends_forgetting(&mut self, volume: VolumeId) {
        self.forgetting.remove(&volume);
    }

    fn forget_some(
        &mut self,
        ctx: &mut Context<Self>,
        (number, volume): (usize, VolumeId),
        behind: Behind,
    ) {
        if !self.is_behind((number, volume), behind) {
            return self.ends_forgetting(volume);
        }
        let freeing = free_some(Arc::clone(&self.shared), number, volume).into_actor(self);
        ctx.wait(freeing.map(move |left, keeper, ctx| match left {
            Left::Blocks => {
                ctx.run_later(LEFT_BEHIND_PACE, move |keeper, ctx| {
                    keeper.forget_some(ctx, (number, volume), behind);
                });
            }
            Left::Nothing => {
                if behind == Behind::NoMember {
                    keeper.shared.volumes.remove(&volume);
                }
                keeper.ends_forgetting(volume);
                tracing::info!(%volume, ?behind, "a volume left behind was given back");
            }
            Left::Unknown => keeper.ends_forgetting(volume),
        }));
    }

    /// Whether it still is as it was when giving it back began.
    fn is_behind(&self, (number, volume): (usize, VolumeId), behind: Behind) -> bool {
        match behind {
            Behind::NoMember => !self.named.is_named(volume),
            Behind::Double => {
                let space = self.shared.spaces[number].space();
                space.is_some_and(|space| self.shared.is_double(space, volume))
            }
        }
    }
}

async fn may_forget(shared: Arc<Shared>, volume: VolumeId) -> bool {
    let Some(mserver) = shared.peers.mservers().first().copied() else {
        return false;
    };
    let asked = (&MayForget { volume }, Payload::default());
    let deadline = Deadline::after(REPORT_WAIT);
    let answer = ask(&*shared.peers, mserver, asked, deadline).await;
    matches!(answer, Ok((true, _)))
}

async fn free_some(shared: Arc<Shared>, number: usize, volume: VolumeId) -> Left {
    let working = shared.spaces.get(number).and_then(SpaceSlot::working);
    let Some((space, worker)) = working else {
        return Left::Unknown;
    };
    let (kept, _) = space.list(volume, None, FREED_BLOCKS_MAX);
    let kept = kept.iter().map(|kept| kept.block);
    // What was put aside as damaged is on the disk all the same.
    let damaged = space.damaged().into_iter();
    let damaged = damaged.filter_map(|(of, block)| (of == volume).then_some(block));
    let blocks: Vec<_> = kept.chain(damaged).take(FREED_BLOCKS_MAX).collect();
    if blocks.is_empty() {
        // The work thread waits for the disk too, and what it was once told it does in the end,
        // however late: so it is told only while the disk does its work.
        if !matches!(timeout(LEFT_BEHIND_WAIT, space.log.sync()).await, Ok(Ok(_))) {
            return Left::Unknown;
        }
        return match worker.forget(volume).await {
            Ok(()) => {
                locked(&space.table).end_sync(volume);
                Left::Nothing
            }
            Err(fault) => {
                tracing::warn!(%volume, %fault, "a volume left behind stays noted");
                Left::Unknown
            }
        };
    }
    // They are freed in the order of the log as soon as that is queued; what is waited for is only
    // the disk.
    match timeout(LEFT_BEHIND_WAIT, space.free(volume, &blocks)).await {
        Ok(Ok(())) => Left::Blocks,
        Ok(Err(_)) | Err(_) => Left::Unknown,
    }
}
