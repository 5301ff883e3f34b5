//! `torture`: a short one finds nothing wrong in a cluster of real processes, and harms no given
//! one.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{READY_WITHIN, Ran, SDFS, TestCluster, wait_until};

fn torture(folder: &Path, words: &[&str]) -> Ran {
    Command::new(SDFS)
        .args(["--json", "torture"])
        .args(words)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .output()
        .expect("sdfs runs")
        .into()
}

#[test]
fn a_short_torture_finds_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = [
        "--minutes",
        "0.4",
        "--clients",
        "5",
        "--seed",
        "11",
        "--report",
        "page.html",
    ];
    let ran = torture(folder.path(), &words);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let harms = told["harms"].as_array().expect("a list");
    assert!(harms.len() >= 2, "{harms:?}");
    let faults = told["faults"].as_array().expect("a list");
    let kinds = ["kill", "freeze", "power"];
    for kind in kinds {
        assert!(faults.iter().any(|one| one["kind"] == kind), "{faults:?}");
    }
    let begun = faults.iter().filter_map(|one| one["begun"].as_u64());
    assert_eq!(begun.sum::<u64>(), harms.len() as u64, "{faults:?}");
    assert!(told["figures"]["operations"].as_u64() > Some(100), "{told}");
    assert!(told["read_back"].as_u64() > Some(10), "{told}");
    assert!(told["compared"]["blocks"].as_u64() > Some(0), "{told}");
    assert_eq!(told["judgement"]["violations"], serde_json::json!([]));
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("a report");
    for words in ["Kept its promises", "<svg", "mserver-1", "--seed 11"] {
        assert!(page.contains(words), "no '{words}' in the page");
    }
    assert!(
        !page.contains("http"),
        "the page needs nothing from elsewhere"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("listed")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_given_cluster_is_compared_and_not_harmed() {
    let cluster = TestCluster::start();
    cluster.wait_whole();
    cluster.ok(&["heal", "status", "--wait"]);
    cluster.ok(&["put", &cluster.local("mine", b"mine"), "/mine"]);
    let words = [
        "torture",
        "--minutes",
        "0.2",
        "--clients",
        "3",
        "--seed",
        "5",
    ];
    let told = cluster.json(&words);
    assert_eq!(told["harms"], serde_json::json!([]));
    assert!(told["figures"]["operations"].as_u64() > Some(10), "{told}");
    assert!(told["compared"]["files"].as_u64() > Some(0), "{told}");
    assert_eq!(
        cluster.ok(&["ls"]).trim(),
        "mine",
        "its directory is gone again"
    );
}

#[test]
fn copies_that_are_not_there_are_told() {
    let mut cluster = TestCluster::start();
    cluster.wait_whole();
    cluster.kill("dserver-2");
    let words = ["--json", "torture", "--minutes", "0.05", "--seed", "6"];
    let ran = cluster.run(&words);
    assert_eq!(ran.code, 9, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("were not compared"), "{}", ran.err);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(told["judgement"]["violations"], serde_json::json!([]));
    let left_out = told["compared"]["not_compared"].as_array().expect("a list");
    let is_its =
        |copy: &serde_json::Value| copy.as_str().is_some_and(|at| at.ends_with("dserver-2"));
    assert!(
        !left_out.is_empty() && left_out.iter().all(is_its),
        "{left_out:?}"
    );
    let page = cluster.folder.path().join("torture-6.html");
    let page = std::fs::read_to_string(page).expect("a report");
    assert!(page.contains("Not compared"), "{page}");
}

#[test]
fn a_change_nobody_asked_for_is_found() {
    let cluster = TestCluster::start();
    let root = "/sdfs-torture-9";
    let words = [
        "--json",
        "torture",
        "--minutes",
        "0.3",
        "--clients",
        "4",
        "--seed",
        "9",
    ];
    let run = cluster
        .command(&words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("sdfs runs");
    // Somebody else deletes what the clients believe to be theirs.
    let mut deleted = 0;
    wait_until("several names are deleted", READY_WITHIN, || {
        let names = ["a", "b", "c", "d", "e", "f"];
        for name in names.map(|name| format!("{root}/shared/{name}")) {
            deleted += usize::from(cluster.run(&["rm", &name]).code == 0);
        }
        deleted >= 5
    });
    let ran = Ran::from(run.wait_with_output().expect("waited"));
    assert_eq!(ran.code, 14, "{}{}", ran.out, ran.err);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let violations = told["judgement"]["violations"].as_array().expect("a list");
    assert!(!violations.is_empty());
    for violation in violations {
        let operations = violation["operations"].as_array().expect("a list");
        assert!((1..12).contains(&operations.len()), "{violation}");
        let what = violation["what"].as_str().expect("words");
        assert!(what.contains("/shared/"), "{what}");
    }
    let page = cluster.folder.path().join("torture-9.html");
    let page = std::fs::read_to_string(page).expect("a report");
    assert!(page.contains("contradict each other"), "{page}");
    cluster.ok(&["ls", root]);
}
