//! What the console tells and does at its own server: events as they happen, how a name came to
//! be, what is slow, what is reserved; and who may come when no mserver is left.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::time::Instant;

use kit::talk::Talk;
use kit::{PATIENCE, cluster, console_of, http_of, until};
use sdfs_client::{Client, CreateOptions, PutOptions};
use sdfs_console::CLUSTER_LOGIN_LABEL;
use sdfs_server::Cluster;
use sdfs_server_group::{ClusterSecret, UserKey};
use sdfs_types::CLUSTER_USER;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

fn holder_of_the_secret(cluster: &Cluster) -> UserKey {
    let secret = ClusterSecret::from_file(&cluster.config().secret_file).unwrap();
    UserKey(secret.derive(CLUSTER_LOGIN_LABEL))
}

async fn object(talk: &mut Talk, command: &str) -> Value {
    let answer = talk.ask(command).await;
    let object: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(object["ok"], true, "{command}: {object}");
    object
}

#[actix_rt::test]
async fn operators_see_what_happens_and_come_in_without_mservers() {
    let mut cluster = cluster().await;
    let admin = cluster.config().admin_key().unwrap();
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    let put = client.put("/put", vec![7; 100_000], PutOptions::default());
    put.await.unwrap();
    let mut talk = Talk::login(console_of(&cluster, "mserver-1"), "admin", &admin).await;
    talk.ask("json on").await;
    names_are_explained(&mut talk).await;
    what_is_held_is_told(&cluster, &admin, &mut talk).await;
    lag_is_told_by_leaders(&cluster, &admin).await;
    everything_goes_to_disk(&cluster, &admin).await;
    events_are_followed(&mut cluster, &admin).await;
    the_minority_says_so(&mut cluster, &admin).await;
    without_mservers(&mut cluster, &admin).await;
}

/// Of a put both halves: the vote, and what was decided when its blocks were written.
async fn names_are_explained(talk: &mut Talk) {
    let explained = object(talk, "explain /put").await;
    let steps = explained["rows"].as_array().unwrap();
    let number = |step: &Value| step["step"].as_u64().unwrap();
    let numbers: Vec<_> = steps.iter().map(number).collect();
    for step in [1, 2, 3, 4, 6, 7] {
        assert!(numbers.contains(&step), "step {step} is not in {explained}");
    }
    assert_eq!(explained["fields"]["timeline"], "below");
    assert_eq!(explained["fields"]["size_bytes"], 100_000);
    let times: Vec<_> = steps.iter().map(|step| step["at_ms"].as_u64()).collect();
    assert!(times.is_sorted(), "{explained}");
    assert!(steps[0]["what"].as_str().unwrap().contains("coordinates"));
}

/// The vote of a put has reserved its name, and dservers have leases of the mservers.
async fn what_is_held_is_told(cluster: &Cluster, admin: &UserKey, talk: &mut Talk) {
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    // Its blocks are being written for as long as somebody likes.
    let (mut content, mut reader) = tokio::io::duplex(1 << 16);
    content.write_all(&[7; 1_000]).await.unwrap();
    let putting = client.clone();
    let put = actix_rt::spawn(async move {
        // What replaces takes its name from nobody, and reserves none.
        let options = PutOptions {
            replace: false,
            ..PutOptions::default()
        };
        putting.put_from("/being-put", &mut reader, options).await
    });
    let begun = Instant::now();
    loop {
        let locks = object(talk, "locks").await;
        let rows = locks["rows"].as_array().cloned().unwrap_or_default();
        let held = rows.iter().find(|row| row["what"] == "/being-put");
        if let Some(held) = held {
            assert_eq!(held["kind"], "name", "{held}");
            assert!(held["holder"].as_str().unwrap().starts_with("mserver-"));
            assert!(held["ends_in_ms"].as_u64().unwrap() > 0, "{held}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{locks}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(content);
    put.await.unwrap().unwrap();
    let options = CreateOptions {
        size_bytes: 1 << 20,
        ..CreateOptions::default()
    };
    client
        .create_file_meta_data("/made", options)
        .await
        .unwrap();
    let mut rooms = 0;
    for dserver in ["dserver-1", "dserver-2", "dserver-3"] {
        let mut talk = Talk::login(console_of(cluster, dserver), "admin", admin).await;
        rooms += usize::from(talk.ask("locks").await.contains("room  "));
    }
    assert_eq!(rooms, 3, "each copy's room is promised until it is written");
    for command in ["slow", "groups", "volumes"] {
        object(talk, command).await;
    }
}

async fn lag_is_told_by_leaders(cluster: &Cluster, admin: &UserKey) {
    let mut leaders = 0;
    for mserver in ["mserver-1", "mserver-2", "mserver-3"] {
        let mut talk = Talk::login(console_of(cluster, mserver), "admin", admin).await;
        talk.ask("json on").await;
        let groups = object(&mut talk, "groups").await;
        let root = groups["rows"].as_array().unwrap().iter();
        let root = root.clone().find(|row| row["group"] == 0).unwrap();
        let lags = root["lag"].as_array().unwrap();
        assert_eq!(lags.is_empty(), root["state"] != "leader", "{root}");
        leaders += usize::from(!lags.is_empty());
    }
    assert_eq!(leaders, 1);
}

async fn everything_goes_to_disk(cluster: &Cluster, admin: &UserKey) {
    let table = [
        ("mserver-2", ["the root group  ", "  holds entry "]),
        ("dserver-2", ["", "  its index is written"]),
    ];
    for (server, words) in table {
        let mut talk = Talk::login(console_of(cluster, server), "admin", admin).await;
        let answer = talk.ask("snapshot").await;
        let is_told = |words: &&str| answer.contains(*words);
        assert!(words.iter().all(is_told), "{answer}");
        let audit = talk.ask("audit").await;
        assert!(audit.contains("snapshot"), "{audit}");
    }
}

async fn events_are_followed(cluster: &mut Cluster, admin: &UserKey) {
    let mut talk = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    let mut programs = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    programs.ask("json on").await;
    // Who was not seen yet cannot be missed.
    let begun = Instant::now();
    while !talk.ask("events").await.contains("dserver-3 is heard") {
        assert!(begun.elapsed() < PATIENCE, "dserver-3 is not heard");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for follower in [&mut talk, &mut programs] {
        follower.send("events follow\n").await;
    }
    cluster.kill("dserver-3").unwrap();
    let lost = loop {
        let line = talk.line().await.expect("the session goes on");
        assert!(line.starts_with("  "), "{line}");
        if line.ends_with("dserver-3 is lost") {
            break line;
        }
    };
    assert!(lost.contains("  trouble  "), "{lost}");
    talk.send("\n").await;
    loop {
        let line = talk.line().await.expect("an end");
        if line == "ok" {
            break;
        }
        assert!(line.starts_with("  "), "{line}");
    }
    assert!(talk.ask("status").await.ends_with("ok\n"), "it goes on");
    loop {
        let line = programs.line().await.expect("the session goes on");
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"]["what"] == "dserver-3 is lost" {
            break;
        }
    }
    programs.send("enough\n").await;
    loop {
        let line = programs.line().await.expect("an end");
        if line == "{\"ok\":true}" {
            break;
        }
    }
}

async fn the_minority_says_so(cluster: &mut Cluster, admin: &UserKey) {
    let mut talk = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    let old = "this side is the minority since ";
    assert!(!talk.ask("volumes").await.contains(old));
    cluster.kill("mserver-2").unwrap();
    cluster.kill("mserver-3").unwrap();
    let door = http_of(cluster, "mserver-1");
    until(door, "/api/status", |(_, look)| {
        !look.contains("\"alone_since_ms\":null,\"cluster\"")
    })
    .await;
    for command in ["volumes", "status", "groups"] {
        let answer = talk.ask(command).await;
        assert!(
            answer.starts_with(&format!("  {old}")),
            "{command}: {answer}"
        );
    }
    talk.ask("json on").await;
    let volumes = object(&mut talk, "volumes").await;
    assert!(volumes["old"].as_str().unwrap().starts_with(old));
}

/// With the cluster's secret somebody looks, and stops a server; nothing of the cluster's is his.
async fn without_mservers(cluster: &mut Cluster, admin: &UserKey) {
    cluster.kill("mserver-1").unwrap();
    let address = console_of(cluster, "dserver-1");
    let begun = Instant::now();
    loop {
        let mut talk = Talk::to(address).await;
        let proof = talk.proof("admin", admin);
        let answer = talk.ask(&format!("login admin {proof}")).await;
        if answer.starts_with("error no_mserver ") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
    }
    let mut talk = Talk::to(address).await;
    let proof = talk.proof(CLUSTER_USER, admin);
    let wrong = talk.ask(&format!("login {CLUSTER_USER} {proof}")).await;
    assert_eq!(wrong, "error wrong_login the user or the proof is wrong\n");
    let key = holder_of_the_secret(cluster);
    let mut talk = Talk::login(address, CLUSTER_USER, &key).await;
    let status = talk.ask("status").await;
    assert!(
        status.contains("no majority of the mservers is heard"),
        "{status}"
    );
    assert!(talk.ask("spaces").await.ends_with("ok\n"));
    assert!(talk.ask("users").await.starts_with("error no_mserver "));
    assert_eq!(
        talk.ask("stop dserver-1").await,
        "confirm by typing dserver-1\n"
    );
    assert_eq!(talk.ask("dserver-1").await, "  stopping\nok\n");
}
