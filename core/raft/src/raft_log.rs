//! The log all groups of the process share: one file, one thread, one sync for everybody.

use crate::entry_code::{Malformed, put_entry, take_entry};
use crate::errors::{LogDamage, StartError};
use crate::group_log::{Found, Gap, GroupLog, Slot};
use crate::ids::GroupId;
use crate::limits::{LOG_QUEUE_BYTES_MAX, LOG_RESERVE_BYTES, READ_TRIES, RECORD_BYTES_MAX};
use crate::record::{HardState, Life, RecordHead};
use crate::recovery::{Recovered, Recovery};
use crate::room::Room;
use crate::types::{Entry, LogId, Types};
use bytes::{Bytes, BytesMut};
use openraft::storage::IOFlushed;
use sdfs_log::{
    AppendRefused, Disk, LogFailure, LogOptions, LogStats, Position, ReadError, Record, SegmentId,
    SegmentLog, SegmentStatus,
};
use sdfs_server_group::ServerId;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The shared log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RaftLog(Arc<Shared>);

struct Shared {
    log: SegmentLog,
    /// A group's index is changed by its raft core and read by its replication, all on one
    /// thread; the lock is for `Sync` alone, and never held across a wait.
    groups: BTreeMap<GroupId, Mutex<GroupLog>>,
    /// Whose log this is, and the segment with the newest record that says so.
    owner: Mutex<Option<(ServerId, Life, SegmentId)>>,
    /// Segment and offset of the last durable record; written by the disk thread.
    durable: AtomicU64,
    room: Room,
}

/// A run of encoded entries that become one record.
struct Run {
    first: u64,
    data: Bytes,
    /// Each entry with its place in `data`.
    entries: Vec<(Entry, u32, u32)>,
}

impl RaftLog {
    /// Opens the log in `dir` and makes an index for each of `groups` and for every other group
    /// found in it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        groups: impl Iterator<Item = GroupId>,
        segment_bytes: u32,
    ) -> Result<(Self, Option<(ServerId, Life)>), StartError> {
        let options = LogOptions {
            name: "raft-log".to_owned(),
            segment_bytes,
            queue_bytes_max: LOG_QUEUE_BYTES_MAX,
            spare_segments: 2,
            reserve_bytes: LOG_RESERVE_BYTES,
        };
        let mut recovery = Recovery::default();
        let log = SegmentLog::open(disk, dir, options, None, &mut |position, head, data| {
            recovery.record(position, head, data);
        })?;
        let damaged = log.replay_report().damaged;
        let Recovered {
            owner,
            groups: mut found,
        } = recovery.finish(&damaged).map_err(|damage| {
            let dir = dir.to_owned();
            match damage {
                LogDamage::Version { .. } | LogDamage::Unknown { .. } => {
                    StartError::LogOfOtherVersion { dir, damage }
                }
                damage => StartError::LogDamaged { dir, damage },
            }
        })?;
        for group in groups {
            found.entry(group).or_default();
        }
        let groups = found
            .into_iter()
            .map(|(group, log)| (group, Mutex::new(log)))
            .collect();
        let shared = Shared {
            log,
            groups,
            owner: Mutex::new(owner),
            durable: AtomicU64::new(0),
            room: Room::default(),
        };
        let owner = owner.map(|(server, life, _)| (server, life));
        Ok((Self(Arc::new(shared)), owner))
    }

    /// Writes that the log was opened, and by whom: at each opening, before anything else.
    pub(crate) async fn write_opened(&self, server: ServerId, life: Life) -> io::Result<()> {
        self.write_owner(&RecordHead::Opened { server, life }, server, life)
            .await
    }

    /// Writes whose log this is once more, if what says so lies in `segment` or before.
    pub(crate) async fn copy_owner(&self, segment: SegmentId) -> io::Result<()> {
        let owner = *self.owner();
        match owner {
            Some((server, life, at)) if at <= segment => {
                self.write_owner(&RecordHead::Owner { server, life }, server, life)
                    .await
            }
            _ => Ok(()),
        }
    }

    async fn write_owner(&self, head: &RecordHead, server: ServerId, life: Life) -> io::Result<()> {
        let (position, durable) = self.queue(head, Bytes::new()).map_err(io::Error::other)?;
        *self.owner() = Some((server, life, position.segment_id()));
        wait_for(durable).await
    }

    fn owner(&self) -> MutexGuard<'_, Option<(ServerId, Life, SegmentId)>> {
        self.0.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes a group's index.
    pub(crate) fn with<T>(&self, group: GroupId, look: impl FnOnce(&mut GroupLog) -> T) -> T {
        look(&mut self.lock(group))
    }

    /// The groups that have an index.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.0.groups.keys().copied()
    }

    pub(crate) fn lock(&self, group: GroupId) -> MutexGuard<'_, GroupLog> {
        let log = self
            .0
            .groups
            .get(&group)
            .expect("every started group has an index");
        log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends entries; they can be read at once. `flushed` is told on the disk thread when they
    /// are durable.
    pub(crate) async fn append(
        &self,
        group: GroupId,
        entries: impl Iterator<Item = Entry>,
        flushed: IOFlushed<Types>,
    ) -> io::Result<()> {
        let runs = runs_of(entries);
        if runs.is_empty() {
            flushed.io_completed(Ok(()));
            return Ok(());
        }
        // The log drops the callback of an append it refuses, and this one is needed again.
        let flushed = Arc::new(Mutex::new(Some(flushed)));
        loop {
            match self.try_append(group, &runs, &flushed) {
                Ok(()) => return Ok(()),
                // The disk is behind: once everything queued is durable there is room.
                Err(AppendFault::Refused(AppendRefused::Full)) => self.sync().await?,
                Err(fault) => return Err(io::Error::other(fault)),
            }
        }
    }

    pub(crate) fn is_without_room(&self) -> bool {
        self.0.room.is_short()
    }

    /// Looks how much of the disk is free.
    pub(crate) fn look_for_room(&self) {
        self.0.log.look_at_space();
        self.0.room.note(self.0.log.stats().free_bytes);
    }

    fn try_append(
        &self,
        group: GroupId,
        runs: &[Run],
        flushed: &Arc<Mutex<Option<IOFlushed<Types>>>>,
    ) -> Result<(), AppendFault> {
        let mut index = self.lock(group);
        index.check_next(runs[0].first)?;
        let committed = index.state().committed;
        let records = runs.iter().map(|run| {
            let count = run.entries.len() as u32;
            let head = RecordHead::Entries {
                group,
                first: run.first,
                count,
                committed,
            };
            Record {
                // Whether there is room was asked before it came so far.
                use_reserve: true,
                ..Record::new(head.to_bytes(), run.data.clone())
            }
        });
        let (shared, flushed) = (Arc::clone(&self.0), Arc::clone(flushed));
        let positions = self.0.log.append_all(records.collect(), move |result| {
            shared.note_durable(&result);
            let flushed = flushed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(flushed) = flushed {
                flushed.io_completed(result.map(|_| ()).map_err(io::Error::other));
            }
        })?;
        for (run, position) in runs.iter().zip(positions) {
            for (entry, start, bytes) in &run.entries {
                let leader = entry.log_id.leader_id;
                let slot = Slot {
                    leader,
                    position,
                    start: *start,
                    bytes: *bytes,
                };
                index.push(entry.clone(), slot);
            }
        }
        index.shrink(self.0.durable());
        Ok(())
    }

    /// The entries from `start` to `end` (excluded) that are in the log: all of them, or the first
    /// ones up to `bytes_max`.
    pub(crate) async fn read(
        &self,
        group: GroupId,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let mut tries = READ_TRIES;
        loop {
            let found = self.with(group, |index| index.find(start, end, bytes_max));
            let durable = self.0.durable();
            let is_written = |found: &Found| match found {
                Found::Here(_) => true,
                Found::OnDisk { slot, .. } => slot.position <= durable,
            };
            if !found.iter().all(is_written) {
                // Those that are being written again elsewhere are not there yet.
                self.sync().await?;
            }
            match self.fetch(found).await {
                // Emptied while it was read; its entries now lie elsewhere.
                Err(FetchFault::Read(ReadError::NoSegment(_))) if tries > 0 => tries -= 1,
                other => return other.map_err(io::Error::other),
            }
        }
    }

    pub(crate) async fn fetch(&self, found: Vec<Found>) -> Result<Vec<Entry>, FetchFault> {
        let mut record: Option<(Position, Bytes)> = None;
        let mut entries = Vec::with_capacity(found.len());
        for found in found {
            let (index, slot) = match found {
                Found::Here(entry) => {
                    entries.push(entry);
                    continue;
                }
                Found::OnDisk { index, slot } => (index, slot),
            };
            let data = match &record {
                Some((position, data)) if *position == slot.position => data.clone(),
                _ => {
                    let data = self.read_record(slot.position).await?;
                    record = Some((slot.position, data.clone()));
                    data
                }
            };
            let (start, end) = (slot.start as usize, (slot.start + slot.bytes) as usize);
            if end > data.len() {
                return Err(Malformed.into());
            }
            entries.push(take_entry(&mut data.slice(start..end), index)?);
        }
        Ok(entries)
    }

    async fn read_record(&self, position: Position) -> Result<Bytes, ReadError> {
        match self.0.log.read_async(position).await {
            // The readers are busy with others; this thread is not.
            Err(ReadError::Full) => Ok(self.0.log.read(position)?.data),
            other => Ok(other?.data),
        }
    }

    /// Changes what the group remembers beside its entries and waits until that is durable. The
    /// new state counts at once, so that a later record never carries an older vote.
    pub(crate) async fn write_state(
        &self,
        group: GroupId,
        change: impl Fn(&mut HardState),
    ) -> io::Result<()> {
        self.change(group, |index| {
            let mut state = index.state().clone();
            change(&mut state);
            let (position, durable) = self.queue(&state_head(group, &state), Bytes::new())?;
            index.set_state(state, position.segment_id());
            Ok(durable)
        })
        .await
    }

    /// Forgets the entries after `after` (all, for none) and waits until that is durable.
    pub(crate) async fn truncate(&self, group: GroupId, after: Option<u64>) -> io::Result<()> {
        self.change(group, |index| {
            let (_, durable) = self.queue(&RecordHead::Truncated { group, after }, Bytes::new())?;
            index.truncate_after(after);
            Ok(durable)
        })
        .await
    }

    /// Forgets the entries up to and with `upto` and waits until that is durable.
    pub(crate) async fn purge(&self, group: GroupId, upto: LogId) -> io::Result<()> {
        self.change(group, |index| {
            let mut state = index.state().clone();
            state.purged = state.purged.max(Some(upto));
            let (position, durable) = self.queue(&state_head(group, &state), Bytes::new())?;
            index.purge(upto);
            index.set_state(state, position.segment_id());
            Ok(durable)
        })
        .await
    }

    /// Queues a record and takes it over into the index under one lock, so that records lie in
    /// the order in which the index changed; then waits until the record is durable.
    async fn change(
        &self,
        group: GroupId,
        queue: impl Fn(&mut GroupLog) -> Result<Durable, AppendRefused>,
    ) -> io::Result<()> {
        loop {
            let queued = self.with(group, |index| queue(index));
            match queued {
                Ok(durable) => return wait_for(durable).await,
                Err(AppendRefused::Full) => self.sync().await?,
                Err(refused) => return Err(io::Error::other(refused)),
            }
        }
    }

    /// Waits until everything appended before is durable.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        self.0.log.sync().await.map_err(io::Error::other)
    }

    pub(crate) fn segments(&self) -> Vec<SegmentStatus> {
        self.0.log.segments()
    }

    pub(crate) fn remove_segment(&self, segment: SegmentId) -> bool {
        self.0.log.remove_segment(segment)
    }

    pub(crate) fn stats(&self) -> (LogStats, usize) {
        self.look_for_room();
        (self.0.log.stats(), self.0.log.segments().len())
    }

    /// Writes what is queued and ends the disk thread. Blocks.
    pub(crate) fn close(&self) {
        self.0.log.close();
    }

    /// Queues one record. May use the space in reserve: votes, purges and copies are what lets a
    /// full server go on and become emptier.
    pub(crate) fn queue(
        &self,
        head: &RecordHead,
        data: Bytes,
    ) -> Result<(Position, Durable), AppendRefused> {
        let record = Record {
            use_reserve: true,
            ..Record::new(head.to_bytes(), data)
        };
        let (told, durable) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let position = self.0.log.append(record, move |result| {
            shared.note_durable(&result);
            // Nobody waits for a copy by itself: the sync after all of them is waited for.
            drop(told.send(result.map(|_| ())));
        })?;
        Ok((position, durable))
    }
}

pub(crate) type Durable = oneshot::Receiver<Result<(), LogFailure>>;

async fn wait_for(durable: Durable) -> io::Result<()> {
    match durable.await {
        Ok(done) => done.map_err(io::Error::other),
        Err(_) => Err(io::Error::other(LogFailure::Closed)),
    }
}

impl Shared {
    fn note_durable(&self, result: &Result<Position, LogFailure>) {
        if let Ok(position) = result {
            let place = u64::from(position.segment) << 32 | u64::from(position.offset);
            self.durable.fetch_max(place, Ordering::AcqRel);
        }
    }

    fn durable(&self) -> Position {
        let place = self.durable.load(Ordering::Acquire);
        Position {
            segment: (place >> 32) as u32,
            offset: place as u32,
            bytes: u32::MAX,
        }
    }
}

fn state_head(group: GroupId, state: &HardState) -> RecordHead {
    RecordHead::State {
        group,
        state: state.clone(),
    }
}

/// Encodes entries into runs that each make a record of bounded size.
fn runs_of(entries: impl Iterator<Item = Entry>) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut data = BytesMut::new();
    let mut placed = Vec::new();
    for entry in entries {
        let start = data.len() as u32;
        let bytes = put_entry(&mut data, &entry) as u32;
        placed.push((entry, start, bytes));
        if data.len() >= RECORD_BYTES_MAX {
            runs.push(Run::of(&mut data, &mut placed));
        }
    }
    if !placed.is_empty() {
        runs.push(Run::of(&mut data, &mut placed));
    }
    runs
}

impl Run {
    fn of(data: &mut BytesMut, entries: &mut Vec<(Entry, u32, u32)>) -> Self {
        let entries = std::mem::take(entries);
        Self {
            first: entries[0].0.log_id.index,
            data: data.split().freeze(),
            entries,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AppendFault {
    #[error(transparent)]
    Gap(#[from] Gap),
    #[error(transparent)]
    Refused(#[from] AppendRefused),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFault {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}
