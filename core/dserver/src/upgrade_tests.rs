//! A space that an earlier version has written is opened by this one, or refused by its version.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sdfs_log::{Disk, LogOptions, MemoryDisk, Record, SegmentLog};
use sdfs_types::{Epoch, VolumeId};

use crate::checkpoint;
use crate::limits::FREED_BLOCKS_MAX;
use crate::locked::locked;
use crate::space_read::LoadFault;
use crate::space_tests::{DIR, VOLUME, block, bytes_for, load, store, try_open};

/// As written in November 2026: blocks of files 1 to 4 as `bytes_for` makes them, the checkpoint
/// behind file 2, then the block of file 1 freed. What is behind the log's last record is cut off.
const SPACE: &[u8] = include_bytes!("fixtures/version-2/space");
const CHECKPOINT: &[u8] = include_bytes!("fixtures/version-2/checkpoint");
const SEGMENT: &[u8] = include_bytes!("fixtures/version-2/log/0000000001.seg");
const LENGTHS: [usize; 4] = [100, 1, 700, 10];

fn disk_with(files: &[(&str, &[u8])]) -> MemoryDisk {
    let disk = MemoryDisk::new(1 << 30);
    for (name, bytes) in files {
        let path = Path::new(DIR).join(name);
        let file = disk.create(&path).unwrap();
        file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
        file.sync().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    disk
}

fn is_whole(disk: &MemoryDisk) {
    let space = try_open(disk).unwrap();
    for volume in [VOLUME, VolumeId(300)] {
        assert_eq!(space.kept_since(volume), Some(Epoch(0)));
    }
    assert_eq!(load(&space, block(1, 0, 1)), Err(LoadFault::Absent));
    for (file, length) in (2..).zip(&LENGTHS[1..]) {
        let expected = bytes_for(u64::from(file), *length);
        assert_eq!(load(&space, block(file, 0, 1)), Ok(expected), "file {file}");
    }
    assert_eq!(locked(&space.table).totals().0, 3);
    store(&space, block(5, 0, 1), &bytes_for(5, 10)).unwrap();
    space.log.close();
    drop(space);
    let space = try_open(disk).unwrap();
    assert_eq!(load(&space, block(5, 0, 1)), Ok(bytes_for(5, 10)));
}

#[test]
fn a_space_of_version_2_is_read_and_gone_on_with() {
    let (space, log) = (("space", SPACE), ("log/0000000001.seg", SEGMENT));
    is_whole(&disk_with(&[space, log, ("checkpoint", CHECKPOINT)]));
    is_whole(&disk_with(&[space, log]));
}

#[test]
fn a_checkpoint_of_version_1_is_read() {
    let checkpoint = checkpoint::decode(CHECKPOINT).unwrap();
    let from = checkpoint.replay_from;
    assert_eq!((from.segment, checkpoint.table.totals().0), (1, 2));
    let table = &checkpoint.table.volumes[&VOLUME].index;
    let stored = table.get(&block(1, 0, 1)).unwrap();
    assert_eq!(
        (stored.length_bytes, stored.crc32c),
        (100, sdfs_log::crc32c(&bytes_for(1, 100)))
    );
}

#[test]
fn a_checkpoint_of_a_later_version_costs_a_replay() {
    let mut later = CHECKPOINT.to_vec();
    later[7] = b'2';
    let (space, log) = (("space", SPACE), ("log/0000000001.seg", SEGMENT));
    is_whole(&disk_with(&[space, log, ("checkpoint", &later)]));
}

#[test]
fn a_space_of_a_later_version_is_refused_and_kept() {
    let mut later = SPACE.to_vec();
    later[7] = b'4';
    let disk = disk_with(&[("space", &later), ("log/0000000001.seg", SEGMENT)]);
    let Err(fault) = try_open(&disk) else {
        unreachable!("a space of a later version was opened");
    };
    let said = fault.to_string();
    assert!(
        said.starts_with("reading /space: the file `space` there has version 4"),
        "{said}"
    );
    let file = disk.open(&Path::new(DIR).join("space")).unwrap();
    assert_eq!(file.read_at(0, later.len() + 1).unwrap(), later);
}

/// Appends a record to the log of a space that is not open.
fn append_raw(disk: &MemoryDisk, head: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = LogOptions {
        segment_bytes: 256 << 10,
        reserve_bytes: 0,
        ..LogOptions::named("space")
    };
    let log = Path::new(DIR).join("log");
    let log = SegmentLog::open(disk, &log, options, None, &mut |_, _, _| {}).unwrap();
    let record = Record::new(Bytes::copy_from_slice(head), Bytes::new());
    log.append(record, drop).unwrap();
    log.close();
}

/// Passing over what another version has written might bring freed blocks back.
#[test]
fn records_of_a_later_version_are_refused_by_their_place() {
    let files = [("space", SPACE), ("log/0000000001.seg", SEGMENT)];
    let too_many = [
        &[2, 0, 0, 0, 3, 0, 0, 0][..],
        &[0; 12 * (FREED_BLOCKS_MAX + 1)],
    ]
    .concat();
    for head in [&[3, 0, 0, 0, 3, 0, 0, 0][..], &[], &too_many] {
        let disk = disk_with(&files);
        append_raw(&disk, head);
        let Err(fault) = try_open(&disk) else {
            unreachable!("a record of a later version was passed over");
        };
        let said = fault.to_string();
        let begin = format!(
            "the log in /space has a record in segment 1 at byte {}",
            SEGMENT.len()
        );
        assert!(said.starts_with(&begin), "{said}");
    }
}
