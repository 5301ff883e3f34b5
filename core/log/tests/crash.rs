//! Crashes at every point, failing disks and rot.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    DIR, PATIENCE, Seen, append, open, queue, record, sample, small_segments, try_open, wait_until,
};
use proptest::prelude::*;
use sdfs_log::{
    AppendRefused, CrashLoss, Disk, Fault, LogFailure, MemoryDisk, ReadError, SegmentId, SegmentLog,
};

const LOSSES: [CrashLoss; 5] = [
    CrashLoss::Nothing,
    CrashLoss::Everything,
    CrashLoss::Some(1),
    CrashLoss::Some(2),
    CrashLoss::Some(3),
];

fn as_disk(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn bytes_of(number: u64) -> usize {
    // From nothing to several pages, so that records end on and across every boundary.
    ((number * 2654435761) % 13_000) as usize
}

/// What a run knows of the records it appended.
#[derive(Default)]
struct Known {
    acknowledged: Vec<u64>,
    appended: u64,
    /// Records below are in segments that were given up.
    removed_below: u64,
    /// The segment of each record.
    places: BTreeMap<u64, u32>,
}

/// Appends `count` records in bursts and gives up a segment now and then, until the disk fails.
fn run(log: &SegmentLog, known: &mut Known, count: u64) {
    for burst in 0..count.div_ceil(5) {
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let number = known.appended;
            let (tell, told) = std::sync::mpsc::channel();
            let appended = log.append(record(number, bytes_of(number)), move |done| {
                drop(tell.send(done))
            });
            let Ok(position) = appended else { return };
            known.appended += 1;
            known.places.insert(number, position.segment);
            waiting.push((number, told));
        }
        for (number, told) in waiting {
            if told.recv_timeout(PATIENCE).unwrap().is_ok() {
                known.acknowledged.push(number);
            }
        }
        if burst % 4 == 3 {
            let first = log.segments()[0].id;
            if log.remove_segment(first) {
                let below = known
                    .places
                    .iter()
                    .filter(|(_, segment)| **segment <= first.0);
                known.removed_below = below.map(|(n, _)| n + 1).max().unwrap_or(0);
            }
        }
    }
}

fn check(known: &Known, seen: &[Seen]) {
    let numbers: Vec<u64> = seen
        .iter()
        .map(|s| u64::from_le_bytes(s.head[..].try_into().unwrap()))
        .collect();
    assert!(numbers.is_sorted(), "replayed out of order: {numbers:?}");
    for (number, seen) in numbers.iter().zip(seen) {
        assert_eq!(
            seen.data,
            sample(*number, bytes_of(*number)).1,
            "record {number} is whole"
        );
    }
    for number in known
        .acknowledged
        .iter()
        .filter(|number| **number >= known.removed_below)
    {
        assert!(
            numbers.binary_search(number).is_ok(),
            "acknowledged record {number} is lost: {numbers:?}, removed below {}, {:?}",
            known.removed_below,
            known.places
        );
    }
    assert!(numbers.iter().all(|number| *number < known.appended));
}

#[test]
fn acknowledged_records_survive_every_crash() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    run(&log, &mut Known::default(), 60);
    log.close();
    let changes = disk.changes();
    assert!(
        changes > 50,
        "the run is long enough to be interesting: {changes}"
    );
    for number in 0..changes {
        for (fault, loss) in [Fault::Crash, Fault::Torn]
            .into_iter()
            .zip(LOSSES.iter().cycle().skip(number as usize))
        {
            crash_and_check(number, fault, *loss);
        }
        crash_and_check(number, Fault::Torn, CrashLoss::Some(number + 100));
    }
}

fn crash_and_check(number: u64, fault: Fault, loss: CrashLoss) {
    let disk = MemoryDisk::new(1 << 30);
    disk.fail_change(number, fault);
    let mut known = Known::default();
    if let Ok((log, _)) = try_open(&as_disk(&disk), small_segments(), None) {
        run(&log, &mut known, 60);
    }
    // Crash, go on for a while, crash again: what the first left behind must not come back.
    let disk = disk.crash(loss);
    let (log, seen) = open(&as_disk(&disk));
    check(&known, &seen);
    assert!(
        log.replay_report()
            .damaged
            .iter()
            .all(|range| !range.was_synced)
    );
    known.appended += 1000;
    run(&log, &mut known, 20);
    let disk = disk.crash(loss);
    log.close();
    let (log, seen) = open(&as_disk(&disk));
    check(&known, &seen);
    assert!(
        log.replay_report()
            .damaged
            .iter()
            .all(|range| !range.was_synced),
        "crash {fault:?} {loss:?} at {number}: {:?}",
        log.replay_report()
    );
}

#[test]
fn failed_sync_closes_the_log_for_good() {
    for fault in [Fault::Io, Fault::NoSpace] {
        let disk = MemoryDisk::new(1 << 30);
        let (log, _) = open(&as_disk(&disk));
        append(&log, record(0, 100)).unwrap();
        // The write succeeds, its sync does not.
        disk.fail_change(disk.changes() + 1, fault);
        assert!(append(&log, record(1, 100)).is_err());
        assert_eq!(
            log.append(record(2, 100), |_| {}),
            Err(AppendRefused::Closed)
        );
        assert!(log.failure().is_some());
        log.close();
        let (_, seen) = open(&as_disk(&disk.crash(CrashLoss::Everything)));
        assert_eq!(seen.len(), 1);
    }
}

#[test]
fn failed_write_closes_the_log_for_good() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    disk.fail_change(disk.changes(), Fault::Io);
    let first = queue(&log, record(0, 100));
    assert!(first.recv_timeout(PATIENCE).unwrap().is_err());
    wait_until("the failure is known", || log.failure().is_some());
    assert_eq!(
        log.append(record(1, 100), |_| {}),
        Err(AppendRefused::Closed)
    );
}

#[test]
fn a_write_without_room_is_made_later() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    append(&log, record(0, 100)).unwrap();
    let first = disk.changes();
    for change in first..first + 3 {
        disk.fail_change(change, Fault::NoSpace);
    }
    append(&log, record(1, 100)).unwrap();
    assert!(disk.changes() > first + 3, "it was tried again");
    append(&log, record(2, 100)).unwrap();
    assert!(log.failure().is_none());
    log.close();
    let (_, seen) = open(&as_disk(&disk.crash(CrashLoss::Everything)));
    assert_eq!(seen.len(), 3);
}

#[test]
fn only_a_sync_without_room_closes_the_log() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    run(&log, &mut Known::default(), 40);
    log.close();
    // Ends and beginnings of segments are among the changes, made ahead and at the last moment.
    for number in 0..disk.changes() {
        let disk = MemoryDisk::new(1 << 30);
        let (log, _) = open(&as_disk(&disk));
        disk.fail_change(disk.changes() + number, Fault::NoSpace);
        let mut known = Known::default();
        run(&log, &mut known, 40);
        match log.failure() {
            None => assert_eq!(known.acknowledged.len() as u64, known.appended, "{number}"),
            Some(LogFailure::Sync { .. }) => {}
            failure => panic!("change {number}: {failure:?}"),
        }
        log.close();
        let (_, seen) = open(&as_disk(&disk.crash(CrashLoss::Everything)));
        check(&known, &seen);
    }
}

#[test]
fn a_log_without_room_can_be_closed() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    append(&log, record(0, 100)).unwrap();
    let first = disk.changes();
    for change in first..first + 10_000 {
        disk.fail_change(change, Fault::NoSpace);
    }
    let waiting = queue(&log, record(1, 100));
    wait_until("it is tried again", || disk.changes() > first + 1);
    log.close();
    assert!(waiting.recv_timeout(PATIENCE).unwrap().is_err());
    let (_, seen) = open(&as_disk(&disk.crash(CrashLoss::Everything)));
    assert_eq!(seen.len(), 1);
}

#[test]
fn unreadable_disk_does_not_open() {
    let disk = MemoryDisk::new(1 << 30);
    open(&as_disk(&disk)).0.close();
    disk.fail_reads(true);
    assert!(try_open(&as_disk(&disk), small_segments(), None).is_err());
}

/// Change `number` after the first append fails, which is one of the segment made ahead; how the
/// log has failed by its end, or `None` when there was no such change.
fn failed_ahead(number: u64) -> Option<Option<LogFailure>> {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    // A write and a sync, then the next segment is wanted.
    let fails = disk.changes() + 2 + number;
    disk.fail_change(fails, Fault::Io);
    append(&log, record(0, 40_000)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while disk.changes() <= fails && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let was_made = disk.changes() > fails;
    if was_made {
        // The thread that met it has noted it when the log is closed.
        log.close();
    }
    was_made.then(|| log.failure())
}

#[test]
fn failed_sync_of_a_segment_ahead_closes_the_log() {
    let ends: Vec<Option<LogFailure>> = (0..20).map_while(failed_ahead).collect();
    assert!(ends.len() < 20, "the segment is never done");
    let last = ends.last().unwrap();
    assert!(matches!(last, Some(LogFailure::Sync { .. })), "{ends:?}");
    let before = &ends[ends.len() - 2];
    assert!(matches!(before, Some(LogFailure::Write { .. })), "{ends:?}");
    // A segment that cannot be made ahead is made when it is needed.
    assert!(ends[0].is_none(), "{ends:?}");
}

fn path_of(segment: SegmentId) -> PathBuf {
    Path::new(DIR).join(format!("{segment}.seg"))
}

#[test]
fn rot_in_the_middle_is_skipped_and_reported() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    let positions: Vec<_> = (0..10)
        .map(|n| append(&log, record(n, 1000)).unwrap())
        .collect();
    let rotten = positions[4];
    disk.flip_bit(
        &path_of(rotten.segment_id()),
        (u64::from(rotten.offset) + 500) * 8,
    )
    .unwrap();
    assert!(matches!(log.read(rotten), Err(ReadError::Damaged(_))));
    log.close();
    let (log, seen) = open(&as_disk(&disk));
    assert_eq!(seen.len(), 9);
    let damaged = log.replay_report().damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!(
        (damaged[0].offset, damaged[0].was_synced),
        (rotten.offset, true)
    );
}

#[test]
fn rotten_segment_header_is_reported() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    for n in 0..10 {
        append(&log, record(n, 20_000)).unwrap();
    }
    let first = log.segments()[0].id;
    log.close();
    disk.flip_bit(&path_of(first), 9 * 8).unwrap();
    let (log, seen) = open(&as_disk(&disk));
    assert!(seen.len() < 10);
    assert_eq!(log.replay_report().damaged[0].segment, first);
    assert!(log.replay_report().damaged[0].was_synced);
    append(&log, record(10, 10)).unwrap();
}

#[test]
fn old_contents_never_become_records() {
    // The data of the old use of a file contains whole records, as a caller could choose it.
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    let position = append(&log, record(0, 30_000)).unwrap();
    let forged = disk
        .open(&path_of(position.segment_id()))
        .unwrap()
        .read_at(0, 64 << 10)
        .unwrap();
    append(
        &log,
        sdfs_log::Record::new(bytes::Bytes::new(), forged.into()),
    )
    .unwrap();
    append(&log, record(1, 30_000)).unwrap();
    for segment in log.segments().iter().filter(|segment| !segment.is_active) {
        log.remove_segment(segment.id);
    }
    wait_until("they are gone", || log.segments().len() == 1);
    for n in 2..8 {
        append(&log, record(n, 30_000)).unwrap();
    }
    log.close();
    let (_, seen) = open(&as_disk(&disk));
    assert_eq!(
        seen.iter().map(|seen| seen.head[0]).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7]
    );
}

/// The last records of a segment are made durable together with what follows them.
#[test]
fn rot_in_the_last_commit_of_a_segment_is_no_torn_commit() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    let (tell, told) = std::sync::mpsc::channel();
    let batch: Vec<_> = (0..20).map(|n| record(n, 4_000)).collect();
    let places = log.append_all(batch, move |done| drop(tell.send(done)));
    let places = places.unwrap();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    log.close();
    let first = places[0].segment_id();
    let (count, last) = places
        .iter()
        .zip(1..)
        .filter(|(place, _)| place.segment_id() == first)
        .map(|(place, count)| (count, place))
        .last()
        .unwrap();
    assert!(count < places.len(), "the batch lies in two segments");
    disk.flip_bit(&path_of(first), (u64::from(last.offset) + 2_000) * 8)
        .unwrap();
    let (log, seen) = open(&as_disk(&disk));
    assert_eq!(seen.len(), places.len() - 1);
    let damaged = &log.replay_report().damaged;
    let damaged: Vec<_> = damaged
        .iter()
        .map(|one| (one.offset, one.was_synced))
        .collect();
    assert_eq!(damaged, [(last.offset, true)]);
}

#[test]
fn what_could_not_be_removed_is_removed_later() {
    let disk = MemoryDisk::new(1 << 30);
    let (log, _) = open(&as_disk(&disk));
    for n in 0..60 {
        append(&log, record(n, 5_000)).unwrap();
    }
    let first = log.segments()[0].id;
    // The next segment is made meanwhile.
    let mut seen = 0;
    wait_until("the disk is idle", || {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut seen, disk.changes()) == disk.changes()
    });
    disk.fail_change(disk.changes(), Fault::Io);
    assert!(log.remove_segment(first));
    let is_there = || log.segments().iter().any(|segment| segment.id == first);
    std::thread::sleep(Duration::from_millis(50));
    assert!(is_there());
    wait_until("it is removed", || !is_there());
    append(&log, record(60, 10)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_flipped_bit_loses_one_record_at_most(bit in 0_u64..50_000 * 8) {
        let disk = MemoryDisk::new(1 << 30);
        let (log, _) = open(&as_disk(&disk));
        for n in 0..20 {
            append(&log, record(n, 2500)).unwrap();
        }
        let segment = log.segments()[0].id;
        log.close();
        // The segment's own header is another test's.
        disk.flip_bit(&path_of(segment), bit.max(4096 * 8)).unwrap();
        let (log, seen) = open(&as_disk(&disk));
        prop_assert!(seen.len() >= 19);
        for seen in &seen {
            prop_assert_eq!(&seen.data, &sample(u64::from(seen.head[0]), 2500).1);
        }
        append(&log, record(99, 10)).unwrap();
    }
}
