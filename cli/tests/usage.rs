//! The command line without a cluster: help, exit codes, sentences instead of stack traces.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::{TestCluster, sdfs, small};
use crc_fast::{CrcAlgorithm, checksum};

#[test]
fn help_holds_the_exit_codes() {
    let ran = sdfs(&["--help"]);
    assert_eq!(ran.code, 0);
    for words in [
        "Exit codes:",
        "  2  usage",
        "  6  unknown",
        "sdfs demo",
        "--via",
    ] {
        assert!(ran.out.contains(words), "no {words} in {}", ran.out);
    }
}

#[test]
fn version_is_printed() {
    let ran = sdfs(&["--version"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, concat!("sdfs ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn wrong_command_lines_end_with_two() {
    let table: &[&[&str]] = &[
        &[],
        &["fly"],
        &["put"],
        &["--timeout", "soon", "ls"],
        &["create", "/x", "--size", "many"],
        &["bench", "create", "--concurrency", "0"],
        &["quota", "/x", "--lift", "--files", "1"],
        &["--user", "ann", "ls"],
    ];
    for words in table {
        let ran = sdfs(words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.err);
    }
}

#[test]
fn a_missing_configuration_ends_with_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none.conf");
    let nowhere = nowhere.to_str().expect("UTF-8");
    for words in [
        &["ls"][..],
        &["up"],
        &["status"],
        &["serve", "--name", "x"],
        &["get", "/x"],
    ] {
        let words: Vec<_> = ["--config", nowhere].iter().chain(words).copied().collect();
        let ran = sdfs(&words);
        assert_eq!(ran.code, 3, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("none.conf"), "{}", ran.err);
    }
}

#[test]
fn no_cluster_ends_with_four() {
    let cluster = TestCluster::prepared(&small());
    for name in ["secret", "admin.secret"] {
        cluster.local(name, b"a secret that is long enough");
    }
    let err = cluster.fails(4, &["--timeout", "2s", "ls"]);
    assert!(err.contains("sdfs up"), "{err}");
    let ran = cluster.run(&["--json", "--timeout", "2s", "ls"]);
    let value: serde_json::Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!((ran.code, value["code"].as_i64()), (4, Some(4)));
}

/// A packet without payload (docs/WIRE.md).
fn packet(kind: u8, head: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    let mut packet = b"sdfs".to_vec();
    packet.extend([1, kind, 0, 0]);
    packet.extend(0_u64.to_le_bytes());
    packet.extend((head.len() as u32).to_le_bytes());
    packet.extend(0_u32.to_le_bytes());
    packet.extend(sum(head).to_le_bytes());
    packet.extend(sum(&packet).to_le_bytes());
    packet.extend(head);
    packet
}

/// Answers each hello as a server of another protocol version does, and closes.
fn refuse_version(mut connection: TcpStream, version: u8) {
    const REFUSAL: u8 = 3;
    const OTHER_VERSION: u8 = 1;
    let mut header = [0; 32];
    connection.read_exact(&mut header).expect("a packet");
    let head_bytes = u32::from_le_bytes(header[16..20].try_into().expect("4 bytes"));
    let mut head = vec![0; head_bytes as usize];
    connection.read_exact(&mut head).expect("a hello");
    let refusal = packet(REFUSAL, &[OTHER_VERSION, version]);
    connection.write_all(&refusal).expect("sent");
}

#[test]
fn another_version_is_told_with_what_to_do() {
    let cluster = TestCluster::prepared(&small());
    for name in ["secret", "admin.secret"] {
        cluster.local(name, b"a secret that is long enough");
    }
    let mserver = cluster.config.server_named("mserver-1").expect("known");
    let listener = TcpListener::bind(mserver.address).expect("free until now");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            refuse_version(connection.expect("a connection"), 250);
        }
    });
    let expected = format!(
        "sdfs: {} does not accept the user: this end speaks protocol version 250. \
         Use the same version of sdfs as the servers\n",
        mserver.address
    );
    let err = cluster.fails(5, &["--via", "mserver-1", "ls"]);
    assert_eq!(err, expected);
}

#[test]
fn a_missing_secret_ends_with_three() {
    let cluster = TestCluster::prepared(&small());
    let err = cluster.fails(3, &["ls"]);
    assert!(
        err.contains("admin.secret") && err.contains("sdfs up"),
        "{err}"
    );
}

#[test]
fn names_are_checked_before_anything_else() {
    let cluster = TestCluster::prepared(&small());
    let long = "n".repeat(256);
    for name in ["/a//b", "/a/../b", long.as_str()] {
        for command in ["stat", "mkdir", "create", "rm"] {
            let err = cluster.fails(2, &[command, name]);
            assert!(err.starts_with("sdfs: "), "{err}");
        }
    }
    let err = cluster.fails(2, &["create", &long]);
    assert!(err.contains("at most 255"), "{err}");
}

#[test]
fn an_unknown_server_is_named_with_the_known() {
    let cluster = TestCluster::prepared(&small());
    for name in ["secret", "admin.secret"] {
        cluster.local(name, b"a secret that is long enough");
    }
    for words in [
        &["serve", "--name", "mserver-9"][..],
        &["--via", "mserver-9", "ls"],
    ] {
        let err = cluster.fails(2, words);
        assert!(
            err.contains("mserver-9") && err.contains("mserver-1"),
            "{err}"
        );
    }
}
