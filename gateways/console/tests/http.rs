//! The HTTP door over real sockets: every metric is documented and told, readiness is the truth,
//! and what is no request harms nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::BTreeSet;
use std::time::Duration;

use kit::promtool::promtool;
use kit::{cluster, exchange, get, http_of, until};
use sdfs_client::{Client, PutOptions};
use sdfs_console::limits::HTTP_CONNECTIONS_MAX;
use sdfs_console::metrics::ALL;
use sdfs_server::Cluster;
use tokio::net::TcpStream;

/// Told only while a copy is being brought up to date.
const DURING_A_SYNC: [&str; 2] = [
    "sdfs_volume_sync_done_bytes",
    "sdfs_volume_sync_copied_bytes",
];

#[test]
fn every_metric_is_documented() {
    let page = include_str!("../../../docs/METRICS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
    let told: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(
        documented, told,
        "docs/METRICS.md lists them in the order they are told"
    );
    for metric in ALL {
        let row = format!("| `{}` | {:?} |", metric.name, metric.kind);
        assert!(page.contains(&row.to_lowercase()), "{row}");
        let is_described = page.contains(metric.help.trim_end_matches('.'));
        assert!(is_described, "{}: {}", metric.name, metric.help);
    }
}

#[actix_rt::test]
async fn operators_are_told_the_truth() {
    let mut cluster = cluster().await;
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    client
        .put("/a", vec![7; 100_000], PutOptions::default())
        .await
        .unwrap();
    everything_is_told(&cluster).await;
    strangers_harm_nobody(&cluster).await;
    places_are_bounded(&cluster).await;
    a_minority_says_so(&mut cluster).await;
}

async fn everything_is_told(cluster: &Cluster) {
    let mut told = BTreeSet::new();
    for server in &cluster.config().servers {
        let door = http_of(cluster, server.name.as_str());
        assert_eq!(get(door, "/healthz").await, (200, "alive\n".to_owned()));
        until(door, "/readyz", |answer| {
            *answer == (200, "ready\n".to_owned())
        })
        .await;
        // Round trips are known after the first pings.
        let (_, text) = until(door, "/metrics", |(_, text)| {
            text.matches("\nsdfs_peer_rtt_seconds{").count() == 5
        })
        .await;
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = names.map(|line| line.split(' ').next().unwrap()).collect();
        let different: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(different.len(), names.len(), "each family is headed once");
        told.extend(different);
        promtool(&["check", "metrics"], &text);
        if server.name.as_str() == "dserver-1" {
            assert!(value(&text, "sdfs_log_syncs_total{") > 0);
            assert!(value(&text, "sdfs_space_live_bytes{") >= 100_000);
        }
    }
    let all: BTreeSet<_> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let missing: Vec<_> = all.difference(&told).collect();
    assert!(
        missing
            .iter()
            .all(|name| DURING_A_SYNC.contains(&name.as_str())),
        "{missing:?}"
    );
    let mut puts = 0;
    for name in ["mserver-1", "mserver-2", "mserver-3"] {
        let (_, text) = get(http_of(cluster, name), "/metrics").await;
        if text.contains("call=\"FinishPut\"") {
            puts += value(&text, "sdfs_call_seconds_count{call=\"FinishPut\"}");
        }
    }
    assert!(puts >= 1);
}

/// The value of the first sample that begins so.
fn value(text: &str, begin: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no {begin} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn strangers_harm_nobody(cluster: &Cluster) {
    let door = http_of(cluster, "mserver-1");
    assert_eq!(get(door, "/nothing").await.0, 404);
    let post = "POST /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(
        exchange(door, post.as_bytes())
            .await
            .starts_with("HTTP/1.1 405")
    );
    let stranger = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = exchange(door, stranger.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (status, page) = get(door, "/").await;
    assert!(status == 200 && page.contains("<!doctype html>"));
    let (status, look) = get(door, "/api/status").await;
    assert!(status == 200 && look.contains("\"dserver-3\""), "{look}");
    exchange(door, b"\x00\xff\xfe garbage\r\n\r\n").await;
    exchange(door, &[b'x'; 40_000]).await;
    let (_, text) = get(door, "/metrics").await;
    assert_eq!(
        value(&text, "sdfs_http_closed_total{reason=\"not_http\"}"),
        2
    );
    assert_eq!(
        value(&text, "sdfs_http_requests_total{outcome=\"not_allowed\"}"),
        1
    );
    assert_eq!(
        value(&text, "sdfs_http_requests_total{outcome=\"not_found\"}"),
        1
    );
}

async fn places_are_bounded(cluster: &Cluster) {
    let door = http_of(cluster, "mserver-2");
    let mut held = Vec::new();
    for _ in 0..HTTP_CONNECTIONS_MAX {
        held.push(TcpStream::connect(door).await.unwrap());
    }
    // Whoever is too many is closed without a word.
    assert_eq!(exchange(door, b"").await, "");
    drop(held);
    let is_answered = |(_, text): &(u16, String)| text.contains("reason=\"too_many\"");
    let mut text = String::new();
    for _ in 0..200 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        tokio::time::sleep(Duration::from_millis(20)).await;
        text = exchange(door, request).await;
        if is_answered(&(200, text.clone())) {
            break;
        }
    }
    assert!(value(&text, "sdfs_http_closed_total{reason=\"too_many\"}") >= 1);
}

async fn a_minority_says_so(cluster: &mut Cluster) {
    cluster.kill("mserver-1").unwrap();
    cluster.kill("mserver-2").unwrap();
    for name in ["mserver-3", "dserver-1"] {
        let door = http_of(cluster, name);
        let (_, why) = until(door, "/readyz", |(status, _)| *status == 503).await;
        assert!(
            why.contains("no majority of the mservers is heard"),
            "{why}"
        );
        assert!(why.contains("mserver-1"), "{why}");
        assert_eq!(get(door, "/healthz").await.0, 200);
        let is_alone = |(_, text): &(u16, String)| {
            text.contains("\nsdfs_ready 0\n") && !text.contains("\nsdfs_alone_seconds 0.000000\n")
        };
        until(door, "/metrics", is_alone).await;
    }
    cluster.restart("mserver-1").await.unwrap();
    for name in ["mserver-1", "mserver-3", "dserver-1"] {
        until(http_of(cluster, name), "/readyz", |(status, _)| {
            *status == 200
        })
        .await;
    }
}
