//! What one packet and one call cost on their way in and out: `cargo bench -p sdfs-benches
//! --bench wire`.

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sdfs_net_layer::{Packet, PacketCodec, PacketKind, PacketLimits};
use sdfs_types::calls::names::{CreateFile, FileOptions};
use sdfs_types::{FilePath, RequestId, wire};
use tokio_util::codec::{Decoder, Encoder};

fn call() -> CreateFile {
    CreateFile {
        request: RequestId {
            client: 1,
            sequence: 2,
        },
        path: FilePath::parse("/pictures/2026/photo.jpg").expect("a path"),
        size_bytes: 4_096,
        options: FileOptions::default(),
        explain: false,
    }
}

fn records(bench: &mut Criterion) {
    let call = call();
    let bytes = wire::encode(&call);
    bench.bench_function("encode a create call", |b| b.iter(|| wire::encode(&call)));
    bench.bench_function("decode a create call", |b| {
        b.iter(|| wire::decode::<CreateFile>(&bytes).expect("decodes"));
    });
}

fn packets(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("codec");
    for payload_bytes in [0, 4 << 10, 256 << 10] {
        let mut packet = Packet::control(PacketKind::Request, 7, wire::encode(&call()));
        packet.payload = Bytes::from(vec![7; payload_bytes]);
        let mut codec = PacketCodec::new(PacketLimits::default());
        group.throughput(Throughput::Bytes(payload_bytes as u64 + 64));
        group.bench_function(
            format!("a packet of {payload_bytes} bytes, both ways"),
            |b| {
                let mut wire = BytesMut::new();
                b.iter(|| {
                    codec.encode(packet.clone(), &mut wire).expect("encodes");
                    codec.decode(&mut wire).expect("decodes").expect("a packet")
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, records, packets);
criterion_main!(benches);
