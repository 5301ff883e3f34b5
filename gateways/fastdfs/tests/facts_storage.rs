//! What a storage answers, fact by fact, as clients of FastDFS rely on it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kit::bodies::{append, link, modify, set_metadata, slave, truncate};
use kit::file_id::FileId;
use kit::{Talk, cluster, content, crc32, doors, field, name_of, named, range, upload};
use sdfs_server::Cluster;
use sdfs_server_group::Role;
use sdfs_types::clock;

const BLOCK: usize = 64 << 10;
/// Long before a door loses its patience.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn one_storage() -> (Cluster, SocketAddr) {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1, block_bytes: 65536").await;
    let door = doors(&cluster, Role::Dserver)[0];
    (cluster, door)
}

/// The request is wrong: told so, and closed.
async fn assert_invalid(door: SocketAddr, command: u8, body: &[u8]) {
    let mut talk = Talk::to(door).await;
    let answer = talk.ask(command, body).await;
    let start = String::from_utf8_lossy(&body[..body.len().min(99)]);
    assert_eq!(answer, (22, vec![]), "{command} {start:?}");
    assert!(talk.is_closed().await, "{command} {start:?}");
}

/// It is not done, and the connection goes on.
async fn assert_refused(talk: &mut Talk, (command, body): (u8, &[u8]), status: u8) {
    assert_eq!(talk.ask(command, body).await, (status, vec![]), "{command}");
    assert_eq!(talk.ask(111, &[]).await, (0, vec![]), "after {command}");
}

fn now_s() -> i64 {
    i64::try_from(clock::now_ms() / 1_000).unwrap()
}

/// Size, time and checksum.
async fn info(talk: &mut Talk, flags: u8, name: &str) -> (i64, i64, i64) {
    let (status, info) = talk.ask_with(22, flags, &named(name)).await;
    assert_eq!((status, info.len()), (0, 40), "{name}");
    let number = |at: usize| i64::from_be_bytes(info[at..at + 8].try_into().unwrap());
    (number(0), number(8), number(16))
}

#[actix_rt::test]
async fn metadata_fills_a_buffer_and_no_more() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let name = talk.upload(b"small", "txt").await;
    // Records that fill it to the last byte.
    let most = 256 << 10;
    let mut full = Vec::new();
    for n in 0.. {
        let value_bytes = (most - full.len() - 7).min(256);
        let value = vec![b'v'; value_bytes];
        full.extend([format!("{n:06}\x02").as_bytes(), &value].concat());
        if full.len() == most {
            break;
        }
        full.push(1);
    }
    let set = |text: &[u8]| set_metadata(&name, b'O', text);
    assert_eq!(talk.ask(13, &set(&full)).await, (0, vec![]));
    assert_eq!(talk.ask(15, &named(&name)).await, (0, full.clone()));
    assert_invalid(door, 13, &set(&[&full[..], b"v"].concat())).await;
    // What cannot be right is not waited for.
    let mut huge = Talk::to(door).await;
    let begun = Instant::now();
    let announced = (most + 300) as u64;
    huge.send(&[&announced.to_be_bytes()[..], &[13, 0]].concat())
        .await;
    assert_eq!(huge.answer().await, (22, vec![]));
    assert!(huge.is_closed().await && begun.elapsed() < AT_ONCE);
    assert_eq!(talk.ask(15, &named(&name)).await, (0, full));
}

#[actix_rt::test]
async fn metadata_is_kept_as_it_came() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let small = talk.upload(b"small", "txt").await;
    let appender = talk.upload_appender(b"grows", "txt").await;
    let (name, value) = (vec![b'n'; 64], vec![b'v'; 256]);
    let longest = [&name[..], &[2], &value].concat();
    for file in [&small, &appender] {
        // Each over the one before.
        let table: [(u8, &[u8], &[u8]); 7] = [
            (b'O', b"b\x022\x01a\x021", b"a\x021\x01b\x022"),
            (b'M', b"", b"a\x021\x01b\x022"),
            (b'M', b"b\x023\x01c\x024", b"a\x021\x01b\x023\x01c\x024"),
            (b'O', b"d\x022\x01d\x021", b"d\x022\x01d\x021"),
            (b'O', b"z\x021\x01bare", b"bare\x01z\x021"),
            (b'O', b"empty\x02", b"empty\x02"),
            (b'O', &longest, &longest),
        ];
        for (how, text, kept) in table {
            let set = talk.ask(13, &set_metadata(file, how, text)).await;
            assert_eq!(set, (0, vec![]), "{text:?}");
            let found = talk.ask(15, &named(file)).await;
            assert_eq!(found, (0, kept.to_vec()), "{} {text:?}", how as char);
        }
        for text in [
            [&longest[..], b"v"].concat(),
            [b"n", &longest[..]].concat(),
            vec![b'n'; 65],
        ] {
            for how in [b'O', b'M'] {
                assert_invalid(door, 13, &set_metadata(file, how, &text)).await;
            }
        }
        assert_invalid(door, 13, &set_metadata(file, b'o', b"a\x021")).await;
        let found = talk.ask(15, &named(file)).await;
        assert_eq!(found, (0, longest.clone()), "nothing of it was set");
    }
}

#[actix_rt::test]
async fn wrong_requests_are_told_and_closed() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let master = talk.upload(b"master", "jpg").await;
    let appender = talk.upload_appender(b"grows", "log").await;
    let good = upload(b"content", "txt");
    let with = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        body
    };
    for command in [11, 23] {
        let longer = [&good[..], b"x"].concat();
        let shorter = good[..good.len() - 1].to_vec();
        let negative = with(1, 0x80);
        let slash = with(10, b'/');
        for body in [with(0, 1), slash, longer, shorter, negative, vec![0; 14]] {
            assert_invalid(door, command, &body).await;
        }
    }
    for words in [("-m", ""), ("", "jpg"), ("a/b", "jpg"), ("_s", "j/g")] {
        assert_invalid(door, 21, &slave(&master, words, b"content")).await;
    }
    assert_invalid(door, 20, &link(&master, &master, b"signature")).await;
    let mut letter = appender.clone();
    letter.replace_range(20..21, "+");
    let mut no_folder = appender.clone();
    no_folder.replace_range(0..1, "S");
    let long = format!("{appender}{}", "x".repeat(128 - appender.len()));
    for name in [
        "x",
        "M00/00/00/short",
        &"x".repeat(50),
        &letter,
        &no_folder,
        &long,
    ] {
        for (command, body) in [
            (12, named(name)),
            (13, set_metadata(name, b'O', b"a\x021")),
            (14, range(0, 0, name)),
            (15, named(name)),
            (22, named(name)),
            (24, append(name, b"more")),
            (34, modify(name, 0, b"more")),
            (36, truncate(name, 1)),
            (38, name.as_bytes().to_vec()),
        ] {
            assert_invalid(door, command, &body).await;
        }
    }
    let in_group = |group: &str| [&field(group, 16)[..], appender.as_bytes()].concat();
    for command in [12, 15, 22] {
        assert_invalid(door, command, &in_group("group9")).await;
    }
    assert_eq!(talk.download(&master).await, (0, b"master".to_vec()));
    assert_eq!(talk.download(&appender).await, (0, b"grows".to_vec()));
}

#[actix_rt::test]
async fn a_refusal_leaves_the_connection_open() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let master = talk.upload(b"master", "jpg").await;
    let body = slave(&master, ("_s", "jpg"), b"content");
    let name = name_of(talk.ask(21, &body).await);
    assert_refused(&mut talk, (21, &body), 17).await;
    assert_eq!(talk.download(&name).await, (0, b"content".to_vec()));
    // What is gone is missing for every command.
    let appender = talk.upload_appender(b"grows", "log").await;
    for name in [&master, &appender] {
        assert_eq!(talk.ask(15, &named(name)).await, (2, vec![]), "no metadata");
        assert_eq!(talk.delete(name).await, 0);
        for (command, body) in [
            (12, named(name)),
            (13, set_metadata(name, b'O', b"a\x021")),
            (14, range(0, 0, name)),
            (15, named(name)),
            (21, slave(name, ("_t", "jpg"), b"content")),
            (22, named(name)),
        ] {
            assert_refused(&mut talk, (command, &body), 2).await;
        }
        for flags in [1, 2, 3] {
            let silent = talk.ask_with(22, flags, &named(name)).await;
            assert_eq!(silent, (2, vec![]), "flags {flags}");
            assert_eq!(talk.ask(111, &[]).await, (0, vec![]));
        }
    }
    for (command, body) in [
        (24, append(&appender, b"more")),
        (34, modify(&appender, 0, b"more")),
        (36, truncate(&appender, 1)),
        (38, appender.clone().into_bytes()),
    ] {
        assert_refused(&mut talk, (command, &body), 2).await;
    }
}

/// Content whose checksum is, or is not, a negative number of 32 bits.
fn content_of_sign(is_negative: bool, length: usize) -> Vec<u8> {
    let mut contents = (1..).map(|seed| content(seed, length));
    let is_it = |content: &Vec<u8>| (crc32(content) >> 31 == 1) == is_negative;
    contents.find(is_it).unwrap()
}

#[actix_rt::test]
async fn checksums_are_told_with_their_sign() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let master = talk.upload(b"master", "jpg").await;
    for is_negative in [true, false] {
        for length in [1_000, 2 * BLOCK + 1] {
            let content = content_of_sign(is_negative, length);
            let size = length as i64;
            let expected = i64::from(crc32(&content).cast_signed());
            assert_eq!(expected < 0, is_negative);
            let normal = talk.upload(&content, "bin").await;
            let appender = talk.upload_appender(&content, "bin").await;
            let prefix = format!("_{length}{}", i32::from(is_negative));
            let body = slave(&master, (&prefix, "bin"), &content);
            let slave = name_of(talk.ask(21, &body).await);
            // Flags, and what is told of files whose names do not tell it.
            for (flags, computed) in [(0, expected), (1, 0), (2, expected), (3, 0)] {
                for (name, told) in [
                    (&normal, expected),
                    (&appender, computed),
                    (&slave, computed),
                ] {
                    let (found, second, sum) = info(&mut talk, flags, name).await;
                    assert_eq!((found, sum), (size, told), "{name} with flags {flags}");
                    assert!((now_s() - 120..=now_s()).contains(&second), "{name}");
                }
            }
        }
    }
}

#[actix_rt::test]
async fn an_append_is_seen_in_time_and_checksum() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let first = content(1, 500);
    let name = talk.upload_appender(&first, "log").await;
    let (_, before, _) = info(&mut talk, 0, &name).await;
    while now_s() <= before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = now_s();
    assert_eq!(talk.ask(24, &append(&name, b"more")).await.0, 0);
    let (size, after, sum) = info(&mut talk, 0, &name).await;
    assert!((begun..=now_s()).contains(&after), "{after} since {begun}");
    let whole = [&first[..], b"more"].concat();
    assert_eq!(size, 504);
    assert_eq!(sum, i64::from(crc32(&whole).cast_signed()));
    assert_eq!(talk.download(&name).await, (0, whole));
    // The name tells what the file was at first.
    assert_eq!(FileId::of(&name).crc32, crc32(&first));
}

#[actix_rt::test]
async fn names_tell_what_the_protocol_says() {
    let cluster = cluster(1, 2, "copies: 2, copies_min: 1, block_bytes: 65536").await;
    // The highest nine bits: no plain size, then the kind.
    let (normal, appender, trunk) = (0x100, 0x108, 0x110);
    let servers = cluster.config().servers_of(Role::Dserver);
    for (door, server) in doors(&cluster, Role::Dserver).into_iter().zip(servers) {
        let mut talk = Talk::to(door).await;
        for (command, length, kind, bytes) in [
            (11, 5_000, trunk, 60),
            (11, 0, trunk, 60),
            (11, 3 * BLOCK, normal, 44),
            (23, 5_000, appender, 44),
            (23, 0, appender, 44),
            (23, 3 * BLOCK, appender, 44),
        ] {
            for (extension, digits) in [("bin", 3), ("abcdef", 0), ("", 7), ("x", 5)] {
                let content = content(7, length);
                let begun = now_s();
                let name = name_of(talk.ask(command, &upload(&content, extension)).await);
                let id = FileId::of(&name);
                assert_eq!(name.len(), bytes, "{name}");
                let path: Vec<&str> = id.path.split('/').collect();
                assert_eq!((path.len(), path[3]), (4, ""), "{name}");
                let is_number = |part: &&str| {
                    let is_hex = |letter: u8| b"0123456789ABCDEF".contains(&letter);
                    part.len() == 2 && part.bytes().all(is_hex)
                };
                let index = path[0].strip_prefix('M').unwrap();
                assert!([index, path[1], path[2]].iter().all(is_number), "{name}");
                assert_eq!(id.source, u32::from(server.id.0), "{name}");
                let second = i64::from(id.second);
                assert!((begun - 1..=now_s()).contains(&second), "{name}");
                assert_eq!(id.crc32, crc32(&content), "{name}");
                assert_eq!(id.size >> 55, kind, "{name}");
                if kind != appender {
                    assert_eq!(id.size & 0xffff_ffff, length as u64, "{name}");
                }
                let (number, rest) = id.trailer.split_at(digits);
                assert!(
                    number.bytes().all(|letter| letter.is_ascii_digit()),
                    "{name}"
                );
                let expected = match extension {
                    "" => String::new(),
                    _ => format!(".{extension}"),
                };
                assert_eq!(rest, expected, "{name}");
            }
        }
    }
}

#[actix_rt::test]
async fn names_differ_for_one_content() {
    let (_cluster, door) = one_storage().await;
    let mut talk = Talk::to(door).await;
    let mut names = BTreeSet::new();
    for _ in 0..200 {
        names.insert(talk.upload(b"again", "txt").await);
        names.insert(talk.upload_appender(b"again", "txt").await);
    }
    assert_eq!(names.len(), 400);
}
