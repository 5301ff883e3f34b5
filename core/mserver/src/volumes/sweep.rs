//! Giving back the space of blocks that are no file's any more: each meta group's leader tells the
//! members of their volumes, and strikes off its list what all of them have done.
//!
//! Doing it twice does no harm, so it begins anew wherever a leader stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};
use tokio::time::sleep;

use sdfs_server_group::Deadline;
use sdfs_types::calls::blocks::FreeBlocks;
use sdfs_types::{BlockDescriptor, Volume, VolumeId};

use super::door::{AskFault, RootFault, Servers, ask};
use super::limits::{
    FREE_BLOCKS_PER_CALL, FREE_CALL_MAX, SWEEP_ENTRIES_MAX, SWEEP_IDLE, SWEEP_PACE,
};
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
    ///
    /// # Errors
    /// Whatever keeps the list from being read now; it is read again.
    fn list(&self, after: Option<FreeKey>, limit: usize) -> Result<Vec<ToFree>, RootFault>;
    /// Commits that these entries are done.
    fn done(&self, keys: Vec<FreeKey>) -> BoxFuture<'static, Result<(), RootFault>>;
}

/// Sweeps one meta group's list for as long as the process runs.
pub async fn sweep(servers: Arc<dyn Servers>, map: VolumeWatch, list: Arc<dyn FreeList>) {
    let mut after = None;
    loop {
        sleep(if after.is_some() {
            SWEEP_PACE
        } else {
            SWEEP_IDLE
        })
        .await;
        if !list.is_leader() {
            after = None;
            continue;
        }
        after = match sweep_page(&*servers, &map, &*list, after).await {
            Ok(next) => next,
            Err(fault) => {
                tracing::debug!(%fault, "blocks to be freed stay listed for now");
                None
            }
        };
    }
}

/// Frees one page of the list and gives the key to go on after; `None` at the end of the list.
async fn sweep_page(
    servers: &dyn Servers,
    map: &VolumeWatch,
    list: &dyn FreeList,
    after: Option<FreeKey>,
) -> Result<Option<FreeKey>, RootFault> {
    let entries = list.list(after, SWEEP_ENTRIES_MAX)?;
    let next = entries
        .last()
        .filter(|_| entries.len() == SWEEP_ENTRIES_MAX)
        .map(|last| last.key);
    let mut by_volume = BTreeMap::<VolumeId, Vec<ToFree>>::new();
    for entry in entries {
        by_volume.entry(entry.volume).or_default().push(entry);
    }
    let mut done = Vec::new();
    for (volume, entries) in by_volume {
        if is_freed(servers, map, volume, &entries).await {
            done.extend(entries.iter().map(|entry| entry.key));
        }
    }
    if !done.is_empty() {
        list.done(done).await?;
    }
    Ok(next)
}

/// Whether every member that keeps the volume has freed the blocks. A member that was out and
/// comes back copies what the others have, so it need not be told; one that came back meanwhile
/// may have looked before, so a volume that has changed is told again.
async fn is_freed(
    servers: &dyn Servers,
    map: &VolumeWatch,
    id: VolumeId,
    entries: &[ToFree],
) -> bool {
    let volume = map.borrow().volumes.get(&id).cloned();
    let Some(volume) = volume else {
        // A hole names no volume; any other volume is only not yet known here.
        return id == VolumeId::default();
    };
    if !volume.acknowledging().all(|member| servers.is_up(member)) {
        return false;
    }
    let blocks: Vec<BlockDescriptor> = entries
        .iter()
        .flat_map(|entry| entry.blocks.iter().copied())
        .collect();
    for blocks in blocks.chunks(FREE_BLOCKS_PER_CALL) {
        if let Err(fault) = free(servers, &volume, blocks).await {
            tracing::debug!(volume = %id, %fault, "blocks to be freed stay listed for now");
            return false;
        }
    }
    let now = map.borrow();
    now.volumes
        .get(&id)
        .is_some_and(|now| now.epoch == volume.epoch)
}

async fn free(
    servers: &dyn Servers,
    volume: &Volume,
    blocks: &[BlockDescriptor],
) -> Result<(), AskFault> {
    let call = FreeBlocks {
        volume: volume.id,
        blocks: blocks.to_vec(),
    };
    let deadline = Deadline::after(FREE_CALL_MAX);
    let told = volume
        .acknowledging()
        .map(|member| ask(servers, member, &call, deadline));
    try_join_all(told).await?;
    Ok(())
}
