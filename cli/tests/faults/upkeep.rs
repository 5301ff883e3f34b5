//! Orders for the volumes' upkeep: a dserver emptied and stopped, copies spread, healing held.

use std::time::{Duration, Instant};

use sdfs_client::PutOptions;
use sdfs_types::{ServerId, VolumeMap};
use serde_json::Value;

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};

const FILES: u64 = 30;
const BYTES: usize = 200_000;

pub(crate) async fn put_all(servers: &Servers) {
    let client = servers.client().await;
    for number in 0..FILES {
        let data = content::bytes(number, BYTES);
        let put = client
            .put(&format!("/{number}"), data, PutOptions::default())
            .await;
        put.expect("a put");
    }
}

pub(crate) async fn check_all(servers: &Servers) {
    let client = servers.client().await;
    for number in 0..FILES {
        let read = client.get(&format!("/{number}")).await;
        let read = read.unwrap_or_else(|error| panic!("/{number}: {error}\n{}", servers.logs()));
        assert!(read == content::bytes(number, BYTES), "/{number}");
    }
}

pub(crate) fn json(servers: &Servers, arguments: &[&str]) -> Value {
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
        until_empty(&servers, "dserver-2").await;
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

/// Waits until a dserver keeps no block.
async fn until_empty(servers: &Servers, name: &str) {
    let begun = Instant::now();
    loop {
        let told = json(servers, &["status"]);
        let all = told["servers"].as_array().expect("servers");
        let server = all
            .iter()
            .find(|server| server["name"] == name)
            .expect("it");
        let space = &server["status"]["spaces"][0];
        if space["blocks"] == 0 {
            return;
        }
        assert!(begun.elapsed() < HEALED_WITHIN, "{name}: {space}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_dserver_away_for_long_is_replaced() {
    run(async {
        let mut servers = Servers::prepare(3, 4);
        servers.rewrite_config(|text| {
            text.replacen("storage: (", "storage: (replace_after_s: 1, ", 1)
        });
        servers.spawn_all();
        servers.usable().await;
        put_all(&servers).await;
        servers.kill("dserver-1");
        let begun = Instant::now();
        let is_replaced = |told: &Value| {
            let all = told["servers"].as_array().expect("servers");
            let volumes = all.iter().filter(|server| server["role"] == "Mserver");
            let volumes = volumes.filter_map(|server| server["status"]["volumes"].as_array());
            let mut members = volumes.flatten().filter_map(|v| v["members"].as_array());
            members.all(|members| {
                let is_in_sync = |m: &Value| m["server"] != 4 && m["state"] == "InSync";
                members.len() == 3 && members.iter().all(is_in_sync)
            })
        };
        while !is_replaced(&json(&servers, &["status"])) {
            assert!(begun.elapsed() < HEALED_WITHIN, "{}", servers.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        check_all(&servers).await;
        // Back again it gives up what it keeps of volumes that are others' now.
        servers.spawn("dserver-1");
        until_empty(&servers, "dserver-1").await;
        check_all(&servers).await;
    });
}

#[test]
fn an_emptied_disk_is_filled_again() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        put_all(&servers).await;
        servers.kill("dserver-2");
        let begun = Instant::now();
        while json(&servers, &["heal", "status"])["whole"] == true {
            assert!(begun.elapsed() < HEALED_WITHIN, "nobody missed it");
        }
        let config = servers.config();
        let dserver = config.server_named("dserver-2").expect("a dserver");
        std::fs::remove_dir_all(&dserver.space[0]).expect("the disk is lost");
        servers.spawn("dserver-2");
        let told = json(&servers, &["heal", "status", "--wait"]);
        assert_eq!(told["whole"], true, "{told}");
        let (code, told) = servers.sdfs(&["scrub", "--wait"]);
        assert_eq!(code, 0, "{told}");
        // Now it is the only one.
        servers.kill("dserver-1");
        servers.kill("dserver-3");
        check_all(&servers).await;
    });
}

#[test]
fn swapped_disks_are_refused() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        servers.kill_all();
        servers.rewrite_config(|text| {
            text.replace("data/dserver-1", "data/other")
                .replace("data/dserver-2", "data/dserver-1")
                .replace("data/other", "data/dserver-2")
        });
        let (code, said) = servers.sdfs(&["serve", "--name", "dserver-1"]);
        assert_ne!(code, 0, "{said}");
        let sentence = "belongs to server 5 of cluster embedded, and this is server 4 of cluster";
        assert!(said.contains(sentence), "{said}");
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
        tokio::time::sleep(Duration::from_secs(3)).await;
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
        let client = servers.client().await;
        let begun = Instant::now();
        let is_member = |map: &VolumeMap| {
            let mut volumes = map.volumes.values();
            volumes.any(|volume| volume.state_of(ServerId(7)).is_some())
        };
        while !is_member(&client.volume_map().await.expect("a map")) {
            assert!(begun.elapsed() < HEALED_WITHIN, "{}", servers.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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
