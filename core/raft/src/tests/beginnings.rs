//! Groups are begun once.

use crate::limits::RETURN_AFTER;
use crate::tests::cluster::{Cluster, GROUP, server, set};
use crate::{GroupState, RaftGroups};
use std::time::Duration;
use tokio::time::sleep;

fn state(groups: &RaftGroups) -> GroupState {
    groups.status().groups[0].state
}

#[tokio::test]
async fn emptied_servers_begin_nothing_anew() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(2)), "a", "1").await;
    for number in 1..=3 {
        cluster.stop(server(number)).await;
    }
    for number in [1, 3] {
        std::fs::remove_dir_all(cluster.dir_of(server(number))).unwrap();
    }
    let emptied = [
        cluster.start(server(1)).await.unwrap(),
        cluster.start(server(3)).await.unwrap(),
    ];
    sleep(RETURN_AFTER + Duration::from_secs(2)).await;
    for one in &emptied {
        assert_eq!(state(one), GroupState::Joining, "{:#?}", one.status());
    }
    // Whoever has the group keeps what it has.
    let back = cluster.start(server(2)).await.unwrap();
    sleep(RETURN_AFTER).await;
    for one in &emptied {
        assert_eq!(state(one), GroupState::Joining, "{:#?}", one.status());
    }
    let kept = back.keyspace(GROUP).unwrap().get(b"a").unwrap();
    assert_eq!(kept.unwrap(), "1");
}

#[tokio::test]
async fn a_group_begins_when_all_its_voters_are_there() {
    let cluster = Cluster::new(3);
    let first = cluster.start(server(1)).await.unwrap();
    cluster.start(server(2)).await.unwrap();
    sleep(RETURN_AFTER + Duration::from_secs(1)).await;
    assert_eq!(state(&first), GroupState::Joining);
    cluster.start(server(3)).await.unwrap();
    set(&first, "a", "1").await;
    // From then on a majority is enough, at each start.
    drop(first);
    for number in 1..=3 {
        cluster.stop(server(number)).await;
    }
    cluster.start(server(2)).await.unwrap();
    let third = cluster.start(server(3)).await.unwrap();
    set(&third, "a", "2").await;
}
