//! A space: one disk's directory with its log of blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sdfs_log::{Disk, LogOptions, OpenError, Position, SegmentLog};
use sdfs_types::calls::status::{ScrubStatus, SpaceStatus};
use sdfs_types::{Epoch, ServerId, VolumeId};
use thiserror::Error;

use crate::ages::Ages;
use crate::block_record::{self, Head};
use crate::block_table::{BlockTable, Identity, stored_at};
use crate::checkpoint;
use crate::limits::BACKGROUND_SYNC_WAIT;
use crate::locked::locked;
use crate::space_file::{self, Owner, SpaceRecord};

/// How spaces are opened.
#[derive(Clone, Debug)]
pub(crate) struct SpaceOptions {
    /// Size of a full-grown segment, bytes.
    pub(crate) segment_bytes: u32,
    /// Bytes of the disk that are never filled with blocks.
    pub(crate) reserve_bytes: u64,
    /// This server.
    pub(crate) owner: Owner,
}

/// Why a space could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpaceFault {
    /// Its log could not be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// One of its files could not be read or written.
    #[error("{action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// There are blocks, yet the file that says whose they are is missing.
    #[error("{path} holds blocks but its file `space` is missing; restore it or empty the folder")]
    NoIdentity {
        /// The space.
        path: PathBuf,
    },
    /// A record is whole, but of a kind that is not known here. Passing it over could bring back
    /// what it frees.
    #[error(
        "the log in {path} has a record in segment {segment} at byte {offset} that this version \
         does not know; if another version has written it, use that one"
    )]
    OtherVersion {
        /// The space.
        path: PathBuf,
        /// The segment.
        segment: u32,
        /// Where the record begins.
        offset: u32,
    },
    /// It is another server's.
    #[error(
        "{path} belongs to server {server} of cluster {cluster}, and this is server {my_server} of \
         cluster {my_cluster}; see `space` and `id` in the configuration, nothing was changed"
    )]
    OtherOwner {
        /// The space.
        path: PathBuf,
        /// The cluster of its server.
        cluster: String,
        /// Its server.
        server: ServerId,
        /// The cluster of this server.
        my_cluster: String,
        /// This server.
        my_server: ServerId,
    },
}

/// An open space. Its table is behind a mutex because blocks become durable on the disk thread,
/// are looked up by whoever serves a read, and are moved by the compaction; it is held for single
/// look-ups and changes, and while an append is queued so that the log has the order of the table.
pub(crate) struct Space {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: SegmentLog,
    pub(crate) table: Arc<Mutex<BlockTable>>,
    record: Mutex<SpaceRecord>,
    /// Whether the file on the disk says whose the space is.
    is_marked: AtomicBool,
    reserve_bytes: u64,
    /// How far the scrub is; written by the work thread, and by whoever hurries it.
    pub(crate) scrub: Mutex<ScrubStatus>,
    /// How old what is in the log is; marked by the keeper.
    pub(crate) ages: Mutex<Ages>,
    /// The work thread is to end.
    pub(crate) is_ending: AtomicBool,
    /// Durable records were found damaged at the replay: blocks may be missing, until every volume
    /// has been synced.
    pub(crate) has_lost_records: AtomicBool,
}

impl Space {
    /// Opens the space in a directory, or makes it if the directory is empty. Reads as much of the
    /// disk as was written since the last checkpoint.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: &SpaceOptions,
    ) -> Result<Self, SpaceFault> {
        disk.make_dir(path).map_err(fault("making", path))?;
        let log_dir = path.join("log");
        let record = match space_file::read(&*disk, path).map_err(fault("reading", path))? {
            Some(record) => owned(&*disk, path, record, &options.owner)?,
            None => (make_record(&*disk, path, &log_dir, &options.owner)?, true),
        };
        let (record, is_marked) = record;
        let checkpoint = checkpoint::read(&*disk, path).map_err(fault("reading", path))?;
        let (replay_from, mut table) = match checkpoint {
            Some(checkpoint) => (Some(checkpoint.replay_from), checkpoint.table),
            None => (None, BlockTable::default()),
        };
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("space");
        let log_options = LogOptions {
            segment_bytes: options.segment_bytes,
            reserve_bytes: options.reserve_bytes,
            ..LogOptions::named(name)
        };
        let mut unknown = None;
        let mut replay = |position, head: &[u8], data: &[u8]| {
            if !replay_record(&mut table, position, head, data) {
                unknown.get_or_insert(position);
            }
        };
        let log = SegmentLog::open(
            Arc::clone(&disk),
            &log_dir,
            log_options,
            replay_from,
            &mut replay,
        )?;
        if let Some(Position {
            segment, offset, ..
        }) = unknown
        {
            return Err(SpaceFault::OtherVersion {
                path: path.to_owned(),
                segment,
                offset,
            });
        }
        let segments: BTreeSet<u32> = log.segments().iter().map(|segment| segment.id.0).collect();
        table.forget_missing(&segments);
        let lost = log
            .replay_report()
            .damaged
            .into_iter()
            .filter(|range| range.was_synced);
        let lost = lost.inspect(|range| {
            tracing::error!(space = ?path, ?range, "durable records are damaged");
        });
        let has_lost_records = lost.count() > 0;
        Ok(Self {
            path: path.to_owned(),
            disk,
            log,
            table: Arc::new(Mutex::new(table)),
            record: Mutex::new(record),
            is_marked: AtomicBool::new(is_marked),
            reserve_bytes: options.reserve_bytes,
            scrub: Mutex::default(),
            ages: Mutex::default(),
            is_ending: AtomicBool::new(false),
            has_lost_records: AtomicBool::new(has_lost_records),
        })
    }

    /// The epoch in which the space became the home of a volume, if it was told to keep it and
    /// still does.
    pub(crate) fn kept_since(&self, volume: VolumeId) -> Option<Epoch> {
        locked(&self.record).volumes.get(&volume).copied()
    }

    /// Notes durably which volumes the space keeps besides those it does, and since when. Blocks on
    /// the disk.
    pub(crate) fn keep(&self, volumes: &[(VolumeId, Epoch)]) -> Result<(), SpaceFault> {
        let mut record = locked(&self.record).clone();
        record.volumes.extend(volumes.iter().copied());
        self.write_record(record)
    }

    /// Notes durably that the space keeps a volume no more. Blocks on the disk.
    pub(crate) fn forget(&self, volume: VolumeId) -> Result<(), SpaceFault> {
        let mut record = locked(&self.record).clone();
        record.volumes.remove(&volume);
        self.write_record(record)
    }

    fn write_record(&self, record: SpaceRecord) -> Result<(), SpaceFault> {
        space_file::write(&*self.disk, &self.path, &record)
            .map_err(fault("writing", &self.path))?;
        *locked(&self.record) = record;
        self.is_marked.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes whose the space is when there was no room for it at the start. Blocks on the disk.
    pub(crate) fn mark(&self) {
        if self.is_marked.load(Ordering::Acquire) {
            return;
        }
        let record = locked(&self.record).clone();
        match self.write_record(record) {
            Ok(()) => tracing::info!(space = ?self.path, "the space says whose it is"),
            Err(error) => tracing::debug!(space = ?self.path, %error, "still not marked"),
        }
    }

    /// Volumes kept here.
    pub(crate) fn volumes(&self) -> BTreeSet<VolumeId> {
        locked(&self.record).volumes.keys().copied().collect()
    }

    /// Writes a checkpoint. Blocks on the disk. None is written while blocks are known to be
    /// damaged or lost: the next start would begin behind the damage and never hear of it. Whether
    /// it was written.
    pub(crate) fn checkpoint(&self) -> Result<bool, SpaceFault> {
        self.checkpoint_when(|| self.log.sync_blocking(BACKGROUND_SYNC_WAIT))
    }

    /// As `checkpoint`; `sync` makes all that was appended durable, and says whether it is.
    pub(crate) fn checkpoint_when(&self, sync: impl FnOnce() -> bool) -> Result<bool, SpaceFault> {
        let Some(found_damaged) = self.sound() else {
            return Ok(false);
        };
        let replay_from = self.log.end();
        // A log that failed has nothing to checkpoint; the next start replays from the last one.
        if !sync() {
            return Ok(false);
        }
        let encoded = checkpoint::encode(replay_from, &self.table);
        // A block that was put aside meanwhile may be missing in the copy.
        if self.sound() != Some(found_damaged) {
            return Ok(false);
        }
        checkpoint::write(&*self.disk, &self.path, &encoded)
            .map_err(fault("writing", &self.path))?;
        Ok(true)
    }

    /// How many blocks were ever found damaged here, when none is and no record is lost.
    fn sound(&self) -> Option<u64> {
        let sound = locked(&self.table).sound(None);
        sound.filter(|_| !self.has_lost_records.load(Ordering::Acquire))
    }

    /// Whether the space takes blocks.
    pub(crate) fn is_open(&self) -> bool {
        self.log.failure().is_none()
    }

    /// Bytes that blocks may still take.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.log
            .stats()
            .free_bytes
            .saturating_sub(self.reserve_bytes)
    }

    /// How the space is.
    pub(crate) fn status(&self) -> SpaceStatus {
        let ((blocks, live_bytes), (damaged, repaired)) = {
            let table = locked(&self.table);
            (table.totals(), table.damage())
        };
        let segments = self.log.segments();
        SpaceStatus {
            path: self.path.display().to_string(),
            failed: self.log.failure().map(|failure| failure.to_string()),
            blocks,
            live_bytes,
            segment_bytes: segments.iter().map(|s| u64::from(s.record_bytes)).sum(),
            free_bytes: self.log.stats().free_bytes,
            room_bytes: self.free_bytes(),
            volumes: self.volumes().into_iter().collect(),
            scrub: ScrubStatus {
                damaged,
                repaired,
                ..*locked(&self.scrub)
            },
        }
    }
}

/// The record of a space that is this server's. One that names nobody is from before records did;
/// it is this server's from now on. `false` when the disk is too full to say so.
fn owned(
    disk: &dyn Disk,
    path: &Path,
    mut record: SpaceRecord,
    me: &Owner,
) -> Result<(SpaceRecord, bool), SpaceFault> {
    match &record.owner {
        Some(owner) if owner == me => Ok((record, true)),
        Some(owner) => Err(SpaceFault::OtherOwner {
            path: path.to_owned(),
            cluster: owner.cluster.clone(),
            server: owner.server,
            my_cluster: me.cluster.clone(),
            my_server: me.server,
        }),
        None => {
            record.owner = Some(me.clone());
            match space_file::write(disk, path, &record) {
                Ok(()) => Ok((record, true)),
                // The blocks are there to be read, and freeing some makes room to write it later.
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    tracing::warn!(space = ?path, %error, "no room to say whose the space is");
                    Ok((record, false))
                }
                Err(error) => Err(fault("writing", path)(error)),
            }
        }
    }
}

/// Makes the file of a space that has none, unless there are blocks already.
fn make_record(
    disk: &dyn Disk,
    path: &Path,
    log_dir: &Path,
    owner: &Owner,
) -> Result<SpaceRecord, SpaceFault> {
    let has_log = disk.list(log_dir).is_ok_and(|names| !names.is_empty());
    if has_log {
        return Err(SpaceFault::NoIdentity {
            path: path.to_owned(),
        });
    }
    let mut identity = [0; 16];
    getrandom::fill(&mut identity)
        .map_err(|_| fault("naming", path)(std::io::ErrorKind::Unsupported.into()))?;
    let record = SpaceRecord {
        identity,
        owner: Some(owner.clone()),
        volumes: BTreeMap::new(),
    };
    space_file::write(disk, path, &record).map_err(fault("writing", path))?;
    Ok(record)
}

/// Does what a record says; false for one of a kind that is not known.
fn replay_record(table: &mut BlockTable, position: Position, head: &[u8], data: &[u8]) -> bool {
    match block_record::decode(head) {
        Some(Head::Block {
            volume,
            block,
            crc32c,
        }) => {
            let identity = Identity {
                length_bytes: data.len() as u32,
                crc32c,
            };
            table.set(volume, block, stored_at(position, identity));
        }
        Some(Head::Freed { volume, blocks }) => {
            for block in &blocks {
                table.free(volume, block);
            }
        }
        None => return false,
    }
    true
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SpaceFault {
    let path = path.to_owned();
    move |source| SpaceFault::Disk {
        action,
        path,
        source,
    }
}
