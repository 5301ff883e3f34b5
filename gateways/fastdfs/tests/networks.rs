//! Who is let in at which port: over real sockets, from several addresses of loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kit;

use std::net::SocketAddr;
use std::sync::Arc;

use kit::http::request as http_request;
use kit::{PATIENCE, Talk, cluster, doors, http_doors, request};
use sdfs_server::Cluster;
use sdfs_server_group::{Config, FastDfs, Network, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// A connection from this address of loopback: `127.0.0.LAST`.
async fn from(last: u8, door: SocketAddr) -> Talk {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    let stream = socket.connect(door).await.expect("a connection");
    Talk { stream }
}

/// The head of what is answered over HTTP; nothing when the connection is closed before.
async fn head(last: u8, door: SocketAddr, path: &str) -> String {
    let mut stream = from(last, door).await.stream;
    // Who is not let in may be closed before it is sent.
    drop(stream.write_all(&http_request("GET", path, &[])).await);
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut head)).await;
        if read.expect("in time").unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8(head).unwrap()
}

/// Restarts servers with other settings.
async fn restart_with(cluster: &mut Cluster, names: &[&str], change: impl FnOnce(&mut FastDfs)) {
    let mut config: Config = (**cluster.config()).clone();
    change(config.fastdfs.as_mut().unwrap());
    cluster.set_config(Arc::new(config));
    for name in names {
        cluster.restart(name).await.unwrap();
    }
    cluster.ready().await.unwrap();
}

fn only(last: u8) -> Vec<Network> {
    vec![Network::parse(&format!("127.0.0.{last}")).unwrap()]
}

/// Whether a ping is answered; if not, nothing is.
async fn is_let_in(last: u8, door: SocketAddr) -> bool {
    let mut talk = from(last, door).await;
    drop(talk.stream.write_all(&request(111, 0, &[])).await);
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, talk.stream.read_buf(&mut answer)).await;
    // Closed with a ping unread, it may be reset.
    read.expect("in time").unwrap_or(0) > 0
}

#[actix_rt::test]
async fn each_port_lets_in_its_own_networks() {
    let mut cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let [tracker, storage] = [Role::Mserver, Role::Dserver].map(|role| doors(&cluster, role)[0]);
    let http = http_doors(&cluster)[0];
    // Each with a list of its own but the last, for which the common one counts.
    restart_with(&mut cluster, &["mserver-1", "dserver-1"], |settings| {
        settings.allow = only(3);
        settings.tracker_allow = Some(only(1));
        settings.storage_allow = Some(only(2));
    })
    .await;
    for last in 1..=4 {
        assert_eq!(is_let_in(last, tracker).await, last == 1, "{last}");
        assert_eq!(is_let_in(last, storage).await, last == 2, "{last}");
        let head = head(last, http, "/").await;
        assert_eq!(head.starts_with("HTTP/1.1 404"), last == 3, "{last} {head}");
        assert_eq!(head.is_empty(), last != 3, "{last} {head}");
    }
    // A list without entries is one as well, for everybody.
    restart_with(&mut cluster, &["mserver-1", "dserver-1"], |settings| {
        settings.tracker_allow = None;
        settings.storage_allow = Some(vec![]);
        settings.http_allow = Some(only(1));
    })
    .await;
    for last in 1..=4 {
        assert_eq!(is_let_in(last, tracker).await, last == 3, "{last}");
        assert!(is_let_in(last, storage).await, "{last}");
        let head = head(last, http, "/").await;
        assert_eq!(head.is_empty(), last != 1, "{last} {head}");
    }
}
