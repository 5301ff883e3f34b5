//! SIGKILL of one server after the other while clients write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::future::join_all;
use sdfs_client::{CallOptions, Client, PutOptions};

use super::content;
use super::servers::{Servers, run};

const KILLING_FOR: Duration = Duration::from_secs(60);
const WRITERS: u64 = 6;
const RETRY_WITHIN: Duration = Duration::from_secs(60);

/// Length of the `number`-th file of a writer: mostly small, now and then more than a block.
fn length(number: u64) -> usize {
    match number % 16 {
        0 => 0,
        5 => 5 << 20,
        other => (other * 4_001) as usize,
    }
}

fn seed(writer: u64, number: u64) -> u64 {
    writer * 1_000_000 + number
}

/// Stores files until told to stop; each until it is acknowledged, with one request id.
async fn write_on(client: Client, writer: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let path = format!("/w{writer}/{number:06}");
        let data = content::bytes(seed(writer, number), length(number));
        let request = client.next_request();
        let call = client.with(CallOptions {
            request: Some(request),
            ..CallOptions::default()
        });
        let options = PutOptions {
            replace: false,
            make_parents: true,
            ..PutOptions::default()
        };
        let begun = Instant::now();
        while let Err(error) = call.put(&path, data.clone(), options.clone()).await {
            assert!(
                begun.elapsed() < RETRY_WITHIN,
                "{path} was never stored: {error}"
            );
            assert!(
                !error.is_exists(),
                "{path}: its own name is in its way: {error}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        number += 1;
    }
    number
}

async fn names(client: &Client, writer: usize) -> Vec<String> {
    client
        .list(&format!("/w{writer}"))
        .map_ok(|entry| entry.name.to_string())
        .try_collect()
        .await
        .expect("the folder can be listed")
}

/// How many files each mserver lists, and how its raft groups are.
async fn listed_by_each(servers: &Servers, writer: usize) -> String {
    let mut told = String::new();
    for mserver in servers.mservers() {
        let client = servers.client_via(&mserver).await;
        let listed = names(&client, writer).await.len();
        let groups = client.status(&mserver).await.map(|status| status.groups);
        told.push_str(&format!("\n{mserver}: {listed}, {groups:?}"));
    }
    told
}

/// What each mserver says of a file, and how its raft groups are.
async fn seen_by_each(servers: &Servers, path: &str) -> String {
    let mut told = String::new();
    for mserver in servers.mservers() {
        let client = servers.client_via(&mserver).await;
        let seen = client.stat(path).await;
        let groups = client.status(&mserver).await.map(|status| status.groups);
        told.push_str(&format!("\n{mserver}: {seen:?}, {groups:?}"));
    }
    told
}

async fn check(servers: &Servers, stored: &[u64]) {
    let client = &servers.client().await;
    for (writer, count) in stored.iter().enumerate() {
        let listed = names(client, writer).await;
        let expected: Vec<String> = (0..*count).map(|number| format!("{number:06}")).collect();
        if listed != expected {
            let lost: Vec<_> = expected
                .iter()
                .filter(|name| !listed.contains(name))
                .collect();
            let more: Vec<_> = listed
                .iter()
                .filter(|name| !expected.contains(name))
                .collect();
            let elsewhere = listed_by_each(servers, writer).await;
            panic!(
                "writer {writer}, {count} files: not listed {lost:?}, never stored {more:?}; \
                 listed by each: {elsewhere}\n{}",
                servers.logs()
            );
        }
        for number in 0..*count {
            let path = format!("/w{writer}/{number:06}");
            let read = match client.get(&path).await {
                Ok(read) => read,
                Err(error) => {
                    let elsewhere = seen_by_each(servers, &path).await;
                    panic!(
                        "{path}: {error}; seen by each: {elsewhere}\n{}",
                        servers.logs()
                    )
                }
            };
            let expected = content::bytes(seed(writer as u64, number), length(number));
            assert!(read == expected, "{path}: other bytes came back");
        }
    }
}

#[test]
fn kills_lose_nothing_acknowledged() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = servers.client().await;
            writers.push(tokio::spawn(write_on(client, writer, Arc::clone(&stop))));
        }
        let begun = Instant::now();
        let mut killed: BTreeMap<String, u32> = BTreeMap::new();
        let names = servers.names();
        for name in names.iter().cycle() {
            if begun.elapsed() > KILLING_FOR {
                break;
            }
            servers.kill(name);
            tokio::time::sleep(Duration::from_millis(700)).await;
            servers.spawn(name);
            servers.healed().await;
            *killed.entry(name.clone()).or_default() += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let stored: Vec<u64> = join_all(writers)
            .await
            .into_iter()
            .map(|count| count.expect("a writer"))
            .collect();
        assert!(
            killed.values().sum::<u32>() >= 6,
            "too few kills in the time: {killed:?}"
        );
        assert!(
            stored.iter().sum::<u64>() > 100,
            "hardly anything was stored: {stored:?}"
        );
        check(&servers, &stored).await;

        servers.kill_all();
        servers.spawn_all();
        check(&servers, &stored).await;
    });
}
