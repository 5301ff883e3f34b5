//! Small files over real sockets: every member has what was uploaded at once, every error has its
//! number, and what is no request harms nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use kit::{GROUP, PATIENCE, Talk, cluster, content, doors, named, range, request, upload};
use sdfs_fastdfs::{FileKind, FileName};
use sdfs_server_group::Role;
use std::time::Duration;

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
        let begun = std::time::Instant::now();
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

#[actix_rt::test]
async fn what_is_no_request_is_closed_at_once() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    for role in [Role::Mserver, Role::Dserver] {
        let door = doors(&cluster, role)[0];
        let mut http = Talk::to(door).await;
        http.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(http.is_closed().await, "HTTP");
        let mut negative = Talk::to(door).await;
        negative.send(&[0xff; 10]).await;
        assert!(negative.is_closed().await, "a negative length");
        for command in [111, 14, 12, 22, 102, 11] {
            let mut huge = Talk::to(door).await;
            huge.send(&[&(1_u64 << 40).to_be_bytes()[..], &[command, 0]].concat())
                .await;
            if role == Role::Dserver && command == 11 {
                // An upload says its size twice; the second must be within a file's.
                huge.send(&upload(&[], "x")[..15]).await;
            }
            assert_eq!(huge.answer().await, (22, vec![]), "{command}");
            assert!(huge.is_closed().await);
        }
    }
}

#[actix_rt::test]
async fn mutated_requests_harm_nobody() {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let storage = doors(&cluster, Role::Dserver)[0];
    let mut good = Talk::to(storage).await;
    let name = good.upload(b"stays", "txt").await;
    let requests = [
        request(11, 0, &upload(b"content", "txt")),
        request(14, 0, &range(0, 0, &name)),
        request(22, 0, &named(&name)),
        request(111, 0, &[]),
    ];
    let mut random = Random(7);
    // Each connection gets a batch; most end it early.
    for _ in 0..1_000 {
        let mut talk = Talk::to(storage).await;
        let mut batch = Vec::new();
        for _ in 0..100 {
            let mut request = requests[random.below(requests.len())].clone();
            for _ in 0..random.below(4) {
                let at = random.below(request.len());
                request[at] = random.below(256) as u8;
            }
            request.truncate(request.len() - random.below(2) * random.below(9));
            batch.extend(request);
        }
        // The other side may close before all is sent.
        let sent = tokio::io::AsyncWriteExt::write_all(&mut talk.stream, &batch).await;
        drop(sent);
    }
    assert_eq!(good.download(&name).await, (0, b"stays".to_vec()));
    let name = good.upload(b"new", "txt").await;
    assert_eq!(
        Talk::to(storage).await.download(&name).await,
        (0, b"new".to_vec())
    );
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
