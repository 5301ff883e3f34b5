//! Looking at what is stored. Records that have no name, as a put leaves them that is cut off between
//! the two, are found, and taken away when they are a day old.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, stream};
use sdfs_client::{Client, ClientOptions, PutOptions};
use sdfs_types::BlockSize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use common::{READY_WITHIN, TestCluster, wait_until};

/// Takes the place of libc's, and is a day and an hour ahead.
const TOMORROW: &str = r"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*system)(clockid_t, struct timespec *);
    if (!system) system = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, __func__);
    int failed = system(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += 25 * 3600;
    return failed;
}
";

const BLOCK: usize = 64 << 10;
/// Puts cut off together; the record of each is kept by a group that is drawn.
const PUTS: usize = 6;
/// An election may come between: then all of these puts are done, and others are made.
const ROUNDS: usize = 10;
/// How long a round waits for records, which is no longer than an election takes.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// What is found; blocks that are nobody's are left over as well, and freed when they are old.
fn verify(cluster: &TestCluster, words: &[&str], expected: &[i32]) -> Value {
    let words = [&["--json", "verify", "--older-than", "1s"], words].concat();
    let ran = cluster.run(&words);
    let told = || format!("{}{}\n{}", ran.out, ran.err, cluster.logs());
    assert!(expected.contains(&ran.code), "{}: {}", ran.code, told());
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", told()))
}

/// A source that gives what is sent to it.
fn source() -> (
    mpsc::Sender<Bytes>,
    impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
) {
    let (give, given) = mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(given, |mut given| async move {
        let piece = given.recv().await?;
        Some((Ok(piece), given))
    });
    (give, Box::pin(pieces))
}

/// Who leads the root group, and the other two mservers.
fn root_leader(cluster: &TestCluster) -> (String, [String; 2]) {
    let mut leader = None;
    wait_until("the root group has a leader", READY_WITHIN, || {
        let status = cluster.json(&["status"]);
        let servers = status["servers"].as_array().cloned().unwrap_or_default();
        let groups = servers
            .iter()
            .filter_map(|one| one["status"]["groups"].as_array());
        let mut root = groups.flatten().filter(|group| group["group"] == 0);
        let id = root.find_map(|group| group["leader"].as_u64());
        let named = servers
            .iter()
            .find(|one| id.is_some() && one["status"]["server"].as_u64() == id);
        leader = named.and_then(|one| Some(one["status"]["name"].as_str()?.to_owned()));
        leader.is_some()
    });
    let leader = leader.expect("just seen");
    let mut others: Vec<String> = (1..=3).map(|number| format!("mserver-{number}")).collect();
    others.retain(|name| *name != leader);
    let others = others.try_into().expect("two others");
    (leader, others)
}

/// Changes of records that a mserver has applied.
async fn recorded(client: &Client, mserver: &str) -> u64 {
    let status = client.status(mserver).await.expect("it runs");
    let groups = status.groups.iter().filter(|group| group.group > 0);
    groups.map(|group| group.applied).sum()
}

async fn client(cluster: &TestCluster, via: &str) -> Client {
    let mut options = ClientOptions::of_admin(Arc::new(cluster.config.clone())).expect("options");
    options.via = Some(via.to_owned());
    Client::connect(options).await.expect("connected")
}

/// Puts whose record is made and whose name is not: the root group's leader is frozen, and their
/// coordinator dies before another one is elected.
async fn cut_off_between_record_and_name(cluster: &mut TestCluster, round: usize) {
    let (leader, [coordinator, other]) = root_leader(cluster);
    let putting = client(cluster, &coordinator).await;
    let looking = client(cluster, &other).await;
    let mut gives = Vec::new();
    let mut puts = Vec::new();
    for number in 0..PUTS {
        let (give, mut pieces) = source();
        let (putting, path) = (putting.clone(), format!("/cut-off-{round}-{number}"));
        puts.push(tokio::spawn(async move {
            let options = PutOptions {
                block_size: BlockSize::from_bytes(BLOCK as u64).ok(),
                ..PutOptions::default()
            };
            putting.put_stream(&path, &mut pieces, options).await
        }));
        for piece in 0..2 {
            let bytes = common::bytes(BLOCK + round + number + piece);
            give.send(bytes[..BLOCK].to_vec().into())
                .await
                .expect("it takes more");
        }
        gives.push(give);
    }
    wait_until("their first blocks are written", READY_WITHIN, || {
        let told = cluster.json(&["verify"]);
        told["being_written"].as_u64() >= Some(3 * PUTS as u64)
    });
    let before = recorded(&looking, &other).await;
    cluster.freeze(&leader);
    drop(gives);
    let begun = Instant::now();
    while recorded(&looking, &other).await < before + 1 && begun.elapsed() < RECORDED_WITHIN {}
    cluster.kill(&coordinator);
    cluster.kill(&leader);
    puts.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.restart(&coordinator);
    cluster.restart(&leader);
    cluster.wait_whole();
}

/// Stops all servers and starts them where it is tomorrow.
fn restart_tomorrow(cluster: &mut TestCluster) {
    let folder = cluster.folder.path().to_owned();
    let (source, library) = (folder.join("tomorrow.c"), folder.join("tomorrow.so"));
    std::fs::write(&source, TOMORROW).expect("written");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([library.as_path(), source.as_path(), Path::new("-ldl")])
        .status();
    assert!(built.expect("a C compiler, as for linking").success());
    for number in 1..=3 {
        let mserver = format!("mserver-{number}");
        if cluster.runs(&mserver) {
            cluster.kill(&mserver);
        }
    }
    cluster.down();
    let mut up = cluster.command(&["up", "--ready-within", "110s"]);
    up.env("LD_PRELOAD", library);
    cluster.up_by(up);
}

#[test]
fn records_without_names_are_removed_when_they_are_old() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut cluster = TestCluster::start();
    for number in 0..8_usize {
        let file = cluster.local("file", &common::bytes(200_000 + number));
        cluster.ok(&["put", &file, &format!("/kept-{number}")]);
    }
    cluster.wait_whole();
    let mut nameless = 0;
    for round in 0..ROUNDS {
        runtime.block_on(cut_off_between_record_and_name(&mut cluster, round));
        cluster.ok(&["heal", "status", "--wait"]);
        let told = verify(&cluster, &[], &[0, 12]);
        nameless = told["records_without_name"].as_u64().expect("a number");
        if nameless > 0 {
            break;
        }
    }
    assert!(nameless > 0, "no put was cut off at the right moment");
    let listed = |told: &Value| {
        let findings = told["findings"].as_array().expect("a list").clone();
        let of_records = findings
            .into_iter()
            .filter(|one| one["what"] == "record_without_name");
        of_records.collect::<Vec<_>>()
    };
    let told = verify(&cluster, &[], &[12]);
    assert_eq!(listed(&told).len() as u64, nameless, "{told}");
    // As long as its client may come back for it, nobody takes a record away.
    let told = verify(&cluster, &["--repair"], &[0, 12]);
    assert_eq!(told["removed_records"], 0, "{told}");

    restart_tomorrow(&mut cluster);
    cluster.ok(&["heal", "status", "--wait"]);
    let names = cluster.ok(&["ls"]);
    let told = verify(&cluster, &["--repair"], &[0]);
    assert_eq!(told["removed_records"], nameless, "{told}");
    wait_until("their blocks are gone too", READY_WITHIN, || {
        let told = verify(&cluster, &["--repair"], &[0, 12]);
        assert_eq!(told["records_without_name"], 0, "{told}");
        assert_eq!(told["names_without_record"], 0, "{told}");
        told["findings"] == json!([])
    });
    assert_eq!(cluster.ok(&["ls"]), names);
    for number in 0..8_usize {
        let read = cluster.pipe(&["get", &format!("/kept-{number}"), "-"], b"");
        assert!(
            read.stdout == common::bytes(200_000 + number),
            "/kept-{number}"
        );
    }
}
