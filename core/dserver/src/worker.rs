//! The thread of a space for everything that takes long and is in no hurry: checkpoints,
//! compaction, scrubbing, and writing down which volumes the space keeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Instant;

use sdfs_log::{SegmentId, Step, Working};
use sdfs_types::{BlockDescriptor, Epoch, VolumeId};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::compaction::CompactFault;
use crate::limits::{
    CHECKPOINT_BYTES, CHECKPOINT_RECORDS, HURRIED_SCRUB_BYTES_PER_S, SCRUB_PERIOD, TICK,
};
use crate::locked::locked;
use crate::space::{Space, SpaceFault};

/// Jobs waiting for the thread: one a volume that is new here, and those come in few pushes.
const JOBS_MAX: usize = 64;

type Job = Box<dyn FnOnce(&Space) + Send>;

/// The way to the thread.
pub(crate) struct Worker {
    space: Arc<Space>,
    jobs: SyncSender<Job>,
    thread: Arc<dyn Working>,
}

impl Worker {
    pub(crate) fn start(space: Arc<Space>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let name = space
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("space");
        let mut upkeep = Upkeep::new(Arc::clone(&space));
        let work = Box::new(move || upkeep.step(&queue));
        let thread = space.disk.start(format!("{name}-work"), work)?;
        Ok(Self {
            space,
            jobs,
            thread,
        })
    }

    /// Notes durably that the space keeps volumes.
    pub(crate) async fn keep(&self, volumes: Vec<(VolumeId, Epoch)>) -> Result<(), KeepFault> {
        let told = self.hand_over(move |space| space.keep(&volumes))?;
        self.thread.wake();
        outcome(told).await
    }

    /// Notes durably that the space keeps a volume no more.
    pub(crate) async fn forget(&self, volume: VolumeId) -> Result<(), KeepFault> {
        outcome(self.hand_over(move |space| space.forget(volume))?).await
    }

    /// Writes a checkpoint, beside those that fall due; whether it was written.
    pub(crate) async fn checkpoint(&self) -> Result<bool, KeepFault> {
        let told = self.hand_over(Space::checkpoint)?;
        self.thread.wake();
        outcome(told).await
    }

    /// Hands the thread a job, and gives what will tell how it went.
    fn hand_over<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Space) -> Result<T, SpaceFault> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, SpaceFault>>, KeepFault> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |space| drop(tell.send(deed(space))));
        self.jobs.try_send(job).map_err(|_| KeepFault::Busy)?;
        Ok(told)
    }

    /// Ends the thread and waits for it, after a last checkpoint. Blocks.
    pub(crate) fn end(&self) {
        self.space.is_ending.store(true, Ordering::Release);
        self.thread.wake();
        self.thread.join();
    }
}

async fn outcome<T>(told: oneshot::Receiver<Result<T, SpaceFault>>) -> Result<T, KeepFault> {
    match told.await {
        Ok(result) => result.map_err(KeepFault::Space),
        Err(_) => Err(KeepFault::Busy),
    }
}

/// When nobody ended it, as when a server is dropped: the space must be free for the next opener.
impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why a space could not note a volume, or write a checkpoint.
#[derive(Debug, Error)]
pub enum KeepFault {
    /// Too much to do, or about to end.
    #[error("the space has too much to do or is about to end")]
    Busy,
    /// The disk gave an error.
    #[error(transparent)]
    Space(SpaceFault),
}

/// What the thread remembers.
struct Upkeep {
    space: Arc<Space>,
    /// When the regular work is due next.
    due: Instant,
    checkpoint_at: (u64, u64),
    unreadable: BTreeSet<SegmentId>,
    scrub: Scrub,
}

struct Scrub {
    next: Option<(VolumeId, BlockDescriptor)>,
    /// Whether the present pass was asked for.
    is_hurried: bool,
    /// Bytes that may be read by now.
    budget: f64,
    at: Instant,
}

impl Upkeep {
    fn new(space: Arc<Space>) -> Self {
        let scrub = Scrub {
            next: None,
            is_hurried: false,
            budget: 0.0,
            at: Instant::now(),
        };
        // Where durable records are damaged stays, so that the next start finds it again.
        let damaged = space.log.replay_report().damaged.into_iter();
        let damaged = damaged.filter(|range| range.was_synced);
        let unreadable = damaged.map(|range| range.segment).collect();
        Self {
            space,
            due: Instant::now() + TICK,
            checkpoint_at: (0, 0),
            unreadable,
            scrub,
        }
    }

    fn step(&mut self, jobs: &Receiver<Job>) -> Step {
        let job = jobs.try_recv();
        let is_ending = self.space.is_ending.load(Ordering::Acquire);
        if is_ending || matches!(job, Err(TryRecvError::Disconnected)) {
            if self.space.is_open() {
                self.checkpoint();
            }
            return Step::End;
        }
        if let Ok(job) = job {
            job(&self.space);
            return Step::Again;
        }
        let early = self.due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            return Step::WaitFor(early);
        }
        if self.space.is_open() {
            self.space.log.look_at_space();
            self.space.mark();
            self.checkpoint_if_due();
            self.compact_if_due();
            self.scrub_some();
        }
        self.due = Instant::now() + TICK;
        Step::Again
    }

    fn checkpoint_if_due(&mut self) {
        let stats = self.space.log.stats();
        let (bytes, records) = self.checkpoint_at;
        if stats.record_bytes - bytes >= CHECKPOINT_BYTES
            || stats.records - records >= CHECKPOINT_RECORDS
        {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let stats = self.space.log.stats();
        match self.space.checkpoint() {
            Ok(_) => self.checkpoint_at = (stats.record_bytes, stats.records),
            // The next start replays more, nothing else.
            Err(error) => tracing::warn!(space = ?self.space.path, %error, "no checkpoint"),
        }
    }

    fn compact_if_due(&mut self) {
        let Some(segment) = self.space.compaction_due(&self.unreadable) else {
            return;
        };
        match self.space.compact(segment) {
            Ok(()) => tracing::debug!(space = ?self.space.path, %segment, "compacted"),
            Err(CompactFault::Unreadable) => {
                tracing::error!(space = ?self.space.path, %segment, "cannot be compacted");
                self.unreadable.insert(segment);
            }
            // Tried again at the next tick, or the space is closed.
            Err(
                CompactFault::NoRoom
                | CompactFault::Failed
                | CompactFault::Active
                | CompactFault::Ending,
            ) => {}
        }
    }

    fn scrub_some(&mut self) {
        let (_, live_bytes) = locked(&self.space.table).totals();
        let passed = self.scrub.at.elapsed();
        self.scrub.at = Instant::now();
        self.hurry_if_asked();
        self.scrub.budget += if self.scrub.is_hurried {
            HURRIED_SCRUB_BYTES_PER_S as f64 * passed.as_secs_f64()
        } else {
            live_bytes as f64 * passed.div_duration_f64(SCRUB_PERIOD)
        };
        // The whole of a small space is within a few blocks' budget.
        self.scrub.budget = self.scrub.budget.min(live_bytes as f64);
        while self.scrub.budget > 0.0 || self.scrub.is_hurried {
            let Some((volume, block, bytes)) = self.space.block_after(self.scrub.next) else {
                self.end_of_pass();
                return;
            };
            if self.scrub.budget < f64::from(bytes) {
                return;
            }
            self.scrub.budget -= f64::from(bytes);
            self.scrub.next = Some((volume, block));
            // What is damaged was put aside, what is absent was freed meanwhile.
            self.space.verify(volume, block).unwrap_or(());
            locked(&self.space.scrub).checked_bytes += u64::from(bytes);
        }
    }

    /// A pass that is asked for begins anew: what the present one has read may be days old.
    fn hurry_if_asked(&mut self) {
        let mut status = locked(&self.space.scrub);
        if status.is_hurried && !self.scrub.is_hurried {
            self.scrub.is_hurried = true;
            self.scrub.next = None;
            self.scrub.budget = 0.0;
            status.checked_bytes = 0;
        }
    }

    fn end_of_pass(&mut self) {
        self.scrub.next = None;
        self.scrub.is_hurried = false;
        let mut status = locked(&self.space.scrub);
        status.passes += 1;
        status.checked_bytes = 0;
        status.is_hurried = false;
    }
}
