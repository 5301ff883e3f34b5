//! Servers that stop answering while their connections stay open (SIGSTOP).

use std::time::{Duration, Instant};

use sdfs_client::{Client, CreateOptions, PutOptions};

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};

const CREATES: u32 = 300;
/// Below this a difference of two p99 on a loaded machine of two cores says nothing.
const NOISE: Duration = Duration::from_millis(40);

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
        let normal = create_p99(&client, "normal").await;
        for frozen in &names {
            // Its clients cannot ask it while it is frozen; those of the others can.
            let other = names.iter().find(|name| *name != frozen).expect("another");
            let client = servers.client_via(other).await;
            servers.freeze(frozen);
            first_create(&client, frozen).await;
            let meanwhile = create_p99(&client, frozen).await;
            servers.thaw(frozen);
            assert!(
                meanwhile <= normal * 2 + NOISE,
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
