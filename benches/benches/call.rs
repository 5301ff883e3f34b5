//! A call between two servers on loopback, each with a thread of its own: one at a time, and many
//! in flight: `cargo bench -p sdfs-benches --bench call`.
#![allow(missing_docs, reason = "criterion's macros make the public items")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::stream::{self, StreamExt};
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    Config, Deadline, GroupOptions, IncomingCall, Mesh, Payload, Role, ServerId, Service, UserKey,
    UserKeys, start,
};
use tokio::runtime::Runtime;

const ECHO: u16 = 1;
const OTHER: ServerId = ServerId(2);

/// Sends head and payload back.
struct Echo;

impl Service for Echo {
    fn is_allowed(&self, _: u16, _: Role) -> bool {
        true
    }

    fn serve(&self, call: IncomingCall) {
        call.reply.send(call.head, call.payload);
    }
}

struct NoUsers;

impl UserKeys for NoUsers {
    fn key_of(&self, _: &str) -> Option<UserKey> {
        None
    }
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("sdfs-bench-{}-call", std::process::id()))
}

fn config(directory: &Path) -> Arc<Config> {
    std::fs::create_dir_all(directory).expect("made");
    std::fs::write(directory.join("secret"), "the secret of the cluster").expect("written");
    // Both are taken before either is given back, so that they differ.
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let server = |listener: &TcpListener| {
        let address = listener.local_addr().expect("an address");
        let name = format!("m{}", address.port());
        format!("(name: \"{name}\", role: Mserver, address: \"{address}\", space: [\"{name}\"]),")
    };
    let text = format!(
        "(cluster: \"bench\", secret_file: \"secret\", \
          admin: (name: \"admin\", secret_file: \"secret\"), servers: [{}{}])",
        server(&taken[0]),
        server(&taken[1])
    );
    let config = Config::parse(&text, &directory.join("config.conf"));
    Arc::new(config.expect("a good configuration"))
}

/// Starts a server on a thread that ends with this process.
fn serve(config: Arc<Config>, me: ServerId, started: Sender<Mesh>) {
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let options = GroupOptions {
                config,
                me,
                transport: Arc::new(TcpTransport),
                service: Arc::new(Echo),
                user_keys: Arc::new(NoUsers),
            };
            let (_group, mesh) = start(options).await.expect("it starts");
            started.send(mesh).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
}

async fn echo(mesh: &Mesh, payload: Bytes) {
    let head = Bytes::from_static(&[1; 40]);
    let deadline = Deadline::after(Duration::from_secs(60));
    let payload = Payload::from(payload);
    let answer = mesh.call(OTHER, ECHO, head, payload, deadline).await;
    answer.expect("an answer");
}

fn calls(bench: &mut Criterion) {
    let directory = directory();
    let config = config(&directory);
    let (started, meshes) = channel();
    serve(Arc::clone(&config), OTHER, started.clone());
    meshes.recv().expect("a mesh");
    serve(config, ServerId(1), started);
    let mesh = meshes.recv().expect("a mesh");
    while !mesh.is_up(OTHER) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let runtime = Runtime::new().expect("a runtime");
    let mut group = bench.benchmark_group("call");
    for (bytes, in_flight) in [(0_usize, 1_usize), (0, 64), (4 << 10, 64), (1 << 20, 4)] {
        let payload = Bytes::from(vec![7; bytes]);
        group.throughput(if bytes == 0 {
            Throughput::Elements(1)
        } else {
            // There and back.
            Throughput::Bytes(2 * bytes as u64)
        });
        let name = BenchmarkId::new(format!("echo_{}_KiB", bytes >> 10), in_flight);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                let calls = (0..count).map(|_| echo(&mesh, payload.clone()));
                runtime.block_on(
                    stream::iter(calls)
                        .buffer_unordered(in_flight)
                        .for_each(|()| std::future::ready(())),
                );
                begun.elapsed()
            });
        });
    }
    group.finish();
    std::fs::remove_dir_all(directory).expect("removed");
}

criterion_group!(benches, calls);
criterion_main!(benches);
