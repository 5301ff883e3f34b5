//! Who is let in at which port, and under which addresses clients of a network are told of servers:
//! over real sockets, from several addresses of loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kit;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kit::http::request as http_request;
use kit::{GROUP, PATIENCE, Talk, cluster, cluster_of_groups, doors, http_doors, named, request};
use sdfs_server::Cluster;
use sdfs_server_group::{Advertised, Config, FastDfs, Network, Role, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

const GROUP2: &[u8; 16] = b"group2\0\0\0\0\0\0\0\0\0\0";

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

fn contains(answer: &[u8], text: &str) -> bool {
    let mut windows = answer.windows(text.len());
    windows.any(|window| window == text.as_bytes())
}

/// Uploads to a storage as soon as its group takes files.
async fn upload(storage: SocketAddr) -> String {
    let mut talk = Talk::to(storage).await;
    let uploaded = async {
        loop {
            let (status, answer) = talk.ask(11, &kit::upload(b"far away", "txt")).await;
            if status == 0 {
                return String::from_utf8(answer[16..].to_vec()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, uploaded).await.expect("in time")
}

/// The answer of a tracker who knows of storages to upload to.
async fn told(last: u8, tracker: SocketAddr, command: u8, body: &[u8]) -> Vec<u8> {
    let mut talk = from(last, tracker).await;
    let told = async {
        loop {
            let (status, answer) = talk.ask(command, body).await;
            if status == 0 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("in time")
}

#[actix_rt::test]
async fn each_network_is_told_its_addresses() {
    let groups = ["group1", "group2"];
    let mut cluster = cluster_of_groups(1, &groups, "copies: 1, copies_min: 1").await;
    let far = [
        ("mserver-1", [198, 51, 100, 9]),
        ("dserver-1", [198, 51, 100, 1]),
        ("dserver-2", [198, 51, 100, 2]),
    ];
    let ips = far.map(|(name, ip)| (ServerName::from(name), IpAddr::from(ip)));
    let names = far.map(|(name, _)| name);
    restart_with(&mut cluster, &names, |settings| {
        settings.advertise = vec![Advertised {
            to: Network::parse("127.0.0.2").unwrap(),
            servers: BTreeMap::from(ips),
        }];
    })
    .await;
    let tracker = doors(&cluster, Role::Mserver)[0];
    let storages = doors(&cluster, Role::Dserver);
    let name = upload(storages[0]).await;
    let of_group1 = named(&name);
    // A command, its body, and the far address in its answer.
    let table: &[(u8, &[u8], &str)] = &[
        (104, GROUP, "198.51.100.1"),
        (107, GROUP2, "198.51.100.2"),
        (102, &of_group1, "198.51.100.1"),
        (103, &of_group1, "198.51.100.1"),
        (105, &of_group1, "198.51.100.1"),
        (92, GROUP, "198.51.100.1"),
        (71, GROUP2, "198.51.100.2"),
        (69, &[0; 4], "198.51.100.2"),
        (95, &[], "198.51.100.9"),
        (96, &[0; 3], "198.51.100.9"),
        (97, &[0; 4], "198.51.100.1"),
    ];
    for (command, body, expected) in table {
        let near = told(1, tracker, *command, body).await;
        assert!(
            contains(&near, "127.0.0.1") && !contains(&near, "198.51"),
            "{command}"
        );
        let far = told(2, tracker, *command, body).await;
        assert!(
            contains(&far, expected) && !contains(&far, "127.0.0"),
            "{command}"
        );
    }
    // The port is the same, and who asks for a storage by its address means the one he is told.
    let near = told(1, tracker, 104, GROUP).await;
    let far = told(2, tracker, 104, GROUP).await;
    assert_eq!((near.len(), &near[31..]), (40, &far[31..]));
    let by_address = [&GROUP[..], b"198.51.100.1"].concat();
    let found = from(2, tracker).await.ask(92, &by_address).await;
    assert_eq!((found.0, found.1.len()), (0, 487));
    assert_eq!(from(1, tracker).await.ask(92, &by_address).await.0, 2);
    // The source of a file, and where a file of another group is.
    for (last, source, led_to) in [
        (1, "127.0.0.1", "http://127.0.0.1:"),
        (2, "198.51.100.1", "http://198.51.100.2:"),
    ] {
        let (status, info) = from(last, storages[0]).await.ask(22, &of_group1).await;
        assert_eq!(status, 0);
        assert_eq!(info[24..], kit::field(source, 16), "{last}");
        let head = head(last, http_doors(&cluster)[0], &format!("/group2/{name}")).await;
        assert!(head.starts_with("HTTP/1.1 302"), "{head}");
        assert!(head.contains(&format!("location: {led_to}")), "{head}");
    }
}
