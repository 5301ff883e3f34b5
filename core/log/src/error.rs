//! Why an operation on a log failed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::position::{Position, SegmentId};

/// Why a log could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another log of this one) works in the directory.
    #[error("{dir} is in use by another process")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk gave an error.
    #[error("{action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A thread of the log could not be started.
    #[error("cannot start a thread of the log: {0}")]
    Thread(#[source] io::Error),
    /// A segment was written by a newer program.
    #[error("{path} has format version {version}, this program knows up to {known}")]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// Its format version.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// Numbers of segments are never used twice, and there is none left.
    #[error("after segment {after} there is no number left for another one")]
    NoNumber {
        /// The highest segment.
        after: SegmentId,
    },
    /// `segment_bytes` is smaller than a segment may be.
    #[error("segment_bytes {given} is less than {least}")]
    SegmentBytes {
        /// What was asked for.
        given: u32,
        /// The least possible.
        least: u32,
    },
}

/// Why an append was refused before anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendRefused {
    /// The queue is full; come back after some appends are done.
    #[error("the log's queue is full")]
    Full,
    /// The disk has no more than its reserve left.
    #[error("the disk has no space left beyond its reserve")]
    NoSpace,
    /// The log was closed, or failed before and was closed for good.
    #[error("the log is closed")]
    Closed,
    /// Head or data is longer than a record's may be.
    #[error("the record is too large")]
    TooLarge,
}

/// Why a log stopped for good: after a failed write or sync nothing is known of what the disk
/// holds, so nothing is ever retried.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LogFailure {
    /// Writing a segment failed.
    #[error("writing segment {segment} failed: {source}")]
    Write {
        /// The segment.
        segment: SegmentId,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// `fdatasync` of a segment failed.
    #[error("syncing segment {segment} failed: {source}")]
    Sync {
        /// The segment.
        segment: SegmentId,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// The next segment could not be made.
    #[error("making segment {segment} failed: {source}")]
    Begin {
        /// The segment.
        segment: SegmentId,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// The log was closed before the record was written.
    #[error("the log was closed")]
    Closed,
}

/// Why an append that was waited for did not succeed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Refused; nothing was written.
    #[error(transparent)]
    Refused(#[from] AppendRefused),
    /// The log failed; whether the record is on disk is unknown.
    #[error(transparent)]
    Failed(#[from] LogFailure),
}

/// Why a record could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such segment (any more).
    #[error("segment {0} is not there")]
    NoSegment(SegmentId),
    /// The bytes at the position are not the record that was written there.
    #[error("the record at {0:?} is damaged")]
    Damaged(Position),
    /// The asked range reaches beyond the record.
    #[error("the range ends beyond the record at {0:?}")]
    Range(Position),
    /// The disk gave an error.
    #[error("reading segment {segment}: {source}")]
    Disk {
        /// The segment.
        segment: SegmentId,
        /// What the disk said.
        source: io::Error,
    },
    /// Too many reads wait for the reader threads.
    #[error("too many reads are waiting")]
    Full,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}
