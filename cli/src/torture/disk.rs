//! A disk that can be filled: a file system of its own in a file, and a ballast on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::apart::run;
use super::limits::{FULL_DISK_FREE_BYTES, SMALL_DISK_BYTES};
use crate::failure::{Failure, Outcome};

/// What takes the room.
const BALLAST: &str = "ballast";

/// The disk of one server.
#[derive(Debug)]
pub(super) struct Disk {
    space: PathBuf,
}

impl Disk {
    /// Makes the file system and mounts it where a server will have its space.
    pub(super) async fn mount(image: &Path, space: &Path) -> Outcome<Disk> {
        let fault = |error| Failure::local("make", image, &error);
        let file = File::create_new(image).map_err(fault)?;
        file.set_len(SMALL_DISK_BYTES).map_err(fault)?;
        fs::create_dir_all(space).map_err(|error| Failure::local("make", space, &error))?;
        let (image, mount) = (image.to_string_lossy(), space.to_string_lossy());
        // No blocks kept for root: what counts is what a server sees.
        run(&["mkfs.ext4", "-q", "-m", "0", &image]).await?;
        run(&["mount", "-o", "loop", &image, &mount]).await?;
        Ok(Disk {
            space: space.to_owned(),
        })
    }

    /// Leaves less free than any server's reserve.
    pub(super) fn fill(&self) -> Outcome {
        let path = self.space.join(BALLAST);
        let fault = |error| Failure::local("write", &path, &error);
        let file = File::create(&path).map_err(fault)?;
        let known = statvfs(&self.space).map_err(|error| fault(error.into()))?;
        let free = known.f_bavail * known.f_frsize;
        let bytes = free.saturating_sub(FULL_DISK_FREE_BYTES);
        fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(|error| fault(error.into()))
    }

    /// Makes the room free again.
    pub(super) fn empty(&self) -> Outcome {
        let path = self.space.join(BALLAST);
        fs::remove_file(&path).map_err(|error| Failure::local("remove", &path, &error))
    }

    /// Takes it off, what is on it with it.
    pub(super) async fn unmount(self) -> Outcome {
        run(&["umount", &self.space.to_string_lossy()]).await
    }
}
