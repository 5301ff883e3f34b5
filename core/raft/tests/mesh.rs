//! Three members over real connections, one of them killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kit;

use kit::{GROUPS, Running, command, member, plan, soon};
use sdfs_raft::GroupId;
use std::time::{Duration, Instant};

fn propose(member: &Running, group: GroupId, key: u64) {
    let groups = member.groups.clone();
    let proposed = async move { groups.propose(group, command(key, 100), soon()).await };
    member.handle.block_on(proposed).unwrap();
}

fn has(member: &Running, group: GroupId, key: u64) -> bool {
    let groups = member.groups.clone();
    let barrier = async move { groups.read_barrier(group, soon()).await };
    member.handle.block_on(barrier).unwrap();
    let keyspace = member.groups.keyspace(group).unwrap();
    keyspace.get(&command(key, 0)).unwrap().is_some()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn killed_leader_is_replaced_and_returns() {
    let folder = tempfile::tempdir().unwrap();
    let config = plan(folder.path(), 3);
    let mut members: Vec<Running> = (1..=3)
        .map(|number| member(&config, folder.path(), number))
        .collect();
    let root = GROUPS[0];
    until("the preferred leads", || members[0].groups.is_leader(root));
    for (key, member) in (0..).zip(&members) {
        propose(member, root, key);
        propose(member, GROUPS[1], key);
    }
    members.remove(0).kill();
    for (key, member) in (10..).zip(&members) {
        propose(member, root, key);
        assert!((0..3).all(|key| has(member, root, key)));
        assert!(has(member, root, key));
    }
    let back = member(&config, folder.path(), 1);
    assert!((10..12).all(|key| has(&back, root, key)));
    until("leadership has returned", || back.groups.is_leader(root));
    members.push(back);
    assert!(members.iter().all(|member| has(member, GROUPS[1], 2)));
    members.into_iter().for_each(Running::kill);
    // All at once from what is on disk, and read before anything is written.
    let members: Vec<Running> = (1..=3)
        .map(|number| member(&config, folder.path(), number))
        .collect();
    for member in &members {
        assert!((0..3).chain(10..12).all(|key| has(member, root, key)));
    }
    members.into_iter().for_each(Running::kill);
}
