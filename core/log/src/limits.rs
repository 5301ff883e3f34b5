//! Every bound of the log, with its unit and the reason for the number.

use std::time::Duration;

/// Records begin at multiples of this, so a damaged stretch can be searched for the next one.
pub const RECORD_ALIGN_BYTES: u32 = 64;

/// The segment header fills a page of its own, so that writing it never touches a record's page.
pub const SEGMENT_HEADER_BYTES: u32 = 4096;

/// The fixed part in front of a record's head.
pub const RECORD_HEADER_BYTES: u32 = 40;

/// A head is held in memory while it is indexed; 1,024 piece checksums and a key fit many times.
pub const HEAD_BYTES_MAX: u32 = 64 << 10;

/// The largest block (64 MiB) and something for its callers' own framing.
pub const DATA_BYTES_MAX: u32 = (64 << 20) + (1 << 20);

/// One group commit takes at most this from the queue: enough to fill the disk's bandwidth, short
/// enough that the first caller of a batch does not wait for a long transfer.
pub const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Pieces per `pwritev`; Linux refuses more than 1,024 (`IOV_MAX`).
pub const WRITE_PIECES_MAX: usize = 1024;

/// Pieces up to this size are copied into one buffer, which is cheaper than a `pwritev` entry.
pub const COPY_BYTES_MAX: usize = 2 << 10;

/// Segments grow with the log: the first ones are this small, so that a new server takes little
/// disk and starts at once; each further one doubles until `segment_bytes`.
pub const SEGMENT_BYTES_FIRST: u32 = 4 << 20;

/// Smallest configurable segment; tests use it to get many segments from few bytes.
pub const SEGMENT_BYTES_MIN: u32 = 64 << 10;

/// A segment is zeroed ahead in steps of this size; a step is the longest an append can wait for
/// the preparing thread.
pub const ZERO_STEP_BYTES: u32 = 1 << 20;

/// When commits are this large on average the size change of an unprepared file is a small part
/// of each, and zeroing ahead would only write everything twice.
pub const ZERO_WORTH_BATCH_BYTES: u64 = 512 << 10;

/// Open segment files per log. A terabyte in 64 MiB segments is 16,384 files, more than most
/// systems let a process open.
pub const OPEN_FILES_MAX: usize = 256;

/// Replay reads this much at a time.
pub const REPLAY_READ_BYTES: usize = 1 << 20;

/// A read up to this size is tried on the caller's thread when the page cache has it.
pub const INLINE_READ_BYTES_MAX: u32 = 256 << 10;

/// Reads waiting for a reader thread; beyond it the caller is told to come back.
pub const READ_QUEUE_MAX: usize = 4096;

/// Reader threads per log, started by the first read that is not in the page cache. Two keep a
/// disk busy while the other is copying; more would only queue inside the kernel.
pub const READER_THREADS: usize = 2;

/// Free space is asked from the file system again after this much was appended, or after a quarter
/// of the reserve if that is less.
pub const SPACE_CHECK_BYTES: i64 = 8 << 20;

/// A write that found no room is tried again after so long: often enough that nobody waits much
/// longer than whoever took the room.
pub const ROOM_SOUGHT_EVERY: Duration = Duration::from_millis(100);

/// Segments that could not be taken away are tried again after so long.
pub const REMOVE_AGAIN: Duration = Duration::from_secs(1);
