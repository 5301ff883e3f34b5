//! Which mserver a client talks to, by the way to each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sdfs_client::{Client, ClientOptions, Servers};
use tokio::time::{Instant, sleep};

use crate::kit::{Kit, free_ports};
use crate::proxy;

/// What is added each way to each mserver: more than a busy machine adds by itself, and each
/// more than twice the one before.
const DELAYS_MS: [(u16, u64); 3] = [(1, 300), (2, 0), (3, 100)];
/// Longer than it takes the client to measure all of them twice.
const TWO_PROBES: Duration = Duration::from_secs(11);

/// A client to which the mservers are as far away as told.
async fn far_client(kit: &Kit) -> Client {
    let mut config = (*kit.config).clone();
    let delays = BTreeMap::from(DELAYS_MS);
    for server in &mut config.servers {
        if let Some(delay_ms) = delays.get(&server.id.0) {
            let port = free_ports().next().unwrap();
            let at = ([127, 0, 0, 1], port).into();
            let control = proxy::start(at, server.address).await;
            control.set_delay(Duration::from_millis(*delay_ms));
            server.address = at;
        }
    }
    let servers = Servers::Config(Arc::new(config));
    let options = ClientOptions {
        servers,
        ..kit.options()
    };
    Client::connect(options).await.unwrap()
}

async fn asked(client: &Client) -> u16 {
    client.own_status().await.unwrap().server.0
}

#[actix_rt::test]
async fn the_nearest_mserver_is_asked_until_it_ends() {
    let kit = Kit::start();
    let client = far_client(&kit).await;
    // A client that is used measures the way to each of them.
    let begun = Instant::now();
    while client.counters().connects < 3 || asked(&client).await != 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no way to each");
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..50 {
        assert_eq!(asked(&client).await, 2);
    }
    kit.stop(2).await;
    let begun = Instant::now();
    let mut order = vec![2, asked(&client).await];
    while begun.elapsed() < TWO_PROBES {
        let server = asked(&client).await;
        if order.last() != Some(&server) {
            order.push(server);
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(order, [2, 3], "the next one, and it stays");
}
