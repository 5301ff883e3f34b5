//! A whole cluster inside the test's process.

use sdfs_server::{Cluster, ClusterError, ClusterOptions, ServerError};
use sdfs_server_group::Role;

#[tokio::test]
async fn lost_servers_are_not_missed() {
    let mut cluster = Cluster::embedded(ClusterOptions::default())
        .await
        .expect("it stands");
    assert_eq!(cluster.addresses(Role::Mserver).len(), 3);
    cluster.stop("dserver-1").await.expect("stopped");
    cluster.kill("mserver-3").expect("killed");
    assert!(matches!(
        cluster.kill("mserver-3"),
        Err(ClusterError::Server(ServerError::Ended))
    ));
    cluster.restart("dserver-1").await.expect("started");
    cluster.ready().await.expect("it takes writes");
    let server = cluster.server("mserver-2").expect("it runs");
    let status = server.status().await.expect("told");
    assert_eq!(status.name, "mserver-2");
    assert!(status.hears_majority && !status.volumes.is_empty());
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
}

#[tokio::test]
async fn killed_servers_are_started_again() {
    let mut cluster = Cluster::embedded(ClusterOptions::default())
        .await
        .expect("it stands");
    for name in ["mserver-1", "dserver-2", "mserver-3", "mserver-1"] {
        cluster.restart(name).await.expect(name);
        cluster.ready().await.expect("it takes writes");
    }
}

#[tokio::test]
async fn unknown_servers_are_named() {
    let small = ClusterOptions {
        mservers: 1,
        dservers: 1,
        storage: Some("storage: (copies: 1, copies_min: 1, segment_bytes: 16777216)".to_owned()),
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::embedded(small).await.expect("it stands");
    let error = cluster.restart("mserver-9").await.expect_err("unknown");
    assert!(
        error.to_string().contains("mserver-1, dserver-1"),
        "{error}"
    );
    assert!(cluster.admin().is_ok());
}
