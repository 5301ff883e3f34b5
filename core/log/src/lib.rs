//! Append-only segment logs with group commit: what the raft log and the block store write to.
//!
//! Holds the log itself, its disk format (`docs/DISK.md`) and the `Disk` door to files with a
//! real and a fault-injecting implementation. Knows nothing of blocks, volumes or consensus:
//! a record is a head and data, and what they mean is the caller's affair.

mod crc;
mod disk;
mod error;
mod files;
mod format;
mod layout;
pub mod limits;
mod log;
mod memory_contents;
mod memory_disk;
mod options;
mod position;
mod prepare;
mod queue;
mod read;
mod real_disk;
mod record;
mod replay;
mod report;
mod scan;
mod work;
mod writer;

pub use crc::{Crc32c, crc32c};
pub use disk::{DirLock, Disk, DiskFile, DiskSpace};
pub use error::{AppendError, AppendRefused, LogFailure, OpenError, ReadError};
pub use log::SegmentLog;
pub use memory_contents::CrashLoss;
pub use memory_disk::{Fault, MemoryDisk};

pub use options::LogOptions;
pub use position::{Position, SegmentId};
pub use real_disk::RealDisk;
pub use record::{Record, StoredRecord};
pub use report::{DamagedRange, LogStats, ReplayReport, SegmentStatus};
pub use scan::OnRecord;
pub use work::{Step, Work, Working, once};
