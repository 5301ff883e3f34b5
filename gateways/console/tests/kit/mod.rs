//! A cluster whose doors for operators are open, and what a test speaks to them with.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod promtool;
pub mod talk;
pub mod wires;
pub mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sdfs_server::{Cluster, ClusterOptions};
use sdfs_server_group::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Three and three, with open doors.
pub async fn cluster() -> Cluster {
    let options = ClusterOptions {
        operator: true,
        fastdfs: true,
        ..ClusterOptions::default()
    };
    Cluster::embedded(options).await.expect("a cluster")
}

/// Where the HTTP door of a server is.
pub fn http_of(cluster: &Cluster, name: &str) -> SocketAddr {
    http_in(cluster.config(), name)
}

/// Where the console of a server is.
pub fn console_of(cluster: &Cluster, name: &str) -> SocketAddr {
    console_in(cluster.config(), name)
}

/// Where the HTTP door of a server of this configuration is.
pub fn http_in(config: &Config, name: &str) -> SocketAddr {
    let operator = config.operator.as_ref().expect("wanted");
    let server = config.server_named(name).expect("a server");
    operator.http_address(config, server).expect("open")
}

/// Where the console of a server of this configuration is.
pub fn console_in(config: &Config, name: &str) -> SocketAddr {
    let operator = config.operator.as_ref().expect("wanted");
    let server = config.server_named(name).expect("a server");
    operator.console_address(config, server).expect("open")
}

/// Sends bytes and reads all that comes until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset is an end as well.
    drop(tokio::time::timeout(PATIENCE, read).await.expect("in time"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and body of a page.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

/// Asks until the answer is as wanted, and gives it.
pub async fn until(
    address: SocketAddr,
    path: &str,
    is_wanted: impl Fn(&(u16, String)) -> bool,
) -> (u16, String) {
    let begun = Instant::now();
    loop {
        let answer = get(address, path).await;
        if is_wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} still says {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
