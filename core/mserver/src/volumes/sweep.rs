//! Giving back the space of blocks that are no file's any more.

use std::sync::Arc;

use futures::future::BoxFuture;

use sdfs_types::{BlockDescriptor, VolumeId};

use super::door::{RootFault, Servers};
use super::machine::VolumeWatch;

/// Blocks of one volume that are no file's any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToFree {
    /// Names the entry in its meta group's list.
    pub key: FreeKey,
    /// The volume.
    pub volume: VolumeId,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
}

/// Names an entry of a meta group's to-be-freed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreeKey(pub u64);

/// The to-be-freed list of one meta group.
pub trait FreeList: Send + Sync + 'static {
    /// Whether this server leads the group; only its leader sweeps.
    fn is_leader(&self) -> bool;
    /// At most `limit` entries after `after`, in order.
    fn list(&self, after: Option<FreeKey>, limit: usize) -> Result<Vec<ToFree>, RootFault>;
    /// Commits that these entries are done.
    fn done(&self, keys: Vec<FreeKey>) -> BoxFuture<'static, Result<(), RootFault>>;
}

/// Sweeps one meta group's list for as long as the process runs.
pub async fn sweep(_servers: Arc<dyn Servers>, _map: VolumeWatch, _list: Arc<dyn FreeList>) {}
