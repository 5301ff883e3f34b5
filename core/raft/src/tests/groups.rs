//! Groups of three members and more: elections, proposals, reads, losses.

use crate::tests::cluster::{Cluster, GROUP, OlderRegister, read, server, set, soon};
use crate::{GroupState, ProposeError, RaftGroups, ReadError, StartError, StopReason};
use bytes::Bytes;
use sdfs_log::{CrashLoss, MemoryDisk};
use sdfs_server_group::Deadline;
use sdfs_store::Store;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn every_member_proposes_and_reads() {
    let cluster = Cluster::of_three().await;
    for (id, groups) in cluster.running() {
        set(&groups, "who", &id.to_string()).await;
        for (_, reader) in cluster.running() {
            assert_eq!(read(&reader, "who").await.unwrap(), id.to_string());
        }
    }
    assert_eq!(set(&cluster.get(server(1)), "who", "me").await, "3");
}

#[tokio::test]
async fn single_voter_leads_itself() {
    let cluster = Cluster::new(1);
    let groups = cluster.start(server(1)).await.unwrap();
    set(&groups, "a", "1").await;
    assert_eq!(read(&groups, "a").await.unwrap(), "1");
}

#[tokio::test]
async fn stopped_leader_is_replaced() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    set(&cluster.get(leader), "a", "1").await;
    cluster.stop(leader).await;
    for (_, groups) in cluster.running() {
        assert_eq!(set(&groups, "a", "2").await.len(), 1);
        assert_eq!(read(&groups, "a").await.unwrap(), "2");
    }
    let back = cluster.start(leader).await.unwrap();
    assert_eq!(read(&back, "a").await.unwrap(), "2");
}

#[tokio::test]
async fn restarted_leader_needs_a_new_term() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    set(&cluster.get(leader), "a", "1").await;
    let before = term_at(&cluster.get(leader));
    cluster.stop(leader).await;
    // At once, before the others miss it.
    let back = cluster.start(leader).await.unwrap();
    assert_eq!(read(&back, "a").await.unwrap(), "1");
    cluster.leader().await;
    assert!(
        term_at(&back) > before,
        "entries of its term may have been lost with it"
    );
}

fn term_at(groups: &RaftGroups) -> u64 {
    groups.status().groups[0].term
}

#[tokio::test]
async fn lonely_leader_confirms_nothing() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    set(&cluster.get(leader), "a", "old").await;
    for (id, _) in cluster.running() {
        cluster.cut(leader, id);
    }
    let other = cluster
        .running()
        .into_iter()
        .find(|(id, _)| *id != leader)
        .unwrap()
        .1;
    set(&other, "a", "new").await;
    let brief = Deadline::after(Duration::from_millis(400));
    let lonely = cluster.get(leader);
    assert_eq!(
        lonely.read_barrier(GROUP, brief).await,
        Err(ReadError::Deadline)
    );
    let proposed = lonely
        .propose(GROUP, Bytes::from_static(b"a=lost"), brief)
        .await;
    assert!(matches!(
        proposed,
        Err(ProposeError::Unknown | ProposeError::NotSent)
    ));
    cluster.heal();
    assert_eq!(read(&lonely, "b").await, None);
    assert_ne!(read(&lonely, "a").await.unwrap(), "old");
}

#[tokio::test]
async fn restarted_cluster_reads_before_any_write() {
    let cluster = Cluster::of_three().await;
    for number in 0..50 {
        set(&cluster.get(server(1)), &format!("k{number}"), "v").await;
    }
    for number in 1..=3 {
        cluster.stop(server(number)).await;
    }
    for number in 1..=3 {
        cluster.start(server(number)).await.unwrap();
    }
    for (_, groups) in cluster.running() {
        assert_eq!(read(&groups, "k49").await.unwrap(), "v");
    }
}

#[tokio::test]
async fn lagging_member_gets_a_snapshot() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let away = cluster
        .running()
        .into_iter()
        .find(|(id, _)| *id != leader)
        .unwrap()
        .0;
    set(&cluster.get(leader), "gone", "soon").await;
    assert_eq!(read(&cluster.get(away), "gone").await.unwrap(), "soon");
    cluster.stop(away).await;
    let long = "x".repeat(10_000);
    for number in 0..300 {
        set(&cluster.get(leader), &format!("k{number}"), &long).await;
    }
    let purged = snapshot_and_purge(&cluster, leader).await;
    assert!(purged > 250);
    let back = cluster.start(away).await.unwrap();
    assert_eq!(read(&back, "k299").await.unwrap(), long);
    assert_eq!(read(&back, "k0").await.unwrap(), long);
    // The state is whole after a restart too, and goes on from there.
    drop(back);
    cluster.stop(away).await;
    set(&cluster.get(leader), "after", "1").await;
    let back = cluster.start(away).await.unwrap();
    assert_eq!(read(&back, "after").await.unwrap(), "1");
    assert_eq!(read(&back, "k0").await.unwrap(), long);
}

/// Makes a snapshot at the leader and purges its log as far as that goes.
async fn snapshot_and_purge(cluster: &Cluster, leader: sdfs_server_group::ServerId) -> u64 {
    let groups = cluster.get(leader);
    let raft = groups.shared().groups[&GROUP]
        .member
        .as_ref()
        .unwrap()
        .raft
        .clone();
    let applied = groups.status().groups[0].applied_index.unwrap();
    raft.trigger().snapshot().await.unwrap();
    raft.wait(Some(Duration::from_secs(60)))
        .snapshot_at_least(applied)
        .await
        .unwrap();
    raft.trigger().purge_log(applied).await.unwrap();
    raft.wait(Some(Duration::from_secs(60)))
        .purged_at_least(applied)
        .await
        .unwrap();
    applied
}

trait AtLeast {
    async fn snapshot_at_least(self, index: u64) -> Result<(), openraft::metrics::WaitError>;
    async fn purged_at_least(self, index: u64) -> Result<(), openraft::metrics::WaitError>;
}

impl AtLeast for openraft::metrics::Wait<crate::types::Types> {
    async fn snapshot_at_least(self, index: u64) -> Result<(), openraft::metrics::WaitError> {
        let reached = |m: &openraft::RaftMetrics<crate::types::Types>| {
            m.snapshot.is_some_and(|log_id| log_id.index >= index)
        };
        self.metrics(reached, "a snapshot").await.map(|_| ())
    }

    async fn purged_at_least(self, index: u64) -> Result<(), openraft::metrics::WaitError> {
        let reached = |m: &openraft::RaftMetrics<crate::types::Types>| {
            m.purged.is_some_and(|log_id| log_id.index >= index)
        };
        self.metrics(reached, "a purge").await.map(|_| ())
    }
}

#[tokio::test]
async fn power_loss_keeps_what_was_answered() {
    let cluster = Cluster::new(1);
    let mut disk = MemoryDisk::new(1 << 30);
    let mut store = Store::memory();
    for round in 0..4 {
        let door = Arc::new(disk.clone());
        let started = cluster
            .start_from(server(1), cluster.spec(), door, store.clone())
            .await;
        let groups = started.unwrap();
        for earlier in 0..round * 20 {
            assert!(read(&groups, &format!("k{earlier}")).await.is_some());
        }
        for number in round * 20..(round + 1) * 20 {
            set(&groups, &format!("k{number}"), "v").await;
            if number == 25 {
                // Entries now lie in the log, in the purged part of it and in the store.
                snapshot_and_purge(&cluster, server(1)).await;
            }
        }
        disk = disk.crash(CrashLoss::Everything);
        store = store.after_power_loss();
        drop(groups);
        cluster.stop(server(1)).await;
    }
}

#[tokio::test]
async fn lost_store_refuses_to_start() {
    let cluster = Cluster::new(1);
    let disk = MemoryDisk::new(1 << 30);
    let door = Arc::new(disk.clone());
    let started = cluster
        .start_from(server(1), cluster.spec(), door, Store::memory())
        .await;
    set(&started.unwrap(), "a", "1").await;
    snapshot_and_purge(&cluster, server(1)).await;
    cluster.stop(server(1)).await;
    let door = Arc::new(disk.crash(CrashLoss::Nothing));
    let started = cluster
        .start_from(server(1), cluster.spec(), door, Store::memory())
        .await;
    assert!(matches!(started.err(), Some(StartError::StoreLost { .. })));
}

#[tokio::test]
async fn leadership_returns_to_the_preferred() {
    let mut cluster = Cluster::new(3);
    cluster.preferred = Some(server(2));
    for number in 1..=3 {
        cluster.start(server(number)).await.unwrap();
    }
    cluster
        .until("the preferred leads", || {
            cluster.get(server(2)).is_leader(GROUP)
        })
        .await;
    cluster.stop(server(2)).await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.start(server(2)).await.unwrap();
    cluster
        .until("the preferred leads again", || {
            cluster.get(server(2)).is_leader(GROUP)
        })
        .await;
    assert_eq!(read(&cluster.get(server(2)), "a").await.unwrap(), "1");
}

#[tokio::test]
async fn outsider_proposes_through_members() {
    let cluster = Cluster::of_three().await;
    let outsider = cluster.start(server(9)).await.unwrap();
    set(&outsider, "a", "1").await;
    assert_eq!(set(&outsider, "a", "2").await, "1");
    assert_eq!(
        outsider.read_barrier(GROUP, soon()).await,
        Err(ReadError::NotMember(GROUP))
    );
    assert_eq!(outsider.status().groups[0].state, GroupState::Outside);
}

#[tokio::test]
async fn learner_reads_and_is_promoted() {
    let mut cluster = Cluster::new(3);
    cluster.learners = vec![server(4)];
    for number in 1..=4 {
        cluster.start(server(number)).await.unwrap();
    }
    set(&cluster.get(server(4)), "a", "1").await;
    assert_eq!(read(&cluster.get(server(4)), "a").await.unwrap(), "1");
    let promoted =
        cluster.at_leader(async |groups| groups.add_member(GROUP, server(4), true, soon()).await);
    promoted.await;
    let gone = server(2);
    let removed = cluster.at_leader(async |groups| groups.remove_member(GROUP, gone, soon()).await);
    removed.await;
    let leader = server(1);
    read(&cluster.get(leader), "a").await;
    let members = cluster.get(leader).status().groups[0].members.clone();
    assert_eq!(members.iter().filter(|member| member.is_voter).count(), 3);
    assert!(members.iter().all(|member| member.server != gone));
}

#[tokio::test]
async fn oversized_command_is_refused() {
    let cluster = Cluster::new(1);
    let groups = cluster.start(server(1)).await.unwrap();
    let command = Bytes::from(vec![b'='; (1 << 20) + 1]);
    let refused = groups.propose(GROUP, command, soon()).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
}

#[tokio::test]
async fn an_entry_not_understood_stops_the_member() {
    let cluster = Cluster::of_three().await;
    cluster.stop(server(3)).await;
    let mut spec = cluster.spec();
    spec.machine = Some(Box::new(OlderRegister));
    let older = cluster.start_with(server(3), spec).await.unwrap();
    let newer = cluster.get(server(1));
    set(&newer, "a", "1").await;
    assert_eq!(read(&older, "a").await.unwrap(), "1");
    set(&newer, "new", "2").await;
    set(&newer, "a", "3").await;
    let reason = older.stopped().await;
    let StopReason::NotUnderstood { group, index } = reason else {
        panic!("stopped otherwise: {reason:?}");
    };
    assert_eq!(group, GROUP);
    assert!(
        reason.to_string().contains("upgrade this server"),
        "{reason}"
    );
    let status = newer.status();
    assert!(index <= status.groups[0].applied_index.unwrap());
    cluster
        .until("the group has stopped there", || {
            older.status().groups[0].state == GroupState::Stopped
        })
        .await;
    let kept = older.keyspace(GROUP).unwrap();
    assert_eq!(kept.get(b"a").unwrap().unwrap(), "1");
    assert_eq!(kept.get(b"new").unwrap(), None);
    drop((older, kept));
    cluster.stop(server(3)).await;
    let upgraded = cluster.start(server(3)).await.unwrap();
    assert_eq!(read(&upgraded, "a").await.unwrap(), "3");
    assert_eq!(read(&upgraded, "new").await.unwrap(), "2");
}
