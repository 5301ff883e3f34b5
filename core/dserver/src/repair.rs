//! Fetches one damaged block from another member.

use std::sync::Arc;

use sdfs_types::{BlockDescriptor, VolumeId};

use crate::locked::locked;
use crate::shared::Shared;
use crate::space::Space;
use crate::sync::copy_block;

impl Space {
    /// Blocks to be fetched from another member.
    pub(crate) fn damaged(&self) -> Vec<(VolumeId, BlockDescriptor)> {
        locked(&self.table).damaged()
    }
}

/// Asks the members in sync one after the other. When all of them say that there is no such block
/// it was freed; when one did not answer it is tried again later.
pub(crate) async fn run(shared: Arc<Shared>, (volume, block): (VolumeId, BlockDescriptor)) {
    let Ok(here) = shared.volume(volume) else {
        return;
    };
    let Some(space) = &here.space else { return };
    let mut is_freed = true;
    for source in here.volume.readable().filter(|source| *source != shared.me) {
        match copy_block(&shared, space, (volume, block), source).await {
            Ok(Some(bytes)) => {
                tracing::info!(%volume, %block, bytes, %source, "a damaged block is repaired");
                return;
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::warn!(%volume, %block, %source, ?fault, "a damaged block is not repaired");
                is_freed = false;
            }
        }
    }
    let has_others = here.volume.readable().any(|source| source != shared.me);
    if is_freed && has_others {
        locked(&space.table).free(volume, &block);
    }
}
