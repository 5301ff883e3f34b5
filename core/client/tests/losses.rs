//! The client while servers of a real cluster die.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod shared;

use sdfs_client::PutOptions;
use sdfs_server::{Cluster, ClusterOptions};
use shared::{bytes, client_of, client_via};

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
