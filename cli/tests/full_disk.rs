//! Disks that are full: said in words, nothing lost, and room comes back without a restart. The
//! small disks are file systems in memory, in a mount namespace of the cluster's own.

mod common;

use std::process::{Command, Stdio};

use common::{READY_WITHIN, SDFS, TestCluster, bytes, small, wait_until};
use sdfs_server::ClusterOptions;

/// Size of a small disk: a volume is full with 64 MiB left, and takes blocks again with 256 MiB.
const DISK: &str = "size=400m";
const FILE_BYTES: usize = 24 << 20;
const FILES_MAX: usize = 30;

/// A shell command in a mount namespace of its own.
fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.stdin(Stdio::null());
    command
}

/// A cluster in which these dservers have a small disk; `None` where the system lets nobody mount.
#[allow(clippy::print_stderr, reason = "a test that cannot run says so")]
fn cluster_with_small_disks(dservers: &[&str]) -> Option<TestCluster> {
    let can_mount = in_namespace("mount -t tmpfs tmpfs /mnt")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !can_mount {
        eprintln!("not run: this system has no mount namespaces for users");
        return None;
    }
    let mut cluster = TestCluster::prepared(&ClusterOptions {
        storage: Some("storage: (segment_bytes: 8388608, reserve_bytes: 0, trash_s: 0)".to_owned()),
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
}

#[test]
fn one_full_disk_is_named_and_gets_room_again() {
    full_disks_are_named_and_get_room_again(&["dserver-2"]);
}

#[test]
fn all_full_disks_are_named_and_get_room_again() {
    full_disks_are_named_and_get_room_again(&["dserver-1", "dserver-2", "dserver-3"]);
}
