//! The segment log on this machine's disk: appends in flight against the raw file, and reads from
//! the page cache. The directory is taken from `SDFS_BENCH_DIR`, else the system's for temporary
//! files.
#![allow(missing_docs, reason = "criterion's macros make the public items")]

use std::hint::black_box;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sdfs_log::{Disk, LogOptions, Position, RealDisk, Record, SegmentLog, crc32c};

fn directory(name: &str) -> PathBuf {
    let above = std::env::var_os("SDFS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    above.join(format!("sdfs-bench-{}-{name}", std::process::id()))
}

fn open(dir: &Path) -> SegmentLog {
    let options = LogOptions {
        segment_bytes: 64 << 20,
        ..LogOptions::named("bench")
    };
    SegmentLog::open(Arc::new(RealDisk), dir, options, None, &mut |_, _, _| {}).expect("opens")
}

/// Appends `count` records with so many in flight and gives up every segment that is full, so that
/// files are used again as in a server that has run for a while.
fn append(log: &SegmentLog, data: &Bytes, count: u64, in_flight: u64) -> Duration {
    let (tell, told) = channel();
    let crc = Some(crc32c(data));
    let begun = Instant::now();
    let mut waiting = 0;
    for _ in 0..count {
        while waiting >= in_flight {
            told.recv().expect("the log goes on");
            waiting -= 1;
            waiting -= told.try_iter().count() as u64;
        }
        let record = Record {
            head: Bytes::from_static(&[7; 24]),
            data: vec![data.clone()],
            data_crc: crc,
            use_reserve: false,
        };
        let tell = tell.clone();
        let done = move |result: Result<Position, _>| {
            result.expect("the disk works");
            tell.send(()).expect("somebody waits");
        };
        log.append(record, done).expect("there is room");
        waiting += 1;
    }
    while waiting > 0 {
        told.recv().expect("the log goes on");
        waiting -= 1;
    }
    let took = begun.elapsed();
    for segment in log.segments() {
        log.remove_segment(segment.id);
    }
    took
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("log_append");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    let cases = [
        (4 << 10, 1_u64),
        (4 << 10, 64),
        (64 << 10, 64),
        (4 << 20, 4),
    ];
    for (bytes, in_flight) in cases {
        let dir = directory("append");
        let log = open(&dir);
        let data = Bytes::from(vec![7; bytes]);
        group.throughput(Throughput::Bytes(bytes as u64));
        let name = BenchmarkId::new(format!("{}_KiB", bytes >> 10), in_flight);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| append(&log, &data, count, in_flight));
        });
        log.close();
        std::fs::remove_dir_all(&dir).expect("removed");
    }
    group.finish();
}

/// The file alone: write and sync, one at a time, into a file that has its size already.
fn raw_disk(c: &mut Criterion) {
    let mut group = c.benchmark_group("raw_disk");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    for bytes in [4 << 10, 256 << 10, 4 << 20] {
        let dir = directory("raw");
        RealDisk.make_dir(&dir).expect("made");
        let file = RealDisk.create(&dir.join("file")).expect("made");
        const FILE_BYTES: u64 = 64 << 20;
        let zeroes = vec![0; FILE_BYTES as usize];
        file.write_at(0, &mut [IoSlice::new(&zeroes)])
            .expect("written");
        file.sync().expect("synced");
        let data = vec![7; bytes];
        let mut at = 0;
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("write_sync_KiB", bytes >> 10), |bencher| {
            bencher.iter(|| {
                file.write_at(at, &mut [IoSlice::new(&data)])
                    .expect("written");
                file.sync().expect("synced");
                at = (at + bytes as u64) % FILE_BYTES;
            });
        });
        std::fs::remove_dir_all(&dir).expect("removed");
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let dir = directory("read");
    let log = open(&dir);
    let data = Bytes::from(vec![7; 4096]);
    let (tell, told) = channel();
    let positions: Vec<Position> = (0..20_000_u32)
        .map(|n| {
            let tell = tell.clone();
            let done = move |_| tell.send(()).expect("somebody waits");
            let head = Bytes::copy_from_slice(&n.to_le_bytes());
            log.append(Record::new(head, data.clone()), done)
                .expect("there is room")
        })
        .collect();
    for _ in &positions {
        told.recv().expect("the log goes on");
    }
    let mut next = 0;
    c.bench_function("log_read_4_KiB_cached", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % positions.len();
            black_box(log.read_now(positions[next]).expect("read"))
        });
    });
    log.close();
    std::fs::remove_dir_all(&dir).expect("removed");
}

criterion_group!(benches, appends, raw_disk, reads);
criterion_main!(benches);
