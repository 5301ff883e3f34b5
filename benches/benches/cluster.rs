//! Create, block write, block read and list, one at a time, on a cluster of 3 mservers and 3
//! dservers inside this process: `cargo bench -p sdfs-benches --bench cluster`.

use std::cell::Cell;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use sdfs_client::{BlockIndex, Client, CreateOptions};
use sdfs_server::{Cluster, ClusterOptions};
use tokio::runtime::Runtime;

const LISTED: u32 = 2_000;

fn cluster(runtime: &Runtime) -> (Cluster, Client) {
    runtime.block_on(async {
        let cluster = Cluster::embedded(ClusterOptions::default())
            .await
            .expect("a cluster");
        let client = Client::connect_admin(cluster.config().clone())
            .await
            .expect("a client");
        (cluster, client)
    })
}

fn names(bench: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (_cluster, client) = cluster(&runtime);
    let number = Cell::new(0_u64);
    bench.bench_function("create a file", |b| {
        b.to_async(&runtime).iter(|| {
            number.set(number.get() + 1);
            let path = format!("/file-{}", number.get());
            let client = client.clone();
            async move {
                client
                    .create_file_meta_data(&path, CreateOptions::default())
                    .await
                    .expect("one")
            }
        });
    });
    runtime.block_on(async {
        client.mkdir("/listed").await.expect("a directory");
        let creates = (0..LISTED).map(|number| {
            let client = client.clone();
            async move {
                let path = format!("/listed/{number:06}");
                client
                    .create_file_meta_data(&path, CreateOptions::default())
                    .await
                    .map(drop)
            }
        });
        futures::future::try_join_all(creates).await.expect("names");
    });
    let mut group = bench.benchmark_group("list");
    group.throughput(Throughput::Elements(u64::from(LISTED)));
    group.bench_function("a directory", |b| {
        b.to_async(&runtime).iter(|| async {
            client
                .list("/listed")
                .try_collect::<Vec<_>>()
                .await
                .expect("a listing")
        });
    });
    group.finish();
}

fn blocks(bench: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (_cluster, client) = cluster(&runtime);
    let file = runtime.block_on(async {
        let options = CreateOptions {
            size_bytes: 1 << 30,
            ..CreateOptions::default()
        };
        client
            .create_file_meta_data("/blocks", options)
            .await
            .expect("a file");
        client.open_for_write("/blocks").await.expect("a handle")
    });
    let mut group = bench.benchmark_group("block");
    for bytes in [4 << 10, 4 << 20] {
        group.throughput(Throughput::Bytes(bytes as u64));
        let data = vec![7_u8; bytes];
        group.bench_function(format!("write {bytes} bytes, 3 copies"), |b| {
            b.to_async(&runtime).iter(|| async {
                client
                    .write_block(&file, BlockIndex(1), data.clone())
                    .await
                    .expect("stored")
            });
        });
        group.bench_function(format!("read {bytes} bytes"), |b| {
            b.to_async(&runtime)
                .iter(|| async { client.read_block(&file, BlockIndex(1)).await.expect("read") });
        });
    }
    group.finish();
}

criterion_group!(benches, names, blocks);
criterion_main!(benches);
