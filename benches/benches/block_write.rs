//! Blocks at one data-server on this machine's disk, through its door: what a write and a read cost
//! without the network. The directory is taken from `SDFS_BENCH_DIR`, else the system's for
//! temporary files.
#![allow(missing_docs, reason = "criterion's macros make the public items")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use sdfs_dserver::{Dserver, DserverOptions, Peers};
use sdfs_log::{RealDisk, crc32c};
use sdfs_server_group::{CallError, Caller, Deadline, Load, Payload, ReplyBody, Role, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::{BlockStored, Durability, PushVolumes, ReadBlock, WriteBlock};
use sdfs_types::{
    BlockDescriptor, BlockIndex, BlockVersion, Epoch, FileDescriptor, FileId, FileVersion,
    GrantKey, MemberState, Volume, VolumeId, VolumeMember, VolumeStatus, wire,
};

const ME: ServerId = ServerId(1);
const VOLUME: VolumeId = VolumeId(1);

/// A cluster of one.
struct Alone;

impl Peers for Alone {
    fn me(&self) -> ServerId {
        ME
    }

    fn call(
        &self,
        _: ServerId,
        _: u16,
        _: (Bytes, Payload),
        _: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        Box::pin(async { Err(CallError::NotConnected) })
    }

    fn mservers(&self) -> Vec<ServerId> {
        Vec::new()
    }

    fn dservers(&self) -> Vec<ServerId> {
        Vec::new()
    }

    fn set_load(&self, _: Load) {}

    fn load(&self, _: ServerId) -> Option<Load> {
        None
    }
}

fn caller() -> Caller {
    let address = ([127, 0, 0, 1], 1).into();
    Caller {
        role: Role::Mserver,
        server: Some(ServerId(2)),
        user: None,
        address,
    }
}

fn directory() -> PathBuf {
    let above = std::env::var_os("SDFS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    above.join(format!("sdfs-bench-{}-blocks", std::process::id()))
}

async fn start() -> Dserver {
    let server = sdfs_dserver::start(DserverOptions {
        peers: Arc::new(Alone),
        cluster: "bench".to_owned(),
        grants: GrantKey::derive(b"bench"),
        disk: Arc::new(RealDisk),
        spaces: vec![directory()],
        segment_bytes: 64 << 20,
        reserve_bytes: 256 << 20,
    });
    let server = server.await.expect("it starts");
    for (epoch, state) in [(1, MemberState::Syncing), (2, MemberState::InSync)] {
        let volume = Volume {
            id: VOLUME,
            epoch: Epoch(epoch),
            members: vec![VolumeMember { server: ME, state }],
            status: VolumeStatus::Writable,
        };
        let push = PushVolumes {
            map_version: u64::from(epoch),
            volumes: vec![volume],
            copies_min: 1,
        };
        ask(&server, &push, Payload::new()).await;
    }
    server
}

async fn ask<C: Call>(server: &Dserver, call: &C, payload: Payload) -> (C::Reply, Payload) {
    let head = wire::encode(call);
    let deadline = Deadline::after(Duration::from_secs(60));
    let sent = (&head[..], payload);
    let (head, payload) = server
        .answer(&caller(), C::KIND.to_wire(), sent, deadline)
        .await;
    (
        wire::decode_answer(&head)
            .expect("decodes")
            .expect("not refused"),
        payload,
    )
}

fn block(n: u64) -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId(n as u32),
            version: FileVersion(1),
        },
        block: BlockIndex(0),
        version: BlockVersion(1),
    }
}

async fn write(server: &Dserver, n: u64, bytes: &Bytes, crc32c: u32) {
    let call = WriteBlock {
        volume: VOLUME,
        epoch: Epoch(2),
        block: block(n),
        crc32c,
        durability: Durability::Synced,
        grant: None,
    };
    let (stored, _): (BlockStored, _) = ask(server, &call, Payload::from(bytes.clone())).await;
    assert_eq!(stored.copies, 1);
}

fn blocks(c: &mut Criterion) {
    let system = actix_rt::System::new();
    let server = system.block_on(start());
    let mut group = c.benchmark_group("block_write");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    let mut first = 0;
    for (bytes, in_flight) in [(4_usize << 10, 64), (4 << 20, 4)] {
        let data = Bytes::from(vec![7; bytes]);
        let crc = crc32c(&data);
        group.throughput(Throughput::Bytes(bytes as u64));
        let name = BenchmarkId::new(format!("{}_KiB", bytes >> 10), in_flight);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                let writes = (first..first + count).map(|n| write(&server, n, &data, crc));
                system.block_on(
                    stream::iter(writes)
                        .buffer_unordered(in_flight)
                        .for_each(|()| std::future::ready(())),
                );
                first += count;
                begun.elapsed()
            });
        });
    }
    group.finish();
    let mut n = 0;
    c.bench_function("block_read_4_KiB_cached", |bencher| {
        bencher.iter(|| {
            n = (n + 1) % 1000;
            let call = ReadBlock {
                volume: VOLUME,
                block: block(n),
                offset_bytes: 0,
                length_bytes: 4096,
                grant: None,
            };
            black_box(system.block_on(ask(&server, &call, Payload::new())))
        });
    });
    system.block_on(server.stop());
    std::fs::remove_dir_all(directory()).expect("removed");
}

criterion_group!(benches, blocks);
criterion_main!(benches);
