//! Appending, reading, replaying and removing on a disk that does what it should.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use common::{
    DIR, PATIENCE, append, open, queue, record, sample, small_segments, try_open, wait_until,
};
use sdfs_log::{
    AppendRefused, Disk, LogOptions, MemoryDisk, OpenError, ReadError, RealDisk, Record, SegmentId,
    SegmentLog,
};

fn memory() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new(1 << 30))
}

#[test]
fn appended_record_reads_back() {
    let (log, _) = open(&memory());
    let (head, data) = sample(1, 5000);
    let position = append(&log, record(1, 5000)).unwrap();
    let stored = log.read(position).unwrap();
    assert_eq!((stored.head, stored.data), (head, data));
    assert_eq!(
        log.read_now(position).unwrap().unwrap().data_crc,
        stored.data_crc
    );
}

#[test]
fn pieces_are_joined_in_order() {
    let (log, _) = open(&memory());
    let pieces = [vec![1; 3], vec![2; 5000], vec![], vec![3; 64]].map(Bytes::from);
    let whole = pieces.concat();
    let data = pieces.to_vec();
    let position = append(
        &log,
        Record {
            data,
            ..Record::default()
        },
    )
    .unwrap();
    assert_eq!(log.read(position).unwrap().data, whole);
}

#[test]
fn replay_hands_out_everything_in_order() {
    let disk = memory();
    let (log, _) = open(&disk);
    let positions: Vec<_> = (0..100)
        .map(|n| append(&log, record(n, n as usize * 50)).unwrap())
        .collect();
    log.close();
    let (log, seen) = open(&disk);
    assert_eq!(
        seen.iter().map(|seen| seen.position).collect::<Vec<_>>(),
        positions
    );
    for (n, seen) in seen.iter().enumerate() {
        let (head, data) = sample(n as u64, n * 50);
        assert_eq!((&seen.head[..], &seen.data[..]), (&head[..], &data[..]));
    }
    assert!(log.segments().len() > 3);
    assert_eq!(log.replay_report().damaged, []);
    assert_eq!(log.replay_report().records, 100);
}

#[test]
fn replay_begins_where_it_is_told() {
    let disk = memory();
    let (log, _) = open(&disk);
    for n in 0..50 {
        append(&log, record(n, 3000)).unwrap();
    }
    let end = log.end();
    for n in 50..80 {
        append(&log, record(n, 3000)).unwrap();
    }
    log.close();
    let (log, seen) = try_open(&disk, small_segments(), Some(end)).unwrap();
    let numbers: Vec<_> = seen.iter().map(|seen| seen.head[0]).collect();
    assert_eq!(numbers, (50..80).collect::<Vec<u8>>());
    let end = log.end();
    log.close();
    let (log, seen) = try_open(&disk, small_segments(), Some(end)).unwrap();
    assert_eq!(seen, []);
    assert_eq!(log.end(), end);
}

#[test]
fn several_records_lie_together() {
    let disk = memory();
    let (log, _) = open(&disk);
    let (tell, told) = channel();
    let records = (0..10).map(|n| record(n, 100)).collect();
    let positions = log
        .append_all(records, move |done| tell.send(done).unwrap())
        .unwrap();
    let last = told.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(positions.last(), Some(&last));
    for (n, position) in positions.iter().enumerate() {
        assert_eq!(log.read(*position).unwrap().head, sample(n as u64, 0).0);
    }
}

#[test]
fn many_appends_share_a_commit() {
    let (log, _) = open(&memory());
    let waiting: Vec<_> = (0..2000).map(|n| queue(&log, record(n, 20))).collect();
    for told in waiting {
        told.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    let stats = log.stats();
    assert_eq!(
        (stats.records, stats.queued_bytes, stats.queued_records),
        (2000, 0, 0)
    );
    assert!(stats.commits < 2000, "{} commits", stats.commits);
}

#[test]
fn record_larger_than_a_segment_fits() {
    let disk = memory();
    let (log, _) = open(&disk);
    append(&log, record(1, 10)).unwrap();
    let large = append(&log, record(2, 1 << 20)).unwrap();
    let after = append(&log, record(3, 10)).unwrap();
    assert!(large.segment < after.segment);
    assert_eq!(log.read(large).unwrap().data, sample(2, 1 << 20).1);
    log.close();
    assert_eq!(open(&disk).1.len(), 3);
}

#[test]
fn record_over_the_limit_is_refused() {
    let (log, _) = open(&memory());
    let head = Bytes::from(vec![0; (64 << 10) + 1]);
    let refused = log.append(Record::new(head, Bytes::new()), |_| {});
    assert_eq!(refused, Err(AppendRefused::TooLarge));
}

#[test]
fn removed_segment_is_used_again() {
    let disk = memory();
    let (log, _) = open(&disk);
    let mut last = append(&log, record(0, 9000)).unwrap();
    for n in 1..40 {
        last = append(&log, record(n, 9000)).unwrap();
    }
    let first = log.segments()[0].id;
    assert!(log.remove_segment(first));
    assert!(!log.remove_segment(first), "already given up");
    let mut first_listed = log.segments().into_iter().filter(|s| s.id == first);
    assert!(first_listed.all(|status| status.is_given_up));
    assert!(
        !log.remove_segment(SegmentId(last.segment)),
        "still written"
    );
    assert!(!log.remove_segment(SegmentId(9999)), "unknown");
    wait_until("the segment is gone", || log.segments()[0].id != first);
    // Fill some segments more: one of them is made of the removed one's file.
    for n in 100..140 {
        append(&log, record(n, 9000)).unwrap();
    }
    assert!(
        !disk
            .list(Path::new(DIR))
            .unwrap()
            .iter()
            .any(|name| name.ends_with(".spare"))
    );
    log.close();
    let (_, seen) = open(&disk);
    let numbers: Vec<_> = seen.iter().map(|seen| u64::from(seen.head[0])).collect();
    let kept = numbers[0];
    assert_eq!(numbers, (kept..40).chain(100..140).collect::<Vec<_>>());
    assert!(kept > 0);
}

#[test]
fn reading_a_removed_segment_says_so() {
    let (log, _) = open(&memory());
    let position = append(&log, record(0, 60_000)).unwrap();
    append(&log, record(1, 60_000)).unwrap();
    assert!(log.remove_segment(SegmentId(position.segment)));
    wait_until("the segment is gone", || log.segments().len() == 1);
    assert!(matches!(log.read(position), Err(ReadError::NoSegment(_))));
}

#[test]
fn full_queue_refuses() {
    let disk = MemoryDisk::new(1 << 30);
    let options = LogOptions {
        queue_bytes_max: 10_000,
        ..small_segments()
    };
    let (log, _) = try_open(&(Arc::new(disk) as Arc<dyn Disk>), options, None).unwrap();
    // The disk thread stands still inside this callback.
    let (go, may_go) = channel::<()>();
    let (at, arrived) = channel();
    log.append(record(0, 10), move |_| {
        at.send(()).unwrap();
        may_go.recv_timeout(PATIENCE).unwrap();
    })
    .unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    let held = queue(&log, record(1, 8000));
    assert_eq!(
        log.append(record(2, 8000), |_| {}),
        Err(AppendRefused::Full)
    );
    go.send(()).unwrap();
    held.recv_timeout(PATIENCE).unwrap().unwrap();
    append(&log, record(2, 8000)).unwrap();
}

#[test]
fn reserve_is_kept_for_those_who_may() {
    let disk = MemoryDisk::new(1 << 20);
    let options = LogOptions {
        reserve_bytes: 200_000,
        ..small_segments()
    };
    let (log, _) = try_open(&(Arc::new(disk.clone()) as Arc<dyn Disk>), options, None).unwrap();
    let mut refused = false;
    for n in 0..200 {
        // The log looks at the disk when it has refused, so the second refusal is well founded.
        match log.append(record(n, 9000), |_| {}) {
            Ok(_) => append(
                &log,
                Record {
                    use_reserve: true,
                    ..record(n, 1)
                },
            )
            .map(drop)
            .unwrap(),
            Err(why) => {
                assert_eq!(why, AppendRefused::NoSpace);
                refused = true;
                break;
            }
        }
    }
    assert!(refused, "the disk was never full");
    append(
        &log,
        Record {
            use_reserve: true,
            ..record(0, 100)
        },
    )
    .unwrap();
    assert!(log.failure().is_none());
    disk.set_capacity(1 << 30);
    wait_until("the new space is seen", || {
        log.append(record(1, 9000), |_| {}).is_ok()
    });
}

#[test]
fn removal_makes_room_on_a_full_disk() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(1 << 20));
    let options = LogOptions {
        reserve_bytes: 200_000,
        ..small_segments()
    };
    let (log, _) = try_open(&disk, options, None).unwrap();
    while log.append(record(0, 9000), |_| {}).is_ok() {}
    wait_until("all is written", || log.stats().queued_bytes == 0);
    for segment in log.segments().iter().take(3) {
        assert!(log.remove_segment(segment.id));
    }
    wait_until("there is room", || {
        log.append(record(1, 9000), |_| {}).is_ok()
    });
}

#[test]
fn second_opener_is_refused() {
    let disk = memory();
    let (log, _) = open(&disk);
    assert!(matches!(
        try_open(&disk, small_segments(), None).map(drop),
        Err(OpenError::InUse { .. })
    ));
    drop(log);
    open(&disk);
}

#[test]
fn closed_log_refuses() {
    let (log, _) = open(&memory());
    let told = queue(&log, record(1, 10));
    log.close();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(
        log.append(record(2, 10), |_| {}),
        Err(AppendRefused::Closed)
    );
}

#[tokio::test]
async fn async_calls_wait_for_the_disk() {
    let (log, _) = open(&memory());
    let position = log.append_durable(record(7, 70_000)).await.unwrap();
    log.sync().await.unwrap();
    let (head, data) = sample(7, 70_000);
    assert_eq!(log.read_async(position).await.unwrap().data, data);
    let head_bytes = head.len() as u32;
    let part = log
        .read_body(position, head_bytes + 100..head_bytes + 200)
        .await
        .unwrap();
    assert_eq!(part, data.slice(100..200));
    let beyond = log.read_body(position, 0..position.bytes).await;
    assert!(matches!(beyond, Err(ReadError::Range(_))));
}

#[tokio::test]
async fn large_reads_use_the_reader_threads() {
    let (log, _) = open(&memory());
    let position = log.append_durable(record(7, 1 << 20)).await.unwrap();
    let reads = (0..20).map(|_| log.read_async(position));
    for read in reads {
        assert_eq!(read.await.unwrap().data, sample(7, 1 << 20).1);
    }
}

#[test]
fn real_disk_keeps_what_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let open = || {
        let mut count = 0;
        let disk = Arc::new(RealDisk);
        let log = SegmentLog::open(disk, &dir, small_segments(), None, &mut |_, _, _| {
            count += 1
        });
        (log.unwrap(), count)
    };
    let (log, _) = open();
    let waiting: Vec<_> = (0..500).map(|n| queue(&log, record(n, 1000))).collect();
    let positions: Vec<_> = waiting
        .iter()
        .map(|told| told.recv_timeout(PATIENCE).unwrap().unwrap())
        .collect();
    for (n, position) in positions.iter().enumerate() {
        assert_eq!(log.read(*position).unwrap().data, sample(n as u64, 1000).1);
    }
    let first = log.segments()[0].id;
    assert!(log.remove_segment(first));
    wait_until("the segment is gone", || log.segments()[0].id != first);
    drop(log);
    let (log, count) = open();
    assert!(count < 500 && count > 400, "{count}");
    assert_eq!(log.read(positions[499]).unwrap().data, sample(499, 1000).1);
}

#[test]
fn fresh_log_takes_little_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions::named("fresh");
    let disk = Arc::new(RealDisk);
    let log = SegmentLog::open(disk, dir.path(), options, None, &mut |_, _, _| {}).unwrap();
    append(&log, record(0, 4096)).unwrap();
    log.close();
    let bytes: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 4 << 20, "{bytes} bytes");
}

#[test]
fn last_handle_may_go_in_a_callback() {
    let disk = memory();
    let (log, _) = open(&disk);
    let (go, may_go) = channel();
    let last = log.clone();
    let done = move |_| {
        may_go.recv_timeout(PATIENCE).unwrap();
        drop(last);
    };
    log.append(record(0, 100), done).unwrap();
    drop(log);
    go.send(()).unwrap();
    wait_until("the directory is free", || {
        disk.lock_dir(Path::new(DIR)).is_ok()
    });
}
