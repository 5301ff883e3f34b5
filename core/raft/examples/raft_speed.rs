//! Measures a group of three members on loopback with real syncs, each member on its own thread:
//! `cargo run --release -p sdfs-raft --example raft_speed [folder]`. CPU is that of all three
//! members together, for each proposal or read.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement for whoever runs it"
)]

#[path = "../tests/kit/mod.rs"]
mod kit;

use futures::future::join_all;
use kit::{GROUPS, Running, command, member, plan, soon};
use sdfs_raft::GroupId;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long each figure is measured.
const RUN: Duration = Duration::from_secs(4);

/// Bytes of a command's value, about those of a created file.
const VALUE_BYTES: usize = 160;

#[derive(Clone, Copy)]
enum What {
    Propose,
    Barrier,
}

fn main() {
    let folder = match std::env::args().nth(1) {
        Some(folder) => tempfile::tempdir_in(Path::new(&folder)).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let config = plan(folder.path(), 3);
    let members: Vec<Running> = (1..=3)
        .map(|number| member(&config, folder.path(), number))
        .collect();
    for (group, leader) in GROUPS.into_iter().zip(&members) {
        while !leader.groups.is_leader(group) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let (leader, follower) = (&members[0], &members[1]);
    for in_flight in [1, 64, 256] {
        report(
            "propose at the leader",
            What::Propose,
            &[(leader, GROUPS[0])],
            in_flight,
        );
        report(
            "propose at a follower",
            What::Propose,
            &[(follower, GROUPS[0])],
            in_flight,
        );
    }
    let both = [(leader, GROUPS[0]), (follower, GROUPS[1])];
    report("propose at 2 groups' leaders", What::Propose, &both, 256);
    for in_flight in [1, 64, 256] {
        report(
            "barrier at the leader",
            What::Barrier,
            &[(leader, GROUPS[0])],
            in_flight,
        );
        report(
            "barrier at a follower",
            What::Barrier,
            &[(follower, GROUPS[0])],
            in_flight,
        );
    }
    println!("idle for 4 s: {:.1} % of a core", idle() * 100.0);
    println!("resident: {} MiB for three members", resident_kib() / 1_024);
    for member in members {
        member.kill();
    }
}

fn report(name: &str, what: What, at: &[(&Running, GroupId)], in_flight: usize) {
    let cpu = cpu_seconds();
    let began = Instant::now();
    let runs: Vec<_> = at
        .iter()
        .map(|(member, group)| {
            let groups = member.groups.clone();
            let group = *group;
            member.handle.spawn(async move {
                let workers = (0..in_flight as u64).map(|worker| {
                    let groups = groups.clone();
                    tokio::spawn(async move { run(groups, group, what, worker << 40).await })
                });
                let took: Vec<_> = join_all(workers)
                    .await
                    .into_iter()
                    .flat_map(Result::unwrap)
                    .collect();
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for run in runs {
        took.extend(at[0].0.handle.block_on(run).unwrap());
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    took.sort_unstable();
    let part = |thousandths: usize| took[took.len() * thousandths / 1_000];
    let rate = took.len() as f64 / seconds;
    let each_us = cpu / took.len() as f64 * 1e6;
    println!(
        "{name:29} {in_flight:4} in flight: {rate:8.0}/s  p50 {:?}  p99 {:?}  {each_us:.1} us CPU",
        part(500),
        part(990),
    );
}

async fn run(
    groups: sdfs_raft::RaftGroups,
    group: GroupId,
    what: What,
    mut key: u64,
) -> Vec<Duration> {
    let until = Instant::now() + RUN;
    let mut took = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        match what {
            What::Propose => {
                groups
                    .propose(group, command(key % 100_000, VALUE_BYTES), soon())
                    .await
                    .unwrap();
            }
            What::Barrier => groups.read_barrier(group, soon()).await.unwrap(),
        }
        took.push(began.elapsed());
        key += 1;
    }
    took
}

fn idle() -> f64 {
    let cpu = cpu_seconds();
    std::thread::sleep(Duration::from_secs(4));
    (cpu_seconds() - cpu) / 4.0
}

/// User and system time of this process; Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
