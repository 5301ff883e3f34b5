//! Servers that stop answering while their connections stay open (SIGSTOP).

use std::time::{Duration, Instant};

use sdfs_client::{Client, CreateOptions, Error, PutOptions};
use sdfs_types::Refusal;

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};

const CREATES: u32 = 300;
/// Of so many rounds the best one counts: whatever else the machine does only makes one slower.
const ROUNDS: u32 = 5;
/// Below this a difference of two such p99 says nothing.
const NOISE: Duration = Duration::from_millis(5);
/// How soon somebody no longer waits for a frozen server.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(500);
/// Longer than a busy machine keeps a server from running.
const FROZEN_FOR: Duration = Duration::from_secs(6);
/// What was read at the thaw is done by then.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// The time 99 of 100 creates stay under.
async fn create_p99(client: &Client, prefix: &str) -> Duration {
    let mut times = Vec::new();
    for number in 0..CREATES {
        let begun = Instant::now();
        client
            .create_file_meta_data(&format!("/{prefix}-{number}"), CreateOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{prefix}-{number}: {error}"));
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

/// The p99 of the best round; the rounds end when one is good enough.
async fn best_p99(client: &Client, prefix: &str, good_enough: Duration) -> Duration {
    let mut best = Duration::MAX;
    for round in 0..ROUNDS {
        best = best.min(create_p99(client, &format!("{prefix}-{round}")).await);
        if best <= good_enough {
            break;
        }
    }
    best
}

async fn first_create(client: &Client, prefix: &str) {
    let begun = Instant::now();
    let mut number = 0;
    while let Err(error) = client
        .create_file_meta_data(
            &format!("/{prefix}-first-{number}"),
            CreateOptions::default(),
        )
        .await
    {
        assert!(
            begun.elapsed() < HEALED_WITHIN,
            "no create went through: {error}"
        );
        number += 1;
    }
}

#[test]
fn a_frozen_mserver_slows_nobody() {
    run(async {
        let servers = Servers::start_alone(3, 3).await;
        let names = servers.mservers();
        let client = servers.client_via(&names[0]).await;
        let normal = best_p99(&client, "normal", Duration::ZERO).await;
        let allowed = normal * 2 + NOISE;
        for frozen in &names {
            // Its clients cannot ask it while it is frozen; those of the others can.
            let other = names.iter().find(|name| *name != frozen).expect("another");
            let client = servers.client_via(other).await;
            servers.freeze(frozen);
            first_create(&client, frozen).await;
            let meanwhile = best_p99(&client, frozen, allowed).await;
            servers.thaw(frozen);
            assert!(
                meanwhile <= allowed,
                "p99 {meanwhile:?} with {frozen} frozen, {normal:?} before"
            );
            servers.usable().await;
        }
    });
}

#[test]
fn puts_go_on_past_a_frozen_dserver() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        servers.freeze("dserver-2");
        for number in 0..50 {
            let data = content::bytes(number, 20_000);
            let options = PutOptions::default();
            client
                .put(&format!("/frozen-{number}"), data, options)
                .await
                .unwrap_or_else(|error| panic!("put {number}: {error}\n{}", servers.logs()));
        }
        servers.thaw("dserver-2");
        servers.healed().await;
        servers.freeze("dserver-1");
        for number in 0..50 {
            let read = client
                .get(&format!("/frozen-{number}"))
                .await
                .expect("readable");
            assert!(
                read == content::bytes(number, 20_000),
                "other bytes came back"
            );
        }
    });
}

#[test]
fn what_waits_at_a_frozen_mserver_is_never_done() {
    run(async {
        let servers = Servers::start_alone(3, 1).await;
        let names = servers.mservers();
        let client = servers.client_via(&names[0]).await;
        let other = servers.client_via(&names[1]).await;
        client.mkdir("/before").await.expect("a directory");
        servers.freeze(&names[0]);
        // Sent, and given up before anybody answered: it lies in the socket of the frozen one.
        let late = tokio::time::timeout(GIVEN_UP_AFTER, client.mkdir("/late")).await;
        assert!(late.is_err(), "a frozen mserver answers: {late:?}");
        tokio::time::sleep(FROZEN_FOR).await;
        servers.thaw(&names[0]);
        // It is asked anew, and does what it is asked now.
        client
            .mkdir("/after")
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", servers.logs()));
        tokio::time::sleep(SETTLED_AFTER).await;
        let stat = other.stat("/late").await;
        assert!(
            matches!(stat, Err(Error::Refused(Refusal::NotFound { .. }))),
            "an old request was done: {stat:?}"
        );
    });
}
