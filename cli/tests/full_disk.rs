//! Disks that are full: said in words, nothing lost, and room comes back without a restart. The
//! small disks are file systems in memory, in a mount namespace of the cluster's own.

mod common;

mod import {
    #[allow(
        dead_code,
        reason = "what is brought in from another FastDFS needs more of it"
    )]
    pub(crate) mod talk;
}

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::scope;

use common::{READY_WITHIN, SDFS, TestCluster, bytes, small, wait_until};
use import::talk::{field, message, numbers, read_message};
use sdfs_server::ClusterOptions;
use sdfs_server_group::Role;

/// Size of a small disk: a volume is full with 64 MiB left, and takes blocks again with 256 MiB.
const DISK: &str = "size=400m";
const FILE_BYTES: usize = 24 << 20;
const FILES_MAX: usize = 30;
const UPLOAD: u8 = 11;
const UPLOAD_APPENDER: u8 = 23;
const STORE: u8 = 101;
const STORE_IN_GROUP: u8 = 104;
const ACTIVE_TEST: u8 = 111;
const NO_SPACE: u8 = 28;
/// Set where a system lets nobody mount: these tests are left out then.
const LEFT_OUT: &str = "SDFS_NO_UNSHARE";

/// A shell command in a mount namespace of its own.
fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.stdin(Stdio::null());
    command
}

/// A cluster in which these dservers have a small disk; `None` where it is not wanted.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn cluster_with_small_disks(dservers: &[&str]) -> Option<TestCluster> {
    if std::env::var_os(LEFT_OUT).is_some() {
        eprintln!("not run, as {LEFT_OUT} is set");
        return None;
    }
    let can_mount = in_namespace("mount -t tmpfs tmpfs /mnt")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(
        can_mount,
        "this system has no mount namespaces for users, and so no small disks; \
         with {LEFT_OUT}=1 these tests are left out"
    );
    let mut cluster = TestCluster::prepared(&ClusterOptions {
        storage: Some("storage: (segment_bytes: 8388608, reserve_bytes: 0, trash_s: 0)".to_owned()),
        fastdfs: true,
        ..small()
    });
    let mut script = String::new();
    for dserver in dservers {
        let space = format!("{}/data/{dserver}", cluster.folder.path().display());
        script.push_str(&format!(
            "mkdir -p {space} && mount -t tmpfs -o {DISK} tmpfs {space} && "
        ));
    }
    script.push_str(&format!(
        "exec {SDFS} --config {} up --ready-within 110s",
        cluster.config_file.display()
    ));
    let mut up = in_namespace(&script);
    up.current_dir(cluster.folder.path());
    cluster.up_by(up);
    Some(cluster)
}

/// The status of every answer to who wants to upload, of all doors of a role. Whatever is answered,
/// the connection serves the next request.
fn answers(cluster: &TestCluster, role: Role, asked: &[(u8, Vec<u8>)]) -> BTreeSet<u8> {
    let config = &cluster.config;
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let ask = |door: SocketAddr| {
        let mut stream = TcpStream::connect(door).expect("a connection");
        stream.set_read_timeout(Some(READY_WITHIN)).expect("set");
        let mut ask = |command, body: &[u8]| {
            stream.write_all(&message(command, 0, body)).expect("sent");
            let (_, status, _) = read_message(&mut stream).expect("an answer");
            status
        };
        let mut told = BTreeSet::new();
        for (command, body) in asked {
            told.insert(ask(*command, body));
            assert_eq!(ask(ACTIVE_TEST, b""), 0, "after {command}");
        }
        told
    };
    let doors = config.servers_of(role).map(|server| match role {
        Role::Mserver => settings.tracker_address(config, server),
        _ => settings.storage_address(config, server),
    });
    // A storage waits for room before it says that there is none.
    scope(|asking| {
        let asked: Vec<_> = doors.map(|door| asking.spawn(move || ask(door))).collect();
        let told = asked
            .into_iter()
            .flat_map(|told| told.join().expect("answers"));
        told.collect()
    })
}

/// Waits until FastDFS clients who want to upload are told so by every door.
fn uploads_are_told(cluster: &TestCluster, expected: u8) {
    let content = [&[0xff], &numbers(&[7])[..], &field("txt", 6), b"content"].concat();
    let uploads = [UPLOAD, UPLOAD_APPENDER].map(|command| (command, content.clone()));
    let queries = [(STORE, Vec::new()), (STORE_IN_GROUP, field("group1", 16))];
    let told = |role, asked: &[_]| answers(cluster, role, asked) == BTreeSet::from([expected]);
    wait_until("storages tell it", READY_WITHIN, || {
        told(Role::Dserver, &uploads)
    });
    wait_until("trackers tell it", READY_WITHIN, || {
        told(Role::Mserver, &queries)
    });
}

fn full_disks_are_named_and_get_room_again(dservers: &[&str]) {
    let Some(cluster) = cluster_with_small_disks(dservers) else {
        return;
    };
    let content = bytes(FILE_BYTES);
    let local = cluster.local("file", &content);
    let put = |name: &str| cluster.run(&["put", &local, name]);
    let mut stored = Vec::new();
    let refused = loop {
        let name = format!("/{}", stored.len());
        let ran = put(&name);
        if ran.code != 0 {
            break ran;
        }
        stored.push(name);
        assert!(stored.len() < FILES_MAX, "the disk never gets full");
    };
    assert!([8, 9].contains(&refused.code), "{}", refused.err);

    // The volumes are full a moment later at most, and then it is said so.
    wait_until("the full disk is named", READY_WITHIN, || {
        put("/more").code == 8
    });
    let words = put("/more").err;
    assert!(words.contains("the disks are full"), "{words}");
    assert!(words.contains("Free some"), "{words}");
    let no_room = format!("{} ha", dservers.join(", "));
    let status = cluster.ok(&["status"]);
    assert!(status.contains(&no_room), "{no_room}: {status}");
    let doctor = cluster.run(&["doctor"]);
    assert_eq!(doctor.code, 9, "{}", doctor.err);
    assert!(doctor.out.contains(&no_room), "{}", doctor.out);
    cluster.fails(1, &["stat", "/more"]);
    uploads_are_told(&cluster, NO_SPACE);
    for name in &stored {
        assert!(
            cluster.pipe(&["get", name, "-"], b"").stdout == content,
            "{name}"
        );
    }

    let names: Vec<_> = stored.iter().map(String::as_str).collect();
    cluster.ok(&[&["rm", "--now"], &names[..]].concat());
    wait_until("there is room again", READY_WITHIN, || {
        put("/again").code == 0
    });
    assert!(cluster.pipe(&["get", "/again", "-"], b"").stdout == content);
    uploads_are_told(&cluster, 0);
}

#[test]
fn one_full_disk_is_named_and_gets_room_again() {
    full_disks_are_named_and_get_room_again(&["dserver-2"]);
}

#[test]
fn all_full_disks_are_named_and_get_room_again() {
    full_disks_are_named_and_get_room_again(&["dserver-1", "dserver-2", "dserver-3"]);
}
