//! The file that names a space and the volumes it keeps. A disk that comes back empty has none, so
//! it is never taken for a healthy one.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use sdfs_log::{Disk, crc32c};
use sdfs_types::VolumeId;
use serde::{Deserialize, Serialize};

const NAME: &str = "space";
const NEW_NAME: &str = "space.new";
const MAGIC: &[u8; 8] = b"SDFSSPC1";
const FRONT_BYTES: usize = 12;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpaceRecord {
    /// Random, made with the space.
    pub(crate) identity: [u8; 16],
    /// Volumes whose blocks are kept here.
    pub(crate) volumes: BTreeSet<VolumeId>,
}

/// Reads a space's file; nothing when there is none.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<SpaceRecord>> {
    let file = match disk.open(&dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let bytes = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
    let bytes = file.read_at(0, bytes)?;
    decode(&bytes)
        .map(Some)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Replaces a space's file, durably.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, record: &SpaceRecord) -> io::Result<()> {
    replace(disk, dir, (NEW_NAME, NAME), &encode(record))
}

/// Writes a file under a new name and renames it, so that the old or the new one is there.
pub(crate) fn replace(
    disk: &dyn Disk,
    dir: &Path,
    (new, name): (&str, &str),
    bytes: &[u8],
) -> io::Result<()> {
    let new: PathBuf = dir.join(new);
    let file = disk.create(&new)?;
    file.write_at(0, &mut [IoSlice::new(bytes)])?;
    file.sync()?;
    disk.rename(&new, &dir.join(name))?;
    disk.sync_dir(dir)
}

fn encode(record: &SpaceRecord) -> Vec<u8> {
    let body = sdfs_types::wire::encode(record);
    [MAGIC.as_slice(), &crc32c(&body).to_le_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<SpaceRecord> {
    let (front, body) = bytes.split_at_checked(FRONT_BYTES)?;
    let is_whole = front[..8] == *MAGIC && front[8..] == crc32c(body).to_le_bytes();
    if is_whole {
        sdfs_types::wire::decode(body).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_log::MemoryDisk;

    #[test]
    fn record_reads_back() {
        let disk = MemoryDisk::new(1 << 20);
        let dir = Path::new("/space");
        assert_eq!(read(&disk, dir).unwrap(), None);
        let mut record = SpaceRecord {
            identity: [7; 16],
            volumes: BTreeSet::new(),
        };
        write(&disk, dir, &record).unwrap();
        record.volumes.insert(VolumeId(3));
        write(&disk, dir, &record).unwrap();
        assert_eq!(read(&disk, dir).unwrap(), Some(record));
    }

    #[test]
    fn damaged_record_is_an_error() {
        let disk = MemoryDisk::new(1 << 20);
        let dir = Path::new("/space");
        write(
            &disk,
            dir,
            &SpaceRecord {
                identity: [7; 16],
                volumes: BTreeSet::new(),
            },
        )
        .unwrap();
        disk.flip_bit(&dir.join(NAME), 8 * 20).unwrap();
        assert!(read(&disk, dir).is_err());
    }
}
