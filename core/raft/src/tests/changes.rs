//! Changes of members that are cut between their two steps.

use crate::groups::RaftGroups;
use crate::identity::Identity;
use crate::ids::GroupId;
use crate::tests::cluster::{Cluster, GROUP, read, server, set, soon};
use crate::types::{Raft, node_of};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use sdfs_server_group::ServerId;
use std::collections::BTreeSet;
use tokio::task::yield_now;

fn raft_of(groups: &RaftGroups, group: GroupId) -> Raft {
    let member = groups.shared().groups[&group].member.as_ref();
    member.unwrap().raft.clone()
}

fn configs(raft: &Raft) -> usize {
    let metrics = raft.metrics().borrow_watched().clone();
    let effective = metrics.membership_config;
    effective.membership().get_joint_config().len()
}

fn is_said_to_vote(groups: &RaftGroups, server: ServerId) -> bool {
    let members = groups.status().groups[0].members.clone();
    members
        .iter()
        .any(|member| member.server == server && member.is_voter)
}

/// Begins a change at the leader and drops it when its first step is in the log.
async fn cut_after_first_step(raft: &Raft, change: ChangeMembers<u64, Identity>) {
    let mut changing = Box::pin(raft.change_membership(change, false));
    while configs(raft) == 1 {
        assert!(futures::poll!(&mut changing).is_pending(), "it was whole");
        yield_now().await;
    }
}

#[tokio::test]
async fn a_change_cut_in_two_is_finished() {
    let mut cluster = Cluster::new(3);
    cluster.learners = vec![server(4)];
    cluster.preferred = Some(server(1));
    for number in 1..=4 {
        cluster.start(server(number)).await.unwrap();
    }
    let leader = cluster.get(server(1));
    cluster
        .until("the preferred leads", || leader.is_leader(GROUP))
        .await;
    set(&leader, "a", "1").await;
    assert_eq!(read(&cluster.get(server(4)), "a").await.unwrap(), "1");
    let raft = raft_of(&leader, GROUP);
    let one = BTreeSet::from([node_of(server(4))]);
    cut_after_first_step(&raft, ChangeMembers::AddVoterIds(one.clone())).await;
    set(&leader, "a", "2").await;
    assert_eq!(configs(&raft), 2);
    assert!(!is_said_to_vote(&leader, server(4)), "it is not settled");
    leader
        .add_member(GROUP, server(4), true, soon())
        .await
        .unwrap();
    assert_eq!(configs(&raft), 1);
    cluster
        .until("it votes", || is_said_to_vote(&leader, server(4)))
        .await;
    cut_after_first_step(&raft, ChangeMembers::RemoveVoters(one)).await;
    set(&leader, "a", "3").await;
    assert!(!is_said_to_vote(&leader, server(4)), "it is not settled");
    leader
        .remove_member(GROUP, server(4), soon())
        .await
        .unwrap();
    assert_eq!(configs(&raft), 1);
}
