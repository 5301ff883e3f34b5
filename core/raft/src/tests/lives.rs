//! Servers that come back with a lost, a new or an old disk.

use crate::answer::answer;
use crate::limits::REGISTER_EVERY;
use crate::lives;
use crate::messages::{AskPreVote, Call, NotServed, decode, encode};
use crate::tests::cluster::{Cluster, GROUP, read, server, set, soon};
use crate::types::{LeaderId, Vote};
use crate::{GroupState, RaftGroups, StartError, StopReason};
use openraft::raft::VoteRequest;
use openraft::vote::{RaftLeaderId, RaftVote};
use sdfs_server_group::Payload;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn lost_log_refuses_to_start() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(cluster.dir_of(server(3)).join("raft")).unwrap();
    let started = cluster.start(server(3)).await;
    assert!(matches!(started.err(), Some(StartError::LogLost { .. })));
}

#[tokio::test]
async fn emptied_server_never_votes() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(cluster.dir_of(server(3))).unwrap();
    let emptied = cluster.start(server(3)).await.unwrap();
    assert!(matches!(
        emptied.stopped().await,
        StopReason::LogLost { .. }
    ));
    assert_eq!(emptied.status().groups[0].state, GroupState::Joining);
    // Once removed and forgotten, the number may be used again.
    drop(emptied);
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(cluster.dir_of(server(3))).unwrap();
    let removed =
        cluster.at_leader(async |groups| groups.remove_member(GROUP, server(3), soon()).await);
    removed.await;
    let one = cluster.get(server(1));
    for other in [&one, &cluster.get(server(2))] {
        let begun = Instant::now();
        while other.is_member(server(3)) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it stays a member"
            );
            sleep(Duration::from_millis(10)).await;
        }
        other.forget_life(server(3)).await.unwrap();
    }
    // In a group that exists a majority is too few: it could be another one than the first life's.
    cluster.stop(server(2)).await;
    let anew = cluster.start(server(3)).await.unwrap();
    cluster
        .until("the first knows it", || {
            let known = lives::known(&one.shared().stores, server(3));
            known.unwrap().is_some()
        })
        .await;
    sleep(3 * REGISTER_EVERY).await;
    assert!(!anew.shared().is_registered());
    cluster.start(server(2)).await.unwrap();
    let added =
        cluster.at_leader(async |groups| groups.add_member(GROUP, server(3), true, soon()).await);
    added.await;
    assert_eq!(read(&anew, "a").await.unwrap(), "1");
    // It soon knows the others again: an emptied one of them does not come past it.
    let begun = Instant::now();
    while lives::known(&anew.shared().stores, server(2))
        .unwrap()
        .is_none()
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody told it");
        sleep(Duration::from_millis(10)).await;
    }
    drop(one);
    cluster.stop(server(1)).await;
    cluster.stop(server(2)).await;
    std::fs::remove_dir_all(cluster.dir_of(server(2))).unwrap();
    let emptied = cluster.start(server(2)).await.unwrap();
    let reason = emptied.stopped().await;
    assert!(matches!(reason, StopReason::LogLost { known_by, .. } if known_by == server(3)));
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

async fn vote_asked_of(groups: &RaftGroups) -> Result<(), NotServed> {
    let ask = AskPreVote {
        group: GROUP,
        request: VoteRequest::new(Vote::from_leader_id(LeaderId::new(1_000, 2), false), None),
    };
    let head = encode(&ask);
    let (head, _) = answer(groups.shared(), AskPreVote::KIND, head, Payload::new()).await;
    decode::<Result<<AskPreVote as Call>::Reply, NotServed>>(&head)
        .unwrap()
        .map(drop)
}

#[tokio::test]
async fn an_old_disk_takes_no_part_beside_the_new_one() {
    let cluster = Cluster::of_three().await;
    set(&cluster.get(server(1)), "a", "1").await;
    cluster.stop(server(3)).await;
    let (dir, old) = (cluster.dir_of(server(3)), cluster.dir_of(server(9)));
    copy(&dir, &old);
    // A disk that nobody replaced takes part as soon as anybody confirms it.
    cluster.cut(server(1), server(3));
    let back = cluster.start(server(3)).await.unwrap();
    cluster
        .until("it takes part", || back.shared().standing.may_take_part())
        .await;
    assert_eq!(vote_asked_of(&back).await, Ok(()));
    drop(back);
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(&dir).unwrap();
    for other in [server(1), server(2)] {
        cluster.get(other).forget_life(server(3)).await.unwrap();
    }
    cluster.heal();
    let anew = cluster.start(server(3)).await.unwrap();
    cluster
        .until("it is registered", || anew.shared().is_registered())
        .await;
    drop(anew);
    cluster.stop(server(3)).await;
    std::fs::remove_dir_all(&dir).unwrap();
    copy(&old, &dir);
    cluster.cut(server(1), server(3));
    cluster.cut(server(2), server(3));
    let old = cluster.start(server(3)).await.unwrap();
    assert_eq!(vote_asked_of(&old).await, Err(NotServed::NotReady));
    cluster.heal();
    let reason = old.stopped().await;
    assert!(matches!(reason, StopReason::LogLost { .. }), "{reason}");
    assert!(!old.shared().standing.may_take_part());
}
