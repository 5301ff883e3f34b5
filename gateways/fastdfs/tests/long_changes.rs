//! Appends and modifies over real sockets that do not fit into memory at once, or are refused
//! before all of them has been read.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kit;

use std::time::{Duration, Instant};

use kit::{PATIENCE, Talk, cluster, content, doors, field, named, range, request, upload};
use sdfs_fastdfs::limits::{CHANGE_BYTES_MAX, UNREAD_BYTES_MAX};
use sdfs_server::Cluster;
use sdfs_server_group::Role;

const APPEND: u8 = 24;
const MODIFY: u8 = 34;
const PIECE: usize = CHANGE_BYTES_MAX as usize;

async fn one_storage() -> (Cluster, Talk) {
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let talk = Talk::to(doors(&cluster, Role::Dserver)[0]).await;
    (cluster, talk)
}

async fn appender(talk: &mut Talk, content: &[u8]) -> String {
    let (status, answer) = talk.ask(23, &upload(content, "log")).await;
    assert_eq!(status, 0);
    String::from_utf8(answer[16..].to_vec()).unwrap()
}

fn change(name: &str, offset: Option<usize>, data: &[u8]) -> Vec<u8> {
    let numbers = [Some(name.len()), offset, Some(data.len())];
    let numbers = numbers.into_iter().flatten();
    let mut body: Vec<u8> = numbers.flat_map(|one| (one as u64).to_be_bytes()).collect();
    body.extend(name.as_bytes());
    body.extend(data);
    body
}

/// The size an info tells that computes no checksum.
async fn size(talk: &mut Talk, name: &str) -> usize {
    let (status, info) = talk.ask_with(22, 1, &named(name)).await;
    assert_eq!(status, 0, "{name}");
    u64::from_be_bytes(info[..8].try_into().unwrap()) as usize
}

async fn assert_content(talk: &mut Talk, name: &str, expected: &[u8]) {
    let (status, found) = talk.download(name).await;
    assert_eq!((status, found.len()), (0, expected.len()));
    assert!(found == expected, "other bytes than were written");
}

#[actix_rt::test]
async fn a_change_of_any_length_is_done_whole() {
    let (_cluster, mut talk) = one_storage().await;
    let mut expected = content(1, 100);
    let name = appender(&mut talk, &expected).await;
    let data = content(2, PIECE + 1);
    let answer = talk.ask(APPEND, &change(&name, None, &data)).await;
    assert_eq!(answer, (0, vec![]));
    expected.extend(&data);
    assert_content(&mut talk, &name, &expected).await;
    // Over nearly all of it, and beyond its end.
    let data: Vec<u8> = data.iter().map(|byte| !byte).collect();
    let answer = talk.ask(MODIFY, &change(&name, Some(150), &data)).await;
    assert_eq!(answer, (0, vec![]));
    expected.truncate(150);
    expected.extend(&data);
    assert_content(&mut talk, &name, &expected).await;
    // Behind its end nothing of it is written.
    let beyond = change(&name, Some(expected.len() + 1), &data);
    let answer = talk.ask(MODIFY, &beyond).await;
    assert_eq!(answer, (22, vec![]));
    assert!(talk.is_closed().await);
}

/// Whoever is told of a failure sees how far it came by the size, and nobody's bytes are mixed.
#[actix_rt::test]
async fn nobody_writes_into_a_long_append() {
    let (cluster, mut long) = one_storage().await;
    let mut other = Talk::to(doors(&cluster, Role::Dserver)[0]).await;
    let name = appender(&mut long, b"begin").await;
    let data = content(3, PIECE + 7);
    let whole = request(APPEND, 0, &change(&name, None, &data));
    let (first, rest) = whole.split_at(whole.len() - 7);
    long.send(first).await;
    let begun = Instant::now();
    while size(&mut other, &name).await == 5 {
        assert!(begun.elapsed() < PATIENCE, "the first piece is not written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(size(&mut other, &name).await, 5 + PIECE);
    let answer = other.ask(APPEND, &change(&name, None, b"other")).await;
    assert_eq!(answer, (0, vec![]));
    long.send(rest).await;
    assert_eq!(long.answer().await, (16, vec![]), "said, and not mixed");
    let expected = [b"begin", &data[..PIECE], b"other"].concat();
    assert_content(&mut long, &name, &expected).await;
    let answer = long.ask(APPEND, &change(&name, None, b"again")).await;
    assert_eq!(answer, (0, vec![]));
    let end = range(expected.len() as i64, 0, &name);
    assert_eq!(other.ask(14, &end).await, (0, b"again".to_vec()));
}

#[actix_rt::test]
async fn a_connection_outlives_what_is_little_and_refused() {
    // Blocks so small that most of it is no block, and is not read before it is refused.
    let blocks = "copies: 1, copies_min: 1, block_bytes: 65536";
    let cluster = cluster(1, 1, blocks).await;
    let door = doors(&cluster, Role::Dserver)[0];
    let mut talk = Talk::to(door).await;
    let name = appender(&mut talk, b"12345").await;
    // A name that nobody was given: it tells another checksum.
    let at = name.len() - "805.log".len() - 3;
    let letter = if &name[at..=at] == "A" { "B" } else { "A" };
    let made_up = format!("{}{letter}{}", &name[..at], &name[at + 1..]);
    let slave = |content: &[u8]| {
        let lengths = [made_up.len(), content.len()].map(|one| (one as u64).to_be_bytes());
        let words = [field("_s", 16), field("log", 6)].concat();
        [&lengths.concat()[..], &words, made_up.as_bytes(), content].concat()
    };
    let little = content(1, UNREAD_BYTES_MAX);
    for data in [&little[..0], &little[..1], &little] {
        for (command, body) in [
            (APPEND, change(&made_up, None, data)),
            (MODIFY, change(&made_up, Some(0), data)),
            (21, slave(data)),
        ] {
            // Together with what follows.
            let both = [request(command, 0, &body), request(111, 0, &[])].concat();
            talk.send(&both).await;
            assert_eq!(
                talk.answer().await,
                (2, vec![]),
                "{command}, {}",
                data.len()
            );
            assert_eq!(
                talk.answer().await,
                (0, vec![]),
                "{command}, {}",
                data.len()
            );
        }
    }
    assert_eq!(talk.download(&name).await, (0, b"12345".to_vec()));
    // What is much is not waited for: the answer comes before it, and is read by who still sends.
    for more in [1, 1 << 40] {
        let mut talk = Talk::to(door).await;
        let numbers = [made_up.len() as u64, UNREAD_BYTES_MAX as u64 + more];
        let mut body = numbers.map(u64::to_be_bytes).concat();
        body.extend(made_up.as_bytes());
        let length = body.len() as u64 + numbers[1];
        talk.send(&[&length.to_be_bytes()[..], &[APPEND, 0], &body].concat())
            .await;
        assert_eq!(talk.answer().await, (2, vec![]));
        assert!(talk.is_closed().await, "{more}");
    }
}
