//! Orders for the volumes' upkeep: a dserver emptied and stopped, copies spread, healing held.

use sdfs_client::PutOptions;
use serde_json::Value;

use super::content;
use super::servers::{Servers, run};

const FILES: u64 = 30;
const BYTES: usize = 200_000;

async fn put_all(servers: &Servers) {
    let client = servers.client().await;
    for number in 0..FILES {
        let data = content::bytes(number, BYTES);
        let put = client
            .put(&format!("/{number}"), data, PutOptions::default())
            .await;
        put.expect("a put");
    }
}

async fn check_all(servers: &Servers) {
    let client = servers.client().await;
    for number in 0..FILES {
        let read = client.get(&format!("/{number}")).await;
        let read = read.unwrap_or_else(|error| panic!("/{number}: {error}\n{}", servers.logs()));
        assert!(read == content::bytes(number, BYTES), "/{number}");
    }
}

fn json(servers: &Servers, arguments: &[&str]) -> Value {
    let (code, told) = servers.sdfs(&[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{told}\n{}", servers.logs());
    serde_json::from_str(&told).expect("JSON")
}

#[test]
fn a_drained_dserver_may_be_stopped() {
    run(async {
        let mut servers = Servers::start(3, 4).await;
        put_all(&servers).await;
        // Slow enough for the leader to be lost in the middle.
        json(&servers, &["heal", "limit", "2MiB/s"]);
        json(&servers, &["drain", "dserver-2"]);
        servers.kill("mserver-1");
        let told = json(&servers, &["status"]);
        assert_eq!(told["orders"]["draining"]["5"]["by"], "admin", "{told}");
        json(&servers, &["heal", "limit", "none"]);
        let told = json(&servers, &["drain", "dserver-2", "--wait"]);
        assert_eq!(told["drained"], true, "{told}");
        servers.spawn("mserver-1");
        servers.kill("dserver-2");
        let told = json(&servers, &["heal", "status", "--wait"]);
        assert_eq!(told["whole"], true, "{told}");
        check_all(&servers).await;
        // With any other one gone too, everything is still there.
        servers.kill("dserver-4");
        check_all(&servers).await;
        servers.usable().await;
        let (code, told) = servers.sdfs(&["heal", "status"]);
        assert_eq!(code, 0, "{told}");
        let sentence = "dserver-2 keeps no volume any more and may be stopped, ordered by admin";
        assert!(told.contains(sentence), "{told}");
    });
}

#[test]
fn too_few_dservers_refuse_a_drain() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let (code, told) = servers.sdfs(&["drain", "dserver-1"]);
        assert_eq!(code, 9, "{told}");
        let sentence = "only 2 dservers would be left that are up and stay; 3 copies need as many";
        assert!(told.contains(sentence), "{told}");
        let (code, told) = servers.sdfs(&["drain", "mserver-1"]);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("there is no dserver mserver-1"), "{told}");
    });
}

#[test]
fn paused_healing_waits_to_be_started() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        servers.kill("dserver-3");
        put_all(&servers).await;
        json(&servers, &["heal", "pause"]);
        servers.spawn("dserver-3");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let told = json(&servers, &["heal", "status"]);
        assert_eq!(told["whole"], false, "{told}");
        assert_eq!(told["orders"]["healing_paused"]["by"], "admin", "{told}");
        json(&servers, &["heal", "start"]);
        let told = json(&servers, &["heal", "status", "--wait"]);
        assert_eq!(told["whole"], true, "{told}");
        check_all(&servers).await;
    });
}

#[test]
fn copies_are_spread_to_a_newcomer() {
    run(async {
        let mut servers = Servers::prepare(3, 4);
        for name in servers.names() {
            if name != "dserver-4" {
                servers.spawn(&name);
            }
        }
        servers.usable().await;
        put_all(&servers).await;
        servers.spawn("dserver-4");
        servers.healed().await;
        let told = json(&servers, &["rebalance", "--wait"]);
        assert_eq!(told["rebalancing"], false, "{told}");
        let counts = told["volumes"].as_object().expect("counts");
        let counts: Vec<u64> = counts.values().filter_map(Value::as_u64).collect();
        let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        assert!(counts.len() == 4 && most - least <= 1, "{told}");
        let told = json(&servers, &["heal", "status", "--wait"]);
        assert_eq!(told["whole"], true, "{told}");
        check_all(&servers).await;
    });
}
