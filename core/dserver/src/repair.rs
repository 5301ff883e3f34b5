//! Fetches one damaged block from another member.

use std::sync::Arc;

use sdfs_server_group::ServerId;
use sdfs_types::{BlockDescriptor, MemberState, VolumeId};

use crate::locked::locked;
use crate::shared::Shared;
use crate::space::Space;
use crate::sync::{Copied, copy_block};

impl Space {
    /// Blocks to be fetched from another member.
    pub(crate) fn damaged(&self) -> Vec<(VolumeId, BlockDescriptor)> {
        locked(&self.table).damaged()
    }
}

/// Asks the members in sync one after the other. When all of them say that there is no such block
/// it was freed; when one did not answer, or has put it aside too, it is tried again later. Where
/// no other in sync gives it, a member in sync asks those that are not: they may still have the
/// very bytes, and wait for this member to be whole.
pub(crate) async fn run(shared: Arc<Shared>, (volume, block): (VolumeId, BlockDescriptor)) {
    let Ok(here) = shared.volume(volume) else {
        return;
    };
    let Some(space) = &here.space else { return };
    let Some(wanted) = locked(&space.table).identity_of_damaged(volume, block) else {
        return;
    };
    let mut is_freed = true;
    for source in here.volume.readable().filter(|source| *source != shared.me) {
        match copy_block(&shared, space, (volume, block), (source, Some(wanted))).await {
            Ok(Copied::Bytes(bytes)) => {
                tracing::info!(%volume, %block, bytes, %source, "a damaged block is repaired");
                return;
            }
            Ok(Copied::Unwanted) => return,
            Ok(Copied::Absent) => {}
            Err(fault) => {
                tracing::warn!(%volume, %block, %source, ?fault, "a damaged block is not repaired");
                is_freed = false;
            }
        }
    }
    let has_others = here.volume.readable().any(|source| source != shared.me);
    if has_others && is_freed {
        if let Err(fault) = space.free_damaged(volume, block).await {
            tracing::warn!(%volume, %block, %fault, "a damaged block that was freed stays noted");
        }
        return;
    }
    let is_in_sync = |source: ServerId| here.volume.state_of(source) == Some(MemberState::InSync);
    // One that is not in sync must not bring back what was freed while both were out.
    if !is_in_sync(shared.me) {
        return;
    }
    let others = here.volume.members.iter().map(|member| member.server);
    for source in others.filter(|source| !is_in_sync(*source)) {
        let copied = copy_block(&shared, space, (volume, block), (source, Some(wanted))).await;
        if let Ok(Copied::Bytes(bytes)) = copied {
            tracing::info!(%volume, %block, bytes, %source, "a damaged block is repaired");
            return;
        }
    }
}
