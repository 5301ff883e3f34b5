//! The commands against a cluster of real processes.

mod common;

use std::collections::BTreeSet;
use std::process::Stdio;

use common::{TestCluster, bytes, small};
use sdfs_server::ClusterOptions;

#[test]
fn what_is_put_is_got() {
    let cluster = TestCluster::shared();
    let block = 4 * 1024 * 1024;
    for (place, size) in [0, 1, 4_096, block - 1, block, block + 1, 9_000_000]
        .iter()
        .enumerate()
    {
        let content = bytes(*size);
        let local = cluster.local(&format!("in-{place}"), &content);
        let name = format!("/sizes/{place}");
        cluster.ok(&["put", "-p", &local, &name]);
        let back = cluster.folder.path().join(format!("out-{place}"));
        cluster.ok(&["get", &name, back.to_str().expect("UTF-8")]);
        assert!(
            std::fs::read(&back).expect("read") == content,
            "{size} bytes differ"
        );
    }
}

#[test]
fn a_known_content_is_sent_once() {
    let cluster = TestCluster::shared();
    let content = bytes(300_000);
    let local = cluster.local("known-content", &content);
    for (name, sent_bytes) in [("/content-1", 300_000), ("/content-2", 0)] {
        let put = cluster.json(&["put", "--instant", &local, name]);
        assert_eq!(put["sent_bytes"], sent_bytes, "{put}");
    }
    let told = cluster.ok(&["put", "--instant", &local, "/content-2"]);
    assert!(told.contains("nothing was sent"), "{told}");
    let back = cluster.folder.path().join("content-back");
    cluster.ok(&["rm", "/content-1"]);
    cluster.ok(&["get", "/content-2", back.to_str().expect("UTF-8")]);
    assert!(std::fs::read(&back).expect("read") == content);
    let status = cluster.ok(&["status"]);
    assert!(status.contains("1 names share 1 contents"), "{status}");
    let told = cluster.pipe(&["put", "--instant", "-", "/content-3"], b"");
    assert_eq!(told.status.code(), Some(2));
}

#[test]
fn every_mserver_tells_the_same() {
    let cluster = TestCluster::shared();
    let local = cluster.local("same", b"same everywhere");
    cluster.ok(&["--via", "mserver-1", "put", &local, "/same"]);
    let mut told = Vec::new();
    for server in ["mserver-1", "mserver-2", "mserver-3"] {
        assert_eq!(
            cluster.ok(&["--via", server, "get", "/same", "-"]),
            "same everywhere"
        );
        told.push(cluster.json(&["--via", server, "stat", "/same"])["descriptor"].clone());
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[test]
fn standard_input_and_output_are_files() {
    let cluster = TestCluster::shared();
    let content = bytes(5_000_000);
    let stored = cluster.pipe(&["put", "-", "/piped"], &content);
    assert!(
        stored.status.success(),
        "{}",
        String::from_utf8_lossy(&stored.stderr)
    );
    let read = cluster.pipe(&["get", "/piped", "-"], b"");
    assert!(read.status.success() && read.stdout == content);
    assert!(read.stderr.is_empty(), "no progress in a pipe");
    let nameless = cluster.pipe(&["put", "-"], b"");
    assert_eq!(nameless.status.code(), Some(2));
}

#[test]
fn names_come_and_go() {
    let cluster = TestCluster::shared();
    let local = cluster.local("name", b"a name");
    cluster.ok(&["mkdir", "-p", "/names/a/b"]);
    cluster.ok(&["put", &local, "/names/a/"]);
    assert_eq!(cluster.ok(&["ls", "/names/a"]), "b/\nname\n");
    cluster.ok(&["mv", "/names/a/name", "/names/a/b/"]);
    assert_eq!(cluster.ok(&["ls", "/names/a/b"]), "name\n");
    cluster.ok(&["mv", "/names/a", "/names/c"]);
    assert_eq!(cluster.ok(&["get", "/names/c/b/name", "-"]), "a name");
    let err = cluster.fails(5, &["rm", "/names/c"]);
    assert!(err.contains("not empty") && err.contains("rm -r"), "{err}");
    cluster.ok(&["rm", "-r", "/names/c"]);
    assert_eq!(cluster.ok(&["ls", "/names"]), "");
}

#[test]
fn listing_is_in_order() {
    let cluster = TestCluster::shared();
    cluster.ok(&["mkdir", "/order"]);
    for name in ["b", "a", "c", "B", "日"] {
        cluster.ok(&["create", &format!("/order/{name}"), "--size", "3KiB"]);
    }
    assert_eq!(cluster.ok(&["ls", "/order"]), "B\na\nb\nc\n日\n");
    let entries = cluster.json(&["ls", "/order", "--limit", "2"]);
    assert_eq!(entries[1]["name"], "a");
    assert_eq!(entries[1]["size_bytes"], 3_072);
    assert_eq!(entries.as_array().map(Vec::len), Some(2));
    assert_eq!(cluster.json(&["ls", "/order/a"])[0]["name"], "a");
}

#[test]
fn refusals_have_their_exit_code() {
    let cluster = TestCluster::shared();
    let local = cluster.local("refused", b"x");
    cluster.ok(&["put", &local, "/refused"]);
    let table: &[(i32, &[&str], &str)] = &[
        (1, &["get", "/nothing", "-"], "does not exist"),
        (1, &["stat", "/nothing"], "does not exist"),
        (1, &["rm", "/nothing"], "does not exist"),
        (1, &["put", &local, "/nothing/x"], "does not exist"),
        (5, &["create", "/refused"], "exists"),
        (5, &["put", "--no-replace", &local, "/refused"], "exists"),
        (5, &["mkdir", "/refused"], "exists"),
        (5, &["put", &local, "/refused/x"], "not a directory"),
        (10, &["put", "/no/such/file", "/x"], "/no/such/file"),
        (2, &["--via", "dserver-1", "ls"], "mserver"),
    ];
    for (code, words, expected) in table {
        let err = cluster.fails(*code, words);
        assert!(err.contains(expected), "{words:?}: {err}");
    }
}

#[test]
fn nothing_stays_of_a_failed_get() {
    let cluster = TestCluster::shared();
    let folder = cluster.folder.path().join("empty");
    std::fs::create_dir(&folder).expect("made");
    let target = folder.join("file");
    cluster.fails(1, &["get", "/never", target.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 0);
}

#[test]
fn a_create_explains_itself() {
    let cluster = TestCluster::shared();
    let told = cluster.json(&["create", "/explained", "--size", "64MiB", "--explain"]);
    let steps = told["timeline"].as_array().expect("a timeline");
    let numbers: Vec<_> = steps
        .iter()
        .filter_map(|step| step["step"].as_u64())
        .collect();
    for number in [1, 2, 3, 4, 5, 6, 7, 8, 9] {
        assert!(numbers.contains(&number), "no step {number} in {told}");
    }
    let text = cluster.ok(&["create", "/explained-too", "--explain"]);
    assert!(text.contains("chooses main mserver-"), "{text}");
}

#[test]
fn created_files_read_as_zeros() {
    let cluster = TestCluster::shared();
    cluster.ok(&["create", "/zeros", "--size", "100KiB"]);
    let read = cluster.pipe(&["get", "/zeros", "-"], b"");
    assert!(read.stdout == vec![0; 102_400]);
}

#[test]
fn stat_tells_what_was_stored() {
    let cluster = TestCluster::shared();
    let content = bytes(10_000);
    let local = cluster.local("known", &content);
    cluster.ok(&["put", &local, "/known", "--block-size", "64KiB"]);
    let stat = cluster.json(&["stat", "/known"]);
    assert_eq!(stat["size_bytes"], 10_000);
    assert_eq!(stat["block_bytes"], 65_536);
    assert_eq!(stat["blake3"], blake3::hash(&content).to_hex().as_str());
    assert_eq!(stat["owner"], "admin");
    let text = cluster.ok(&["stat", "/known"]);
    assert!(text.contains("main") && text.contains("mserver-"), "{text}");
}

#[test]
fn folders_go_in_and_out() {
    let cluster = TestCluster::shared();
    for (name, size) in [
        ("tree/a", 10),
        ("tree/deep/b", 70_000),
        ("tree/deep/deeper/c", 0),
    ] {
        cluster.local(name, &bytes(size));
    }
    std::fs::create_dir(cluster.folder.path().join("tree/empty")).expect("made");
    let tree = cluster.folder.path().join("tree");
    let told = cluster.json(&["put", "-r", tree.to_str().expect("UTF-8"), "/"]);
    assert_eq!(
        (told["files"].as_u64(), told["bytes"].as_u64()),
        (Some(3), Some(70_010))
    );
    let back = cluster.folder.path().join("back");
    let told = cluster.json(&["get", "-r", "/tree", back.to_str().expect("UTF-8")]);
    assert_eq!(told["files"].as_u64(), Some(3));
    let read = |name: &str| std::fs::read(back.join(name)).expect("read");
    assert!(read("deep/b") == bytes(70_000) && read("deep/deeper/c").is_empty());
    assert!(back.join("empty").is_dir());
}

#[test]
fn quotas_hold() {
    let cluster = TestCluster::shared();
    cluster.ok(&["mkdir", "/limited"]);
    cluster.ok(&["quota", "/limited", "--files", "1"]);
    cluster.ok(&["create", "/limited/one"]);
    let err = cluster.fails(5, &["create", "/limited/two"]);
    assert!(err.contains("quota"), "{err}");
    assert!(cluster.ok(&["quota", "/limited"]).contains("1 of 1 files"));
    cluster.ok(&["quota", "/limited", "--lift"]);
    cluster.ok(&["create", "/limited/two"]);
}

#[test]
fn users_have_their_rights() {
    let cluster = TestCluster::shared();
    cluster.ok(&["mkdir", "/home"]);
    cluster.ok(&[
        "user",
        "add",
        "ann",
        "--new-secret-file",
        "ann.secret",
        "--right",
        "write:/home",
    ]);
    assert!(common::is_private(
        &cluster.folder.path().join("ann.secret")
    ));
    fn ann<'a>(words: &[&'a str]) -> Vec<&'a str> {
        let as_ann = ["--user", "ann", "--secret-file", "ann.secret"];
        as_ann.iter().chain(words).copied().collect()
    }
    cluster.ok(&ann(&["create", "/home/hers"]));
    let err = cluster.fails(5, &ann(&["create", "/not-hers"]));
    assert!(err.contains("ann"), "{err}");
    let users = cluster.json(&["user", "ls"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2));
    cluster.ok(&["user", "rm", "ann"]);
    cluster.fails(5, &ann(&["ls", "/home"]));
}

#[test]
fn a_wrong_secret_is_refused() {
    let cluster = TestCluster::shared();
    cluster.local("wrong.secret", b"this is not the secret of anybody");
    let err = cluster.fails(5, &["--secret-file", "wrong.secret", "ls"]);
    assert!(err.contains("--secret-file"), "{err}");
    assert!(!err.contains("this is not the secret"), "{err}");
}

#[test]
fn status_tells_of_every_server() {
    let cluster = TestCluster::shared();
    let text = cluster.ok(&["status", "--rtt", "--volumes"]);
    for server in &cluster.config.servers {
        assert!(text.contains(server.name.as_str()), "{text}");
    }
    let status = cluster.json(&["status"]);
    let servers = status["servers"].as_array().expect("servers");
    assert!(
        servers.iter().all(|server| server["answers"] == true),
        "{status}"
    );
}

#[test]
fn bench_prints_one_object() {
    let cluster = TestCluster::shared();
    for work in ["create", "put", "get", "ls", "mixed"] {
        let told = cluster.json(&["bench", work, "--count", "50", "--concurrency", "4"]);
        for key in [
            "ops_per_s",
            "mb_per_s",
            "p50_us",
            "p99_us",
            "p999_us",
            "errors",
            "limits",
        ] {
            assert!(!told[key].is_null(), "{work}: no {key} in {told}");
        }
        assert_eq!(told["errors"], 0, "{told}");
        assert!(told["ops_per_s"].as_f64() > Some(0.0), "{told}");
    }
    let left = cluster.ok(&["ls"]);
    assert!(!left.contains("bench-"), "{left}");
    let closed = cluster.fails(3, &["bench", "fastdfs", "upload"]);
    assert!(closed.contains("no FastDFS doors"), "{closed}");
}

#[test]
fn a_listing_is_whole_while_others_change_it() {
    fn bench<'a>(words: &[&'a str]) -> Vec<&'a str> {
        let common = &["bench", "--no-limits", "--directory", "/many"];
        [&common[..], words].concat()
    }
    let cluster = TestCluster::shared();
    let told = cluster.json(&bench(&["create", "--count", "5000"]));
    assert_eq!(told["errors"], 0, "{told}");
    let mut changes = cluster
        .command(&bench(&["mixed", "--seconds", "5"]))
        .stdout(Stdio::null())
        .spawn()
        .expect("sdfs runs");
    let mut lengths = BTreeSet::new();
    let status = loop {
        let listed = cluster.ok(&["ls", "/many"]);
        let names: Vec<&str> = listed.lines().collect();
        assert!(names.is_sorted_by(|a, b| a < b), "names out of order");
        let made = names.iter().filter(|name| name.starts_with('c'));
        assert_eq!(made.count(), 5_000);
        lengths.insert(names.len());
        if let Some(status) = changes.try_wait().expect("waited") {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    assert!(lengths.len() > 1, "nothing has changed meanwhile");
    let told = cluster.json(&bench(&["ls", "--count", "500", "--seconds", "1"]));
    assert_eq!(told["errors"], 0, "{told}");
    // Each of 64 has walked through all of it.
    let names = told["operations"].as_u64().expect("a number");
    assert!(names >= 64 * 5_500, "{told}");
}

#[test]
fn bench_speaks_fastdfs() {
    let cluster = TestCluster::with(&ClusterOptions {
        fastdfs: true,
        ..small()
    });
    for work in ["upload", "download", "delete"] {
        let args = ["bench", "fastdfs", work, "--count", "50", "--no-limits"];
        let told = cluster.json(&args);
        assert_eq!(told["work"], format!("fastdfs {work}"));
        assert_eq!(
            (&told["operations"], &told["errors"]),
            (&50.into(), &0.into())
        );
    }
    let nobody = ["bench", "fastdfs", "upload", "--tracker", "127.0.0.1:1"];
    let told = cluster.fails(4, &nobody);
    assert!(told.contains("tracker does not answer"), "{told}");
    let told = cluster.fails(2, &["bench", "fastdfs", "delete", "--seconds", "1s"]);
    assert!(told.contains("--count"), "{told}");
}
