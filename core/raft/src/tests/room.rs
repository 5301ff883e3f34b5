//! Members whose disks are full, or nearly.

use crate::groups::RaftGroups;
use crate::limits::{LOG_RESERVE_BYTES, RETURN_AFTER, SHUTDOWN_WAIT};
use crate::tests::cluster::{Cluster, GROUP, read, server, set};
use bytes::Bytes;
use sdfs_log::MemoryDisk;
use sdfs_server_group::{Deadline, ServerId};
use sdfs_store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const LARGE: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// Three that run on disks of the test.
async fn of_three(preferred: Option<ServerId>) -> (Cluster, BTreeMap<ServerId, MemoryDisk>) {
    let mut cluster = Cluster::new(3);
    cluster.preferred = preferred;
    let mut disks = BTreeMap::new();
    for id in cluster.voters.clone() {
        let disk = MemoryDisk::new(LARGE);
        let door = Arc::new(disk.clone());
        let spec = cluster.spec();
        let started = cluster.start_from(id, spec, door, Store::memory());
        started.await.unwrap();
        disks.insert(id, disk);
    }
    (cluster, disks)
}

fn last_log(groups: &RaftGroups) -> u64 {
    groups.status().groups[0].last_index.unwrap_or(0)
}

/// It votes and knows who leads, and leads nobody.
#[tokio::test]
async fn a_leader_without_room_hands_over() {
    let (cluster, disks) = of_three(None).await;
    let full = cluster.leader().await;
    set(&cluster.get(full), "a", "1").await;
    disks[&full].set_capacity(LOG_RESERVE_BYTES / 2);
    cluster
        .until("another leads", || {
            let leads = |id: &ServerId| cluster.get(*id).is_leader(GROUP);
            cluster.voters.iter().any(|id| *id != full && leads(id)) && !leads(&full)
        })
        .await;
    // Through the full one too.
    for id in cluster.voters.clone() {
        set(&cluster.get(id), "a", "2").await;
    }
    let behind = last_log(&cluster.get(full));
    assert!(last_log(&cluster.get(cluster.leader().await)) > behind);
    disks[&full].set_capacity(LARGE);
    cluster
        .until("it has caught up", || last_log(&cluster.get(full)) > behind)
        .await;
    assert_eq!(read(&cluster.get(full), "a").await.unwrap(), "2");
}

/// As long as it has none.
#[tokio::test]
async fn leadership_returns_to_nobody_without_room() {
    let full = server(2);
    let (cluster, disks) = of_three(Some(full)).await;
    let is_led_by_it = || cluster.get(full).is_leader(GROUP);
    cluster.until("it leads", is_led_by_it).await;
    disks[&full].set_capacity(LOG_RESERVE_BYTES / 2);
    cluster.until("another leads", || !is_led_by_it()).await;
    let until = Instant::now() + 3 * RETURN_AFTER;
    while Instant::now() < until {
        set(&cluster.get(server(1)), "a", "1").await;
        assert!(!is_led_by_it());
        sleep(Duration::from_millis(100)).await;
    }
    disks[&full].set_capacity(LARGE);
    cluster.until("it leads again", is_led_by_it).await;
}

/// Nobody can take commands then, and what there is can be read.
#[tokio::test]
async fn a_group_without_room_can_be_read() {
    let (cluster, disks) = of_three(None).await;
    set(&cluster.get(server(1)), "a", "1").await;
    for disk in disks.values() {
        disk.set_capacity(LOG_RESERVE_BYTES / 2);
    }
    cluster
        .until("all have noticed", || {
            let mut running = cluster.running().into_iter();
            running.all(|(_, groups)| groups.shared().log.is_without_room())
        })
        .await;
    let briefly = Deadline::after(Duration::from_secs(1));
    let command = Bytes::from_static(b"a=2");
    let member = cluster.get(server(2));
    let refused = member.propose(GROUP, command, briefly);
    assert!(refused.await.is_err());
    for (_, groups) in cluster.running() {
        assert_eq!(read(&groups, "a").await.unwrap(), "1");
    }
    for disk in disks.values() {
        disk.set_capacity(LARGE);
    }
    set(&cluster.get(server(3)), "a", "3").await;
}

#[tokio::test]
async fn a_member_whose_disk_is_full_stops_when_told() {
    let (cluster, disks) = of_three(None).await;
    let full = cluster.leader().await;
    disks[&full].set_capacity(0);
    // It votes, which waits for the disk.
    for id in cluster.voters.clone() {
        if id != full {
            cluster.cut(full, id);
        }
    }
    cluster
        .until("the others go on", || {
            let mut others = cluster.voters.iter().filter(|id| **id != full);
            others.any(|id| cluster.get(*id).is_leader(GROUP))
        })
        .await;
    cluster.heal();
    timeout(PATIENCE.min(4 * SHUTDOWN_WAIT), cluster.stop(full))
        .await
        .unwrap();
}
