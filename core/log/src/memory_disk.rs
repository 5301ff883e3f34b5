//! A disk in memory that fails on demand: what was not synced is lost at a crash, wholly, partly
//! or not at all; writes tear; any operation can fail with EIO or ENOSPC; bits rot.
//!
//! For tests. As with the system's disk, a failed sync leaves the written bytes readable and never
//! makes them durable, and names are durable only after `sync_dir`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::disk::{DirLock, Disk, DiskFile, DiskSpace};
use crate::memory_contents::{Choice, Contents, CrashLoss};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With EIO, having done nothing. A sync that fails never makes durable what it was to.
    Io,
    /// With ENOSPC, having done nothing.
    NoSpace,
    /// The machine stops before it.
    Crash,
    /// The machine stops half-way through it; a write has then written its first half.
    Torn,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    medium: Arc<Mutex<Medium>>,
}

#[derive(Debug, Default)]
struct Medium {
    files: BTreeMap<u64, Contents>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that are not durable yet, in order.
    name_changes: Vec<NameChange>,
    locked: BTreeSet<PathBuf>,
    last_file: u64,
    capacity_bytes: u64,
    changes: u64,
    faults: BTreeMap<u64, Fault>,
    /// Directories whose files can be made durable no more.
    broken_dirs: BTreeSet<PathBuf>,
    reads_fail: bool,
    has_stopped: bool,
}

/// A change of names; each happens wholly or not at all.
#[derive(Clone, Debug)]
enum NameChange {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl MemoryDisk {
    /// An empty disk of so many bytes.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        Self::of(Medium {
            capacity_bytes,
            ..Medium::default()
        })
    }

    fn of(medium: Medium) -> Self {
        Self {
            medium: Arc::new(Mutex::new(medium)),
        }
    }

    /// Changes (writes, syncs, names made, changed or removed) done or tried so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Lets the change with this number (counted from 0) fail.
    pub fn fail_change(&self, number: u64, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// Lets every sync of a file below this directory fail with EIO from now on, as on a dying disk
    /// among others that work.
    pub fn fail_syncs_below(&self, dir: &Path) {
        self.lock().broken_dirs.insert(dir.to_owned());
    }

    /// Lets every read fail with EIO from now on, or no longer.
    pub fn fail_reads(&self, fail: bool) {
        self.lock().reads_fail = fail;
    }

    /// Makes the disk larger or smaller.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = bytes;
    }

    /// Flips one bit of a file, durably, counted from its first byte's lowest bit.
    ///
    /// # Errors
    /// There is no such file or it is shorter.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut medium = self.lock();
        let file = medium.file_of(path)?;
        let contents = medium.files.get_mut(&file).ok_or(io::ErrorKind::NotFound)?;
        let (at, mask) = ((bit / 8) as usize, 1_u8 << (bit % 8));
        *contents
            .current
            .get_mut(at)
            .ok_or(io::ErrorKind::UnexpectedEof)? ^= mask;
        if let Some(byte) = contents.durable.get_mut(at) {
            *byte ^= mask;
        }
        Ok(())
    }

    /// Stops this disk for good, as a crash does, and gives the one found after the restart.
    #[must_use]
    pub fn crash(&self, loss: CrashLoss) -> Self {
        let mut medium = self.lock();
        medium.has_stopped = true;
        let mut choice = Choice::new(loss);
        let mut names = medium.durable_names.clone();
        for change in medium.name_changes.iter().filter(|_| choice.keeps()) {
            change.apply(&mut names);
        }
        let files = medium
            .files
            .iter()
            .map(|(id, file)| (*id, file.surviving(&mut choice)));
        Self::of(Medium {
            files: files.collect(),
            durable_names: names.clone(),
            names,
            last_file: medium.last_file,
            capacity_bytes: medium.capacity_bytes,
            ..Medium::default()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Create(path, _) | Self::Rename(path, _) | Self::Remove(path) => path.parent(),
        }
    }

    /// Does the change; false when the name it starts from is not there.
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) -> bool {
        match self {
            Self::Create(path, file) => {
                names.insert(path.clone(), *file);
                true
            }
            Self::Rename(from, to) => match names.remove(from) {
                Some(file) => {
                    names.insert(to.clone(), file);
                    true
                }
                None => false,
            },
            Self::Remove(path) => names.remove(path).is_some(),
        }
    }
}

impl Medium {
    fn file_of(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used_bytes(&self) -> u64 {
        self.files
            .values()
            .map(|file| file.current.len() as u64)
            .sum()
    }

    /// Whether a file lies below a directory that is broken.
    fn is_broken(&self, file: u64) -> bool {
        let mut names = self.names.iter().filter(|(_, id)| **id == file);
        let is_below = |path: &Path| path.ancestors().any(|dir| self.broken_dirs.contains(dir));
        !self.broken_dirs.is_empty() && names.any(|(path, _)| is_below(path))
    }

    fn check_read(&self) -> io::Result<()> {
        if self.has_stopped || self.reads_fail {
            Err(Errno::IO.into())
        } else {
            Ok(())
        }
    }

    /// Counts a change and says whether it is to fail; `Torn` is left to the caller.
    fn change(&mut self) -> io::Result<Option<Fault>> {
        if self.has_stopped {
            return Err(Errno::IO.into());
        }
        let number = self.changes;
        self.changes += 1;
        match self.faults.get(&number) {
            None => Ok(None),
            Some(Fault::NoSpace) => Err(Errno::NOSPC.into()),
            Some(Fault::Crash) => {
                self.has_stopped = true;
                Err(Errno::IO.into())
            }
            Some(fault) => Ok(Some(*fault)),
        }
    }

    /// A change of names or the sync of one, which tears no further than not being done.
    fn whole_change(&mut self) -> io::Result<()> {
        match self.change()? {
            None => Ok(()),
            Some(fault) => {
                self.has_stopped |= fault == Fault::Torn;
                Err(Errno::IO.into())
            }
        }
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        self.whole_change()?;
        if !change.apply(&mut self.names) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.name_changes.push(change);
        Ok(())
    }

    /// Drops files that no name leads to, as the system does when they are not open.
    fn drop_unnamed(&mut self) {
        let named: BTreeSet<u64> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        self.files.retain(|file, _| named.contains(file));
    }
}

impl Disk for MemoryDisk {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        self.lock().check_read()
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirLock> {
        let mut medium = self.lock();
        medium.check_read()?;
        if !medium.locked.insert(dir.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock {
            disk: self.clone(),
            dir: dir.to_owned(),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let medium = self.lock();
        medium.check_read()?;
        let inside = medium
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let medium = self.lock();
        medium.check_read()?;
        let file = medium.file_of(path)?;
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            file,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut medium = self.lock();
        medium.last_file += 1;
        let file = medium.last_file;
        medium.change_name(NameChange::Create(path.to_owned(), file))?;
        medium.files.insert(file, Contents::default());
        medium.drop_unnamed();
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock()
            .change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().change_name(NameChange::Remove(path.to_owned()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut medium = self.lock();
        medium.whole_change()?;
        let mut durable = std::mem::take(&mut medium.durable_names);
        medium.name_changes.retain(|change| {
            let is_inside = change.dir() == Some(dir);
            if is_inside {
                change.apply(&mut durable);
            }
            !is_inside
        });
        medium.durable_names = durable;
        medium.drop_unnamed();
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<DiskSpace> {
        let medium = self.lock();
        medium.check_read()?;
        let total_bytes = medium.capacity_bytes;
        let free_bytes = total_bytes.saturating_sub(medium.used_bytes());
        Ok(DiskSpace {
            free_bytes,
            total_bytes,
        })
    }
}

struct Unlock {
    disk: MemoryDisk,
    dir: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.dir);
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: u64,
}

impl MemoryFile {
    fn with<T>(&self, f: impl FnOnce(&mut Contents) -> T) -> T {
        // A file that lost its name lives on for those who have it open; nothing here relies on
        // its contents, so an empty one does.
        f(self.disk.lock().files.entry(self.file).or_default())
    }
}

impl DiskFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        self.disk.lock().check_read()?;
        Ok(self.with(|contents| contents.current.len() as u64))
    }

    fn write_at(&self, offset: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            bytes.extend_from_slice(piece);
        }
        let mut medium = self.disk.lock();
        let fault = medium.change()?;
        let grown = medium
            .files
            .get(&self.file)
            .map_or(0, |file| file.current.len() as u64);
        let more = (offset + bytes.len() as u64).saturating_sub(grown);
        if medium.used_bytes() + more > medium.capacity_bytes {
            return Err(Errno::NOSPC.into());
        }
        let written = match fault {
            None => bytes.len(),
            Some(Fault::Torn) => bytes.len() / 2,
            Some(_) => return Err(Errno::IO.into()),
        };
        let contents = medium.files.entry(self.file).or_default();
        contents.write(offset as usize, &bytes[..written]);
        if fault.is_some() {
            medium.has_stopped = true;
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.disk.lock().check_read()?;
        Ok(self.with(|contents| {
            let all = &contents.current;
            let start = (offset as usize).min(all.len());
            all[start..(start + length).min(all.len())].to_vec()
        }))
    }

    fn read_at_now(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(self.read_at(offset, length)?).filter(|bytes| bytes.len() == length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut medium = self.disk.lock();
        let is_broken = medium.is_broken(self.file);
        let fault = medium.change()?.or(is_broken.then_some(Fault::Io));
        let contents = medium.files.entry(self.file).or_default();
        match fault {
            None => contents.sync(),
            // What a sync cut short has written is up to the crash.
            Some(Fault::Torn) => medium.has_stopped = true,
            // The kernel marks the pages clean: no later sync writes them.
            Some(_) => contents.dirty.clear(),
        }
        if fault.is_none() {
            Ok(())
        } else {
            Err(Errno::IO.into())
        }
    }
}
