//! Servers that come back with a lost, a new or an old disk.

use crate::answer::answer;
use crate::identity::{Address, Birth, Identity, life_in};
use crate::limits::{INTRODUCE_EVERY, VERDICT_WAIT};
use crate::messages::{AskPreVote, Call, NotServed, decode, encode};
use crate::record::Life;
use crate::tests::cluster::{Cluster, GROUP, read, server, set, soon};
use crate::types::{LeaderId, Vote};
use crate::{GroupState, RaftGroups, ReadError, StartError, StopReason};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::vote::{RaftLeaderId, RaftVote};
use sdfs_server_group::{Deadline, Payload, ServerId};
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn lost_log_refuses_to_start() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(cluster.dir_of(server(3)).join("raft")).unwrap();
    let started = cluster.start(server(3)).await;
    assert!(matches!(started.err(), Some(StartError::LogLost { .. })));
}

fn briefly() -> Deadline {
    Deadline::after(Duration::from_millis(400))
}

/// Stops a server and takes its disk away.
async fn lose(cluster: &Cluster, id: ServerId) {
    cluster.stop(id).await;
    std::fs::remove_dir_all(cluster.dir_of(id)).unwrap();
}

async fn add(cluster: &Cluster, id: ServerId) {
    let added = cluster.at_leader(async |groups| groups.add_member(GROUP, id, true, soon()).await);
    added.await;
}

async fn remove(cluster: &Cluster, id: ServerId) {
    let removed = cluster.at_leader(async |groups| groups.remove_member(GROUP, id, soon()).await);
    removed.await;
}

async fn is_turned_away(groups: &RaftGroups) {
    let reason = groups.stopped().await;
    assert!(matches!(reason, StopReason::LogLost { .. }), "{reason}");
}

/// The life in which a member knows a server.
fn life_known(groups: &RaftGroups, id: ServerId) -> Option<Life> {
    let member = groups.shared().groups[&GROUP].member.as_ref().unwrap();
    let metrics = member.raft.metrics().borrow_watched().clone();
    life_in(metrics.membership_config.membership(), id)
}

#[tokio::test]
async fn emptied_server_never_votes() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    lose(&cluster, server(3)).await;
    let emptied = cluster.start(server(3)).await.unwrap();
    is_turned_away(&emptied).await;
    assert_eq!(emptied.status().groups[0].state, GroupState::Joining);
    drop(emptied);
    lose(&cluster, server(3)).await;
    // With another one away nobody can be sure: it waits, and is nobody's voter.
    cluster.stop(server(2)).await;
    let emptied = cluster.start(server(3)).await.unwrap();
    sleep(VERDICT_WAIT + 3 * INTRODUCE_EVERY).await;
    assert_eq!(emptied.status().groups[0].state, GroupState::Joining);
    let alone = cluster.get(server(1));
    let read = alone.read_barrier(GROUP, briefly()).await;
    assert_eq!(read, Err(ReadError::Deadline));
    cluster.start(server(2)).await.unwrap();
    is_turned_away(&emptied).await;
}

#[tokio::test]
async fn a_removed_number_is_used_again() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    lose(&cluster, server(3)).await;
    remove(&cluster, server(3)).await;
    let anew = cluster.start(server(3)).await.unwrap();
    add(&cluster, server(3)).await;
    assert_eq!(read(&anew, "a").await.unwrap(), "1");
    // Its vote counts.
    cluster.stop(server(1)).await;
    set(&anew, "a", "2").await;
    // Who was away knows the former life, and learns better.
    let back = cluster.start(server(1)).await.unwrap();
    assert_eq!(read(&back, "a").await.unwrap(), "2");
    // A second loss of it is as well known as the first.
    drop(anew);
    lose(&cluster, server(3)).await;
    let emptied = cluster.start(server(3)).await.unwrap();
    is_turned_away(&emptied).await;
}

#[tokio::test]
async fn one_that_was_away_ends_no_newcomer() {
    let cluster = Cluster::new(5);
    for number in 1..=5 {
        cluster.start(server(number)).await.unwrap();
    }
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.leader().await;
    lose(&cluster, server(5)).await;
    cluster.stop(server(4)).await;
    remove(&cluster, server(5)).await;
    let anew = cluster.start(server(5)).await.unwrap();
    // The fourth hears nobody but the newcomer, and knows its number by another life.
    for other in 1..=3 {
        cluster.cut(server(4), server(other));
    }
    let away = cluster.start(server(4)).await.unwrap();
    assert_ne!(life_known(&away, server(5)), Some(anew.shared().life));
    let ended = timeout(VERDICT_WAIT + 3 * INTRODUCE_EVERY, anew.stopped());
    assert!(ended.await.is_err(), "one that was away has ended it");
    add(&cluster, server(5)).await;
    assert_eq!(read(&anew, "a").await.unwrap(), "1");
    cluster.heal();
    assert_eq!(read(&away, "a").await.unwrap(), "1");
    assert_eq!(life_known(&away, server(5)), Some(anew.shared().life));
}

/// Copies what a server has on its disk.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn vote_asked_of(groups: &RaftGroups, to: Identity) -> Result<(), NotServed> {
    let ask = AskPreVote {
        address: Address { group: GROUP, to },
        request: VoteRequest::new(Vote::from_leader_id(LeaderId::new(1_000, 2), false), None),
    };
    let head = encode(&ask);
    let (head, _) = answer(groups.shared(), AskPreVote::KIND, head, Payload::new()).await;
    decode::<Result<<AskPreVote as Call>::Reply, NotServed>>(&head)
        .unwrap()
        .map(drop)
}

#[tokio::test]
async fn only_the_life_that_is_called_votes() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    let three = cluster.get(server(3));
    let birth = *three.shared().groups[&GROUP]
        .member
        .as_ref()
        .unwrap()
        .birth
        .get()
        .unwrap();
    let (life, other) = (three.shared().life, Life([7; 16]));
    let right = Identity { birth, life };
    assert_eq!(vote_asked_of(&three, right).await, Ok(()));
    let reborn = Identity {
        life: other,
        ..right
    };
    let asked = vote_asked_of(&three, reborn).await;
    assert_eq!(asked, Err(NotServed::OtherLife));
    let begun_again = Identity {
        birth: Birth::of([life, other].into_iter()),
        ..right
    };
    let asked = vote_asked_of(&three, begun_again).await;
    assert_eq!(asked, Err(NotServed::OtherBirth));
    // It knows which group it is of when it comes back, too.
    drop(three);
    cluster.stop(server(3)).await;
    let three = cluster.start(server(3)).await.unwrap();
    let asked = vote_asked_of(&three, begun_again).await;
    assert_eq!(asked, Err(NotServed::OtherBirth));
}

#[tokio::test]
async fn an_old_disk_takes_no_part_beside_the_new_one() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.stop(server(3)).await;
    let (dir, old) = (cluster.dir_of(server(3)), cluster.dir_of(server(9)));
    copy(&dir, &old);
    std::fs::remove_dir_all(&dir).unwrap();
    remove(&cluster, server(3)).await;
    let anew = cluster.start(server(3)).await.unwrap();
    add(&cluster, server(3)).await;
    drop(anew);
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(&dir).unwrap();
    copy(&old, &dir);
    let back = cluster.start(server(3)).await.unwrap();
    is_turned_away(&back).await;
    set(&cluster.get(server(1)), "a", "2").await;
}

fn value(groups: &RaftGroups) -> Bytes {
    let kept = groups.keyspace(GROUP).unwrap().get(b"a").unwrap();
    kept.unwrap()
}

#[tokio::test]
async fn two_histories_never_mix() {
    let cluster = Cluster::of_three().await;
    let old = |id: ServerId| server(id.0 + 10);
    let all = [1, 2, 3].map(server);
    for id in all {
        set(&cluster.get(id), "a", "old").await;
        read(&cluster.get(id), "a").await;
    }
    for id in all {
        cluster.stop(id).await;
        copy(&cluster.dir_of(id), &cluster.dir_of(old(id)));
        std::fs::remove_dir_all(cluster.dir_of(id)).unwrap();
    }
    for id in all {
        cluster.start(id).await.unwrap();
    }
    for id in all {
        set(&cluster.get(id), "a", "new").await;
        read(&cluster.get(id), "a").await;
    }
    let put_back = async |id: ServerId| {
        lose(&cluster, id).await;
        copy(&cluster.dir_of(old(id)), &cluster.dir_of(id));
        cluster.start(id).await.unwrap()
    };
    let second = put_back(server(2)).await;
    is_turned_away(&second).await;
    assert_eq!(value(&second), "old");
    // Two with the old history are a majority of it: then the one with the new takes no part.
    drop(second);
    let first = cluster.get(server(1));
    let third = put_back(server(3)).await;
    put_back(server(2)).await;
    set(&third, "b", "1").await;
    is_turned_away(&first).await;
    assert_eq!(value(&first), "new");
    assert_eq!(value(&third), "old");
}
