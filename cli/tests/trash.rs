//! The trash against a cluster of real processes.

mod common;

use std::time::Duration;

use common::{TestCluster, bytes, small, wait_until};
use sdfs_server::ClusterOptions;

fn with_trash(trash_s: u64) -> ClusterOptions {
    let storage =
        format!("storage: (segment_bytes: 16777216, reserve_bytes: 0, trash_s: {trash_s})");
    ClusterOptions {
        storage: Some(storage),
        ..small()
    }
}

/// Blocks kept by all dservers together.
fn blocks(cluster: &TestCluster) -> u64 {
    let status = cluster.json(&["status"]);
    let servers = status["servers"].as_array().expect("servers");
    servers
        .iter()
        .flat_map(|server| server["status"]["spaces"].as_array().cloned())
        .flatten()
        .map(|space| space["blocks"].as_u64().expect("a count"))
        .sum()
}

#[test]
fn what_was_deleted_can_be_restored() {
    let mut cluster = TestCluster::start();
    let contents: Vec<_> = [9_000_000, 70_000].map(bytes).into();
    for (version, content) in contents.iter().enumerate() {
        let local = cluster.local(&format!("in-{version}"), content);
        cluster.ok(&["put", "-p", &local, "/d/e/file"]);
    }
    cluster.ok(&["rm", "-r", "/d"]);
    cluster.fails(1, &["stat", "/d/e/file"]);
    let listed = cluster.json(&["trash", "ls", "/d"]);
    let ids = listed.as_array().expect("a list").iter();
    let ids: Vec<_> = ids
        .map(|entry| entry["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids.len(), 2, "the replaced one too: {listed}");
    assert_eq!(listed[1]["path"], "/d/e/file");
    assert_eq!(listed[0]["size_bytes"], 9_000_000);
    cluster.down();
    cluster.up();
    assert_eq!(cluster.ok(&["trash", "restore", "-r", "/d"]), "/d/e/file\n");
    let again = cluster.fails(5, &["trash", "restore", &ids[0]]);
    assert!(again.contains("exists already"), "{again}");
    cluster.ok(&["trash", "restore", &ids[0], "--to", "/old/"]);
    for (name, content) in [("/old/file", &contents[0]), ("/d/e/file", &contents[1])] {
        let back = cluster.folder.path().join("back");
        cluster.ok(&["get", name, back.to_str().expect("UTF-8")]);
        let read = std::fs::read(&back).expect("read");
        assert!(read == *content, "{name} has other bytes");
    }
    let err = cluster.fails(1, &["trash", "restore", "/d/e/file"]);
    assert!(err.contains("trash ls"), "{err}");
    cluster.ok(&["rm", "--now", "/old/file"]);
    assert_eq!(cluster.ok(&["trash", "ls"]), "0 files, 0 B\n");
    cluster.ok(&["rm", "/d/e/file"]);
    let young = cluster.json(&["trash", "empty", "--older-than", "1h"]);
    let emptied = cluster.json(&["trash", "empty"]);
    assert_eq!((&young["files"], &emptied["files"]), (&0.into(), &1.into()));
    cluster.fails(1, &["trash", "restore", "/d/e/file"]);
}

#[test]
fn blocks_go_when_their_time_is_over() {
    let cluster = TestCluster::with(&with_trash(3));
    let local = cluster.local("in", &bytes(300_000));
    wait_until(
        "what was written to see that it takes blocks is gone",
        Duration::from_secs(60),
        || blocks(&cluster) == 0,
    );
    cluster.ok(&["put", &local, "/kept"]);
    let before = blocks(&cluster);
    cluster.ok(&["put", &local, "/gone"]);
    let both = blocks(&cluster);
    assert!(both > before, "{before} and {both}");
    cluster.ok(&["rm", "/gone"]);
    assert_eq!(blocks(&cluster), both, "kept while in the trash");
    wait_until("the blocks are gone", Duration::from_secs(60), || {
        blocks(&cluster) == before
    });
    assert_eq!(cluster.ok(&["trash", "ls"]), "0 files, 0 B\n");
    cluster.fails(1, &["trash", "restore", "/gone"]);
}
