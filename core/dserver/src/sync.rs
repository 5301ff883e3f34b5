//! Bringing a volume up to date: compares with members in sync, copies what is missing, verifies
//! what is present, drops what the others do not have, and reports the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sdfs_server_group::{CallError, Deadline, Payload, ServerId};
use sdfs_types::calls::blocks::{BlockKept, ListVolume, ReadBlock, VolumePage};
use sdfs_types::calls::negotiation::ReportSync;
use sdfs_types::calls::status::SyncStatus;
use sdfs_types::{BlockDescriptor, Refusal, VolumeId};
use tokio::time::Instant;

use crate::block_table::Identity;
use crate::limits::{
    INVENTORY_PAGE, SYNC_CALL_WAIT, SYNC_COPIES_AT_ONCE, SYNC_RETRY_PAUSE, SYNC_SOURCE_ASKS,
    SYNC_SOURCE_PAUSE,
};
use crate::locked::locked;
use crate::peers::{AskFault, ask};
use crate::reports::tell;
use crate::shared::{Shared, VolumeHere};
use crate::space::Space;
use crate::space_read::LoadFault;
use crate::space_write::{BlockBody, Purpose, StoreFault};
use crate::surplus::droppable;
use crate::sync_pace::Gone;
use crate::sync_plan::{SyncPlan, compare, portions};

/// Why a source could not be gone through.
#[derive(Debug)]
enum SyncFault {
    /// It did not answer, or not as it should.
    Source,
    /// This server's own disk.
    Disk,
}

/// A sync under way.
struct SyncJob {
    shared: Arc<Shared>,
    here: Arc<VolumeHere>,
    space: Arc<Space>,
    begun: Instant,
    read_bytes: u64,
    copied: u64,
    copied_bytes: u64,
    present: u64,
}

/// Runs a sync until it is complete and a mserver has taken the report. Ends early only with the
/// space; the keeper drops it when the epoch has passed.
pub(crate) async fn run(shared: Arc<Shared>, here: Arc<VolumeHere>, sources: Vec<ServerId>) {
    let Some(space) = here.space.clone() else {
        return;
    };
    let mut job = SyncJob {
        shared,
        here,
        space,
        begun: Instant::now(),
        read_bytes: 0,
        copied: 0,
        copied_bytes: 0,
        present: 0,
    };
    job.publish();
    job.shared.make_way();
    while job.space.is_open() {
        job.pace(Gone::Copied(0)).await;
        if job.attempt(&sources).await {
            let report = job.report();
            tracing::info!(?report, "a volume is up to date");
            while !tell(&*job.shared.peers, &report).await {}
            return;
        }
        job.shared.pace.rests(job.volume());
        tokio::time::sleep(SYNC_RETRY_PAUSE).await;
    }
}

/// However a sync ends, nobody is told of it any more.
impl Drop for SyncJob {
    fn drop(&mut self) {
        self.shared.syncs.remove(&self.volume());
        self.shared.pace.rests(self.volume());
    }
}

impl SyncJob {
    fn publish(&self) {
        let status = SyncStatus {
            for_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            done_bytes: self.read_bytes,
            copied: self.copied,
            copied_bytes: self.copied_bytes,
            present: self.present,
        };
        self.shared.syncs.insert(self.volume(), status);
    }

    fn report(&self) -> ReportSync {
        ReportSync {
            volume: self.volume(),
            epoch: self.here.volume.epoch,
            member: self.shared.me,
            copied: self.copied,
            copied_bytes: self.copied_bytes,
            present: self.present,
        }
    }

    fn volume(&self) -> VolumeId {
        self.here.volume.id
    }

    /// Goes through every source. Each has all that was acknowledged, so one is enough. What none
    /// of them has is dropped: with it a deleted file would be back ([`droppable`]).
    async fn attempt(&mut self, sources: &[ServerId]) -> bool {
        self.present = 0;
        let mut has_heard_all = true;
        let mut surplus: Option<BTreeSet<BlockDescriptor>> = None;
        let me = self.shared.me;
        for source in sources.iter().filter(|source| **source != me) {
            let is_first = surplus.is_none();
            match self.go_through(*source, is_first).await {
                Ok(only_here) => {
                    surplus = Some(match surplus.take() {
                        Some(before) => before.intersection(&only_here).copied().collect(),
                        None => only_here,
                    });
                }
                Err(SyncFault::Disk) => return false,
                Err(fault) => {
                    has_heard_all = false;
                    tracing::warn!(%source, volume = %self.volume(), ?fault, "a sync goes on");
                }
            }
        }
        let Some(surplus) = surplus else {
            return false;
        };
        let (peers, volume) = (&*self.shared.peers, self.volume());
        // Of what was written meanwhile copies may be on their way to the others.
        let surplus = self.space.of_before(volume, surplus);
        let dropped = droppable(peers, volume, surplus, has_heard_all).await;
        let freed = self.space.free_of_before(volume, &dropped).await;
        freed.is_ok()
    }

    /// Copies from one source all it has; what is here only is given back.
    async fn go_through(
        &mut self,
        source: ServerId,
        is_first: bool,
    ) -> Result<BTreeSet<BlockDescriptor>, SyncFault> {
        let mut only_here = BTreeSet::new();
        let mut after = None;
        loop {
            let call = ListVolume {
                volume: self.volume(),
                epoch: self.here.volume.epoch,
                after,
                limit: INVENTORY_PAGE,
            };
            let page = self.page(source, &call).await?;
            let last = page.blocks.last().map(|kept| kept.block);
            if page.more && last.is_none() {
                return Err(SyncFault::Source);
            }
            let until = if page.more { last } else { None };
            let plan = compare(self.stretch(after, until), page.blocks);
            only_here.extend(&plan.surplus);
            self.perform(source, plan, is_first).await?;
            after = last;
            if !page.more {
                return Ok(only_here);
            }
        }
    }

    /// One page of what a source keeps. One that cannot answer soon can: this member has just
    /// been started and is not connected to it yet, or it takes the map in which this member
    /// syncs a moment later.
    async fn page(&self, source: ServerId, call: &ListVolume) -> Result<VolumePage, SyncFault> {
        locked(&self.space.table).begin_page(self.volume());
        for _ in 0..SYNC_SOURCE_ASKS {
            let deadline = Deadline::after(SYNC_CALL_WAIT);
            let asked = (call, Payload::default());
            match ask(&*self.shared.peers, source, asked, deadline).await {
                Ok((page, _)) => return Ok(page),
                Err(
                    AskFault::Refused(Refusal::Busy { .. })
                    | AskFault::Call(CallError::NotConnected | CallError::Lost { .. }),
                ) => tokio::time::sleep(SYNC_SOURCE_PAUSE).await,
                Err(_) => return Err(SyncFault::Source),
            }
        }
        Err(SyncFault::Source)
    }

    /// Blocks kept here behind one, up to and with another.
    fn stretch(
        &self,
        after: Option<BlockDescriptor>,
        until: Option<BlockDescriptor>,
    ) -> Vec<BlockKept> {
        let mut stretch = Vec::new();
        let mut last = after;
        loop {
            let (blocks, more) = self
                .space
                .list(self.volume(), last, INVENTORY_PAGE as usize);
            let is_inside = |kept: &BlockKept| until.is_none_or(|until| kept.block <= until);
            let inside = blocks.iter().take_while(|kept| is_inside(kept)).count();
            stretch.extend_from_slice(&blocks[..inside]);
            last = blocks.last().map(|kept| kept.block);
            if !more || inside < blocks.len() {
                return stretch;
            }
        }
    }

    async fn perform(
        &mut self,
        source: ServerId,
        plan: SyncPlan,
        is_first: bool,
    ) -> Result<(), SyncFault> {
        let mut wanted = plan.missing;
        // Immutable bytes differ when those here are wrong: the ones of members in sync are not.
        let different: Vec<_> = plan.different.iter().map(|kept| kept.block).collect();
        if !different.is_empty() {
            let freed = self.space.free(self.volume(), &different).await;
            freed.map_err(|_| SyncFault::Disk)?;
            wanted.extend(plan.different);
        }
        if is_first {
            for kept in plan.present {
                match self
                    .space
                    .load(self.volume(), kept.block, (0, u32::MAX))
                    .await
                {
                    Ok(_) => self.present += 1,
                    Err(LoadFault::Absent) => {}
                    Err(LoadFault::Damaged | LoadFault::Busy) => wanted.push(kept),
                    Err(LoadFault::Failed) => return Err(SyncFault::Disk),
                }
                self.pace(Gone::Verified(kept.length_bytes.into())).await;
            }
        }
        for some in portions(&wanted, self.shared.pace.portion_bytes()) {
            let (shared, space, volume) = (&*self.shared, &*self.space, self.volume());
            let copies = some
                .iter()
                .map(|kept| copy_one(shared, space, (volume, *kept), source));
            let copies: Vec<_> = stream::iter(copies)
                .buffer_unordered(SYNC_COPIES_AT_ONCE)
                .collect()
                .await;
            let mut bytes = 0;
            for copied in copies {
                let copied = copied?;
                self.copied += u64::from(copied > 0);
                bytes += copied;
            }
            self.copied_bytes += bytes;
            self.pace(Gone::Copied(bytes)).await;
        }
        Ok(())
    }

    /// Holds reading and copying down to the rate of this server.
    async fn pace(&mut self, gone: Gone) {
        let (Gone::Copied(bytes) | Gone::Verified(bytes)) = gone;
        self.read_bytes += bytes;
        self.publish();
        let copies = self.here.volume.readable().count();
        let pace = &self.shared.pace;
        pace.turn(self.volume(), copies, gone).await;
    }
}

/// What came of copying a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// So many bytes are stored.
    Bytes(u64),
    /// The other member has no such block.
    Absent,
    /// It was freed here meanwhile, or is damaged no more.
    Unwanted,
}

/// Copies a block from another member. In the place of a damaged one the same is wanted: a member
/// that is not in sync may have other bytes under the descriptor, from a write that failed.
pub(crate) async fn copy_block(
    shared: &Shared,
    space: &Space,
    (volume, block): (VolumeId, BlockDescriptor),
    (source, wanted): (ServerId, Option<Identity>),
) -> Result<Copied, AskFault> {
    let call = ReadBlock {
        volume,
        block,
        offset_bytes: 0,
        length_bytes: u32::MAX,
        grant: None,
    };
    let asked = (&call, Payload::default());
    let answer = ask(
        &*shared.peers,
        source,
        asked,
        Deadline::after(SYNC_CALL_WAIT),
    )
    .await;
    let (range, payload) = match answer {
        Err(AskFault::Refused(Refusal::NoSuchBlock)) => return Ok(Copied::Absent),
        answer => answer?,
    };
    let parts: Vec<Bytes> = payload.into_pieces();
    let body = BlockBody::new(parts)
        .filter(|body| body.sums.whole == range.crc32c && body.length_bytes == range.block_bytes)
        .filter(|body| wanted.is_none_or(|wanted| body.identity() == wanted));
    let body = body.ok_or(AskFault::Refused(Refusal::Corrupt))?;
    let purpose = match wanted {
        Some(_) => Purpose::Repair,
        None => Purpose::Sync,
    };
    let stored = match space.store((volume, block), &body, purpose).await {
        Ok(storing) => storing.durable().await,
        Err(fault) => Err(fault),
    };
    match stored {
        Ok(()) => Ok(Copied::Bytes(u64::from(body.length_bytes))),
        Err(StoreFault::Gone) => Ok(Copied::Unwanted),
        Err(fault) => {
            tracing::warn!(%volume, %block, %fault, "a copy was not stored");
            Err(AskFault::Refused(shared.disk_failed()))
        }
    }
}

async fn copy_one(
    shared: &Shared,
    space: &Space,
    (volume, kept): (VolumeId, BlockKept),
    source: ServerId,
) -> Result<u64, SyncFault> {
    match copy_block(shared, space, (volume, kept.block), (source, None)).await {
        Ok(Copied::Bytes(bytes)) => Ok(bytes),
        Ok(Copied::Absent | Copied::Unwanted) => Ok(0),
        Err(AskFault::Refused(Refusal::DiskFailed { server })) if server == shared.me => {
            Err(SyncFault::Disk)
        }
        Err(_) => Err(SyncFault::Source),
    }
}
