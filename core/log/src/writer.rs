//! The disk thread: takes what is queued, writes it in runs, syncs once, tells everybody.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::disk::DiskFile;
use crate::error::LogFailure;
use crate::files::random_life;
use crate::format::{RecordHeader, RecordKind, SegmentHeader, padded};
use crate::layout::Layout;
use crate::limits::{
    BATCH_BYTES_MAX, ROOM_SOUGHT_EVERY, SEGMENT_HEADER_BYTES, SPACE_CHECK_BYTES,
    ZERO_WORTH_BATCH_BYTES,
};
use crate::position::SegmentId;
use crate::queue::{Body, Made, Next, Queued, Shared};
use crate::work::Step;

const PAGE_BYTES: u32 = 4096;

/// The segment being written, owned by the disk thread.
pub(crate) struct Active {
    pub(crate) home: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// End of what is written.
    pub(crate) offset: u32,
    /// End of what is durable.
    pub(crate) synced_to: u32,
    /// Group commits in this segment, to know how large they are on average.
    pub(crate) commits: u64,
    /// Whether its end is written: what comes next belongs to the next segment.
    pub(crate) is_ended: bool,
}

/// The disk thread's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    /// Bytes to append until free space is asked for again.
    until_space_check: i64,
    /// Room for the copies of small pieces, kept from run to run.
    buffer: Vec<u8>,
    /// What the disk had no room for; it is tried again.
    stuck: Option<Vec<Queued>>,
}

/// Why a batch is not written.
enum Trouble {
    /// There is no room for it, as somebody else has taken even the reserve. Nothing is lost by
    /// that: what was written of it lies behind the end, and the same is written there again.
    NoRoom(LogFailure),
    /// The log can no longer be trusted.
    Failed(LogFailure),
}

impl From<LogFailure> for Trouble {
    fn from(failure: LogFailure) -> Self {
        Trouble::Failed(failure)
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, active: Active) -> Self {
        let until_space_check = check_after(shared.options.reserve_bytes);
        Self {
            shared,
            active,
            until_space_check,
            buffer: Vec::new(),
            stuck: None,
        }
    }

    /// Writes one batch, until the log is closed and written out, or has failed.
    pub(crate) fn step(&mut self) -> Step {
        let was_stuck = self.stuck.is_some();
        let Some(batch) = self.stuck.take().or_else(|| self.next_batch()) else {
            // Idle: what a burst needed is given back.
            self.buffer = Vec::new();
            return Step::Wait;
        };
        if let Some(failure) = self.shared.failure.get().cloned() {
            self.fail(batch, &failure);
            return self.end();
        }
        if batch.is_empty() {
            return self.end();
        }
        match self.write(&batch) {
            Ok(()) => self.finish(batch),
            Err(Trouble::NoRoom(failure)) if !self.shared.lock().is_closing => {
                if !was_stuck {
                    tracing::error!(log = self.shared.options.name, %failure, "no room, waiting");
                }
                self.look_at_space();
                self.stuck = Some(batch);
                return Step::WaitFor(ROOM_SOUGHT_EVERY);
            }
            Err(Trouble::NoRoom(failure) | Trouble::Failed(failure)) => {
                self.fail(batch, &failure);
                return self.end();
            }
        }
        Step::Again
    }

    /// What is queued, as much as makes a batch; nothing of it when the log closes, and `None`
    /// when there is to be waited for more.
    fn next_batch(&mut self) -> Option<Vec<Queued>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if std::mem::take(&mut state.room_is_due) {
            drop(state);
            self.look_at_space();
            state = shared.lock();
        }
        let has_failed = shared.failure.get().is_some();
        state.is_idle = state.queue.is_empty() && !state.is_closing && !has_failed;
        (!state.is_idle).then(|| take_batch(&mut state.queue))
    }

    fn end(&self) -> Step {
        self.shared.lock().is_written_out = true;
        self.shared.wake_preparer();
        Step::End
    }

    fn write(&mut self, batch: &[Queued]) -> Result<(), Trouble> {
        for run in batch.chunk_by(|a, b| a.position.segment == b.position.segment) {
            // One who only waits is given the place of the next append, perhaps in a segment that
            // is not begun.
            if run.iter().all(|queued| queued.body.is_none()) || self.has_written(run) {
                continue;
            }
            let segment = SegmentId(run[0].position.segment);
            if segment != self.active.home.segment {
                self.end_segment()?;
                self.begin_segment(segment)?;
            }
            self.write_run(run)?;
        }
        Ok(self.sync()?)
    }

    /// Whether a run was written before a later one of its batch found no room.
    fn has_written(&self, run: &[Queued]) -> bool {
        let (segment, first) = (run[0].position.segment, run[0].position.offset);
        let active = self.active.home.segment;
        SegmentId(segment) < active || (SegmentId(segment) == active && first < self.active.offset)
    }

    fn write_run(&mut self, run: &[Queued]) -> Result<(), Trouble> {
        let mut layout = Layout::new(std::mem::take(&mut self.buffer));
        let mut end = self.active.offset;
        for (queued, body) in run
            .iter()
            .filter_map(|q| q.body.as_ref().map(|body| (q, body)))
        {
            assert_eq!(
                end, queued.position.offset,
                "records lie where they were placed"
            );
            self.lay_out(body, &mut layout);
            end += padded(queued.position.bytes);
        }
        // Whole pages are written: of a page that is not cached, as those of a file used again
        // are not, the kernel would otherwise have to read the rest first.
        layout.zeroes(end.next_multiple_of(PAGE_BYTES) - end);
        let start = u64::from(self.active.offset);
        let result = self.active.file.write_at(start, &mut layout.pieces());
        self.buffer = layout.into_buffer();
        result.map_err(|source| trouble(source, |source| self.write_failed(source)))?;
        self.active.offset = end;
        Ok(())
    }

    fn lay_out<'a>(&self, body: &'a Body, layout: &mut Layout<'a>) {
        let header = RecordHeader {
            kind: RecordKind::Record,
            home: self.active.home,
            head_bytes: body.head.len() as u32,
            data_bytes: body.data_bytes,
            data_crc: body.data_crc,
            synced_to: self.active.synced_to,
        };
        layout.copy(&header.encode(&body.head));
        layout.put(&body.head);
        for piece in &body.data {
            layout.put(piece);
        }
        layout.zeroes(padded(header.bytes()) - header.bytes());
    }

    fn write_failed(&self, source: io::Error) -> LogFailure {
        LogFailure::Write {
            segment: self.active.home.segment,
            source: Arc::new(source),
        }
    }

    fn sync(&mut self) -> Result<(), LogFailure> {
        if self.active.synced_to == self.active.offset {
            return Ok(());
        }
        self.active.file.sync().map_err(|source| LogFailure::Sync {
            segment: self.active.home.segment,
            source: Arc::new(source),
        })?;
        self.active.synced_to = self.active.offset;
        self.active.commits += 1;
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Closes the active segment: durable before anything is written to the next, so that a later
    /// record never survives a crash that took an earlier segment's.
    fn end_segment(&mut self) -> Result<(), Trouble> {
        if self.active.is_ended {
            // The next one found no room.
            return Ok(());
        }
        // So that the end says of every record before it that it was durable: one that cannot be
        // read later is then no torn commit.
        self.sync()?;
        let end = RecordHeader::end(self.active.home, self.active.synced_to).encode(&[]);
        let at = u64::from(self.active.offset);
        let result = self.active.file.write_at(at, &mut [IoSlice::new(&end)]);
        result.map_err(|source| trouble(source, |source| self.write_failed(source)))?;
        self.active.offset += padded(end.len() as u32);
        self.sync()?;
        self.active.is_ended = true;
        Ok(())
    }

    fn begin_segment(&mut self, segment: SegmentId) -> Result<(), Trouble> {
        let made = take_next(&self.shared, segment);
        // Making it may have failed in a way that speaks against the disk.
        if let Some(failure) = self.shared.failure.get() {
            return Err(Trouble::Failed(failure.clone()));
        }
        let made = made.map_or_else(|| make_now(&self.shared, segment), Ok);
        let failed = |source| LogFailure::Begin {
            segment,
            source: Arc::new(source),
        };
        let made = made.map_err(|source| trouble(source, failed))?;
        self.active = Active {
            home: made.home,
            file: made.file,
            offset: SEGMENT_HEADER_BYTES,
            synced_to: SEGMENT_HEADER_BYTES,
            commits: 0,
            is_ended: false,
        };
        self.shared.lock().written_segment = segment;
        self.shared
            .counters
            .segments_begun
            .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self, batch: Vec<Queued>) {
        let bytes: u64 = batch
            .iter()
            .map(|q| u64::from(padded(q.position.bytes)))
            .sum();
        let records = batch.iter().filter(|queued| queued.body.is_some()).count() as u64;
        self.shared
            .counters
            .records
            .fetch_add(records, Ordering::Relaxed);
        self.shared
            .counters
            .record_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.shared.lock().queued_bytes -= bytes;
        for queued in batch {
            if let Some(done) = queued.done {
                done(Ok(queued.position));
            }
        }
        self.until_space_check -= bytes as i64;
        if self.until_space_check <= 0 {
            self.look_at_space();
        }
        self.ask_for_next();
    }

    /// Asks for the next segment when the active one is half full.
    fn ask_for_next(&self) {
        let mut state = self.shared.lock();
        let active = self.active.home.segment;
        let capacity = if state.tail.segment == active {
            state.tail.capacity
        } else {
            0
        };
        if self.active.offset < capacity / 2 || !matches!(state.next, Next::Absent) {
            return;
        }
        let mean = u64::from(self.active.offset) / self.active.commits.max(1);
        state.next = Next::Wanted {
            is_zeroing_worth: mean < ZERO_WORTH_BATCH_BYTES,
            after: active,
        };
        drop(state);
        self.shared.wake_preparer();
    }

    fn look_at_space(&mut self) {
        self.until_space_check = check_after(self.shared.options.reserve_bytes);
        self.shared.look_at_space();
    }

    /// Stops the log for good: the failed batch and all that waits are told, nothing is retried.
    fn fail(&mut self, batch: Vec<Queued>, failure: &LogFailure) {
        tracing::error!(log = self.shared.options.name, %failure, "log closed for good");
        // The preparing thread may have set it.
        self.shared.failure.get_or_init(|| failure.clone());
        let waiting = {
            let mut state = self.shared.lock();
            state.is_closing = true;
            state.queued_bytes = 0;
            std::mem::take(&mut state.queue)
        };
        for done in batch
            .into_iter()
            .chain(waiting)
            .filter_map(|queued| queued.done)
        {
            done(Err(failure.clone()));
        }
    }
}

/// What a failed write means.
fn trouble(source: io::Error, failure: impl FnOnce(io::Error) -> LogFailure) -> Trouble {
    match is_full(&source) {
        true => Trouble::NoRoom(failure(source)),
        false => Trouble::Failed(failure(source)),
    }
}

/// Whether a write failed for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Bytes to append until free space is asked for again: what others may have taken of the disk
/// meanwhile must fit into the reserve.
fn check_after(reserve_bytes: u64) -> i64 {
    i64::try_from(reserve_bytes / 4)
        .unwrap_or(i64::MAX)
        .min(SPACE_CHECK_BYTES)
}

/// The first of the queue, as many as make a batch.
fn take_batch(queue: &mut VecDeque<Queued>) -> Vec<Queued> {
    let mut bytes = 0;
    let mut count = 0;
    for queued in queue.iter() {
        bytes += u64::from(padded(queued.position.bytes));
        if count > 0 && bytes > BATCH_BYTES_MAX {
            break;
        }
        count += 1;
    }
    queue.drain(..count).collect()
}

/// Takes the segment made ahead of need, if there is one. Waits for a step of it that is under
/// way.
fn take_next(shared: &Shared, segment: SegmentId) -> Option<Made> {
    let mut state = shared.lock();
    loop {
        match &state.next {
            Next::Making => {}
            Next::Made(made) if made.zeroing => {}
            Next::Made(made) => {
                let made = made.clone();
                assert_eq!(made.home.segment, segment, "segments follow each other");
                state.next = Next::Absent;
                return Some(made);
            }
            Next::Absent | Next::Wanted { .. } => {
                state.next = Next::Absent;
                return None;
            }
        }
        state = shared
            .prepared
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn make_now(shared: &Shared, segment: SegmentId) -> io::Result<Made> {
    let home = SegmentHeader {
        segment,
        life: random_life()?,
    };
    let file = shared.files.make(home)?;
    shared.files.keep(segment, Arc::clone(&file));
    Ok(Made {
        home,
        file,
        zeroing: false,
    })
}
