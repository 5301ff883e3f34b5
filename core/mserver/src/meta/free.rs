//! Blocks that are no file's any more, in the order they were given up. They are swept no sooner
//! than a grace period later, so that readers who have just fetched metadata finish; a reader
//! that comes too late finds the block gone, and fetches metadata again.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use sdfs_raft::{GroupId, RaftGroups};
use sdfs_server_group::Deadline;
use sdfs_types::clock;
use sdfs_types::wire;
use sdfs_types::{BlockDescriptor, VolumeId};

use super::command::MetaCommand;
use super::view::MetaView;
use crate::limits::{DUTY_STEP_MAX, FREE_GRACE_MS};
use crate::volumes::{FreeKey, FreeList, RootFault, ToFree};

/// Blocks of one volume that were given up together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeEntry {
    /// When.
    pub given_up_ms: u64,
    /// The volume.
    pub volume: VolumeId,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
}

/// The to-be-freed list of one meta group, as the sweep takes it.
pub struct GroupFreeList {
    /// The groups of this process.
    pub groups: RaftGroups,
    /// Which one.
    pub group: GroupId,
    /// Its state here.
    pub view: Arc<MetaView>,
}

impl FreeList for GroupFreeList {
    fn is_leader(&self) -> bool {
        self.groups.is_leader(self.group)
    }

    fn list(&self, after: Option<FreeKey>, limit: usize) -> Result<Vec<ToFree>, RootFault> {
        let before_ms = clock::now_ms().saturating_sub(FREE_GRACE_MS);
        match self.view.to_free(after.map(|key| key.0), before_ms, limit) {
            Ok(found) => Ok(found
                .into_iter()
                .map(|(sequence, entry)| ToFree {
                    key: FreeKey(sequence),
                    volume: entry.volume,
                    blocks: entry.blocks,
                })
                .collect()),
            // The next look is soon; a store that failed has stopped the group already.
            Err(fault) => {
                tracing::warn!(group = %self.group, %fault, "cannot list blocks to free");
                Ok(Vec::new())
            }
        }
    }

    fn done(&self, keys: Vec<FreeKey>) -> BoxFuture<'static, Result<(), RootFault>> {
        let (groups, group) = (self.groups.clone(), self.group);
        let sequences = keys.into_iter().map(|key| key.0).collect();
        async move {
            let command = wire::encode(&vec![MetaCommand::Freed { sequences }]);
            groups
                .propose(group, command, Deadline::after(DUTY_STEP_MAX))
                .await?;
            Ok(())
        }
        .boxed()
    }
}
