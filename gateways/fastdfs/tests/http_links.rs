//! Signed links and links to files of other groups, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kit::http::{Http, get};
use kit::{PATIENCE, Talk, cluster, cluster_of_groups, content, doors, http_doors, upload};
use sdfs_fastdfs::Links;
use sdfs_server::{Cluster, ServerError};
use sdfs_server_group::{Config, FastDfs, LinkSecret, Network, Role};
use sdfs_types::clock;

const SECRET: &str = "FastDFS1234567890";
const TTL_S: u64 = 300;

/// Restarts a dserver with other settings.
async fn restart_with(
    cluster: &mut Cluster,
    name: &str,
    change: impl FnOnce(&mut FastDfs),
) -> Result<(), sdfs_server::ClusterError> {
    let mut config: Config = (**cluster.config()).clone();
    change(config.fastdfs.as_mut().unwrap());
    cluster.set_config(Arc::new(config));
    cluster.restart(name).await
}

fn now_s() -> u64 {
    clock::now_ms() / 1_000
}

#[actix_rt::test]
async fn links_are_signed_where_that_is_wanted() {
    let mut cluster = cluster(1, 2, "copies: 2, copies_min: 1").await;
    let mut talk = Talk::to(doors(&cluster, Role::Dserver)[0]).await;
    let bytes = content(1, 5_000);
    let name = talk.upload(&bytes, "jpg").await;
    let gone = talk.upload(&bytes, "jpg").await;
    assert_eq!(talk.delete(&gone).await, 0);
    let file = cluster.folder().join("links.secret");
    for wrong in [None, Some("short"), Some(&*"x".repeat(200))] {
        if let Some(wrong) = wrong {
            std::fs::write(&file, wrong).unwrap();
        }
        let changed = restart_with(&mut cluster, "dserver-2", |settings| {
            settings.link_secret = Some(file.clone());
        });
        let refused = changed.await.unwrap_err();
        let is_told = refused.to_string().contains("links.secret");
        assert!(is_told, "{wrong:?}: {refused}");
        let is_secret = matches!(
            refused,
            sdfs_server::ClusterError::Server(ServerError::Secret(_))
        );
        assert!(is_secret, "{refused:?}");
    }
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    restart_with(&mut cluster, "dserver-2", |settings| {
        settings.link_secret = Some(file.clone());
        settings.link_ttl_s = TTL_S;
    })
    .await
    .unwrap();
    cluster.ready().await.unwrap();
    assert_answers_to_links(&cluster, &name, &bytes).await;
    let http = http_doors(&cluster);
    let links = Links::new(LinkSecret::of_secret(SECRET), TTL_S);
    // Whoever has no link learns not even what is there.
    let reply = get(http[1], &format!("/group1/{gone}"), &[]).await;
    assert_eq!(reply.status, 403);
    let ts = now_s();
    let signed = format!("/group1/{gone}?token={}&ts={ts}", links.token(&gone, ts));
    assert_eq!(get(http[1], &signed, &[]).await.status, 404);
    // A dserver that was not told of the secret wants no token.
    let reply = get(http[0], &format!("/group1/{name}"), &[]).await;
    assert!(reply.status == 200 && reply.body == bytes);
}

async fn assert_answers_to_links(cluster: &Cluster, name: &str, bytes: &[u8]) {
    let links = Links::new(LinkSecret::of_secret(SECRET), TTL_S);
    let others = Links::new(LinkSecret::of_secret("another secret of it"), TTL_S);
    let now_s = now_s();
    let signed = |ts: u64| format!("?token={}&ts={ts}", links.token(name, ts));
    let right = links.token(name, now_s);
    // Seconds pass while this is asked: nothing lies within a minute of its bound.
    let table = [
        (signed(now_s), 200, ""),
        (signed(now_s - TTL_S + 60), 200, ""),
        (signed(now_s + TTL_S - 60), 200, ""),
        (signed(now_s - TTL_S - 1), 403, "expired"),
        (signed(0), 403, "expired"),
        (signed(now_s + TTL_S + 60), 403, "future"),
        (String::new(), 403, "needs a token"),
        (format!("?token={right}"), 403, "needs a token"),
        (format!("?ts={now_s}"), 403, "needs a token"),
        (format!("?token={}&ts={now_s}", &right[1..]), 403, "32"),
        (format!("?token={right}&ts=soon"), 403, "number"),
        (format!("?token={right}&ts={}", now_s - 1), 403, "wrong"),
        (
            format!("?token={}&ts={now_s}", others.token(name, now_s)),
            403,
            "wrong",
        ),
    ];
    let mut http = Http::to(http_doors(cluster)[1]).await;
    for (query, status, words) in table {
        let path = format!("/group1/{name}{query}");
        let reply = http.ask("GET", &path, &[]).await;
        assert_eq!(reply.status, status, "{query}: {reply:?}");
        match status {
            200 => assert!(reply.body == bytes),
            _ => {
                assert!(reply.text().contains(words), "{query}: {}", reply.text());
                assert_eq!(reply.text().lines().count(), 1);
                assert!(reply.header("etag").is_none());
            }
        }
        let head = http.ask("HEAD", &path, &[]).await;
        assert_eq!(head.status, status, "{query}");
    }
}

#[actix_rt::test]
async fn only_networks_that_are_allowed_read() {
    let mut cluster = cluster(1, 2, "copies: 2, copies_min: 1").await;
    let mut talk = Talk::to(doors(&cluster, Role::Dserver)[0]).await;
    let name = talk.upload(b"for some", "txt").await;
    let path = format!("/group1/{name}");
    restart_with(&mut cluster, "dserver-2", |settings| {
        settings.allow = vec![Network::parse("10.0.0.0/8").unwrap()];
    })
    .await
    .unwrap();
    let mut stranger = Http::to(http_doors(&cluster)[1]).await;
    assert!(stranger.is_closed().await);
    let reply = get(http_doors(&cluster)[0], &path, &[]).await;
    assert_eq!((reply.status, &*reply.text()), (200, "for some"));
}

#[actix_rt::test]
async fn an_id_of_another_group_is_sent_on() {
    let groups = ["group1", "group2", "group2", "group2"];
    let mut cluster = cluster_of_groups(1, &groups, "copies: 1, copies_min: 1").await;
    let http = http_doors(&cluster);
    let bytes = content(1, 2_000);
    let mut talk = Talk::to(doors(&cluster, Role::Dserver)[2]).await;
    let begun = Instant::now();
    let answer = loop {
        let (status, answer) = talk.ask(11, &upload(&bytes, "jpg")).await;
        if status == 0 {
            break answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    };
    let name = String::from_utf8(answer[16..].to_vec()).unwrap();
    let path = format!("/group2/{name}?token=x&ts=7");
    // Each of them in turn, with all of the path.
    let mut led_to = BTreeSet::new();
    for method in ["GET", "HEAD", "GET", "GET", "GET", "GET"] {
        let reply = Http::to(http[0]).await.ask(method, &path, &[]).await;
        assert_eq!(reply.status, 302, "{reply:?}");
        let location = reply.header("location").unwrap().to_owned();
        let rest = location.strip_prefix("http://").unwrap();
        let (place, led) = rest.split_once('/').unwrap();
        assert_eq!(format!("/{led}"), path);
        let door = place.parse().unwrap();
        assert!(http[1..].contains(&door), "{location}");
        let reply = get(door, &path, &[]).await;
        assert!(reply.status == 200 && reply.body == bytes);
        led_to.insert(door);
    }
    assert_eq!(led_to.len(), 3);
    for (path, status) in [("/group3/M00", 404), ("/group2/M00", 400)] {
        assert_eq!(get(http[0], path, &[]).await.status, status, "{path}");
    }
    // Only to those that are heard; when nobody is, that is said.
    for dead in ["dserver-2", "dserver-3"] {
        cluster.kill(dead).unwrap();
    }
    let begun = Instant::now();
    loop {
        let mut led_to = BTreeSet::new();
        for _ in 0..6 {
            let reply = get(http[0], &path, &[]).await;
            led_to.insert(reply.header("location").unwrap().to_owned());
        }
        if led_to == [format!("http://{}{path}", http[3])].into() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{led_to:?}");
    }
    cluster.kill("dserver-4").unwrap();
    let begun = Instant::now();
    loop {
        let reply = get(http[0], &path, &[]).await;
        if reply.status == 503 {
            assert_eq!(reply.header("retry-after"), Some("2"));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
    }
}
