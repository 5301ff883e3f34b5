//! The client while servers of a real cluster die.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod shared;

use std::io;
use std::time::Duration;

use futures::stream;
use sdfs_client::{BlockSize, CallOptions, Client, PutOptions};
use sdfs_server::{Cluster, ClusterOptions};
use shared::{bytes, client_of, client_via};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

const SERVERS: [&str; 6] = [
    "mserver-1",
    "mserver-2",
    "mserver-3",
    "dserver-1",
    "dserver-2",
    "dserver-3",
];

#[actix_rt::test]
async fn one_server_of_each_kind_may_die() {
    let mut cluster = Cluster::embedded(ClusterOptions::default()).await.unwrap();
    let client = client_of(&cluster).await;
    let data = bytes(9 << 20);
    client
        .put("/before", data.clone(), PutOptions::default())
        .await
        .unwrap();
    for server in ["dserver-2", "mserver-1"] {
        cluster.kill(server).unwrap();
        assert!(
            client.get("/before").await.unwrap() == data,
            "without {server}"
        );
        let path = format!("/without-{server}");
        client
            .put(&path, data.clone(), PutOptions::default())
            .await
            .unwrap();
        assert!(
            client.get(&path).await.unwrap() == data,
            "written without {server}"
        );
    }
    let newcomer = client_of(&cluster).await;
    assert!(newcomer.get("/without-dserver-2").await.unwrap() == data);
    for server in ["dserver-2", "mserver-1"] {
        cluster.start(server).await.unwrap();
    }
    let returned = client_via(&cluster, "mserver-1").await;
    for name in ["/before", "/without-dserver-2", "/without-mserver-1"] {
        assert!(returned.get(name).await.unwrap() == data, "{name}");
    }
}

#[actix_rt::test]
async fn a_put_ends_when_all_servers_die() {
    let mut cluster = Cluster::embedded(ClusterOptions::default()).await.unwrap();
    let client = client_of(&cluster).await.with(CallOptions {
        timeout: Some(Duration::from_secs(2)),
        ..CallOptions::default()
    });
    let data = bytes(1 << 20);
    let is_under_way = Notify::new();
    let mut given = 0;
    let mut source = stream::repeat_with(|| {
        given += 1;
        if given == 128 {
            // More than a put has on its way at once, so some of it is stored.
            is_under_way.notify_one();
        }
        io::Result::Ok(data.clone())
    });
    let mut put = Box::pin(client.put_stream("/endless", &mut source, PutOptions::default()));
    tokio::select! {
        ended = &mut put => panic!("ended early: {ended:?}"),
        () = is_under_way.notified() => {}
    }
    for server in SERVERS {
        cluster.kill(server).unwrap();
    }
    let gone_at = Instant::now();
    let ended = timeout(Duration::from_secs(10), put).await;
    let error = ended.expect("it ends").expect_err("nobody is there");
    assert!(!error.is_unknown(), "nothing of it can be there: {error}");
    assert!(gone_at.elapsed() < Duration::from_secs(5), "{error}");
}

/// Blocks all dservers keep.
async fn blocks_kept(client: &Client) -> u64 {
    let mut blocks = 0;
    for server in SERVERS.iter().filter(|name| name.starts_with('d')) {
        let status = client.status(server).await.unwrap();
        blocks += status.spaces.iter().map(|space| space.blocks).sum::<u64>();
    }
    blocks
}

#[actix_rt::test]
async fn a_repeated_put_leaves_no_blocks() {
    let cluster = Cluster::embedded(ClusterOptions::default()).await.unwrap();
    let client = client_of(&cluster).await;
    let once = CallOptions {
        request: Some(client.next_request()),
        ..CallOptions::default()
    };
    let options = PutOptions {
        block_size: Some(BlockSize::from_bytes(65_536).unwrap()),
        ..PutOptions::default()
    };
    let data = bytes(5 * 65_536);
    let client_once = client.with(once);
    let first = client_once.put("/f", data.clone(), options.clone()).await;
    let first = first.unwrap();
    let kept = blocks_kept(&client).await;
    for mserver in ["mserver-1", "mserver-2", "mserver-3"] {
        let other = client_via(&cluster, mserver).await.with(once);
        let again = other.put("/f", data.clone(), options.clone()).await;
        assert_eq!(again.unwrap(), first, "by {mserver}");
        let mut source = stream::iter([io::Result::Ok(data.clone())]);
        let again = other.put_stream("/f", &mut source, options.clone()).await;
        assert_eq!(again.unwrap(), first, "by {mserver}");
    }
    assert!(
        blocks_kept(&client).await <= kept,
        "only what was there before"
    );
    assert!(client.get("/f").await.unwrap() == data);
}
