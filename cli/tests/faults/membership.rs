//! Servers that join and leave while files are stored and read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sdfs_client::{Client, PutOptions};
use serde_json::Value;

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};
use super::upkeep::{check_all, json, put_all};

const LOADED_BYTES: usize = 100_000;

/// Stores files and reads each back, until told to stop; how many.
async fn load(client: Client, stop: Arc<AtomicBool>) -> u64 {
    let mut stored = 0;
    while !stop.load(Ordering::Relaxed) {
        let (path, data) = (
            format!("/load-{stored}"),
            content::bytes(stored, LOADED_BYTES),
        );
        let put = client.put(&path, data.clone(), PutOptions::default()).await;
        put.unwrap_or_else(|error| panic!("{path}: {error}"));
        let read = client
            .get(&path)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(read == data, "{path}");
        stored += 1;
    }
    stored
}

async fn check_load(servers: &Servers, stored: u64) {
    let client = servers.client().await;
    for number in 0..stored {
        let read = client
            .get(&format!("/load-{number}"))
            .await
            .expect("a file");
        assert!(
            read == content::bytes(number, LOADED_BYTES),
            "/load-{number}"
        );
    }
}

/// The record of a server, by name.
fn listed(told: &Value, name: &str) -> Value {
    let servers = told["list"]["servers"].as_array().expect("a list");
    let found = servers.iter().rev().find(|one| one["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {told}"))
        .clone()
}

async fn until_state(servers: &Servers, name: &str, state: &str) {
    let begun = Instant::now();
    loop {
        let told = listed(&json(servers, &["status"]), name);
        if told["state"] == state {
            return;
        }
        assert!(
            begun.elapsed() < HEALED_WITHIN,
            "{told}\n{}",
            servers.logs()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A configuration of a newcomer's own: it knows one mserver and itself. The command that has it
/// expected comes along.
fn newcomer(servers: &Servers, name: &str) -> (PathBuf, String) {
    let port = sdfs_server::free_ports(1).expect("a port")[0];
    let address = format!("127.0.0.1:{port}");
    let first = servers.config().servers[0].address;
    let text = format!(
        "(cluster: \"embedded\", secret_file: \"secret\", \
         admin: (name: \"admin\", secret_file: \"admin.secret\"), servers: [\
         (name: \"mserver-1\", role: Mserver, address: \"{first}\", space: [\"elsewhere\"]),\
         (name: \"{name}\", role: Dserver, address: \"{address}\", space: [\"data/{name}\"]),], \
         storage: (segment_bytes: 16777216, reserve_bytes: 0),)"
    );
    let path = servers.folder().join(format!("{name}.conf"));
    std::fs::write(&path, text).expect("it can be written");
    (path, address)
}

fn join<'a>(name: &'a str, address: &'a str) -> [&'a str; 9] {
    [
        "join",
        "--name",
        name,
        "--role",
        "dserver",
        "--address",
        address,
        "--zone",
        "d",
    ]
}

#[test]
fn a_dserver_joins_and_another_leaves_under_load() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        put_all(&servers).await;
        let stop = Arc::new(AtomicBool::new(false));
        let loading = tokio::spawn(load(servers.client().await, Arc::clone(&stop)));
        let (config, address) = newcomer(&servers, "dserver-4");
        let told = json(&servers, &join("dserver-4", &address));
        assert_eq!(
            (&told["server"]["id"], &told["server"]["state"]),
            (&7.into(), &"joining".into())
        );
        assert_eq!(json(&servers, &join("dserver-4", &address)), told);
        servers.spawn_joining("dserver-4", &config);
        until_state(&servers, "dserver-4", "member").await;
        json(&servers, &["rebalance", "--wait"]);
        let told = json(&servers, &["leave", "dserver-1", "--wait"]);
        assert_eq!(told["server"]["state"], "gone", "{told}");
        let (code, log) = servers.ended("dserver-1").await;
        assert!(
            code == 13 && log.contains("has left the cluster"),
            "{code}: {log}"
        );
        servers.healed().await;
        stop.store(true, Ordering::Relaxed);
        let stored = loading.await.expect("no file is lost");
        assert!(stored > 0);
        check_all(&servers).await;
        check_load(&servers, stored).await;
        let told = json(&servers, &["verify"]);
        assert_eq!(told["findings"], Value::Array(Vec::new()), "{told}");
        // Every server ends and comes back; the list is as it was.
        let list = json(&servers, &["status"])["list"].clone();
        servers.kill_all();
        for name in servers.names() {
            if name != "dserver-1" {
                servers.spawn(&name);
            }
        }
        servers.spawn_joining("dserver-4", &config);
        servers.usable().await;
        servers.healed().await;
        assert_eq!(json(&servers, &["status"])["list"], list);
        check_all(&servers).await;
        check_load(&servers, stored).await;
        // Whoever was away finds out.
        servers.spawn("dserver-1");
        let (code, log) = servers.ended("dserver-1").await;
        assert!(
            code == 13 && log.contains("cannot come back"),
            "{code}: {log}"
        );
    });
}

#[test]
fn a_third_dserver_gets_a_copy_of_all_there_is() {
    run(async {
        let mut servers = Servers::start(1, 2).await;
        put_all(&servers).await;
        let (config, address) = newcomer(&servers, "dserver-3");
        json(&servers, &join("dserver-3", &address));
        // While it only is expected nothing is missed there.
        assert_eq!(json(&servers, &["heal", "status"])["whole"], true);
        servers.spawn_joining("dserver-3", &config);
        until_state(&servers, "dserver-3", "member").await;
        let told = json(&servers, &["heal", "status", "--wait"]);
        assert_eq!(told["whole"], true, "{told}");
        let map = servers.client().await.volume_map().await.expect("a map");
        for volume in map.volumes.values() {
            assert_eq!(volume.readable().count(), 3, "{volume:?}");
        }
        check_all(&servers).await;
    });
}

#[test]
fn a_stranger_is_told_how_to_join() {
    run(async {
        let servers = Servers::start(1, 1).await;
        let (config, address) = newcomer(&servers, "dserver-2");
        let first = servers.config().servers[0].address.to_string();
        let serve = ["serve", "--name", "dserver-2", "--join", &first];
        let (code, said) = servers.sdfs_with(&config, &serve);
        assert_eq!(code, 13, "{said}");
        let command = format!("sdfs join --name dserver-2 --role dserver --address {address}");
        assert!(said.contains(&command), "{said}");
        // What is taken is refused, with who has it.
        let (code, said) = servers.sdfs(&join("dserver-1", &address));
        assert_eq!(code, 5, "{said}");
        assert!(
            said.contains("server 2 is dserver-1, a dserver at"),
            "{said}"
        );
        let (code, said) = servers.sdfs(&join("dserver-2", &first));
        assert_eq!(code, 5, "{said}");
        assert!(
            said.contains("server 1 is mserver-1, a mserver at"),
            "{said}"
        );
        let (code, said) = servers.sdfs(&["leave", "dserver-9"]);
        assert!(
            code == 1 && said.contains("called dserver-9"),
            "{code}: {said}"
        );
        let (code, said) = servers.sdfs(&["leave", "dserver-1"]);
        assert!(
            code == 9 && said.contains("copies need as many"),
            "{code}: {said}"
        );
    });
}

/// The voters of each group, as the mservers that answer say.
fn voters(told: &Value) -> Vec<Vec<u64>> {
    let servers = told["servers"].as_array().expect("servers");
    let groups = servers
        .iter()
        .filter_map(|one| one["status"]["groups"].as_array());
    let voters = groups.flatten().filter_map(|one| one["voters"].as_array());
    voters
        .map(|voters| voters.iter().filter_map(Value::as_u64).collect())
        .collect()
}

#[test]
fn a_mserver_with_a_lost_disk_is_replaced() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        put_all(&servers).await;
        let (code, said) = servers.sdfs(&["join", "--replace", "mserver-2"]);
        assert!(code == 5 && said.contains("it runs"), "{code}: {said}");
        let (code, said) = servers.sdfs(&["join", "--replace", "dserver-2"]);
        assert!(
            code == 5 && said.contains("only mservers"),
            "{code}: {said}"
        );
        servers.kill("mserver-2");
        let space = servers.config().servers[1].space[0].clone();
        std::fs::remove_dir_all(&space).expect("the disk is lost");
        servers.spawn("mserver-2");
        let (code, log) = servers.ended("mserver-2").await;
        assert_eq!(code, 7, "{log}");
        assert!(log.contains("sdfs join --replace"), "{log}");
        std::fs::remove_dir_all(&space).expect("emptied");
        let told = json(&servers, &["join", "--replace", "mserver-2", "--wait"]);
        assert_eq!(told["server"]["state"], "joining", "{told}");
        servers.spawn("mserver-2");
        until_state(&servers, "mserver-2", "member").await;
        let told = json(&servers, &["status"]);
        let all = voters(&told);
        assert!(
            all.len() == 12 && all.iter().all(|one| one == &[1, 2, 3]),
            "{told}"
        );
        // Its vote counts: with another one gone, names can still be written.
        servers.kill("mserver-1");
        servers.usable().await;
        check_all(&servers).await;
        servers.spawn("mserver-1");
        servers.kill_all();
        servers.spawn_all();
        servers.usable().await;
        check_all(&servers).await;
        // Its second life is as well known as the first.
        servers.kill("mserver-2");
        std::fs::remove_dir_all(&space).expect("the disk is lost once more");
        servers.spawn("mserver-2");
        let (code, log) = servers.ended("mserver-2").await;
        assert_eq!(code, 7, "{log}");
    });
}
