//! Where the blocks of a volume lie: an index of a million blocks filled and asked: `cargo bench
//! -p sdfs-benches --bench block_index`.
#![allow(missing_docs, reason = "criterion's macros make the public items")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sdfs_dserver::{BlockIndex, StoredBlock};
use sdfs_types::{BlockDescriptor, BlockVersion, FileDescriptor, FileId, FileVersion};

const BLOCKS: u32 = 1_000_000;
/// Blocks of each file.
const FILE_BLOCKS: u32 = 16;
/// Prime, so that steps of it meet every block once, in no order.
const STEP: u32 = 611_953;

fn block(n: u32) -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId(n / FILE_BLOCKS),
            version: FileVersion(1),
        },
        block: sdfs_types::BlockIndex((n % FILE_BLOCKS) as u16),
        version: BlockVersion(1),
    }
}

fn stored(n: u32) -> StoredBlock {
    StoredBlock {
        segment: n / 1_024,
        offset: n % 1_024,
        length_bytes: 65_536,
        crc32c: n,
    }
}

/// The blocks of a million, each once, in order or in none.
fn numbers(is_in_order: bool) -> impl Iterator<Item = u32> + Clone {
    let step = if is_in_order { 1 } else { STEP };
    (0..BLOCKS).map(move |n| (u64::from(n) * u64::from(step) % u64::from(BLOCKS)) as u32)
}

fn filled(is_in_order: bool) -> BlockIndex {
    let mut index = BlockIndex::default();
    for n in numbers(is_in_order) {
        index.insert(block(n), stored(n));
    }
    index
}

fn index(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("block_index_1M");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::Elements(u64::from(BLOCKS)));
    group.bench_function("insert_in_order", |bencher| {
        bencher.iter_with_large_drop(|| filled(true));
    });
    group.bench_function("insert_in_no_order", |bencher| {
        bencher.iter_with_large_drop(|| filled(false));
    });
    group.throughput(Throughput::Elements(1));
    let full = filled(true);
    assert_eq!(full.len(), BLOCKS as usize);
    let mut asked = numbers(false).cycle();
    group.bench_function("get", |bencher| {
        bencher.iter_batched(
            || block(asked.next().expect("without end")),
            |block| black_box(full.get(&block)).expect("it is there"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
