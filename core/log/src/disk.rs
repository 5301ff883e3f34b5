//! The door to files: all that a log asks of a disk. [`crate::RealDisk`] is the system's,
//! [`crate::MemoryDisk`] is one in memory that fails on demand.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use crate::work::{Work, Working, on_a_thread};

/// Free and total bytes of the file system below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// Holds a directory for this process until it is dropped.
pub type DirLock = Box<dyn Any + Send + Sync>;

/// Directories and the making, opening, renaming and removing of files.
///
/// As with POSIX, a made, renamed or removed name is only durable after `sync_dir`.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Makes the directory and those above it, and makes their names durable.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the directory for this process alone; `WouldBlock` when somebody else has it.
    fn lock_dir(&self, dir: &Path) -> io::Result<DirLock>;
    /// Names of the files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file (emptying one that is there) for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Free and total bytes.
    fn space(&self, dir: &Path) -> io::Result<DiskSpace>;
    /// Starts work that waits for this disk so that its callers need not: on a thread of its own,
    /// unless the disk is of another world.
    fn start(&self, name: String, work: Work) -> io::Result<Arc<dyn Working>> {
        on_a_thread(name, work)
    }
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length.
    fn bytes(&self) -> io::Result<u64>;
    /// Writes all pieces one behind the other from `offset`, extending the file if need be.
    fn write_at(&self, offset: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Reads until `length` bytes or the end of the file, whichever comes first.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// As `read_at` if that needs no waiting for the disk, else nothing.
    fn read_at_now(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>>;
    /// Makes what was written durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
}
