//! The segment files of a log that are open, and making new ones.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::format::{SegmentHeader, segment_file_name};
use crate::limits::OPEN_FILES_MAX;
use crate::position::SegmentId;

/// Opens segment files on demand and keeps the most recently used open.
///
/// The table is behind a mutex because readers on any thread use it; it is held for a lookup,
/// except when a file must be opened.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: Mutex<OpenFiles>,
}

#[derive(Debug, Default)]
struct OpenFiles {
    by_segment: HashMap<SegmentId, OpenFile>,
    uses: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<dyn DiskFile>,
    last_use: u64,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            open: Mutex::default(),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, segment: SegmentId) -> PathBuf {
        self.dir.join(segment_file_name(segment))
    }

    /// The file of a segment, opened if it is not.
    pub(crate) fn get(&self, segment: SegmentId) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.lock();
        open.uses += 1;
        let now = open.uses;
        if let Some(entry) = open.by_segment.get_mut(&segment) {
            entry.last_use = now;
            return Ok(Arc::clone(&entry.file));
        }
        let file = self.disk.open(&self.path(segment))?;
        open.insert(segment, Arc::clone(&file));
        Ok(file)
    }

    /// Keeps a file that was just made.
    pub(crate) fn keep(&self, segment: SegmentId, file: Arc<dyn DiskFile>) {
        self.lock().insert(segment, file);
    }

    /// Closes a segment's file, as soon as the last reader is done with it.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.lock().by_segment.remove(&segment);
    }

    /// Makes the file of a new segment, durable with its header and its name.
    pub(crate) fn make(&self, home: SegmentHeader) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(&self.path(home.segment))?;
        self.write_header(home, &file)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    /// Makes the file of a new segment of one that is no longer needed, without clearing it.
    pub(crate) fn make_from(
        &self,
        spare: &Path,
        home: SegmentHeader,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(home.segment);
        self.disk.rename(spare, &path)?;
        // Until the header is written the file bears the header of another number, which opening
        // the log takes for a segment that was never begun.
        let file = self.disk.open(&path)?;
        self.write_header(home, &file)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    fn write_header(&self, home: SegmentHeader, file: &Arc<dyn DiskFile>) -> io::Result<()> {
        file.write_at(0, &mut [IoSlice::new(&home.encode())])?;
        file.sync()
    }

    fn lock(&self) -> MutexGuard<'_, OpenFiles> {
        // A panic elsewhere leaves the table whole: each change is one call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenFiles {
    fn insert(&mut self, segment: SegmentId, file: Arc<dyn DiskFile>) {
        if self.by_segment.len() >= OPEN_FILES_MAX {
            let oldest = self
                .by_segment
                .iter()
                .min_by_key(|(_, entry)| entry.last_use);
            if let Some(oldest) = oldest.map(|(segment, _)| *segment) {
                self.by_segment.remove(&oldest);
            }
        }
        self.uses += 1;
        self.by_segment.insert(
            segment,
            OpenFile {
                file,
                last_use: self.uses,
            },
        );
    }
}

/// A number nobody can foresee, for one use of a segment file.
pub(crate) fn random_life() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
    Ok(u64::from_le_bytes(bytes))
}
