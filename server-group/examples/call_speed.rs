//! Measures calls on loopback between a client on one thread and a server on another:
//! `cargo run --release -p sdfs-server-group --example call_speed`.

#![expect(clippy::print_stdout, reason = "a measurement is for whoever runs it")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    ClientCredentials, Config, Deadline, GroupOptions, IncomingCall, Link, Payload, Role, ServerId,
    Service, UserKey, UserKeys, UserName, connect_client, start,
};

type Failure = Box<dyn std::error::Error>;

const USER: &str = "speed";
/// Echoes the head.
const SMALL: u16 = 1;
/// Answers with the number of bytes the head asks for.
const READ: u16 = 2;

struct Answers {
    block: Bytes,
}

impl Service for Answers {
    fn is_allowed(&self, _: u16, _: Role) -> bool {
        true
    }

    fn serve(&self, call: IncomingCall) {
        if call.kind == SMALL {
            call.reply.send(call.head, Payload::new());
            return;
        }
        let asked: [u8; 4] = call.head[..4].try_into().unwrap_or_default();
        let bytes = u32::from_le_bytes(asked) as usize;
        call.reply
            .send(Bytes::new(), Payload::from(self.block.slice(..bytes)));
    }
}

struct OneUser;

impl UserKeys for OneUser {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        (user == USER).then(|| UserKey::of_secret("the user's secret"))
    }
}

fn main() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("sdfs-call-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("secret"), "the secret of the cluster")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = config(&folder, address)?;
    let (ready, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let options = GroupOptions {
                config: Arc::new(config),
                me: ServerId(1),
                transport: Arc::new(TcpTransport),
                service: Arc::new(Answers {
                    block: Bytes::from(vec![7; 64 << 20]),
                }),
                user_keys: Arc::new(OneUser),
            };
            let serving = start(options).await;
            // The receiver waits for exactly this.
            ready.send(serving.is_ok()).unwrap_or_default();
            std::future::pending::<()>().await;
        });
    });
    assert!(started.recv()?, "the server starts");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure(address));
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn config(folder: &Path, address: SocketAddr) -> Result<Config, Failure> {
    let text = format!(
        "(cluster: \"speed\", secret_file: \"secret\", \
          admin: (name: \"admin\", secret_file: \"secret\"), servers: [(name: \"m\", \
          role: Mserver, address: \"{address}\", space: [\"m\"])])"
    );
    Ok(Config::parse(&text, &folder.join("config.conf"))?)
}

async fn measure(address: SocketAddr) -> Result<(), Failure> {
    let credentials = ClientCredentials::User {
        name: UserName::from(USER),
        key: UserKey::of_secret("the user's secret"),
    };
    let client = connect_client(
        &TcpTransport,
        address,
        &credentials,
        Deadline::after_ms(5_000),
    )
    .await?;
    latency(&client.link).await?;
    for in_flight in [1, 16, 64, 256] {
        rate(&client.link, SMALL, in_flight, 0).await?;
    }
    rate(&client.link, READ, 64, 4096).await?;
    for mebibytes in [1, 4] {
        read_bulk(&client.link, 4, mebibytes << 20).await?;
        write_bulk(&client.link, 4, mebibytes << 20).await?;
    }
    Ok(())
}

async fn latency(link: &Link) -> Result<(), Failure> {
    let mut took = Vec::new();
    for _ in 0..2_000 {
        // Idle between calls, as a person's commands are.
        tokio::time::sleep(Duration::from_micros(500)).await;
        let began = Instant::now();
        small(link).await?;
        took.push(began.elapsed());
    }
    took.sort();
    let at = |share: usize| took[took.len() * share / 1000];
    println!(
        "idle call        p50 {:?}  p99 {:?}  p99.9 {:?}",
        at(500),
        at(990),
        at(999)
    );
    Ok(())
}

async fn small(link: &Link) -> Result<(), Failure> {
    let deadline = Deadline::after_ms(5_000);
    link.call(
        SMALL,
        Bytes::from_static(&[1; 40]),
        Payload::new(),
        deadline,
    )
    .await?;
    Ok(())
}

async fn rate(link: &Link, kind: u16, in_flight: usize, answer_bytes: u32) -> Result<(), Failure> {
    const SECONDS: f64 = 2.0;
    let cpu = cpu_seconds();
    let began = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let link = link.clone();
            tokio::spawn(async move {
                let mut calls = 0_u64;
                let mut head = vec![1; 40];
                head[..4].copy_from_slice(&answer_bytes.to_le_bytes());
                let head = Bytes::from(head);
                while began.elapsed().as_secs_f64() < SECONDS {
                    let deadline = Deadline::after_ms(5_000);
                    let answer = link
                        .call(kind, head.clone(), Payload::new(), deadline)
                        .await;
                    calls += u64::from(answer.is_ok());
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await?;
    }
    let per_second = calls as f64 / began.elapsed().as_secs_f64();
    let cpu_us = (cpu_seconds() - cpu) * 1e6 / calls as f64;
    println!(
        "{in_flight:3} in flight, answers of {answer_bytes:4} B: {per_second:9.0} calls/s, \
         {cpu_us:.2} us CPU a call (both ends)"
    );
    Ok(())
}

async fn read_bulk(link: &Link, in_flight: usize, bytes: u32) -> Result<(), Failure> {
    let cpu = cpu_seconds();
    let began = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let link = link.clone();
            tokio::spawn(async move {
                let mut total = 0;
                while began.elapsed().as_secs_f64() < 2.0 {
                    let head = Bytes::copy_from_slice(&bytes.to_le_bytes());
                    let deadline = Deadline::after_ms(5_000);
                    let answer = link.call(READ, head, Payload::new(), deadline).await;
                    total += answer.map_or(0, |answer| answer.payload.len());
                }
                total
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await?;
    }
    report("read", bytes, total, (began, cpu));
    Ok(())
}

async fn write_bulk(link: &Link, in_flight: usize, bytes: u32) -> Result<(), Failure> {
    let cpu = cpu_seconds();
    let began = Instant::now();
    let block = Bytes::from(vec![7; bytes as usize]);
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (link, block) = (link.clone(), block.clone());
            tokio::spawn(async move {
                let mut total = 0;
                while began.elapsed().as_secs_f64() < 2.0 {
                    let payload = Payload::from(block.clone());
                    let head = Bytes::from_static(&[0; 4]);
                    let deadline = Deadline::after_ms(5_000);
                    let answer = link.call(SMALL, head, payload, deadline).await;
                    total += answer.map_or(0, |_| block.len());
                }
                total
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await?;
    }
    report("write", bytes, total, (began, cpu));
    Ok(())
}

fn report(verb: &str, bytes: u32, total: usize, (began, cpu): (Instant, f64)) {
    let gigabytes = total as f64 / 1e9;
    let per_second = gigabytes / began.elapsed().as_secs_f64();
    let cpu = (cpu_seconds() - cpu) / gigabytes;
    let mebibytes = bytes >> 20;
    println!("{verb:5} of {mebibytes} MiB: {per_second:.2} GB/s, {cpu:.2} s CPU a GB (both ends)");
}

/// What this process has used of all cores, so that figures mean something on a busy machine.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
