//! The handle to an open log.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{AppendError, AppendRefused, LogFailure, OpenError, ReadError};
use crate::options::LogOptions;
use crate::position::{Position, SegmentId};
use crate::record::{Record, StoredRecord};
use crate::report::{LogStats, ReplayReport, SegmentStatus};

/// An open log. Clones are handles to the same one; when the last is dropped, what is queued is
/// written and the threads end.
#[derive(Clone, Debug)]
pub struct SegmentLog {}

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
        _disk: Arc<dyn Disk>,
        _dir: &Path,
        options: LogOptions,
        _replay_from: Option<Position>,
        _on_record: &mut dyn FnMut(Position, &[u8], &[u8]),
    ) -> Result<Self, OpenError> {
        Err(OpenError::SegmentBytes {
            given: options.segment_bytes,
            least: 0,
        })
    }

    /// Queues a record. Its position is known at once, and records lie in the order of the calls;
    /// `done` is called on the disk thread (so it must be brief) when the record is durable or the
    /// log has failed. Records of one caller become durable in their order.
    ///
    /// # Errors
    /// Nothing was queued: full, no space, closed, or too large. `done` is not called then.
    pub fn append(
        &self,
        _record: Record,
        _done: impl FnOnce(Result<Position, LogFailure>) + Send + 'static,
    ) -> Result<Position, AppendRefused> {
        Err(AppendRefused::Closed)
    }

    /// Queues several records that lie one behind the other with nothing of another caller in
    /// between; all or none are queued. `done` is called once, when the last is durable, with its
    /// position. Records are written in the order given, but a crash may leave only the first few.
    ///
    /// # Errors
    /// As `append`.
    pub fn append_all(
        &self,
        _records: Vec<Record>,
        _done: impl FnOnce(Result<Position, LogFailure>) + Send + 'static,
    ) -> Result<Vec<Position>, AppendRefused> {
        Err(AppendRefused::Closed)
    }

    /// Appends and waits until the record is durable.
    ///
    /// # Errors
    /// Refused, or the log failed meanwhile.
    pub async fn append_durable(&self, _record: Record) -> Result<Position, AppendError> {
        Err(AppendRefused::Closed.into())
    }

    /// Waits until everything appended before is durable.
    ///
    /// # Errors
    /// The log failed or is closed.
    pub async fn sync(&self) -> Result<(), LogFailure> {
        Err(LogFailure::Closed)
    }

    /// Reads a durable record on this thread, verified by both checksums.
    ///
    /// # Errors
    /// No such segment, damaged, or the disk gave an error.
    pub fn read(&self, position: Position) -> Result<StoredRecord, ReadError> {
        Err(ReadError::Damaged(position))
    }

    /// As `read` when the page cache holds it, else nothing.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_now(&self, position: Position) -> Result<Option<StoredRecord>, ReadError> {
        Err(ReadError::Damaged(position))
    }

    /// As `read`, from the page cache on this thread if it is small and there, else on a reader
    /// thread.
    ///
    /// # Errors
    /// As `read`, and when too many reads are waiting.
    pub async fn read_async(&self, position: Position) -> Result<StoredRecord, ReadError> {
        Err(ReadError::Damaged(position))
    }

    /// Position just behind the last queued record, with `bytes` 0: where a replay may begin that
    /// needs nothing before it.
    #[must_use]
    pub fn end(&self) -> Position {
        Position {
            segment: 0,
            offset: 0,
            bytes: 0,
        }
    }

    /// All segments with records, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentStatus> {
        Vec::new()
    }

    /// Gives up a segment nothing is needed of any more. It leaves [`SegmentLog::segments`] only
    /// when its removal is durable; until then a restart may replay it again. Reads of it end with
    /// `NoSegment` at once. The active segment and unknown ones are left alone: false.
    pub fn remove_segment(&self, _segment: SegmentId) -> bool {
        false
    }

    /// What replay found besides records.
    #[must_use]
    pub fn replay_report(&self) -> ReplayReport {
        ReplayReport::default()
    }

    /// Why the log stopped, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<LogFailure> {
        None
    }

    /// Counters and queue.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        LogStats::default()
    }

    /// Writes what is queued, then ends the threads. Later appends are refused; a second call does
    /// nothing. Blocks until done.
    pub fn close(&self) {}
}
