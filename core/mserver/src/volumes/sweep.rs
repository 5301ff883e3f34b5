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
use sdfs_types::{BlockDescriptor, Epoch, MemberState, Volume, VolumeId};

use super::door::{AskFault, RootFault, RootGroup, Servers, ask};
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

/// Who is told, and where it is looked whether all were.
struct Sweep {
    servers: Arc<dyn Servers>,
    root: Arc<dyn RootGroup>,
    map: VolumeWatch,
    list: Arc<dyn FreeList>,
}

/// Sweeps one meta group's list for as long as the process runs.
pub async fn sweep(
    servers: Arc<dyn Servers>,
    root: Arc<dyn RootGroup>,
    map: VolumeWatch,
    list: Arc<dyn FreeList>,
) {
    let sweep = Sweep {
        servers,
        root,
        map,
        list,
    };
    let mut after = None;
    loop {
        sleep(if after.is_some() {
            SWEEP_PACE
        } else {
            SWEEP_IDLE
        })
        .await;
        if !sweep.list.is_leader() {
            after = None;
            continue;
        }
        after = match sweep.page(after).await {
            Ok(next) => next,
            Err(fault) => {
                tracing::debug!(%fault, "blocks to be freed stay listed for now");
                None
            }
        };
    }
}

impl Sweep {
    /// Frees one page of the list and gives the key to go on after; `None` at the end of the list.
    async fn page(&self, after: Option<FreeKey>) -> Result<Option<FreeKey>, RootFault> {
        let entries = self.list.list(after, SWEEP_ENTRIES_MAX)?;
        let next = entries
            .last()
            .filter(|_| entries.len() == SWEEP_ENTRIES_MAX)
            .map(|last| last.key);
        let mut by_volume = BTreeMap::<VolumeId, Vec<ToFree>>::new();
        for entry in entries {
            by_volume.entry(entry.volume).or_default().push(entry);
        }
        let mut told = Vec::new();
        for (volume, entries) in by_volume {
            if let Some(epoch) = self.tell_all(volume, &entries).await {
                told.push((volume, epoch, entries));
            }
        }
        if told.is_empty() {
            return Ok(next);
        }
        // A member that syncs may have looked at the others before they were told, and this server
        // may hear late that it does: only the map as it is now says that nobody has.
        let deadline = Deadline::after(FREE_CALL_MAX);
        self.root.read_barrier(deadline).await?;
        told.retain(|(volume, epoch, _)| self.epoch(*volume) == *epoch);
        let done = told.iter().flat_map(|(_, _, entries)| entries);
        let done: Vec<FreeKey> = done.map(|entry| entry.key).collect();
        if !done.is_empty() {
            self.list.done(done).await?;
        }
        Ok(next)
    }

    /// Has every member that keeps the volume free the blocks; the epoch they were told in, when
    /// all have. A member that is out copies what the others have when it is back, so it need not
    /// be told.
    async fn tell_all(&self, id: VolumeId, entries: &[ToFree]) -> Option<Epoch> {
        let volume = self.map.borrow().volumes.get(&id).cloned();
        let Some(volume) = volume else {
            // A hole names no volume; any other volume is only not yet known here.
            return (id == VolumeId::default()).then(Epoch::default);
        };
        if !volume
            .acknowledging()
            .all(|member| self.servers.is_up(member))
        {
            return None;
        }
        let blocks: Vec<BlockDescriptor> = entries
            .iter()
            .flat_map(|entry| entry.blocks.iter().copied())
            .collect();
        for blocks in blocks.chunks(FREE_BLOCKS_PER_CALL) {
            if let Err(fault) = free(&*self.servers, &volume, blocks).await {
                tracing::debug!(volume = %id, %fault, "blocks to be freed stay listed for now");
                return None;
            }
        }
        Some(volume.epoch)
    }

    /// The present epoch of a volume; that of none for one that is not known.
    fn epoch(&self, id: VolumeId) -> Epoch {
        let map = self.map.borrow();
        let volume = map.volumes.get(&id);
        volume.map_or_else(Epoch::default, |volume| volume.epoch)
    }
}

/// Members in sync are told first: one that syncs refuses, once it is told, copies that are on
/// their way from them, and has listed before what they have.
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
    let tell = |member| ask(servers, member, &call, deadline);
    try_join_all(volume.readable().map(tell)).await?;
    let syncing = volume
        .acknowledging()
        .filter(|member| volume.state_of(*member) == Some(MemberState::Syncing));
    try_join_all(syncing.map(tell)).await?;
    Ok(())
}
