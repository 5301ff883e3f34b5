//! What the threads of a log share: the queue of appends, the place where the next one goes, the
//! segments, and the next segment being made.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::error::{AppendRefused, LogFailure};
use crate::files::Files;
use crate::format::{SegmentHeader, padded};
use crate::limits::{RECORD_HEADER_BYTES, SEGMENT_BYTES_FIRST, SEGMENT_HEADER_BYTES};
use crate::options::LogOptions;
use crate::position::{Position, SegmentId};
use crate::record::Record;
use crate::report::LogStats;
use crate::work::Working;

/// Called when a record is durable, or will never be.
pub(crate) type Done = Box<dyn FnOnce(Result<Position, LogFailure>) + Send>;

/// An append on its way to the disk thread.
pub(crate) struct Queued {
    pub(crate) position: Position,
    /// Nothing for one who only waits for those before.
    pub(crate) body: Option<Body>,
    pub(crate) done: Option<Done>,
}

/// What is written of an append.
pub(crate) struct Body {
    pub(crate) head: Bytes,
    pub(crate) data: Vec<Bytes>,
    pub(crate) data_bytes: u32,
    pub(crate) data_crc: u32,
}

/// A record measured and checked, before it has a place.
pub(crate) struct Measured {
    bytes: u32,
    body: Body,
    use_reserve: bool,
}

impl Measured {
    pub(crate) fn new(record: Record) -> Option<Self> {
        let bytes = record.bytes()?;
        let data_crc = record.crc();
        let use_reserve = record.use_reserve;
        let data_bytes = bytes - RECORD_HEADER_BYTES - record.head.len() as u32;
        let body = Body {
            head: record.head,
            data: record.data,
            data_bytes,
            data_crc,
        };
        Some(Self {
            bytes,
            body,
            use_reserve,
        })
    }
}

/// Where the next append goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
    /// Bytes the segment may grow to.
    pub(crate) capacity: u32,
}

/// The segment after the active one, made ahead of need.
pub(crate) enum Next {
    /// Nobody has asked for it.
    Absent,
    /// Wanted by the disk thread.
    Wanted {
        /// Whether commits are so small that zeroing pays.
        is_zeroing_worth: bool,
        /// The active segment.
        after: SegmentId,
    },
    /// The preparing thread is making its file; whoever needs it waits for that.
    Making,
    /// There, and perhaps still being zeroed.
    Made(Made),
}

/// A segment file that is there and durable, without records.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) home: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// A step of zeroing is being written; taking the file before its end could overwrite records.
    pub(crate) zeroing: bool,
}

/// State under the lock. The lock is held for queueing and bookkeeping only, never for the disk.
pub(crate) struct State {
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) queued_bytes: u64,
    /// The disk thread waits and must be woken.
    pub(crate) is_idle: bool,
    pub(crate) is_closing: bool,
    pub(crate) tail: Tail,
    /// The segment the disk thread writes; it may lag behind the tail's.
    pub(crate) written_segment: SegmentId,
    /// Segments with records: end of the records in each, and whether it is to be removed.
    pub(crate) segments: BTreeMap<SegmentId, SegmentEnd>,
    /// Bytes that may be appended before the reserve is touched, by the last look at the disk.
    pub(crate) room_bytes: i64,
    pub(crate) room_is_due: bool,
    pub(crate) next: Next,
    pub(crate) to_remove: Vec<SegmentId>,
    pub(crate) spares: Vec<PathBuf>,
    /// No more appends are written and the preparing thread may end.
    pub(crate) is_written_out: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentEnd {
    pub(crate) offset: u32,
    pub(crate) is_removed: bool,
}

/// What all threads and handles of a log hold.
pub(crate) struct Shared {
    pub(crate) options: LogOptions,
    pub(crate) files: Files,
    pub(crate) failure: OnceLock<LogFailure>,
    pub(crate) counters: Counters,
    state: Mutex<State>,
    /// The disk thread and the preparing thread, once they are started.
    threads: OnceLock<[Arc<dyn Working>; 2]>,
    /// Wakes the disk thread when it waits for the preparing one.
    pub(crate) prepared: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) record_bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) segments_begun: AtomicU64,
    pub(crate) free_bytes: AtomicU64,
    pub(crate) total_bytes: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: LogOptions, files: Files, state: State) -> Self {
        Self {
            options,
            files,
            failure: OnceLock::new(),
            counters: Counters::default(),
            state: Mutex::new(state),
            threads: OnceLock::new(),
            prepared: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock calls out, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record.
    pub(crate) fn enqueue_one(
        &self,
        record: Measured,
        done: Done,
    ) -> Result<Position, AppendRefused> {
        let bytes = u64::from(padded(record.bytes));
        let mut state = self.admit(self.lock(), record.use_reserve, bytes)?;
        let position = state.push(record, Some(done), self.options.segment_bytes);
        self.wake_writer(state);
        Ok(position)
    }

    /// Queues records one behind the other, `done` with the last.
    pub(crate) fn enqueue(
        &self,
        records: Vec<Measured>,
        done: Done,
    ) -> Result<Vec<Position>, AppendRefused> {
        let bytes: u64 = records
            .iter()
            .map(|record| u64::from(padded(record.bytes)))
            .sum();
        let use_reserve = records.iter().all(|record| record.use_reserve);
        let last = records.len().checked_sub(1).ok_or(AppendRefused::Closed)?;
        let mut state = self.admit(self.lock(), use_reserve, bytes)?;
        let mut done = Some(done);
        let push = |(i, record)| {
            let done = if i == last { done.take() } else { None };
            state.push(record, done, self.options.segment_bytes)
        };
        let positions = records.into_iter().enumerate().map(push).collect();
        self.wake_writer(state);
        Ok(positions)
    }

    fn admit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        use_reserve: bool,
        bytes: u64,
    ) -> Result<MutexGuard<'a, State>, AppendRefused> {
        if state.is_closing || self.failure.get().is_some() {
            return Err(AppendRefused::Closed);
        }
        // Something larger than the whole queue is let in when it is alone.
        if state.queued_bytes > 0 && state.queued_bytes + bytes > self.options.queue_bytes_max {
            return Err(AppendRefused::Full);
        }
        if !use_reserve && state.room_bytes < bytes as i64 {
            // Space may have been freed since; the disk thread looks again for the next caller.
            state.room_is_due = true;
            self.wake_writer(state);
            return Err(AppendRefused::NoSpace);
        }
        Ok(state)
    }

    /// Queues one who waits for everything before.
    pub(crate) fn enqueue_barrier(&self, done: Done) -> Result<(), LogFailure> {
        let mut state = self.lock();
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        if state.is_closing {
            return Err(LogFailure::Closed);
        }
        let position = state.tail.position();
        state.queue.push_back(Queued {
            position,
            body: None,
            done: Some(done),
        });
        self.wake_writer(state);
        Ok(())
    }

    /// Notes the threads, which are first woken after that.
    pub(crate) fn hold(&self, threads: &[Arc<dyn Working>; 2]) {
        self.threads.get_or_init(|| threads.clone());
    }

    /// Wakes the disk thread if it sleeps, after the lock it will want was given back.
    fn wake_writer(&self, mut state: MutexGuard<'_, State>) {
        // Once is enough: it looks at everything before it waits again.
        let must_wake = std::mem::take(&mut state.is_idle);
        drop(state);
        if must_wake && let Some([writer, _]) = self.threads.get() {
            writer.wake();
        }
    }

    /// For one who is about to block until the disk thread has done something; whether it does
    /// more meanwhile.
    pub(crate) fn help_writer(&self) -> bool {
        let threads = self.threads.get();
        threads.is_none_or(|[writer, _]| writer.help())
    }

    /// Tells the preparing thread that there is something to do.
    pub(crate) fn wake_preparer(&self) {
        if let Some([_, preparer]) = self.threads.get() {
            preparer.wake();
        }
    }

    /// Notes a failure seen beside the disk thread, which then tells all that waits.
    pub(crate) fn close_for_good(&self, failure: LogFailure) {
        self.failure.get_or_init(|| failure);
        self.wake_writer(self.lock());
    }

    /// Has the disk thread look at the free space.
    pub(crate) fn ask_for_space(&self) {
        let mut state = self.lock();
        state.room_is_due = true;
        self.wake_writer(state);
    }

    /// Asks the file system how much may still be appended.
    pub(crate) fn look_at_space(&self) {
        let space = match self.files.disk().space(self.files.dir()) {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(log = self.options.name, %error, "free space is unknown");
                return;
            }
        };
        self.counters
            .free_bytes
            .store(space.free_bytes, Ordering::Relaxed);
        self.counters
            .total_bytes
            .store(space.total_bytes, Ordering::Relaxed);
        let mut state = self.lock();
        let spoken_for = self
            .options
            .reserve_bytes
            .saturating_add(state.queued_bytes);
        let clamp = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        state.room_bytes = clamp(space.free_bytes) - clamp(spoken_for);
        if !state.has_room_ahead(&self.options) && !state.spares.is_empty() {
            self.wake_preparer();
        }
    }

    pub(crate) fn stats(&self) -> LogStats {
        let (queued_bytes, queued_records) = {
            let state = self.lock();
            (state.queued_bytes, state.queue.len() as u64)
        };
        let counters = &self.counters;
        LogStats {
            records: counters.records.load(Ordering::Relaxed),
            record_bytes: counters.record_bytes.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            segments_begun: counters.segments_begun.load(Ordering::Relaxed),
            queued_bytes,
            queued_records,
            free_bytes: counters.free_bytes.load(Ordering::Relaxed),
            total_bytes: counters.total_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Tail {
    pub(crate) fn position(self) -> Position {
        Position {
            segment: self.segment.0,
            offset: self.offset,
            bytes: 0,
        }
    }
}

impl State {
    /// Whether the disk is so empty that space may be taken ahead of need.
    pub(crate) fn has_room_ahead(&self, options: &LogOptions) -> bool {
        self.room_bytes > 4 * i64::from(options.segment_bytes)
    }

    fn push(&mut self, record: Measured, done: Option<Done>, segment_bytes: u32) -> Position {
        let bytes = u64::from(padded(record.bytes));
        self.room_bytes -= bytes as i64;
        self.queued_bytes += bytes;
        let position = self.place(record.bytes, segment_bytes);
        self.queue.push_back(Queued {
            position,
            body: Some(record.body),
            done,
        });
        position
    }

    /// Gives a record of so many bytes its place, in a new segment if the active one is full.
    fn place(&mut self, bytes: u32, segment_bytes: u32) -> Position {
        let room = padded(bytes) + padded(RECORD_HEADER_BYTES);
        if self.tail.capacity.saturating_sub(self.tail.offset) < room {
            let grown = grown_bytes(self.segments.len(), segment_bytes);
            self.tail = Tail {
                segment: SegmentId(self.tail.segment.0 + 1),
                offset: SEGMENT_HEADER_BYTES,
                // A record larger than a segment gets one of its own size.
                capacity: grown.max(SEGMENT_HEADER_BYTES + room),
            };
        }
        let position = Position {
            bytes,
            ..self.tail.position()
        };
        self.tail.offset += padded(bytes);
        let end = SegmentEnd {
            offset: self.tail.offset,
            is_removed: false,
        };
        self.segments.insert(self.tail.segment, end);
        position
    }
}

/// Size of a new segment beside so many others.
pub(crate) fn grown_bytes(segments: usize, segment_bytes: u32) -> u32 {
    let doublings = u32::try_from(segments).unwrap_or(u32::MAX).min(16);
    let grown = u64::from(SEGMENT_BYTES_FIRST) << doublings;
    u32::try_from(grown).unwrap_or(u32::MAX).min(segment_bytes)
}
