//! `console`, `top`, `doctor`, `completions` and `man`: what people and scripts type.

mod common;

use common::{READY_WITHIN, STOP_WITHIN, TestCluster, sdfs, small, wait_until};
use sdfs_server::ClusterOptions;

#[test]
fn scripts_type_at_a_console() {
    let mut cluster = TestCluster::with(&ClusterOptions {
        operator: true,
        ..small()
    });
    let status = cluster.ok(&["console", "dserver-1", "--command", "status"]);
    assert!(
        status.contains("dserver-1") && !status.contains("ok\n"),
        "{status}"
    );
    let users = cluster.json(&["console", "-c", "users"]);
    assert_eq!(users["rows"][0]["name"], "admin");
    let missing = cluster.fails(1, &["console", "-c", "stat /nothing"]);
    assert!(missing.contains("/nothing does not exist"), "{missing}");
    cluster.fails(2, &["console", "-c", "frobnicate"]);
    let unsure = cluster.fails(5, &["console", "-c", "drain dserver-1"]);
    assert!(unsure.contains("nothing was done"), "{unsure}");
    // A server of its own process turns its log; another secret is refused.
    cluster.ok(&[
        "console",
        "mserver-1",
        "-c",
        "log debug sdfs_server",
        "-c",
        "log usual",
    ]);
    let wrong = cluster.local("wrong.secret", b"another secret altogether");
    let refused = cluster.fails(5, &["console", "--user", "admin", "--secret-file", &wrong]);
    assert!(
        refused.contains("the user or the proof is wrong"),
        "{refused}"
    );
    let words = [
        "console",
        "--emergency",
        "--secret-file",
        &wrong,
        "-c",
        "status",
    ];
    let refused = cluster.fails(2, &words);
    assert!(refused.contains("the cluster's secret"), "{refused}");
    let piped = cluster.pipe(&["console", "mserver-1"], b"heal\n\nmaintenance\n");
    let piped = String::from_utf8(piped.stdout).expect("UTF-8");
    assert!(
        piped.contains("have every copy") && piped.contains("no orders stand"),
        "{piped}"
    );
    let top = cluster.ok(&["top", "--times", "1"]);
    assert!(top.contains("dserver-3") && top.contains("ready"), "{top}");
    let bundle = cluster.folder.path().join("bundle.json");
    let bundle = bundle.to_str().expect("UTF-8");
    let well = cluster.ok(&["doctor", "--bundle", bundle]);
    // On a busy machine round trips may be told to be slow.
    assert!(!well.contains("does not answer"), "{well}");
    let text = std::fs::read_to_string(bundle).expect("written");
    assert!(
        text.contains("dserver-3") && text.contains("is started"),
        "{text}"
    );
    for word in ["Some(", "Ok(", "Err(", "ServerId(", " { "] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let secret = std::fs::read_to_string(cluster.folder.path().join("secret")).expect("a secret");
    assert!(!text.contains(secret.trim()), "the bundle holds the secret");
    a_server_stops_at_its_console(&mut cluster);
}

fn a_server_stops_at_its_console(cluster: &mut TestCluster) {
    cluster.kill("dserver-3");
    // Before anybody has missed it.
    let heal = cluster.json(&["heal", "status"]);
    assert_eq!(heal["whole"], false, "{heal}");
    assert_eq!(heal["missing"][0]["server"], "dserver-3", "{heal}");
    cluster.restart("dserver-3");
    wait_until("dserver-3 has a console", READY_WITHIN, || {
        cluster.run(&["console", "dserver-3", "-c", "status"]).code == 0
    });
    // Typed at a mserver's console, it is done at that of the server it is about.
    let stop = [
        "console",
        "mserver-1",
        "-c",
        "stop dserver-3",
        "-c",
        "dserver-3",
        "-c",
        "status",
    ];
    let stopped = cluster.ok(&stop);
    assert!(stopped.contains("stopping"), "{stopped}");
    assert!(
        stopped.contains("mserver-1"),
        "the session goes on: {stopped}"
    );
    assert!(
        cluster.wait_restarted("dserver-3").success(),
        "it ends as it was told"
    );
    wait_until("dserver-3 is missed", STOP_WITHIN, || {
        // Until it is fenced off it also keeps volumes from taking writes, which is grave.
        let doctor = cluster.run(&["doctor"]);
        doctor.out.contains("dserver-3 does not answer")
    });
    cluster.fails(4, &["console", "dserver-3"]);
}

#[test]
fn shells_and_manuals_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = sdfs(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(
            ran.out.contains("rebalance") && ran.out.contains("console"),
            "{shell}"
        );
    }
    let ran = sdfs(&["man"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with(".ie") || ran.out.contains(".TH sdfs 1"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains(".SH \"TORTURE\""),
        "every command has its part"
    );
}
