//! `up` and `serve`: the life of the processes.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{READY_WITHIN, STOP_WITHIN, TestCluster, bytes, small, wait_until};
use rustix::process::{Pid, Signal, kill_process};

const SERVERS: [&str; 6] = [
    "mserver-1",
    "mserver-2",
    "mserver-3",
    "dserver-1",
    "dserver-2",
    "dserver-3",
];

#[test]
fn sigterm_stops_all_and_everything_stays() {
    stops_all_and_everything_stays(Signal::TERM);
}

#[test]
fn ctrl_c_stops_all_and_everything_stays() {
    stops_all_and_everything_stays(Signal::INT);
}

fn stops_all_and_everything_stays(signal: Signal) {
    let mut cluster = TestCluster::start();
    assert!(common::is_private(&cluster.folder.path().join("secret")));
    assert!(common::is_private(
        &cluster.folder.path().join("admin.secret")
    ));
    let content = bytes(300_000);
    let local = cluster.local("kept", &content);
    cluster.ok(&["put", &local, "/kept"]);
    let status = cluster.down_by(signal);
    assert!(status.success(), "{status}: {}", cluster.logs());
    for server in SERVERS {
        assert!(!cluster.runs(server), "{server} still runs");
    }
    cluster.up();
    assert!(cluster.pipe(&["get", "/kept", "-"], b"").stdout == content);
}

#[test]
fn servers_die_with_their_parent() {
    let mut cluster = TestCluster::start();
    let up = cluster.parent_of("mserver-1");
    kill_process(up, Signal::KILL).expect("signalled");
    for server in SERVERS {
        wait_until(&format!("{server} is gone"), STOP_WITHIN, || {
            !cluster.runs(server)
        });
    }
    cluster.forget_up();
}

#[test]
fn a_killed_server_is_not_missed() {
    let mut cluster = TestCluster::start();
    let content = bytes(5_000_000);
    let local = cluster.local("kept", &content);
    cluster.ok(&["put", &local, "/kept"]);
    cluster.kill("dserver-2");
    assert!(cluster.pipe(&["get", "/kept", "-"], b"").stdout == content);
    cluster.ok(&["put", &local, "/kept-too"]);
    cluster.kill("mserver-1");
    cluster.ok(&["create", "/after"]);
    assert!(cluster.pipe(&["get", "/kept", "-"], b"").stdout == content);
    let status = cluster.json(&["status"]);
    let silent = status["servers"].as_array().expect("servers").iter();
    assert_eq!(
        silent.filter(|server| server["answers"] == false).count(),
        2
    );
    cluster.restart("dserver-2");
    cluster.restart("mserver-1");
    cluster.wait_whole();
    assert!(
        cluster
            .pipe(&["--via", "mserver-1", "get", "/kept-too", "-"], b"")
            .stdout
            == content
    );
    // It tells of servers that had died.
    assert_eq!(cluster.down().code(), Some(11));
}

#[test]
fn a_busy_port_is_named() {
    let cluster = TestCluster::prepared(&small());
    let address = cluster
        .config
        .server_named("dserver-1")
        .expect("known")
        .address;
    let _taken = TcpListener::bind(address).expect("free until now");
    let err = cluster.fails(10, &["up"]);
    assert!(
        err.contains(&address.to_string()) && err.contains("address"),
        "{err}"
    );
    assert!(SERVERS.iter().all(|server| !cluster.runs(server)));
}

#[test]
fn a_space_that_is_a_file_is_named() {
    let cluster = TestCluster::prepared(&small());
    cluster.local("data/dserver-2", b"not a folder");
    let err = cluster.fails(10, &["up"]);
    assert!(
        err.contains("data/dserver-2") && err.contains("space"),
        "{err}"
    );
    assert!(SERVERS.iter().all(|server| !cluster.runs(server)));
}

#[test]
fn a_second_cluster_in_one_folder_is_refused() {
    let cluster = TestCluster::start();
    let ran = cluster.run(&["up"]);
    assert_eq!(ran.code, 10, "{}", ran.err);
    assert!(ran.err.contains("in use by another process"), "{}", ran.err);
    assert!(!ran.out.contains("ready"), "{}", ran.out);
    cluster.ok(&["create", "/still-works"]);
}

#[test]
fn serve_alone_stops_on_sigterm() {
    let mut cluster = TestCluster::prepared(&small());
    for name in ["secret", "admin.secret"] {
        cluster.local(name, b"a secret that is long enough");
    }
    cluster.restart("dserver-1");
    wait_until("it runs", READY_WITHIN, || cluster.runs("dserver-1"));
    let address = cluster
        .config
        .server_named("dserver-1")
        .expect("known")
        .address;
    wait_until("it listens", READY_WITHIN, || {
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    });
    let pid: Pid = cluster.pid("dserver-1").expect("it runs");
    kill_process(pid, Signal::TERM).expect("signalled");
    assert_eq!(
        cluster.wait_restarted("dserver-1").code(),
        Some(0),
        "{}",
        cluster.logs()
    );
}
