//! What a log tells about itself.

use crate::position::SegmentId;

/// What replay found besides records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Records handed out.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Stretches that hold no valid record although records follow, in order.
    pub damaged: Vec<DamagedRange>,
}

/// A stretch of a segment in which no valid record was found although something follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment.
    pub segment: SegmentId,
    /// First byte of the stretch.
    pub offset: u32,
    /// Its length.
    pub bytes: u32,
    /// Whether it had been made durable: then acknowledged records are lost to rot. Otherwise it
    /// is the part of the last group commit before a crash that never reached the disk, and
    /// nothing in it was acknowledged.
    pub was_synced: bool,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// Its number.
    pub id: SegmentId,
    /// Bytes of records in it, padding included.
    pub record_bytes: u32,
    /// Whether appends still go to it; such a segment cannot be removed.
    pub is_active: bool,
    /// Whether it was given up already; its file may be gone.
    pub is_given_up: bool,
}

/// Counters since the log was opened, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records made durable.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Group commits, each one `fdatasync`.
    pub commits: u64,
    /// Segments begun.
    pub segments_begun: u64,
    /// Bytes waiting for the disk.
    pub queued_bytes: u64,
    /// Records waiting for the disk.
    pub queued_records: u64,
    /// Free bytes of the disk at the last look.
    pub free_bytes: u64,
    /// Size of the disk in bytes.
    pub total_bytes: u64,
}
