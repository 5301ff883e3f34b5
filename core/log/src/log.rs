//! The handle to an open log.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::disk::{DirLock, Disk};
use crate::error::{AppendError, AppendRefused, LogFailure, OpenError, ReadError};
use crate::files::Files;
use crate::limits::{INLINE_READ_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES};
use crate::options::LogOptions;
use crate::position::{Position, SegmentId};
use crate::prepare::Preparer;
use crate::queue::{Measured, Next, Shared, State};
use crate::read::{Extent, Readers, parse, scan_segment};
use crate::record::{Record, StoredRecord};
use crate::replay::{Replayed, failed, replay};
use crate::report::{LogStats, ReplayReport, SegmentStatus};
use crate::scan::OnRecord;
use crate::work::{Working, once};
use crate::writer::{Active, Writer};

/// An open log. Clones are handles to the same one; when the last is dropped, what is queued is
/// written and the threads end.
#[derive(Clone)]
pub struct SegmentLog {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    report: ReplayReport,
    readers: Readers,
    /// Taken by whoever closes the log.
    running: Mutex<Option<Running>>,
}

struct Running {
    /// The disk thread, then the preparing one: the second ends when the first has.
    threads: [Arc<dyn Working>; 2],
    /// Given back when the last thread has ended.
    lock: DirLock,
}

impl fmt::Debug for SegmentLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentLog")
            .field("name", &self.inner.shared.options.name)
            .finish()
    }
}

impl SegmentLog {
    /// Opens (or makes) the log in `dir`.
    ///
    /// Every valid record from `replay_from` on (from the very first without it) is handed to
    /// `on_record` with its position, head and data, in the order of writing. `replay_from` is an
    /// earlier [`SegmentLog::end`].
    ///
    /// # Errors
    /// The directory is in use, the disk gives an error, or the format is of a newer program.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: LogOptions,
        replay_from: Option<Position>,
        on_record: OnRecord<'_>,
    ) -> Result<Self, OpenError> {
        if options.segment_bytes < SEGMENT_BYTES_MIN {
            let (given, least) = (options.segment_bytes, SEGMENT_BYTES_MIN);
            return Err(OpenError::SegmentBytes { given, least });
        }
        disk.make_dir(dir).map_err(failed("making", dir))?;
        let lock = disk.lock_dir(dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::InUse {
                dir: dir.to_owned(),
            },
            _ => failed("locking", dir)(error),
        })?;
        let files = Files::new(disk, dir);
        let replayed = replay(&files, &options, replay_from, on_record)?;
        let (state, active, report) = state_of(replayed);
        let shared = Arc::new(Shared::new(options, files, state));
        shared.look_at_space();
        let threads = start_threads(&shared, active).map_err(OpenError::Thread)?;
        let running = Mutex::new(Some(Running { threads, lock }));
        let inner = Inner {
            shared,
            report,
            readers: Readers::default(),
            running,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Queues a record. Its position is known at once, and records lie in the order of the calls;
    /// `done` is called on the disk thread (so it must be brief) when the record is durable or the
    /// log has failed. A record is never durable before those queued before it.
    ///
    /// # Errors
    /// Nothing was queued: full, no space, closed, or too large. `done` is not called then.
    pub fn append(
        &self,
        record: Record,
        done: impl FnOnce(Result<Position, LogFailure>) + Send + 'static,
    ) -> Result<Position, AppendRefused> {
        let record = Measured::new(record).ok_or(AppendRefused::TooLarge)?;
        self.inner.shared.enqueue_one(record, Box::new(done))
    }

    /// Queues several records that lie one behind the other with nothing of another caller in
    /// between; all or none are queued. `done` is called once, when the last is durable, with its
    /// position. A crash before that may leave any of them.
    ///
    /// # Errors
    /// As `append`; an empty list is refused as `Closed`.
    pub fn append_all(
        &self,
        records: Vec<Record>,
        done: impl FnOnce(Result<Position, LogFailure>) + Send + 'static,
    ) -> Result<Vec<Position>, AppendRefused> {
        let records: Option<Vec<_>> = records.into_iter().map(Measured::new).collect();
        let records = records.ok_or(AppendRefused::TooLarge)?;
        self.inner.shared.enqueue(records, Box::new(done))
    }

    /// Appends and waits until the record is durable. Dropping the future does not take the record
    /// back.
    ///
    /// # Errors
    /// Refused, or the log failed meanwhile.
    pub async fn append_durable(&self, record: Record) -> Result<Position, AppendError> {
        let (tell, told) = oneshot::channel();
        self.append(record, |result| drop(tell.send(result)))?;
        Ok(told.await.unwrap_or(Err(LogFailure::Closed))?)
    }

    /// Calls `done` on the disk thread when everything appended before is durable.
    ///
    /// # Errors
    /// The log failed or is closed.
    pub fn when_synced(
        &self,
        done: impl FnOnce(Result<Position, LogFailure>) + Send + 'static,
    ) -> Result<(), LogFailure> {
        self.inner.shared.enqueue_barrier(Box::new(done))
    }

    /// Waits until everything appended before is durable.
    ///
    /// # Errors
    /// The log failed or is closed.
    pub async fn sync(&self) -> Result<(), LogFailure> {
        let (tell, told) = oneshot::channel();
        self.when_synced(|result| drop(tell.send(result)))?;
        told.await.unwrap_or(Err(LogFailure::Closed)).map(|_| ())
    }

    /// Waits on this thread until everything queued so far is durable, so long at most; whether it
    /// is. It is not when the log has failed, or waits for room, or the disk does not answer.
    pub fn sync_blocking(&self, wait: Duration) -> bool {
        let (tell, told) = std::sync::mpsc::channel();
        if self
            .when_synced(move |result| drop(tell.send(result)))
            .is_err()
        {
            return false;
        }
        let goes_on = self.inner.shared.help_writer();
        let wait = if goes_on { wait } else { Duration::ZERO };
        matches!(told.recv_timeout(wait), Ok(Ok(_)))
    }

    /// Reads a durable record on this thread, verified by both checksums.
    ///
    /// # Errors
    /// No such segment, damaged, or the disk gave an error.
    pub fn read(&self, position: Position) -> Result<StoredRecord, ReadError> {
        let whole = Extent::whole(position).read(&self.inner.shared.files)?;
        parse(position, &whole)
    }

    /// As `read` when the page cache holds it, else nothing.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_now(&self, position: Position) -> Result<Option<StoredRecord>, ReadError> {
        let whole = Extent::whole(position).read_now(&self.inner.shared.files)?;
        whole.map(|whole| parse(position, &whole)).transpose()
    }

    /// As `read`, from the page cache on this thread if it is small and there, else on a reader
    /// thread.
    ///
    /// # Errors
    /// As `read`, and when too many reads are waiting.
    pub async fn read_async(&self, position: Position) -> Result<StoredRecord, ReadError> {
        let whole = self.fetch(Extent::whole(position)).await?;
        parse(position, &whole)
    }

    /// Reads a part of a record's body, which is its head and then its data, **unverified**: for
    /// callers with checksums of their own for the part. As `read_async` else.
    ///
    /// # Errors
    /// As `read_async`, and a range beyond the record.
    pub async fn read_body(
        &self,
        position: Position,
        range: Range<u32>,
    ) -> Result<Bytes, ReadError> {
        self.fetch(Extent::body(position, &range)?).await
    }

    /// As `read_body` when the page cache holds it, else nothing.
    ///
    /// # Errors
    /// As `read_body`.
    pub fn read_body_now(
        &self,
        position: Position,
        range: Range<u32>,
    ) -> Result<Option<Bytes>, ReadError> {
        Extent::body(position, &range)?.read_now(&self.inner.shared.files)
    }

    async fn fetch(&self, extent: Extent) -> Result<Bytes, ReadError> {
        let shared = &self.inner.shared;
        if extent.length() <= INLINE_READ_BYTES_MAX as usize
            && let Some(bytes) = extent.read_now(&shared.files)?
        {
            return Ok(bytes);
        }
        let (tell, told) = oneshot::channel();
        self.inner
            .readers
            .read(shared, extent, |result| drop(tell.send(result)))?;
        told.await.unwrap_or(Err(ReadError::Closed))
    }

    /// Walks through the durable records of a segment that is no longer written, in order. Blocks
    /// for as long as reading it takes.
    ///
    /// # Errors
    /// No such segment, or the disk gave an error.
    pub fn scan_segment(
        &self,
        segment: SegmentId,
        on_record: OnRecord<'_>,
    ) -> Result<(), ReadError> {
        scan_segment(&self.inner.shared.files, segment, on_record)
    }

    /// Position just behind the last queued record, with `bytes` 0: where a replay may begin that
    /// needs nothing before it.
    #[must_use]
    pub fn end(&self) -> Position {
        self.inner.shared.lock().tail.position()
    }

    /// All segments with records, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentStatus> {
        let state = self.inner.shared.lock();
        let active = state.tail.segment;
        let status = |(id, end): (&SegmentId, &crate::queue::SegmentEnd)| SegmentStatus {
            id: *id,
            record_bytes: end.offset - SEGMENT_HEADER_BYTES,
            is_active: *id == active,
            is_given_up: end.is_removed,
        };
        state.segments.iter().map(status).collect()
    }

    /// Gives up a segment nothing is needed of any more. It leaves [`SegmentLog::segments`] only
    /// when its removal is durable; until then it can be read, and a restart may replay it. The
    /// active segment, unknown ones and those already given up are left alone: false.
    pub fn remove_segment(&self, segment: SegmentId) -> bool {
        let shared = &self.inner.shared;
        let mut state = shared.lock();
        // Records may still be on their way to any segment but those before the written ones; the
        // disk thread itself only ever looks at the one it writes.
        if segment >= state.written_segment || state.is_closing {
            return false;
        }
        let Some(end) = state
            .segments
            .get_mut(&segment)
            .filter(|end| !end.is_removed)
        else {
            return false;
        };
        end.is_removed = true;
        state.to_remove.push(segment);
        shared.wake_preparer();
        true
    }

    /// What replay found besides records.
    #[must_use]
    pub fn replay_report(&self) -> ReplayReport {
        self.inner.report.clone()
    }

    /// Why the log stopped, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<LogFailure> {
        self.inner.shared.failure.get().cloned()
    }

    /// Asks the file system how much is free, which the log itself does only after it has written
    /// much: others may fill the disk too. What it says is in [`SegmentLog::stats`].
    pub fn look_at_space(&self) {
        self.inner.shared.look_at_space();
    }

    /// Counters and queue.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.inner.shared.stats()
    }

    /// Writes what is queued, then ends the threads and gives the directory back. Later appends
    /// are refused; a second call does nothing. Blocks until done.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Running { threads, lock }) = running else {
            return;
        };
        self.shared.lock().is_closing = true;
        for thread in &threads {
            thread.wake();
        }
        self.readers.close();
        let is_own = threads.iter().any(|thread| thread.is_current());
        let ending = move || {
            for thread in threads {
                thread.join();
            }
            drop(lock);
        };
        // The last handle was dropped by a callback: its thread has an end of its own to come to,
        // and the others wait for that.
        if !is_own {
            return ending();
        }
        let name = format!("{}-close", self.shared.options.name);
        if let Err(error) = self.shared.files.disk().start(name, once(ending)) {
            tracing::error!(%error, "nobody waits for the end of a log");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn state_of(replayed: Replayed) -> (State, Active, ReplayReport) {
    let Replayed {
        active,
        tail,
        segments,
        next,
        spares,
        report,
    } = replayed;
    let state = State {
        queue: VecDeque::new(),
        queued_bytes: 0,
        is_idle: false,
        is_closing: false,
        is_written_out: false,
        tail,
        written_segment: active.home.segment,
        segments: segments.into_iter().collect(),
        room_bytes: 0,
        room_is_due: false,
        next: next.map_or(Next::Absent, Next::Made),
        to_remove: Vec::new(),
        spares,
    };
    (state, active, report)
}

fn start_threads(shared: &Arc<Shared>, active: Active) -> std::io::Result<[Arc<dyn Working>; 2]> {
    let name = &shared.options.name;
    let disk = shared.files.disk();
    let mut writer = Writer::new(Arc::clone(shared), active);
    let writer = disk.start(format!("{name}-disk"), Box::new(move || writer.step()))?;
    let mut preparer = Preparer::new(Arc::clone(shared));
    let preparer = disk.start(format!("{name}-prepare"), Box::new(move || preparer.step()))?;
    let threads = [writer, preparer];
    shared.hold(&threads);
    Ok(threads)
}
