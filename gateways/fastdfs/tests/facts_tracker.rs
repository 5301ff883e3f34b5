//! What a tracker answers, field by field, as clients of FastDFS take it apart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kit::file_id::FileId;
use kit::{
    Answer, GROUP, PATIENCE, Talk, cluster, cluster_of_groups, configure, content, doors, field,
    named,
};
use sdfs_server::Cluster;
use sdfs_server_group::{AddressWidth, Role};
use sdfs_types::clock;

const INVALID: Answer = (22, Vec::new());
const NOT_FOUND: Answer = (2, Vec::new());

/// A tracker and three storages that all keep everything.
async fn three_storages() -> (Cluster, Talk, Vec<SocketAddr>) {
    let cluster = cluster(1, 3, "copies: 3, copies_min: 1").await;
    let tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    let storages = doors(&cluster, Role::Dserver);
    (cluster, tracker, storages)
}

fn number(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0);
    std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).unwrap()
}

/// The storages an answer names behind its group: 15 bytes of address and 8 of port for each.
fn told(addresses: &[u8]) -> Vec<SocketAddr> {
    assert_eq!(addresses.len() % 23, 0);
    let address = |one: &[u8]| {
        let port = u16::try_from(number(one, 15)).unwrap();
        SocketAddr::new(text(&one[..15]).parse().unwrap(), port)
    };
    addresses.chunks(23).map(address).collect()
}

/// The one storage of an answer with 39 bytes.
fn told_one((status, body): &Answer) -> SocketAddr {
    assert_eq!((*status, body.len()), (0, 39));
    assert_eq!(&body[..16], GROUP);
    told(&body[16..])[0]
}

fn set(storages: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    storages.iter().copied().collect()
}

/// Whether seconds of a record lie within the last minutes.
fn is_recent(second: i64) -> bool {
    let now_s = i64::try_from(clock::now_ms() / 1_000).unwrap();
    (now_s - 600..=now_s).contains(&second)
}

async fn assert_open(talk: &mut Talk, why: &str) {
    assert_eq!(talk.ask(111, &[]).await, (0, vec![]), "{why}");
}

/// Asks until all storages take uploads and have told how full they are.
async fn wait_for_all(tracker: &mut Talk, storages: &[SocketAddr]) {
    let begun = Instant::now();
    loop {
        let (status, body) = tracker.ask(106, &[]).await;
        let are_all = status == 0 && body.len() == 16 + 23 * storages.len() + 1;
        if are_all && have_told_room(tracker).await {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{status} {body:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether every group has free space.
async fn have_told_room(tracker: &mut Talk) -> bool {
    let (status, told) = tracker.ask(91, &[]).await;
    status == 0 && told.chunks(113).all(|group| number(group, 25) > 0)
}

#[actix_rt::test]
async fn uploads_are_told_one_storage_or_all() {
    let (_cluster, mut tracker, storages) = three_storages().await;
    wait_for_all(&mut tracker, &storages).await;
    for (command, body) in [(106, vec![]), (107, GROUP.to_vec())] {
        let mut first = BTreeSet::new();
        for _ in 0..6 {
            let (status, answer) = tracker.ask(command, &body).await;
            assert_eq!((status, answer.len()), (0, 16 + 3 * 23 + 1), "{command}");
            assert_eq!(&answer[..16], GROUP);
            assert_eq!(answer.last(), Some(&0), "the index of the store path");
            let named = told(&answer[16..85]);
            assert_eq!(set(&named), set(&storages), "{command}");
            first.insert(named[0]);
        }
        assert!(first.len() > 1, "{command}: not always the same is first");
    }
    for (command, body) in [(101, vec![]), (104, GROUP.to_vec())] {
        let (status, answer) = tracker.ask(command, &body).await;
        assert_eq!((status, answer.len()), (0, 40), "{command}");
        assert_eq!((&answer[..16], answer[39]), (&GROUP[..], 0));
        assert!(storages.contains(&told(&answer[16..39])[0]));
    }
}

#[actix_rt::test]
async fn wrong_lengths_are_refused() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let mut tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    // Commands, and lengths they do not take.
    let table: &[(&[u8], &[usize])] = &[
        (&[101, 106, 91, 111], &[1, 16]),
        (&[104, 107, 90], &[0, 15, 17]),
        (&[102, 103, 105], &[0, 15]),
        (&[96], &[0, 2, 4]),
        (&[97, 98], &[0, 3, 5]),
        (&[0, 1, 11, 14, 99, 255], &[0, 1]),
    ];
    for (commands, lengths) in table {
        for command in *commands {
            for length in *lengths {
                // As far as it goes, right.
                let mut body = GROUP.to_vec();
                body.resize(*length, 0);
                let why = format!("{command} with {length} bytes");
                assert_eq!(tracker.ask(*command, &body).await, INVALID, "{why}");
                assert_open(&mut tracker, &why).await;
            }
        }
    }
}

#[actix_rt::test]
async fn every_name_of_the_right_length_is_answered() {
    let (_cluster, mut tracker, storages) = three_storages().await;
    for command in [102, 103, 105] {
        for length in [0, 21, 128, 200] {
            let why = format!("{command} of {length} letters");
            let wrong = tracker.ask(command, &named(&"x".repeat(length))).await;
            assert_eq!(wrong, INVALID, "{why}");
            assert_open(&mut tracker, &why).await;
        }
        for length in [22, 44, 127] {
            let name = "x".repeat(length);
            let (status, answer) = tracker.ask(command, &named(&name)).await;
            assert_eq!((status, &answer[..16]), (0, &GROUP[..]), "{command}");
            assert!(storages.contains(&told(&answer[16..])[0]));
            let unknown = [&field("group9", 16)[..], name.as_bytes()].concat();
            let why = format!("{command} of another group");
            assert_eq!(tracker.ask(command, &unknown).await, NOT_FOUND, "{why}");
            assert_open(&mut tracker, &why).await;
        }
    }
}

#[actix_rt::test]
async fn changes_go_to_the_source_while_it_lives() {
    let (mut cluster, mut tracker, storages) = three_storages().await;
    let servers: Vec<u16> = cluster
        .config()
        .servers_of(Role::Dserver)
        .map(|server| server.id.0)
        .collect();
    let mut files = Vec::new();
    for (door, server) in storages.iter().zip(&servers) {
        let mut storage = Talk::to(*door).await;
        for name in [
            storage.upload(&content(1, 3_000), "jpg").await,
            storage.upload_appender(b"grows", "log").await,
        ] {
            assert_eq!(FileId::of(&name).source, u32::from(*server), "{name}");
            files.push((*door, named(&name)));
        }
    }
    wait_for_all(&mut tracker, &storages).await;
    for (source, body) in &files {
        for _ in 0..4 {
            assert_eq!(told_one(&tracker.ask(103, body).await), *source);
            let one = told_one(&tracker.ask(102, body).await);
            assert!(storages.contains(&one));
        }
        let (status, all) = tracker.ask(105, body).await;
        assert_eq!((status, all.len()), (0, 39 + 23 * 2));
        assert_eq!(set(&told(&all[16..])), set(&storages));
    }
    // From another one when it is away.
    cluster.stop("dserver-2").await.unwrap();
    let away = storages[1];
    let begun = Instant::now();
    loop {
        let mut told = BTreeSet::new();
        for (_, body) in &files {
            told.insert(told_one(&tracker.ask(103, body).await));
        }
        if !told.contains(&away) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (source, body) in &files {
        for _ in 0..4 {
            let now = told_one(&tracker.ask(103, body).await);
            let is_right = match *source == away {
                true => [storages[0], storages[2]].contains(&now),
                false => now == *source,
            };
            assert!(is_right, "{now} for {source}");
        }
        let (status, all) = tracker.ask(105, body).await;
        assert_eq!((status, all.len()), (0, 39 + 23));
        assert_eq!(set(&told(&all[16..])), set(&[storages[0], storages[2]]));
    }
}

#[actix_rt::test]
async fn groups_and_storages_are_listed() {
    let (cluster, mut tracker, storages) = three_storages().await;
    wait_for_all(&mut tracker, &storages).await;
    let (status, group) = tracker.ask(90, GROUP).await;
    assert_eq!((status, group.len()), (0, 113));
    assert_eq!(tracker.ask(91, &[]).await.1.len(), 113);
    assert_eq!(&group[..17], &field("group1", 17)[..]);
    let field = |place: usize| number(&group, 17 + 8 * place);
    let (total_mb, free_mb) = (field(0), field(1));
    assert!(
        0 < free_mb && free_mb <= total_mb,
        "{free_mb} of {total_mb}"
    );
    let port = u16::try_from(field(5)).unwrap();
    assert!(storages.iter().any(|storage| storage.port() == port));
    // Storages, readable and writable ones; store paths, folders in each, no trunk file.
    let places = [(4, 3), (6, 3), (7, 3), (9, 1), (10, 256), (11, -1)];
    for (place, expected) in places {
        assert_eq!(field(place), expected, "number {place} of a group");
    }
    // All of its storages, and each by its id.
    let (status, all) = tracker.ask(92, GROUP).await;
    assert_eq!((status, all.len()), (0, 3 * 487));
    let servers = cluster.config().servers_of(Role::Dserver);
    for ((record, door), server) in all.chunks(487).zip(&storages).zip(servers) {
        let id = server.id.to_string();
        assert_eq!((record[0], record[1]), (7, 6), "active, read and written");
        assert_eq!(text(&record[2..18]), id);
        assert_eq!(text(&record[18..34]), "127.0.0.1");
        assert!(text(&record[50..58]).starts_with("6."));
        assert!(is_recent(number(record, 58)), "joined");
        assert!(is_recent(number(record, 66)), "up since");
        let (total_mb, free_mb) = (number(record, 74), number(record, 82));
        assert!(0 < free_mb && free_mb <= total_mb);
        // Store paths, folders in each, the current path, the port.
        let numbers = [106, 114, 122, 130].map(|at| number(record, at));
        assert_eq!(numbers, [1, 256, 0, i64::from(door.port())]);
        assert!(is_recent(number(record, 478)), "heard");
        assert_eq!(record[486], 0, "no trunk server");
        let (status, one) = tracker.ask(92, &named(&id)).await;
        assert_eq!((status, one.len()), (0, 487));
        assert_eq!(one[..74], record[..74], "{id}");
    }
    assert_eq!(tracker.ask(92, &named("12345")).await, NOT_FOUND);
    assert_open(&mut tracker, "an unknown storage").await;
}

#[actix_rt::test]
async fn nothing_is_taken_away_by_strangers() {
    let (_cluster, mut tracker, storages) = three_storages().await;
    let id = {
        let (_, all) = tracker.ask(92, GROUP).await;
        text(&all[2..18]).to_owned()
    };
    let busy = (16, vec![]);
    let no_trunk = (95, vec![]);
    for (command, body, expected) in [
        (93, named(&id), &busy),
        (93, named("12345"), &NOT_FOUND),
        (94, GROUP.to_vec(), &no_trunk),
        (94, named(&id), &no_trunk),
        (108, GROUP.to_vec(), &busy),
        (108, field("group9", 16), &NOT_FOUND),
    ] {
        assert_eq!(tracker.ask(command, &body).await, *expected, "{command}");
        assert_open(&mut tracker, "who may not").await;
    }
    let (status, all) = tracker.ask(92, GROUP).await;
    assert_eq!((status, all.len()), (0, storages.len() * 487));
}

/// Three trackers, and three storages in two groups.
const GROUPS: [&str; 3] = ["group1", "group1", "group2"];

#[actix_rt::test]
async fn the_cluster_is_told_in_records() {
    let cluster = cluster_of_groups(3, &GROUPS, "copies: 1, copies_min: 1").await;
    let trackers = doors(&cluster, Role::Mserver);
    let storages = doors(&cluster, Role::Dserver);
    for door in &trackers {
        let mut tracker = Talk::to(*door).await;
        assert_told_when_all_are_up(&mut tracker, (&trackers, &storages)).await;
        let (status, leader) = tracker.ask(95, &[]).await;
        let leader: SocketAddr = std::str::from_utf8(&leader).unwrap().parse().unwrap();
        assert!(status == 0 && trackers.contains(&leader));
        let (status, parameters) = tracker.ask(75, &[]).await;
        let parameters = String::from_utf8(parameters).unwrap();
        assert!(status == 0 && parameters.starts_with("use_storage_id="));
        assert!(parameters.lines().all(|line| line.contains('=')));
        assert_volumes(&mut tracker).await;
        assert_brief(&mut tracker, &storages).await;
    }
}

async fn assert_told_when_all_are_up(
    tracker: &mut Talk,
    (trackers, storages): (&[SocketAddr], &[SocketAddr]),
) {
    let begun = Instant::now();
    loop {
        let (told, stat) = (
            tracker.ask(96, &[0; 3]).await,
            tracker.ask(97, &[0; 4]).await,
        );
        assert_eq!((told.0, told.1.len()), (0, 1 + 3 * 90));
        assert_eq!((stat.0, stat.1.len()), (0, 6 + 3 * 106));
        let is_up = told.1[1..].chunks(90).all(|record| record[53] == 1);
        let is_up = is_up && stat.1[6..].chunks(106).all(|record| record[69] == 7);
        if is_up && have_told_room(tracker).await {
            assert_trackers(&told.1, trackers);
            assert_storages(&stat.1, storages);
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?} {stat:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Version, start and last sign of life, behind three numbers of four bytes.
fn assert_vitals(record: &[u8]) {
    assert_eq!(record.len(), 12 + 8 + 8 + 8);
    assert!(text(&record[12..20]).starts_with("6."));
    assert!(is_recent(number(record, 20)), "up since");
    assert!(is_recent(number(record, 28)), "heard");
}

fn assert_trackers(told: &[u8], trackers: &[SocketAddr]) {
    assert_eq!(told[0], 3);
    let mut leaders = 0;
    for (record, door) in told[1..].chunks(90).zip(trackers) {
        assert_eq!(text(&record[..52]), door.to_string());
        leaders += record[52];
        assert_eq!(record[53], 1, "active");
        assert_vitals(&record[54..]);
    }
    assert_eq!(leaders, 1);
}

fn assert_storages(told: &[u8], storages: &[SocketAddr]) {
    assert_eq!(told[1], 0, "no trunk files");
    assert_eq!(told[2..6], 3_u32.to_be_bytes());
    let mut ids = BTreeSet::new();
    for (record, door) in told[6..].chunks(106).zip(storages) {
        ids.insert(text(&record[..16]).to_owned());
        assert_eq!(text(&record[16..68]), door.to_string());
        assert_eq!((record[68], record[69]), (0, 7), "no trunk server, active");
        assert_vitals(&record[70..]);
    }
    assert!(ids.len() == 3 && !ids.contains(""), "{ids:?}");
}

async fn assert_volumes(tracker: &mut Talk) {
    let (status, told) = tracker.ask(98, &[0; 4]).await;
    assert_eq!((status, told.len()), (0, 5 + 2 * 59));
    assert_eq!(told[..5], [0, 0, 0, 0, 2], "no trunk files, two groups");
    for (record, group) in told[5..].chunks(59).zip(["group1", "group2"]) {
        assert_eq!(&record[..17], &field(group, 17)[..]);
        let [total_mb, free_mb, available_mb] = [17, 25, 41].map(|at| number(record, at));
        assert!(
            0 < free_mb && free_mb <= total_mb,
            "{free_mb} of {total_mb}"
        );
        assert!((0..=free_mb).contains(&available_mb));
        assert_eq!(record[58], 0, "no room in trunk files");
    }
}

async fn assert_brief(tracker: &mut Talk, storages: &[SocketAddr]) {
    let (status, brief) = tracker.ask(71, &named("127.0.0.1")).await;
    assert_eq!((status, brief.len()), (0, 1 + 4 + 16 + 46));
    assert_eq!(brief[0], 7, "active");
    let port = u32::from_be_bytes(brief[1..5].try_into().unwrap());
    assert_eq!(port, u32::from(storages[0].port()));
    let id = text(&brief[5..21]);
    assert_eq!(text(&brief[21..67]), "127.0.0.1");
    // Its id among all of them.
    let mut expected = storages.len();
    for start in 0..3_u32 {
        let asked = [&start.to_be_bytes()[..], &[1]].concat();
        let (status, told) = tracker.ask(69, &asked[..4 + start as usize % 2]).await;
        assert_eq!((status, &told[..4]), (0, &3_u32.to_be_bytes()[..]));
        let part = u32::from_be_bytes(told[4..8].try_into().unwrap());
        assert_eq!(part as usize, expected);
        let lines = std::str::from_utf8(&told[8..]).unwrap();
        assert_eq!(lines.lines().count(), expected, "{lines}");
        let place = storages.len() - expected;
        for (line, group) in lines.lines().zip(&GROUPS[place..]) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!((words.len(), words[1]), (3, *group), "{line}");
        }
        let is_first = lines.starts_with(&format!("{id} "));
        assert_eq!(is_first, start == 0, "{lines}");
        expected -= 1;
    }
}

#[actix_rt::test]
async fn wide_addresses_make_every_answer_wider() {
    let mut cluster = cluster(1, 2, "copies: 2, copies_min: 1").await;
    let storages = doors(&cluster, Role::Dserver);
    let name = Talk::to(storages[0]).await.upload(b"wide", "txt").await;
    let mut tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    assert_eq!(tracker.ask(96, &[0; 3]).await.1.len(), 91);
    configure(&mut cluster, |settings| {
        settings.addresses = AddressWidth::IPv6;
    });
    for server in ["mserver-1", "dserver-1", "dserver-2"] {
        cluster.restart(server).await.unwrap();
    }
    cluster.ready().await.unwrap();
    let mut tracker = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    let begun = Instant::now();
    while tracker.ask(106, &[]).await.1.len() != 16 + 2 * 53 + 1 {
        assert!(begun.elapsed() < PATIENCE, "both take uploads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let group = GROUP.to_vec();
    let id = {
        let (_, record) = tracker.ask(92, GROUP).await;
        text(&record[2..18]).to_owned()
    };
    let ports: Vec<i64> = storages.iter().map(|door| i64::from(door.port())).collect();
    // Bytes of the answer, and where the first address and port in it are.
    for (command, body, bytes, address, port) in [
        (101, vec![], 70, 16, 61),
        (104, group.clone(), 70, 16, 61),
        (106, vec![], 123, 16, 61),
        (107, group.clone(), 123, 16, 61),
        (102, named(&name), 69, 16, 61),
        (103, named(&name), 69, 16, 61),
        (105, named(&name), 122, 16, 61),
        (92, named(&id), 517, 18, 160),
        (92, group.clone(), 2 * 517, 18, 160),
    ] {
        let (status, answer) = tracker.ask(command, &body).await;
        assert_eq!((status, answer.len()), (0, bytes), "{command}");
        assert_eq!(text(&answer[address..address + 45]), "127.0.0.1");
        assert!(ports.contains(&number(&answer, port)), "{command}");
    }
    assert_eq!(tracker.ask(90, GROUP).await.1.len(), 113);
    let (status, info) = Talk::to(storages[1]).await.ask(22, &named(&name)).await;
    assert_eq!((status, info.len()), (0, 70));
    assert_eq!(text(&info[24..]), "127.0.0.1");
}
