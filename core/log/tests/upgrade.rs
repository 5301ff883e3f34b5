//! Segments that an earlier version has written are read by this one, or refused by their version.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use common::{DIR, append, open, record, sample, small_segments, try_open};
use sdfs_log::{Disk, MemoryDisk, Position, crc32c};

/// As the version of November 2026 writes them: records 0 to 5, the third of them the last of the
/// first segment. What is behind the last record of a segment is cut off.
const VERSION_1: [&[u8]; 2] = [
    include_bytes!("fixtures/version-1/0000000001.seg"),
    include_bytes!("fixtures/version-1/0000000002.seg"),
];
const LENGTHS: [usize; 6] = [0, 1, 300, 23, 24, 700];

fn disk_with(segments: [&[u8]; 2]) -> Arc<dyn Disk> {
    let disk = MemoryDisk::new(1 << 30);
    for (number, bytes) in (1..).zip(segments) {
        let path = Path::new(DIR).join(format!("{number:010}.seg"));
        let file = disk.create(&path).unwrap();
        file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
        file.sync().unwrap();
    }
    disk.sync_dir(Path::new(DIR)).unwrap();
    Arc::new(disk)
}

#[test]
fn segments_of_version_1_are_read_and_gone_on_with() {
    let disk = disk_with(VERSION_1);
    let (log, seen) = open(&disk);
    assert_eq!(log.replay_report().damaged, []);
    let places: Vec<u32> = seen.iter().map(|seen| seen.position.segment).collect();
    assert_eq!(places, [1, 1, 1, 2, 2, 2]);
    for ((number, length), seen) in (0..).zip(LENGTHS).zip(&seen) {
        let (head, data) = sample(number, length);
        assert_eq!((&seen.head[..], &seen.data[..]), (&head[..], &data[..]));
        assert_eq!(log.read(seen.position).unwrap().data, data);
    }
    append(&log, record(6, 10)).unwrap();
    log.close();
    let (_, again) = open(&disk);
    assert_eq!(
        (&again[..6], &again[6].data),
        (&seen[..], &sample(6, 10).1.to_vec())
    );
}

#[test]
fn a_later_segment_is_refused_by_file_and_version() {
    let mut later = VERSION_1[1].to_vec();
    later[8] = 2;
    let crc = crc32c(&later[..24]);
    later[24..28].copy_from_slice(&crc.to_le_bytes());
    let disk = disk_with([VERSION_1[0], &later]);
    let said = try_open(&disk, small_segments(), None)
        .unwrap_err()
        .to_string();
    let path = format!("{DIR}/0000000002.seg");
    assert_eq!(
        said,
        format!("{path} has format version 2, this program knows up to 1")
    );
    let file = disk.open(Path::new(&path)).unwrap();
    assert_eq!(file.read_at(0, later.len() + 1).unwrap(), later);
}

#[test]
fn a_header_rotted_to_zeroes_keeps_its_file() {
    let mut rotten = VERSION_1[0].to_vec();
    rotten[..28].fill(0);
    let disk = disk_with([&rotten, VERSION_1[1]]);
    let (log, seen) = open(&disk);
    assert_eq!(seen.len(), 3, "those of the other segment");
    let damaged = log.replay_report().damaged;
    assert_eq!((damaged[0].segment.0, damaged[0].was_synced), (1, true));
    let file = disk.open(&Path::new(DIR).join("0000000001.seg")).unwrap();
    assert_eq!(file.read_at(0, rotten.len() + 1).unwrap(), rotten);
}

#[test]
fn numbers_of_segments_come_to_an_end() {
    let disk = disk_with(VERSION_1);
    let beyond = Position {
        segment: u32::MAX,
        offset: 4_096,
        bytes: 0,
    };
    let said = try_open(&disk, small_segments(), Some(beyond))
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "after segment 4294967295 there is no number left for another one"
    );
}
