//! Reading records back, on the caller's thread or on a reader thread.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

use bytes::Bytes;

use crate::crc::crc32c;
use crate::disk::DiskFile;
use crate::error::ReadError;
use crate::files::Files;
use crate::format::{RecordHeader, RecordKind, SegmentHeader};
use crate::limits::{READ_QUEUE_MAX, READER_THREADS, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::position::{Position, SegmentId};
use crate::queue::Shared;
use crate::record::StoredRecord;
use crate::scan::{OnRecord, scan};

/// A part of a file to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    position: Position,
    offset: u64,
    length: usize,
}

impl Extent {
    /// A whole record.
    pub(crate) fn whole(position: Position) -> Self {
        let offset = u64::from(position.offset);
        Self {
            position,
            offset,
            length: position.bytes as usize,
        }
    }

    /// A part of head and data, counted from the start of the head.
    pub(crate) fn body(position: Position, range: &Range<u32>) -> Result<Self, ReadError> {
        let body_bytes = position.bytes.saturating_sub(RECORD_HEADER_BYTES);
        if range.start > range.end || range.end > body_bytes {
            return Err(ReadError::Range(position));
        }
        let offset = u64::from(position.offset) + u64::from(RECORD_HEADER_BYTES + range.start);
        Ok(Self {
            position,
            offset,
            length: (range.end - range.start) as usize,
        })
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Reads on this thread.
    pub(crate) fn read(self, files: &Files) -> Result<Bytes, ReadError> {
        let file = self.file(files)?;
        let bytes = file
            .read_at(self.offset, self.length)
            .map_err(|e| self.disk_error(e))?;
        self.all_of(bytes)
    }

    /// Reads on this thread if nothing must be waited for.
    pub(crate) fn read_now(self, files: &Files) -> Result<Option<Bytes>, ReadError> {
        let file = self.file(files)?;
        let bytes = file
            .read_at_now(self.offset, self.length)
            .map_err(|e| self.disk_error(e))?;
        bytes.map(|bytes| self.all_of(bytes)).transpose()
    }

    fn file(&self, files: &Files) -> Result<Arc<dyn DiskFile>, ReadError> {
        let segment = self.position.segment_id();
        files.get(segment).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadError::NoSegment(segment),
            _ => self.disk_error(error),
        })
    }

    fn all_of(&self, bytes: Vec<u8>) -> Result<Bytes, ReadError> {
        if bytes.len() == self.length {
            Ok(Bytes::from(bytes))
        } else {
            Err(ReadError::Damaged(self.position))
        }
    }

    fn disk_error(&self, source: io::Error) -> ReadError {
        ReadError::Disk {
            segment: self.position.segment_id(),
            source,
        }
    }
}

/// Takes the bytes read at a position apart and verifies them.
pub(crate) fn parse(position: Position, whole: &Bytes) -> Result<StoredRecord, ReadError> {
    let header = RecordHeader::decode(whole).filter(|header| {
        header.kind == RecordKind::Record
            && header.home.segment == position.segment_id()
            && header.bytes() == position.bytes
            && whole.len() == position.bytes as usize
    });
    let header = header.ok_or(ReadError::Damaged(position))?;
    let fixed = RECORD_HEADER_BYTES as usize;
    let head = whole.slice(fixed..fixed + header.head_bytes as usize);
    let data = whole.slice(fixed + header.head_bytes as usize..);
    if !RecordHeader::head_crc_fits(&whole[..fixed], &head) || crc32c(&data) != header.data_crc {
        return Err(ReadError::Damaged(position));
    }
    Ok(StoredRecord {
        head,
        data,
        data_crc: header.data_crc,
    })
}

/// Walks through a segment's records.
pub(crate) fn scan_segment(
    files: &Files,
    segment: SegmentId,
    on_record: OnRecord<'_>,
) -> Result<(), ReadError> {
    let disk_error = |source| ReadError::Disk { segment, source };
    let file = files.get(segment).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::NoSegment(segment),
        _ => disk_error(error),
    })?;
    let header = file
        .read_at(0, SEGMENT_HEADER_BYTES as usize)
        .map_err(disk_error)?;
    // A damaged header hides every record; the caller sees that none of his is found.
    let Ok(home) = SegmentHeader::decode(&header, segment) else {
        return Ok(());
    };
    scan(&file, home, SEGMENT_HEADER_BYTES, on_record)
        .map(drop)
        .map_err(disk_error)
}

type Job = Box<dyn FnOnce(&Files) + Send>;

/// Waits for threads to end, but not for the one that asks: the last handle may be dropped by a
/// callback on a thread of the log itself.
fn join_all(threads: Vec<JoinHandle<()>>) {
    let me = std::thread::current().id();
    for thread in threads
        .into_iter()
        .filter(|thread| thread.thread().id() != me)
    {
        if thread.join().is_err() {
            tracing::error!("a thread of the log ended by a panic");
        }
    }
}

/// Threads that wait for the disk so that others need not. Started by the first who needs one.
#[derive(Default)]
pub(crate) struct Readers {
    started: Mutex<Option<Started>>,
}

struct Started {
    jobs: SyncSender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}

impl Readers {
    /// Reads on one of the threads; `then` gets the answer there.
    pub(crate) fn read(
        &self,
        shared: &Arc<Shared>,
        extent: Extent,
        then: impl FnOnce(Result<Bytes, ReadError>) + Send + 'static,
    ) -> Result<(), ReadError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.lock().is_closing && shared.failure.get().is_none() {
            return Err(ReadError::Closed);
        }
        let running = match started.take() {
            Some(running) => started.insert(running),
            None => started.insert(start(shared).map_err(|e| extent.disk_error(e))?),
        };
        let job: Job = Box::new(move |files| then(extent.read(files)));
        running.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ReadError::Full,
            TrySendError::Disconnected(_) => ReadError::Closed,
        })
    }

    /// Ends the threads; what is queued is read first.
    pub(crate) fn close(&self) {
        let started = self
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Started { jobs, threads }) = started {
            drop(jobs);
            join_all(threads);
        }
    }
}

fn start(shared: &Arc<Shared>) -> io::Result<Started> {
    let (jobs, queue) = sync_channel::<Job>(READ_QUEUE_MAX);
    // The threads take turns at the receiving end.
    let queue = Arc::new(Mutex::new(queue));
    let mut threads = Vec::with_capacity(READER_THREADS);
    for number in 0..READER_THREADS {
        let (queue, shared) = (Arc::clone(&queue), Arc::clone(shared));
        let name = format!("{}-read-{number}", shared.options.name);
        let builder = std::thread::Builder::new().name(name);
        threads.push(builder.spawn(move || {
            while let Some(job) = next_job(&queue) {
                job(&shared.files);
            }
        })?);
    }
    Ok(Started { jobs, threads })
}

fn next_job(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}
