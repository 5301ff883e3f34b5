//! One writer counts up while members are cut off, stopped and started again: whoever reads sees
//! at least what was acknowledged before, at most what was begun.

use crate::groups::RaftGroups;
use crate::tests::cluster::{Cluster, GROUP, read, server};
use bytes::Bytes;
use sdfs_server_group::Deadline;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const ROUNDS: u64 = 12;

/// How long each fault lasts: longer than an election.
const FAULT: Duration = Duration::from_millis(1_500);

#[derive(Default)]
struct Count {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    reads: AtomicU64,
    is_over: AtomicBool,
}

/// A fixed sequence that looks random (a linear congruential generator, Knuth's MMIX).
struct Choice(u64);

impl Choice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn member(&mut self, cluster: &Cluster) -> RaftGroups {
        let running = cluster.running();
        running[self.below(running.len() as u64) as usize].1.clone()
    }
}

fn briefly() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

async fn write(cluster: Arc<Cluster>, count: Arc<Count>) {
    let mut choice = Choice(1);
    let mut number = 1;
    while !count.is_over.load(Ordering::SeqCst) {
        count.begun.store(number, Ordering::SeqCst);
        let command = Bytes::from(format!("n={number}"));
        let member = choice.member(&cluster);
        match member.propose(GROUP, command, briefly()).await {
            Ok(_) => {
                count.acknowledged.store(number, Ordering::SeqCst);
                number += 1;
            }
            // Maybe done: the same number is written until it surely is.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn read_on(cluster: Arc<Cluster>, count: Arc<Count>, seed: u64) {
    let mut choice = Choice(seed);
    while !count.is_over.load(Ordering::SeqCst) {
        let member = choice.member(&cluster);
        let least = count.acknowledged.load(Ordering::SeqCst);
        if member.read_barrier(GROUP, briefly()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
            continue;
        }
        let value = member.keyspace(GROUP).unwrap().get(b"n").unwrap();
        let most = count.begun.load(Ordering::SeqCst);
        let value = value.map_or(0, |text| {
            std::str::from_utf8(&text).unwrap().parse().unwrap()
        });
        assert!(
            (least..=most).contains(&value),
            "read {value}, not {least} to {most}"
        );
        count.reads.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn reads_are_linearizable_through_faults() {
    let cluster = Arc::new(Cluster::of_three().await);
    let count = Arc::new(Count::default());
    let mut tasks = vec![tokio::spawn(write(
        Arc::clone(&cluster),
        Arc::clone(&count),
    ))];
    for seed in 2..5 {
        tasks.push(tokio::spawn(read_on(
            Arc::clone(&cluster),
            Arc::clone(&count),
            seed,
        )));
    }
    let mut choice = Choice(7);
    for _ in 0..ROUNDS {
        let (one, other) = (
            server(choice.below(3) as u16 + 1),
            server(choice.below(3) as u16 + 1),
        );
        if one == other {
            cluster.stop(one).await;
            sleep(FAULT).await;
            cluster.start(one).await.unwrap();
        } else {
            cluster.cut(one, other);
            sleep(FAULT).await;
            cluster.heal();
        }
    }
    cluster.leader().await;
    let before = count.acknowledged.load(Ordering::SeqCst);
    cluster
        .until("writes go on", || {
            count.acknowledged.load(Ordering::SeqCst) > before + 10
        })
        .await;
    cluster
        .until("enough was read", || {
            count.reads.load(Ordering::SeqCst) > 100
        })
        .await;
    count.is_over.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let last = count.acknowledged.load(Ordering::SeqCst);
    for (_, groups) in cluster.running() {
        let value = read(&groups, "n").await.unwrap();
        assert!(std::str::from_utf8(&value).unwrap().parse::<u64>().unwrap() >= last);
    }
}
