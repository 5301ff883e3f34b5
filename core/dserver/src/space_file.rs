//! The file that names a space, whose it is, and the volumes it keeps. A disk that comes back empty
//! has none, so it is never taken for a healthy one; a disk of another server is told by it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use sdfs_log::{Disk, crc32c};
use sdfs_types::wire::WireFault;
use sdfs_types::{Epoch, ServerId, VolumeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const NAME: &str = "space";
const NEW_NAME: &str = "space.new";
/// What the file begins with, before the digit of its version.
const MAGIC: &[u8; 7] = b"SDFSSPC";
const VERSION: u8 = b'3';
/// The version before: it does not say since when a volume is kept.
const TIMELESS: u8 = b'2';
/// The version before that: it does not say whose the space is either.
const OWNERLESS: u8 = b'1';
const FRONT_BYTES: usize = 12;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpaceRecord {
    /// Random, made with the space.
    pub(crate) identity: [u8; 16],
    /// Whose it is; nothing in a file of the form before.
    pub(crate) owner: Option<Owner>,
    /// Volumes whose blocks are kept here, each with the epoch in which this became its home. Of
    /// two spaces that keep a volume because one had failed for a while, the later one is right.
    pub(crate) volumes: BTreeMap<VolumeId, Epoch>,
}

/// The server a space belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) cluster: String,
    pub(crate) server: ServerId,
}

/// What the file held before it named epochs.
#[derive(Serialize, Deserialize)]
struct TimelessRecord {
    identity: [u8; 16],
    owner: Option<Owner>,
    volumes: BTreeSet<VolumeId>,
}

/// What the file held before it named an owner.
#[derive(Serialize, Deserialize)]
struct OwnerlessRecord {
    identity: [u8; 16],
    volumes: BTreeSet<VolumeId>,
}

/// Why a space's file cannot be read.
#[derive(Debug, Error)]
pub(crate) enum SpaceFileFault {
    /// It is not what any version has written.
    #[error("the file `space` there is damaged; restore it")]
    Damaged,
    /// Another version of this program has written it.
    #[error(
        "the file `space` there has version {}, this program knows up to {}; use the program that \
         has written it, nothing was changed",
        found.escape_ascii(), VERSION.escape_ascii()
    )]
    Version {
        /// The digit of its version.
        found: u8,
    },
    /// What follows its checksum is not what it should be.
    #[error("the file `space` there: {0}")]
    Record(#[from] WireFault),
}

impl From<SpaceFileFault> for io::Error {
    fn from(fault: SpaceFileFault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// Reads a space's file; nothing when there is none.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<SpaceRecord>> {
    let file = match disk.open(&dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let bytes = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
    let bytes = file.read_at(0, bytes)?;
    Ok(Some(decode(&bytes)?))
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

/// The bytes of the file.
pub(crate) fn encode(record: &SpaceRecord) -> Vec<u8> {
    let body = sdfs_types::wire::encode(record);
    let crc = crc32c(&body).to_le_bytes();
    [MAGIC.as_slice(), &[VERSION], &crc, &body].concat()
}

/// What the bytes of the file say.
pub(crate) fn decode(bytes: &[u8]) -> Result<SpaceRecord, SpaceFileFault> {
    let whole = bytes.split_at_checked(FRONT_BYTES);
    let (front, body) = whole.ok_or(SpaceFileFault::Damaged)?;
    if front[..7] != *MAGIC {
        return Err(SpaceFileFault::Damaged);
    }
    let version = front[7];
    // A later version may keep its checksum elsewhere.
    if ![VERSION, TIMELESS, OWNERLESS].contains(&version) {
        return Err(SpaceFileFault::Version { found: version });
    }
    if front[8..] != crc32c(body).to_le_bytes() {
        return Err(SpaceFileFault::Damaged);
    }
    if version == VERSION {
        return Ok(sdfs_types::wire::decode(body)?);
    }
    let TimelessRecord {
        identity,
        owner,
        volumes,
    } = if version == TIMELESS {
        sdfs_types::wire::decode(body)?
    } else {
        let OwnerlessRecord { identity, volumes } = sdfs_types::wire::decode(body)?;
        TimelessRecord {
            identity,
            owner: None,
            volumes,
        }
    };
    let since = |volume| (volume, Epoch::default());
    Ok(SpaceRecord {
        identity,
        owner,
        volumes: volumes.into_iter().map(since).collect(),
    })
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
            owner: Some(Owner {
                cluster: "sdfs".to_owned(),
                server: ServerId(4),
            }),
            volumes: BTreeMap::new(),
        };
        write(&disk, dir, &record).unwrap();
        record.volumes.insert(VolumeId(3), Epoch(9));
        write(&disk, dir, &record).unwrap();
        assert_eq!(read(&disk, dir).unwrap(), Some(record));
    }

    /// As the releases before wrote it: identity 7.., volumes 1 and 300.
    #[test]
    fn file_without_an_owner_is_read() {
        let body = [&[1_u8][..], &[7; 16], &[2, 1, 0xac, 0x02]].concat();
        let file = [b"SDFSSPC1".as_slice(), &crc32c(&body).to_le_bytes(), &body].concat();
        let record = decode(&file).expect("a record");
        assert_eq!((record.identity, record.owner), ([7; 16], None));
        let since = |volume| (VolumeId(volume), Epoch(0));
        assert_eq!(record.volumes, [since(1), since(300)].into());
    }

    /// As the releases before wrote it: identity 7.., server 4 of cluster "s", volume 2.
    #[test]
    fn file_without_epochs_is_read() {
        let body = [&[1_u8][..], &[7; 16], &[1, 1, b's', 4, 1, 2]].concat();
        let file = [b"SDFSSPC2".as_slice(), &crc32c(&body).to_le_bytes(), &body].concat();
        let record = decode(&file).expect("a record");
        let owner = record.owner.expect("an owner");
        assert_eq!((owner.cluster.as_str(), owner.server), ("s", ServerId(4)));
        assert_eq!(record.volumes, [(VolumeId(2), Epoch(0))].into());
    }

    /// Identity 7.., server 4 of cluster "s", volumes 2 since epoch 1 and 300 since 200.
    #[test]
    fn version_3_keeps_its_bytes() {
        let volumes = [2, 2, 1, 0xac, 0x02, 0xc8, 0x01];
        let body = [&[1_u8][..], &[7; 16], &[1, 1, b's', 4], &volumes].concat();
        let file = [b"SDFSSPC3".as_slice(), &crc32c(&body).to_le_bytes(), &body].concat();
        let record = decode(&file).expect("a record");
        let since = |volume, epoch| (VolumeId(volume), Epoch(epoch));
        assert_eq!(record.volumes, [since(2, 1), since(300, 200)].into());
        assert_eq!(encode(&record), file);
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
                owner: None,
                volumes: BTreeMap::new(),
            },
        )
        .unwrap();
        disk.flip_bit(&dir.join(NAME), 8 * 20).unwrap();
        let said = read(&disk, dir).unwrap_err().to_string();
        assert_eq!(said, "the file `space` there is damaged; restore it");
    }

    #[test]
    fn later_version_is_refused_by_its_number() {
        let body = [1_u8, 9, 9];
        let file = [b"SDFSSPC4".as_slice(), &[0; 4], &body].concat();
        let said = decode(&file).unwrap_err().to_string();
        assert!(
            said.contains("`space`") && said.contains("version 4"),
            "{said}"
        );
        assert!(said.contains("up to 3"), "{said}");
        let body = [7_u8, 9, 9];
        let file = [b"SDFSSPC2".as_slice(), &crc32c(&body).to_le_bytes(), &body].concat();
        let said = decode(&file).unwrap_err().to_string();
        assert_eq!(
            said,
            "the file `space` there: wire form 7; this build reads 1"
        );
    }
}
