//! The client while servers of a real cluster die and come back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod shared;

use std::time::Duration;

use sdfs_client::PutOptions;
use sdfs_server::{Cluster, ClusterOptions};
use shared::{bytes, client_of};
use tokio::time::Instant;

#[actix_rt::test]
async fn any_one_server_may_die() {
    let mut cluster = Cluster::embedded(ClusterOptions::default()).await.unwrap();
    let client = client_of(&cluster).await;
    let data = bytes(9 << 20);
    client
        .put("/before", data.clone(), PutOptions::default())
        .await
        .unwrap();
    for server in ["dserver-2", "mserver-1", "mserver-2"] {
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
        restart(&mut cluster, server).await;
        cluster.ready().await.unwrap();
    }
    let client = client_of(&cluster).await;
    assert!(client.get("/without-dserver-2").await.unwrap() == data);
}

/// Starts a killed server again, as soon as nothing of its former life holds its files.
async fn restart(cluster: &mut Cluster, server: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = cluster.restart(server).await {
        assert!(Instant::now() < deadline, "{server}: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
