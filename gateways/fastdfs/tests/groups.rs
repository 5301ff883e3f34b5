//! Several groups over real sockets: each keeps its own files, and no other's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{Answer, PATIENCE, Talk, cluster_of_groups, content, doors, field, upload};
use sdfs_client::Client;
use sdfs_fastdfs::FileName;
use sdfs_server::Cluster;
use sdfs_server_group::{Config, Role};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::{MemberState, Refusal, ServerId, Volume, VolumeId};

const GROUPS: [&str; 5] = ["group1", "group1", "group2", "group2", "group2"];

/// A group and a file name, as requests want it.
fn id(group: &str, name: &str) -> Vec<u8> {
    [&field(group, 16)[..], name.as_bytes()].concat()
}

fn whole(group: &str, name: &str) -> Vec<u8> {
    [&[0; 16][..], &id(group, name)].concat()
}

/// What sets metadata anew.
fn metadata(file: &File, text: &[u8]) -> Vec<u8> {
    let lengths = [file.name.len(), text.len()].map(|length| (length as u64).to_be_bytes());
    let id = id(&file.group, &file.name);
    [&lengths.concat()[..], b"O", &id, text].concat()
}

/// The storage an answer of a tracker names, and its group.
fn named(answer: &Answer) -> (String, u16) {
    let (status, body) = answer;
    assert_eq!(*status, 0);
    let group = body[..16].split(|byte| *byte == 0).next().unwrap();
    let port = u16::from_be_bytes(body[37..39].try_into().unwrap());
    (String::from_utf8(group.to_vec()).unwrap(), port)
}

/// The storage doors of each group.
fn ports(cluster: &Cluster) -> BTreeMap<String, BTreeSet<u16>> {
    let mut ports = BTreeMap::<String, BTreeSet<u16>>::new();
    for (group, door) in GROUPS.iter().zip(doors(cluster, Role::Dserver)) {
        ports
            .entry((*group).to_owned())
            .or_default()
            .insert(door.port());
    }
    ports
}

/// Storages that trackers name for uploads, by group, until they are these.
async fn wait_for_uploads_at(cluster: &Cluster, expected: &BTreeMap<String, BTreeSet<u16>>) {
    let begun = Instant::now();
    for tracker in doors(cluster, Role::Mserver) {
        let mut tracker = Talk::to(tracker).await;
        loop {
            let mut found = BTreeMap::<String, BTreeSet<u16>>::new();
            for _ in 0..40 {
                let anywhere = tracker.ask(101, &[]).await;
                if anywhere.0 == 0 {
                    let (group, port) = named(&anywhere);
                    found.entry(group).or_default().insert(port);
                }
            }
            for group in ["group1", "group2"] {
                for _ in 0..4 {
                    let within = tracker.ask(104, &field(group, 16)).await;
                    if within.0 == 0 {
                        let (named, port) = named(&within);
                        assert_eq!(named, group);
                        found.entry(named).or_default().insert(port);
                    }
                }
            }
            if found == *expected {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{found:?} for {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn volumes(cluster: &Cluster) -> Vec<Volume> {
    let status = cluster.server("mserver-1").unwrap().status().await.unwrap();
    status.volumes
}

/// Every volume lies within one group.
fn assert_apart(volumes: &[Volume]) {
    assert!(!volumes.is_empty());
    for volume in volumes {
        let members = volume.members.iter();
        // The mserver is the first server.
        let groups = members.map(|member| GROUPS[usize::from(member.server.0) - 2]);
        let groups: BTreeSet<&str> = groups.collect();
        assert_eq!(groups.len(), 1, "{volume:?}");
    }
}

struct File {
    group: String,
    name: String,
    content: Vec<u8>,
}

/// Uploads through the tracker's word, and checks that the answer names the group.
async fn put(tracker: &mut Talk, group: Option<&str>, command: u8, content: Vec<u8>) -> File {
    let told = match group {
        Some(group) => tracker.ask(104, &field(group, 16)).await,
        None => tracker.ask(101, &[]).await,
    };
    let (named, port) = named(&told);
    let mut storage = Talk::to(([127, 0, 0, 1], port).into()).await;
    let (status, answer) = storage.ask(command, &upload(&content, "bin")).await;
    assert_eq!(status, 0, "{command} of {} bytes", content.len());
    assert_eq!(answer[..16], field(&named, 16));
    File {
        group: named,
        name: String::from_utf8(answer[16..].to_vec()).unwrap(),
        content,
    }
}

/// Every storage of the file's group gives it, also the one the tracker names, and no other does.
async fn assert_kept(cluster: &Cluster, file: &File) {
    let File {
        group,
        name,
        content,
    } = file;
    let other = if group == "group1" {
        "group2"
    } else {
        "group1"
    };
    let mut tracker = Talk::to(doors(cluster, Role::Mserver)[0]).await;
    for command in [102, 103] {
        let (named, port) = named(&tracker.ask(command, &id(group, name)).await);
        assert!(
            named == *group && ports(cluster)[group].contains(&port),
            "{port}"
        );
    }
    for (its_group, door) in GROUPS.iter().zip(doors(cluster, Role::Dserver)) {
        if its_group == group {
            let mut storage = Talk::to(door).await;
            let found = storage.ask(14, &whole(group, name)).await;
            assert_eq!(found, (0, content.clone()), "{group} {name}");
            continue;
        }
        for command in [12, 14, 15, 22] {
            let ask = |group: &str| match command {
                14 => whole(group, name),
                _ => id(group, name),
            };
            let mut storage = Talk::to(door).await;
            // Of another group, in its own words: told so, and closed.
            assert_eq!(storage.ask(command, &ask(group)).await, (22, vec![]));
            assert!(storage.is_closed().await);
            // A name that this group never gave out.
            let mut storage = Talk::to(door).await;
            let refused = storage.ask(command, &ask(other)).await;
            assert_eq!(refused, (2, vec![]), "{command} {name} at {other}");
        }
    }
}

/// A file's blocks are where its group's files are kept.
async fn assert_blocks_at_home(cluster: &Cluster, file: &File) {
    let blocks = match FileName::parse(file.name.as_bytes()).unwrap().volume() {
        Some(volume) => vec![volume],
        None => recorded_blocks(cluster, file).await,
    };
    assert!(!blocks.is_empty(), "{}", file.name);
    let map = volumes(cluster).await;
    for block in blocks {
        let volume = map.iter().find(|volume| volume.id == block).unwrap();
        for member in &volume.members {
            let group = GROUPS[usize::from(member.server.0) - 2];
            assert_eq!(group, file.group, "{} {volume:?}", file.name);
        }
    }
}

/// The volumes of the blocks of a file with a record.
async fn recorded_blocks(cluster: &Cluster, file: &File) -> Vec<VolumeId> {
    let client = Client::connect_admin(Arc::clone(cluster.config()))
        .await
        .unwrap();
    let name = file.name.replace('/', "-");
    let path = format!("/.fastdfs/{}/data/{name}", file.group);
    let blocks = client.open(&path).await.unwrap().record().blocks;
    let written = blocks.entries.iter().filter(|one| !one.is_hole());
    written.map(|one| one.volume).collect()
}

/// A storage of its group notes metadata of a file, tells it, and deletes the file.
async fn assert_deletable(cluster: &Cluster, file: &File) {
    let door = *ports(cluster)[&file.group].first().unwrap();
    let mut storage = Talk::to(([127, 0, 0, 1], door).into()).await;
    let (set, id) = (metadata(file, b"k\x02v"), id(&file.group, &file.name));
    assert_eq!(storage.ask(13, &set).await.0, 0, "{}", file.name);
    assert_eq!(storage.ask(15, &id).await, (0, b"k\x02v".to_vec()));
    assert_eq!(storage.ask(12, &id).await.0, 0);
    assert_eq!(storage.ask(14, &whole(&file.group, &file.name)).await.0, 2);
}

#[actix_rt::test]
async fn each_group_keeps_its_own_files() {
    let mut cluster =
        cluster_of_groups(1, &GROUPS, "copies: 2, copies_min: 1, replace_after_s: 1").await;
    let all = ports(&cluster);
    wait_for_uploads_at(&cluster, &all).await;
    let mut tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;

    // Lists.
    let (_, groups) = tracker.ask(91, &[]).await;
    assert_eq!(groups.len(), 2 * 113);
    let count = |record: &[u8]| u64::from_be_bytes(record[49..57].try_into().unwrap());
    assert_eq!((count(&groups[..113]), count(&groups[113..])), (2, 3));
    let second = tracker.ask(90, &field("group2", 16)).await;
    assert_eq!(&second.1[..17], &field("group2", 17)[..]);
    for (group, members) in &all {
        let (status, records) = tracker.ask(92, &field(group, 16)).await;
        assert_eq!(status, 0);
        let port = |record: &[u8]| u16::from_be_bytes(record[136..138].try_into().unwrap());
        let told: BTreeSet<u16> = records.chunks(487).map(port).collect();
        assert_eq!(told, *members, "{group}");
    }
    for command in [90, 92, 104, 107] {
        let unknown = tracker.ask(command, &field("group3", 16)).await;
        assert_eq!(unknown, (2, vec![]), "{command}");
    }

    // Others than those of its group are no help to a storage that is to be emptied.
    let client = Client::connect_admin(Arc::clone(cluster.config()))
        .await
        .unwrap();
    let server = ServerId(2);
    let refused = client.maintain(MaintenanceOrder::Drain { server }).await;
    let Err(sdfs_client::Error::Refused(refusal)) = refused else {
        panic!("{refused:?}");
    };
    let (staying, needed) = (1, 2);
    let too_few = Refusal::TooFewServers {
        server,
        staying,
        needed,
    };
    assert_eq!(refusal, too_few);

    // Uploads with and without a group: small, an appender that is empty, larger than a block.
    let mut files = Vec::new();
    for (seed, group) in [None, None, None, Some("group1"), Some("group2")]
        .iter()
        .enumerate()
    {
        files.push(put(&mut tracker, *group, 11, content(seed as u64, 4_000)).await);
        if let Some(group) = group {
            assert_eq!(files.last().unwrap().group, *group);
            files.push(put(&mut tracker, Some(group), 23, Vec::new()).await);
            files.push(put(&mut tracker, Some(group), 11, content(9, 5 << 20)).await);
        }
    }
    for file in &files {
        assert_kept(&cluster, file).await;
    }
    // What a name without a group in front of it asks for is known by the name alone.
    for file in files.iter_mut().filter(|file| file.content.is_empty()) {
        let of = |number: usize| [&number.to_be_bytes()[..]].concat();
        let body = [
            &of(file.name.len())[..],
            &of(3),
            file.name.as_bytes(),
            b"abc",
        ]
        .concat();
        for (group, door) in GROUPS.iter().zip(doors(&cluster, Role::Dserver)) {
            let mut storage = Talk::to(door).await;
            let status = storage.ask(24, &body).await.0;
            if *group == file.group {
                assert_eq!(status, 0);
                file.content.extend(b"abc");
            } else {
                assert_eq!(status, 2);
            }
        }
        assert_kept(&cluster, file).await;
    }
    for file in &files {
        assert_blocks_at_home(&cluster, file).await;
    }
    assert_apart(&volumes(&cluster).await);

    // Uploads of a group whose member is away go to its other members, and nobody else's change.
    let mut left = all.clone();
    for dead in ["dserver-2", "dserver-4"] {
        cluster.kill(dead).unwrap();
        let place = usize::from(dead.as_bytes()[8] - b'1');
        let door = doors(&cluster, Role::Dserver)[place].port();
        left.get_mut(GROUPS[place]).unwrap().remove(&door);
    }
    wait_for_uploads_at(&cluster, &left).await;
    files.push(put(&mut tracker, Some("group1"), 11, content(77, 4_000)).await);
    files.push(put(&mut tracker, Some("group2"), 11, content(78, 4_000)).await);

    // The group with another member heals on it; the other waits rather than to go elsewhere.
    let begun = Instant::now();
    loop {
        let now = volumes(&cluster).await;
        assert_apart(&now);
        let in_sync = |volume: &Volume| {
            let members = volume.members.iter();
            let good = members.filter(|member| member.state == MemberState::InSync);
            good.map(|member| member.server.0)
                .collect::<BTreeSet<u16>>()
        };
        let is_healed = |volume: &Volume| match in_sync(volume) {
            good if good.contains(&2) => good.len() == 1,
            good => good == [4, 6].into(),
        };
        if now.iter().all(is_healed) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for name in ["dserver-2", "dserver-4"] {
        cluster.start(name).await.unwrap();
    }
    cluster.ready().await.unwrap();
    wait_for_uploads_at(&cluster, &all).await;
    for file in &files {
        assert_kept(&cluster, file).await;
    }
    for file in &files {
        assert_deletable(&cluster, file).await;
    }
    assert_apart(&volumes(&cluster).await);
}

/// The configuration of a cluster, its dservers with groups.
fn labelled(cluster: &Cluster) -> Config {
    let text = std::fs::read_to_string(cluster.config_file()).unwrap();
    let mut labelled = String::new();
    for line in text.lines() {
        let dserver = line.split("name: \"dserver-").nth(1);
        let group = dserver.map(|rest| GROUPS[usize::from(rest.as_bytes()[0] - b'1')]);
        match group {
            Some(group) => {
                let open = line.strip_suffix("),").unwrap();
                labelled.push_str(&format!("{open}, group: \"{group}\"),\n"));
            }
            None => labelled.push_str(&format!("{line}\n")),
        }
    }
    Config::parse(&labelled, cluster.config_file()).unwrap()
}

#[actix_rt::test]
async fn what_was_stored_before_there_were_groups_stays() {
    let mut cluster = kit::cluster(1, 5, "copies: 2, copies_min: 1").await;
    let storages = doors(&cluster, Role::Dserver);
    let mut files = Vec::new();
    for (n, door) in storages.iter().enumerate() {
        let mut storage = Talk::to(*door).await;
        for (command, length) in [(11, 4_000), (23, 300)] {
            let content = content(n as u64, length);
            let (status, answer) = storage.ask(command, &upload(&content, "bin")).await;
            assert_eq!((status, &answer[..16]), (0, &field("group1", 16)[..]));
            let name = String::from_utf8(answer[16..].to_vec()).unwrap();
            files.push(File {
                group: "group1".to_owned(),
                name,
                content,
            });
        }
    }
    let config = Arc::new(labelled(&cluster));
    cluster.set_config(config);
    for number in 1..=5 {
        cluster.restart(&format!("dserver-{number}")).await.unwrap();
    }
    cluster.restart("mserver-1").await.unwrap();
    cluster.ready().await.unwrap();
    wait_for_uploads_at(&cluster, &ports(&cluster)).await;
    // All of it is the first group's, wherever its copies are.
    for file in &files {
        assert_kept(&cluster, file).await;
    }
    let mut tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    for group in ["group1", "group2"] {
        files.push(put(&mut tracker, Some(group), 11, content(77, 4_000)).await);
        files.push(put(&mut tracker, Some(group), 23, content(78, 4_000)).await);
    }
    for file in &files {
        assert_kept(&cluster, file).await;
    }
    for file in &files[10..] {
        assert_blocks_at_home(&cluster, file).await;
    }
    for file in &files {
        assert_deletable(&cluster, file).await;
    }
}
