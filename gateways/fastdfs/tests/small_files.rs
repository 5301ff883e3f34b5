//! Small files over real sockets: every member has what was uploaded at once, every error has its
//! number, and what is no request harms nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use kit::bodies::{append, link, modify, set_metadata, slave, truncate};
use kit::{GROUP, PATIENCE, Talk, cluster, content, doors, name_of, named, range, request, upload};
use sdfs_fastdfs::{FileKind, FileName};
use sdfs_server_group::Role;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// The storage an answer of a tracker names.
fn port_of(answer: &[u8]) -> u16 {
    assert_eq!(&answer[..16], GROUP);
    assert_eq!(&answer[16..26], b"127.0.0.1\0");
    u16::from_be_bytes(answer[37..39].try_into().unwrap())
}

#[actix_rt::test]
async fn uploads_are_read_at_every_member_at_once() {
    let mut cluster = cluster(3, 3, "copies: 3").await;
    let storages = doors(&cluster, Role::Dserver);
    let mut talks = Vec::new();
    for storage in &storages {
        talks.push(Talk::to(*storage).await);
    }
    let mut kept = Vec::new();
    for n in 0..60 {
        let length = [0, 1, 4_096, 70_000, 1_000_000][n % 5];
        let content = content(n as u64, length);
        let name = talks[n % 3]
            .upload(&content, ["jpg", "", "tar.gz"][n % 3])
            .await;
        for talk in &mut talks {
            assert_eq!(talk.download(&name).await, (0, content.clone()), "{name}");
        }
        kept.push((name, content));
    }
    // Every tracker sends a client to storages that live and have the file.
    cluster.kill("dserver-2").unwrap();
    let dead = storages[1].port();
    for tracker in doors(&cluster, Role::Mserver) {
        let mut tracker = Talk::to(tracker).await;
        let begun = Instant::now();
        loop {
            let mut ports = Vec::new();
            for (name, _) in kept.iter().take(6) {
                ports.push(port_of(&tracker.ask(101, &[]).await.1));
                ports.push(port_of(&tracker.ask(102, &named(name)).await.1));
                ports.push(port_of(&tracker.ask(103, &named(name)).await.1));
            }
            if !ports.contains(&dead) {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{dead} is named long after its death"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let name = talks[0].upload(b"after a death", "txt").await;
    assert_eq!(talks[2].download(&name).await.1, b"after a death");
    for (name, _) in &kept {
        assert_eq!(talks[2].delete(name).await, 0, "{name}");
        assert_eq!(talks[0].download(name).await, (2, vec![]));
        assert_eq!(talks[0].delete(name).await, 2);
    }
    // What was deleted while a member was away does not come back with it.
    cluster.start("dserver-2").await.unwrap();
    cluster.ready().await.unwrap();
    let mut back = Talk::to(storages[1]).await;
    for (name, _) in &kept {
        assert_eq!(back.download(name).await.0, 2, "{name}");
    }
    assert_eq!(back.download(&name).await.1, b"after a death");
}

/// Uploads of each of [`TASKS`].
const UPLOADS: usize = 625;

#[actix_rt::test]
async fn no_member_misses_what_was_just_uploaded() {
    let cluster = cluster(1, 3, "copies: 3").await;
    let storages = doors(&cluster, Role::Dserver);
    let task = |n: usize| actix_rt::spawn(upload_and_download(n, storages.clone()));
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Downloads each upload at once from all others than the one that took it.
async fn upload_and_download(task: usize, storages: Vec<SocketAddr>) {
    let mut talks = Vec::new();
    for storage in &storages {
        talks.push(Talk::to(*storage).await);
    }
    let mut master = String::new();
    for n in 0..UPLOADS {
        let bytes = content((task * UPLOADS + n) as u64, 1_000 + n % 48);
        let taker = (task + n) % talks.len();
        let name = match n % 25 {
            10 => talks[taker].upload_appender(&bytes, "log").await,
            20 => {
                let body = slave(&master, ("_s", "jpg"), &bytes);
                name_of(talks[taker].ask(21, &body).await)
            }
            _ => talks[taker].upload(&bytes, "jpg").await,
        };
        for other in (0..talks.len()).filter(|other| *other != taker) {
            let (status, found) = talks[other].download(&name).await;
            assert!(
                status == 0 && found == bytes,
                "{name} of {taker} at {other}: {status}"
            );
        }
        master = name;
    }
}

#[actix_rt::test]
async fn every_command_and_error_has_its_answer() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let storage = doors(&cluster, Role::Dserver)[0];
    let mut talk = Talk::to(storage).await;
    let content = content(1, 5_000);
    let name = talk.upload(&content, "bin").await;
    assert_eq!(name.len(), 60);
    let parsed = FileName::parse(name.as_bytes()).unwrap();
    assert_eq!(parsed.kind, FileKind::Trunk(5_000));
    let crc32 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &content);
    assert_eq!(u64::from(parsed.crc32), crc32);

    // Ranges.
    let table = [
        (0, 10, 0..10),
        (4_990, 0, 4_990..5_000),
        (100, 99_999, 100..5_000),
    ];
    for (offset, count, expected) in table {
        let part = talk.ask(14, &range(offset, count, &name)).await;
        assert_eq!(part, (0, content[expected].to_vec()), "{offset} {count}");
    }
    // Size, time, checksum, address.
    let (status, info) = talk.ask(22, &named(&name)).await;
    assert_eq!((status, info.len()), (0, 40));
    let number = |at: usize| i64::from_be_bytes(info[at..at + 8].try_into().unwrap());
    assert_eq!(number(0), 5_000);
    assert_eq!(number(8), i64::from(parsed.second));
    assert_eq!(number(16), i64::from((crc32 as u32).cast_signed()));
    assert_eq!(&info[24..34], b"127.0.0.1\0");
    // Quietly, and without a checksum computed: of a file that needs neither the same.
    for flags in [1, 2, 3] {
        assert_eq!(
            talk.ask_with(22, flags, &named(&name)).await,
            (0, info.clone())
        );
    }
    assert_eq!(talk.ask(111, &[]).await, (0, vec![]));

    // Not found: the connection goes on.
    let mut absent = name.clone();
    absent.replace_range(38..39, if &absent[38..39] == "1" { "2" } else { "1" });
    for (command, body) in [
        (14, range(0, 0, &absent)),
        (12, named(&absent)),
        (22, named(&absent)),
    ] {
        assert_eq!(talk.ask(command, &body).await, (2, vec![]), "{command}");
    }
    assert_eq!(talk.download(&name).await.1, content);

    // Wrong: told so, and closed.
    let other_group = [b"group2\0\0\0\0\0\0\0\0\0\0", name.as_bytes()].concat();
    let wrong_size = [&upload(&content, "bin")[..], b"x"].concat();
    let mut wrong_path = upload(&content, "bin");
    wrong_path[0] = 1;
    let wrong: Vec<(u8, Vec<u8>)> = vec![
        (14, range(5_000, 0, &name)),
        (14, range(-1, 0, &name)),
        (14, range(0, -1, &name)),
        (14, range(0, 0, "M00/00/00/short")),
        (14, range(0, 0, &"x".repeat(127))),
        (14, vec![0; 3]),
        (12, other_group.clone()),
        (22, other_group),
        (12, vec![]),
        (11, wrong_size),
        (11, wrong_path),
        (11, upload(b"", "a/b")),
        (11, vec![0; 14]),
        (111, vec![0]),
        (99, vec![]),
        (0, vec![1, 2, 3]),
    ];
    for (command, body) in wrong {
        let mut talk = Talk::to(storage).await;
        assert_eq!(
            talk.ask(command, &body).await,
            (22, vec![]),
            "{command} {body:?}"
        );
        assert!(talk.is_closed().await, "{command}");
    }
    talk.send(&request(82, 0, &[])).await;
    assert!(talk.is_closed().await, "as asked");
}

#[actix_rt::test]
async fn a_tracker_keeps_its_connections() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let mut talk = Talk::to(doors(&cluster, Role::Mserver)[0]).await;
    let (status, first) = talk.ask(101, &[]).await;
    assert_eq!(
        (status, first.len()),
        (0, 40),
        "as soon as the cluster is ready"
    );
    assert_eq!(talk.ask(101, b"x").await, (22, vec![]));
    assert_eq!(talk.ask(1, b"x").await, (22, vec![]));
    // Byte after byte.
    for byte in request(104, 0, GROUP) {
        talk.send(&[byte]).await;
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(talk.answer().await, (0, first));
    // Several at once.
    talk.send(&request(111, 0, &[]).repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(talk.answer().await, (0, vec![]));
    }
    talk.send(&request(82, 0, &[])).await;
    assert!(talk.is_closed().await);
}

#[actix_rt::test]
async fn a_refusal_is_read_by_who_still_sends() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let storage = doors(&cluster, Role::Dserver)[0];
    for (command, length) in [(99, 200_000), (21, 16), (14, 100_000)] {
        for _ in 0..20 {
            let mut talk = Talk::to(storage).await;
            let whole = request(command, 0, &vec![0; length]);
            for piece in whole.chunks(whole.len().div_ceil(3)) {
                talk.send(piece).await;
                actix_rt::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(talk.answer().await, (22, vec![]), "{command}");
            assert!(talk.is_closed().await);
        }
    }
}

#[actix_rt::test]
async fn requests_may_come_in_any_pieces() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let storage = doors(&cluster, Role::Dserver)[0];
    let mut talk = Talk::to(storage).await;
    // Many at once, answered in order.
    let many: Vec<u8> = (0..200)
        .flat_map(|n| match n % 2 {
            0 => request(111, 0, &[]),
            _ => request(11, 0, &upload(&content(n, 100), "x")),
        })
        .collect();
    talk.send(&many).await;
    let mut names = Vec::new();
    for n in 0..200_u64 {
        let (status, body) = talk.answer().await;
        assert_eq!(status, 0);
        if n % 2 == 1 {
            names.push((n, String::from_utf8(body[16..].to_vec()).unwrap()));
        }
    }
    for (n, name) in &names {
        assert_eq!(talk.download(name).await, (0, content(*n, 100)));
    }
    // One, byte by byte.
    for byte in request(11, 0, &upload(b"slow", "x")) {
        talk.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(talk.answer().await.0, 0);
}

#[actix_rt::test]
async fn what_was_asked_before_the_end_is_answered() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let [tracker, storage] = [Role::Mserver, Role::Dserver].map(|role| doors(&cluster, role)[0]);
    let upload = request(11, 0, &upload(b"kept", "x"));
    let ends = [request(82, 0, &[]), vec![0xff; 10], b"GET / HTTP".to_vec()];
    for end in ends {
        let mut talk = Talk::to(storage).await;
        talk.send(&[&upload[..], &end].concat()).await;
        let (status, body) = talk.answer().await;
        assert_eq!(status, 0);
        assert!(talk.is_closed().await);
        let name = String::from_utf8(body[16..].to_vec()).unwrap();
        let mut talk = Talk::to(storage).await;
        assert_eq!(talk.download(&name).await, (0, b"kept".to_vec()));
        let mut talk = Talk::to(tracker).await;
        talk.send(&[request(101, 0, &[]), end].concat()).await;
        assert_eq!(talk.answer().await.0, 0);
        assert!(talk.is_closed().await);
    }
}

/// Long before a door loses its patience.
const AT_ONCE: Duration = Duration::from_secs(5);

#[actix_rt::test]
async fn what_is_no_request_is_closed_at_once() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    for role in [Role::Mserver, Role::Dserver] {
        let door = doors(&cluster, role)[0];
        let mut http = Talk::to(door).await;
        let begun = Instant::now();
        http.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(http.is_closed().await, "HTTP");
        assert!(begun.elapsed() < AT_ONCE, "HTTP at {role:?}");
        let mut negative = Talk::to(door).await;
        negative.send(&[0xff; 10]).await;
        assert!(negative.is_closed().await, "a negative length");
        for command in [111, 14, 12, 22, 102, 11] {
            let mut huge = Talk::to(door).await;
            let begun = Instant::now();
            huge.send(&[&(1_u64 << 40).to_be_bytes()[..], &[command, 0]].concat())
                .await;
            if role == Role::Dserver && command == 11 {
                // An upload says its size twice; the second must be within a file's.
                huge.send(&upload(&[], "x")[..15]).await;
            }
            assert_eq!(huge.answer().await, (22, vec![]), "{command}");
            assert!(huge.is_closed().await);
            assert!(begun.elapsed() < AT_ONCE, "{command} at {role:?}");
        }
    }
}

/// Requests that must have ended before mutated ones are said to harm nobody.
const MUTATED: usize = 100_000;
const TASKS: usize = 16;

#[actix_rt::test]
async fn mutated_requests_harm_nobody() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let [tracker, storage] = [Role::Mserver, Role::Dserver].map(|role| doors(&cluster, role)[0]);
    let mut good = Talk::to(storage).await;
    let name = good.upload(b"stays", "txt").await;
    let appender = good.upload_appender(b"stays as well", "log").await;
    let set = set_metadata(&name, b'O', b"k\x02v");
    assert_eq!(good.ask(13, &set).await.0, 0);
    let kept = [name.clone(), appender.clone()];
    let task = |n: usize| {
        let door = match n % 2 {
            0 => (tracker, &TRACKER_COMMANDS[..]),
            _ => (storage, &STORAGE_COMMANDS[..]),
        };
        let mutator = Mutator::new(n as u64, door, kept.clone());
        actix_rt::spawn(mutator.run(MUTATED / TASKS))
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut ended = BTreeMap::<(bool, u8), BTreeMap<Option<u8>, usize>>::new();
    for (n, task) in tasks.into_iter().enumerate() {
        for ((command, status), count) in task.await.unwrap() {
            let door = ended.entry((n % 2 == 1, command)).or_default();
            *door.entry(status).or_default() += count;
        }
    }
    let counts = ended.values().flat_map(BTreeMap::values);
    assert_eq!(counts.sum::<usize>(), MUTATED);
    for ((is_storage, command), statuses) in &ended {
        // What mutations leave right is done; a failing disk or cluster is nobody's mutation.
        let is_never_done = matches!(command, 20 | 82 | 93 | 94 | 108);
        let is_done = is_never_done || statuses.contains_key(&Some(0));
        let is_harm = |status: &u8| ![0, 2, 16, 17, 22, 95].contains(status);
        let is_harmed = statuses.keys().flatten().any(is_harm);
        assert!(
            is_done && !is_harmed,
            "{is_storage} {command}: {statuses:?}"
        );
    }
    assert_eq!(good.download(&name).await, (0, b"stays".to_vec()));
    assert_eq!(good.ask(15, &named(&name)).await, (0, b"k\x02v".to_vec()));
    let grown = good.download(&appender).await;
    assert_eq!(grown, (0, b"stays as well".to_vec()));
    let name = good.upload(b"new", "txt").await;
    let new = Talk::to(storage).await.download(&name).await;
    assert_eq!(new, (0, b"new".to_vec()));
}

const STORAGE_COMMANDS: [u8; 15] = [11, 12, 13, 14, 15, 21, 22, 23, 24, 34, 36, 38, 111, 20, 82];
const TRACKER_COMMANDS: [u8; 22] = [
    101, 102, 103, 104, 105, 106, 107, 108, 90, 91, 92, 93, 94, 95, 96, 97, 98, 71, 75, 69, 111, 82,
];
/// What changes a file that is there.
const CHANGES: [u8; 6] = [12, 13, 24, 34, 36, 38];

/// Sends mutated requests to a door, one after the other has ended.
struct Mutator {
    door: SocketAddr,
    commands: &'static [u8],
    random: Random,
    /// Names that no request may change a file of.
    kept: [String; 2],
    /// Names for the rest: of a file and of an appender file.
    others: [String; 2],
    talk: Option<Talk>,
}

/// How often a command ended with a status, or with the end of its connection.
type Ended = BTreeMap<(u8, Option<u8>), usize>;

impl Mutator {
    fn new(seed: u64, (door, commands): (SocketAddr, &'static [u8]), kept: [String; 2]) -> Self {
        Self {
            door,
            commands,
            random: Random(seed),
            others: kept.clone(),
            kept,
            talk: None,
        }
    }

    async fn run(mut self, count: usize) -> Ended {
        let mut ended = Ended::new();
        for n in 0..count {
            let command = self.commands[self.random.below(self.commands.len())];
            let is_length_right = n % 2 == 0;
            let status = loop {
                let request = self.mutated(command, is_length_right);
                let text = String::from_utf8_lossy(&request);
                let is_kept = self.kept.iter().any(|name| text.contains(&**name));
                if is_kept && CHANGES.contains(&request[8]) {
                    // It would change what it rightly names.
                    continue;
                }
                if is_length_right {
                    break self.ask(&request).await;
                }
                break self.ask_and_close(&request).await;
            };
            *ended.entry((command, status)).or_default() += 1;
        }
        ended
    }

    fn mutated(&mut self, command: u8, is_length_right: bool) -> Vec<u8> {
        let body = self.body(command);
        let mut bytes = request(command, 0, &body);
        if is_length_right {
            if self.random.below(4) == 0 {
                // Another body, and its length.
                let end = self.random.below(bytes.len() + 8).max(10);
                bytes.resize(end, 0);
                let length = (end - 10) as u64;
                bytes[..8].copy_from_slice(&length.to_be_bytes());
            }
            for _ in 0..=self.random.below(3) {
                self.mutate_within(&mut bytes, 8);
            }
            return bytes;
        }
        for _ in 0..self.random.below(3) {
            self.mutate_within(&mut bytes, 0);
        }
        let at = [0, 4, 6, 7, 7, 7][self.random.below(6)];
        bytes[at] = bytes[at].wrapping_add(1 + self.random.below(255) as u8);
        bytes
    }

    fn mutate_within(&mut self, bytes: &mut [u8], begin: usize) {
        let at = begin + self.random.below(bytes.len() - begin);
        bytes[at] = match self.random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => bytes[at] ^ 1 << self.random.below(8),
            _ => self.random.below(256) as u8,
        };
    }

    fn body(&mut self, command: u8) -> Vec<u8> {
        let grows = usize::from(matches!(command, 24 | 34 | 36 | 38));
        let kind = if grows == 1 { 1 } else { self.random.below(2) };
        let name = match self.random.below(4) {
            0 => &self.kept[kind],
            _ => &self.others[kind],
        };
        match command {
            11 | 23 => upload(b"content", "txt"),
            14 => range(0, 0, name),
            12 | 15 | 22 | 102 | 103 | 105 => named(name),
            13 => set_metadata(name, b"MO"[self.random.below(2)], b"a\x02b\x01c\x02d"),
            20 => link(name, name, b"signature"),
            21 => {
                let prefix = format!("_{}", self.random.below(1_000));
                slave(name, (&prefix, "jpg"), b"content")
            }
            24 => append(name, b"more"),
            34 => modify(name, 3, b"more"),
            36 => truncate(name, 5),
            38 => name.clone().into_bytes(),
            90 | 104 | 107 | 108 => GROUP.to_vec(),
            71 | 92 | 93 | 94 => [&GROUP[..], b"2"].concat(),
            69 => vec![0; 4],
            96 => vec![0; 3],
            97 | 98 => vec![0; 4],
            _ => Vec::new(),
        }
    }

    /// The status a request is answered with, if its connection is not closed.
    async fn ask(&mut self, request: &[u8]) -> Option<u8> {
        loop {
            let former = self.talk.take();
            let is_fresh = former.is_none();
            let mut talk = match former {
                Some(talk) => talk,
                None => Talk::to(self.door).await,
            };
            // Who closes before all of it is there has looked at enough.
            drop(talk.stream.write_all(request).await);
            match talk.answer_or_close().await {
                Some((status, body)) => {
                    self.learn(request[8], status, &body);
                    self.talk = Some(talk);
                    return Some(status);
                }
                None if is_fresh => return None,
                // Closed behind the last answer: nobody looked at this.
                None => {}
            }
        }
    }

    /// The same when the header lies about what follows: all that follows is the end.
    async fn ask_and_close(&mut self, request: &[u8]) -> Option<u8> {
        let mut talk = Talk::to(self.door).await;
        drop(talk.stream.write_all(request).await);
        talk.end().await;
        let first = talk.answer_or_close().await;
        while talk.answer_or_close().await.is_some() {}
        first.map(|(status, _)| status)
    }

    /// Later requests are about what was uploaded last.
    fn learn(&mut self, command: u8, status: u8, body: &[u8]) {
        if status == 0 && matches!(command, 11 | 23) && body.len() > 16 {
            let name = String::from_utf8(body[16..].to_vec()).unwrap();
            self.others[usize::from(command == 23)] = name;
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}
