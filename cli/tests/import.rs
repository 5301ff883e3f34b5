//! Files of another FastDFS, taken over by real processes, and asked for at the doors by their old
//! ids.

mod common;

mod import {
    pub(crate) mod double;
    pub(crate) mod old_files;
    pub(crate) mod talk;
}

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{TestCluster, bytes, small, wait_until};
use import::double::{Double, Lists};
use import::old_files::{
    APPENDER_FILE, MASTER, OldFile, SLAVE, crc32, damaged, files, in_trunk, lay_out, many,
};
use import::talk::{Answer, ask, field, named, numbers, range, set_metadata, storages_in};
use sdfs_fastdfs::FileName;
use sdfs_server::ClusterOptions;
use sdfs_server_group::Role;

/// Commands.
const FETCH_ONE: u8 = 102;
const UPDATE: u8 = 103;
const FETCH_ALL: u8 = 105;
const DELETE: u8 = 12;
const SET_METADATA: u8 = 13;
const DOWNLOAD: u8 = 14;
const GET_METADATA: u8 = 15;
const UPLOAD_SLAVE: u8 = 21;
const INFO: u8 = 22;
const APPEND: u8 = 24;
const MODIFY: u8 = 34;
const TRUNCATE: u8 = 36;
const REGENERATE: u8 = 38;
/// No such file.
const MISSING: u8 = 2;

const DONE: Answer = (0, Vec::new());

/// One that lets FastDFS clients in, with small blocks.
fn options() -> ClusterOptions {
    ClusterOptions {
        mservers: 1,
        dservers: 2,
        fastdfs: true,
        storage: Some(
            "storage: (segment_bytes: 16777216, reserve_bytes: 0, copies: 2, copies_min: 1, \
             block_bytes: 65536)"
                .to_owned(),
        ),
        ..small()
    }
}

fn doors(cluster: &TestCluster, role: Role) -> Vec<SocketAddr> {
    let config = &cluster.config;
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let of = |server| match role {
        Role::Mserver => settings.tracker_address(config, server),
        _ => settings.storage_address(config, server),
    };
    config.servers_of(role).map(of).collect()
}

/// Runs an import that ends with this code; gives its counts.
fn import(cluster: &TestCluster, code: i32, words: &[&str]) -> serde_json::Value {
    let words: Vec<_> = ["--json", "import", "fastdfs"]
        .iter()
        .chain(words)
        .copied()
        .collect();
    let ran = cluster.run(&words);
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).expect("one object")
}

/// Waits until storages count names of another FastDFS: from the import on, within seconds.
fn wait_for(storages: &[SocketAddr], file: &OldFile) {
    for storage in storages {
        wait_until("old ids count", Duration::from_secs(60), || {
            ask(*storage, DOWNLOAD, &range(0, 0, &file.name)).0 == 0
        });
    }
}

/// A file is told and given by a storage as it was by the old one.
fn assert_there(storage: SocketAddr, file: &OldFile) {
    let OldFile { name, content, .. } = file;
    let whole = ask(storage, DOWNLOAD, &range(0, 0, name));
    assert_eq!(whole.0, 0, "{name}");
    assert!(whole.1 == *content, "{name}: other bytes");
    if content.len() > 10 {
        let middle = content.len() as u64 / 2;
        let part = ask(storage, DOWNLOAD, &range(middle, 5, name));
        let expected = content[middle as usize..][..5].to_vec();
        assert_eq!(part, (0, expected), "{name}");
    }
    let (status, info) = ask(storage, INFO, &named(name));
    assert_eq!(status, 0, "{name}");
    let number = |at: usize| i64::from_be_bytes(info[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(number(0), content.len() as i64, "{name}");
    assert_eq!(number(16) as u32, crc32(content), "{name}");
    let parsed = FileName::parse(name.as_bytes()).expect("a name");
    if parsed.tells_content() {
        assert_eq!(number(8), 1_700_000_000, "{name}");
    }
    assert_eq!(info[24..], field(file.source, 16), "{name}");
    let expected = match file.metadata.is_empty() {
        true => (MISSING, vec![]),
        false => (0, file.metadata.clone()),
    };
    assert_eq!(ask(storage, GET_METADATA, &named(name)), expected, "{name}");
}

/// Lays everything out, with what is no file of its own.
fn old_store(folder: &Path) {
    files().iter().for_each(|file| lay_out(folder, file));
    lay_out(folder, &damaged());
    let first = folder.join("M00/data/00/00");
    std::fs::write(first.join("000001"), vec![0; 4_096]).expect("written");
    std::fs::write(first.join("no name"), b"x").expect("written");
    std::fs::write(folder.join("M00/data/storage_stat.dat"), b"x").expect("written");
}

#[test]
fn a_store_path_is_taken_over() {
    let cluster = TestCluster::with(&options());
    let (trackers, storages) = (
        doors(&cluster, Role::Mserver),
        doors(&cluster, Role::Dserver),
    );
    let files = files();
    let before = ask(storages[0], DOWNLOAD, &range(0, 0, &files[MASTER].name));
    assert_eq!(before.0, MISSING, "nothing was imported yet");
    let old = cluster.folder.path().join("old");
    old_store(&old);
    let path = |name: &str| format!("{name}={}", old.join(name).display());
    let (first, second) = (path("M00"), path("M01"));
    // In another order than their numbers.
    let words = ["--group", "group1", "--path", &second, "--path", &first];
    let counts = import(&cluster, 7, &words);
    assert_eq!(counts["imported"], files.len());
    assert_eq!(counts["already_there"], 0);
    assert_eq!(
        (&counts["damaged"], &counts["passed_over"]),
        (&1.into(), &1.into())
    );
    assert_eq!(counts["trunk_containers"], 1);
    assert_eq!(
        counts["damaged_ids"][0],
        format!("group1/{}", damaged().name)
    );
    let bytes: usize = files.iter().map(|file| file.content.len()).sum();
    assert_eq!(counts["bytes"], bytes);
    let again = import(&cluster, 7, &words);
    assert_eq!(
        (&again["imported"], &again["already_there"]),
        (&0.into(), &files.len().into())
    );

    wait_for(&storages, &files[MASTER]);
    for file in &files {
        for tracker in &trackers {
            for query in [FETCH_ONE, UPDATE, FETCH_ALL] {
                let told = storages_in(&ask(*tracker, query, &named(&file.name)));
                assert!(told.iter().all(|one| storages.contains(one)), "{told:?}");
                assert_eq!(told.len(), if query == FETCH_ALL { 2 } else { 1 });
            }
        }
        storages
            .iter()
            .for_each(|storage| assert_there(*storage, file));
    }
    for unknown in [&damaged().name, &in_trunk().name] {
        for (command, body) in [
            (DOWNLOAD, range(0, 0, unknown)),
            (INFO, named(unknown)),
            (GET_METADATA, named(unknown)),
            (SET_METADATA, set_metadata(unknown, b'O', b"a\x02b")),
            (DELETE, named(unknown)),
        ] {
            assert_eq!(
                ask(storages[0], command, &body).0,
                MISSING,
                "{command} {unknown}"
            );
        }
    }
    old_files_are_changed(&storages, &files);
    old_files_are_deleted(&cluster, &storages, &files);
}

/// Metadata, slaves and appenders, at one storage and seen at the other.
fn old_files_are_changed(storages: &[SocketAddr], files: &[OldFile]) {
    for file in files {
        let merged = set_metadata(&file.name, b'M', b"zoom\x022");
        assert_eq!(
            ask(storages[0], SET_METADATA, &merged),
            DONE,
            "{}",
            file.name
        );
        let (status, text) = ask(storages[1], GET_METADATA, &named(&file.name));
        let separator: &[u8] = if file.metadata.is_empty() {
            b""
        } else {
            b"\x01"
        };
        let expected = [&file.metadata, separator, b"zoom\x022"].concat();
        assert_eq!((status, text), (0, expected), "{}", file.name);
    }
    let master = &files[MASTER].name;
    let slave = |prefix| {
        let lengths = numbers(&[master.len() as u64, 3]);
        let words = [field(prefix, 16), field("png", 6)].concat();
        [&lengths[..], &words, master.as_bytes(), b"new"].concat()
    };
    let (status, answer) = ask(storages[0], UPLOAD_SLAVE, &slave("_new"));
    assert_eq!(status, 0);
    let name = String::from_utf8(answer[16..].to_vec()).expect("a name");
    assert_eq!(name, master.replace(".bin", "_new.png"));
    let whole = ask(storages[1], DOWNLOAD, &range(0, 0, &name));
    assert_eq!(whole, (0, b"new".to_vec()));
    assert_eq!(
        ask(storages[0], UPLOAD_SLAVE, &slave("_new")).0,
        17,
        "it is there"
    );

    let OldFile { name, content, .. } = &files[APPENDER_FILE];
    let mut expected = content.clone();
    let length = name.len() as u64;
    let more = bytes(70_000);
    let append = [&numbers(&[length, 70_000])[..], name.as_bytes(), &more].concat();
    assert_eq!(ask(storages[0], APPEND, &append), DONE);
    expected.extend(more);
    let modify = [&numbers(&[length, 3, 2])[..], name.as_bytes(), b"ab"].concat();
    assert_eq!(ask(storages[1], MODIFY, &modify), DONE);
    expected[3..5].copy_from_slice(b"ab");
    let truncate = [&numbers(&[length, 66_000])[..], name.as_bytes()].concat();
    assert_eq!(ask(storages[0], TRUNCATE, &truncate), DONE);
    expected.truncate(66_000);
    let whole = ask(storages[1], DOWNLOAD, &range(0, 0, name));
    assert!(whole == (0, expected.clone()));
    let wrong = [
        &numbers(&[master.len() as u64, 1])[..],
        master.as_bytes(),
        b"x",
    ]
    .concat();
    assert_eq!(ask(storages[0], APPEND, &wrong).0, 22, "it does not grow");
}

fn old_files_are_deleted(cluster: &TestCluster, storages: &[SocketAddr], files: &[OldFile]) {
    // What was changed here is kept: the old file has another size.
    let old = cluster.folder.path().join("old");
    let path = old.join("M01").display().to_string();
    let counts = import(
        cluster,
        5,
        &["--group", "group1", "--path", &format!("M01={path}")],
    );
    assert_eq!(
        (&counts["other_size"], &counts["imported"]),
        (&1.into(), &0.into())
    );

    let appender = &files[APPENDER_FILE].name;
    let (status, answer) = ask(storages[0], REGENERATE, appender.as_bytes());
    assert_eq!(status, 0);
    let normal = String::from_utf8(answer[16..].to_vec()).expect("a name");
    let parsed = FileName::parse(normal.as_bytes()).expect("a name");
    let (_, content) = ask(storages[1], DOWNLOAD, &range(0, 0, &normal));
    assert_eq!((content.len(), parsed.crc32), (66_000, crc32(&content)));
    let text = ask(storages[1], GET_METADATA, &named(&normal));
    assert_eq!(text, (0, b"zoom\x022".to_vec()));
    assert_eq!(
        ask(storages[0], DOWNLOAD, &range(0, 0, appender)).0,
        MISSING
    );

    for file in files.iter().filter(|file| file.name != *appender) {
        let is_slave = file.name == files[SLAVE].name;
        if is_slave {
            let whole = ask(storages[0], DOWNLOAD, &range(0, 0, &file.name));
            assert_eq!(whole.0, 0, "its master was deleted, it stays");
        }
        assert_eq!(
            ask(storages[0], DELETE, &named(&file.name)),
            DONE,
            "{}",
            file.name
        );
        for (command, body) in [
            (DOWNLOAD, range(0, 0, &file.name)),
            (GET_METADATA, named(&file.name)),
            (DELETE, named(&file.name)),
        ] {
            assert_eq!(ask(storages[1], command, &body).0, MISSING, "{}", file.name);
        }
    }
    let entries = cluster.json(&["ls", "/.fastdfs/group1/meta"]);
    assert_eq!(
        entries.as_array().map(Vec::len),
        Some(1),
        "of the regenerated one"
    );
    let entries = cluster.json(&["ls", "/.fastdfs/group1/data"]);
    assert_eq!(
        entries.as_array().map(Vec::len),
        Some(2),
        "it, and the new slave"
    );
}

#[test]
fn an_import_that_was_killed_is_gone_on_with() {
    const HELD_FROM: usize = 12;
    let cluster = TestCluster::with(&options());
    let storages = doors(&cluster, Role::Dserver);
    let mut all = [files(), vec![in_trunk()], many(40)].concat();
    let deleted = many(41).pop().expect("one more").name;
    // One that the first storage has not, one that it has damaged, one only the second tells of,
    // and one the first fails to read.
    let more = many(46);
    let [lagging, broken, ahead, rotten] = &more[42..] else {
        unreachable!("four more");
    };
    let mut broken_there = broken.clone();
    broken_there.content[0] ^= 1;
    let first = [all.clone(), vec![broken_there, damaged(), rotten.clone()]].concat();
    let second = [lagging, broken, ahead, rotten]
        .map(OldFile::clone)
        .to_vec();
    let lists = Lists {
        deleted: vec![deleted],
        at_second: vec![ahead.name.clone()],
        rotten: vec![rotten.name.clone()],
    };
    let double = Double::start([first, second], lists, HELD_FROM);
    all.extend([broken, ahead, rotten].map(OldFile::clone));
    let count = all.len();
    let tracker = double.tracker.to_string();
    let words = [
        "import",
        "fastdfs",
        "--tracker",
        &tracker,
        "--concurrency",
        "4",
    ];
    let mut killed = cluster
        .command(&words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sdfs runs");
    // Four files are half here, and will not get on.
    wait_until("the middle", Duration::from_secs(60), || {
        double.downloads() >= HELD_FROM + 4
    });
    killed.kill().expect("killed");
    killed.wait().expect("waited");
    let data = || cluster.json(&["ls", "/.fastdfs/group1/data"]);
    let here = data().as_array().map_or(0, Vec::len);
    assert!((HELD_FROM - 4..count).contains(&here), "{here} whole files");

    double.release();
    double.make_endless(true);
    let err = cluster.fails(4, &words);
    assert!(err.contains("--ids"), "{err}");
    double.make_endless(false);
    // Whoever is cut off comes again.
    double.cut(2);
    let counts = import(&cluster, 7, &words[2..]);
    assert_eq!(counts["already_there"], here);
    assert_eq!(counts["imported"], count - here);
    assert_eq!(
        (&counts["damaged"], &counts["missing_at_source"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        data().as_array().map(Vec::len),
        Some(count),
        "nothing twice"
    );
    wait_for(&storages, &all[MASTER]);
    all.iter().for_each(|file| assert_there(storages[0], file));

    ids_are_taken_that_somebody_knows(&cluster, &tracker, (&all[MASTER], lagging));
    assert_there(storages[1], lagging);
}

fn ids_are_taken_that_somebody_knows(
    cluster: &TestCluster,
    tracker: &str,
    (here, lagging): (&OldFile, &OldFile),
) {
    let here = format!("group1/{}", here.name);
    let lagging = format!("group1/{}", lagging.name);
    let missing = format!("group1/{}", many(42).pop().expect("one").name);
    let of_another = here.replace("group1", "group2");
    let take = |text: &str, words: &[&str]| {
        let words: Vec<_> = [
            "--json",
            "import",
            "fastdfs",
            "--tracker",
            tracker,
            "--ids",
            "-",
        ]
        .iter()
        .chain(words)
        .copied()
        .collect();
        let ended = cluster.pipe(&words, text.as_bytes());
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        let counts = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        (ended.status.code(), counts, err)
    };
    let (code, counts, err): (_, serde_json::Value, _) =
        take(&format!("{here}\n{lagging}\n\n{missing}\nnonsense\n"), &[]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(
        (&counts["already_there"], &counts["missing_at_source"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&counts["imported"], &counts["wrong"]),
        (&1.into(), &1.into())
    );
    assert!(err.contains("line 5") && err.contains(&missing), "{err}");
    let (code, _, err) = take(&format!("\"{here}\"\n"), &[]);
    assert_eq!(code, Some(1), "no line is an id: {err}");
    let (code, _, err) = take(&format!("{here}\n{of_another}\n"), &[]);
    assert_eq!(code, Some(3), "{err}");
    assert!(
        err.contains("group2") && err.contains("config.conf"),
        "{err}"
    );
    let (code, counts, err) = take(&format!("{here}\n{of_another}\n"), &["--group", "group1"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        (&counts["already_there"], &counts["passed_over"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn what_cannot_be_imported_is_said() {
    let without = TestCluster::prepared(&small());
    let with = TestCluster::prepared(&options());
    let old = with.folder.path().join("old");
    std::fs::create_dir_all(old.join("data")).expect("made");
    let old = old.to_str().expect("UTF-8");
    let path = ["--path", old, "--group"];
    let table: &[(&TestCluster, i32, &[&str], &str)] = &[
        (
            &without,
            3,
            &[path[0], path[1], path[2], "group1"],
            "fastdfs: (",
        ),
        (
            &with,
            3,
            &[path[0], path[1], path[2], "group9"],
            "config.conf",
        ),
        (
            &with,
            10,
            &["--path", "/nowhere", "--group", "group1"],
            "data",
        ),
        (&with, 2, &["--path", old], "--group"),
        (&with, 2, &["--group", "group1"], "--path"),
        (
            &with,
            2,
            &["--path", old, "--group", "group1", "--ids", "x"],
            "--path",
        ),
        (&with, 4, &["--tracker", "127.0.0.1:1"], "127.0.0.1:1"),
        (
            &with,
            4,
            &["--tracker", "no.such.host.invalid"],
            "no.such.host",
        ),
    ];
    for (cluster, code, words, expected) in table {
        let words: Vec<_> = ["import", "fastdfs"]
            .iter()
            .chain(*words)
            .copied()
            .collect();
        let err = cluster.fails(*code, &words);
        assert!(err.contains(expected), "{words:?}: {err}");
    }
}
