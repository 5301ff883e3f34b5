//! Files that need a record, over real sockets: appender and slave files, metadata, large files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use actix_rt::task::JoinHandle;
use futures::TryStreamExt;
use kit::{
    GROUP, PATIENCE, Talk, cluster, cluster_of_instant_uploads, content, doors, field, named,
    range, upload,
};
use sdfs_client::{Client, Sharing};
use sdfs_fastdfs::{FileKind, FileName};
use sdfs_server::Cluster;
use sdfs_server_group::Role;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;

async fn small_blocks() -> (Cluster, Vec<Talk>) {
    let cluster = cluster(1, 2, "copies: 2, copies_min: 1, block_bytes: 65536").await;
    let mut talks = Vec::new();
    for storage in doors(&cluster, Role::Dserver) {
        talks.push(Talk::to(storage).await);
    }
    (cluster, talks)
}

fn name_of((status, answer): (u8, Vec<u8>)) -> String {
    assert_eq!(status, 0);
    assert_eq!(&answer[..16], GROUP);
    String::from_utf8(answer[16..].to_vec()).unwrap()
}

fn numbers(numbers: &[i64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn append(name: &str, data: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[name.len() as i64, data.len() as i64]);
    [&lengths[..], name.as_bytes(), data].concat()
}

fn modify(name: &str, offset: i64, data: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[name.len() as i64, offset, data.len() as i64]);
    [&lengths[..], name.as_bytes(), data].concat()
}

fn truncate(name: &str, size: i64) -> Vec<u8> {
    [&numbers(&[name.len() as i64, size])[..], name.as_bytes()].concat()
}

fn slave(master: &str, prefix: &str, extension: &str, content: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[master.len() as i64, content.len() as i64]);
    let words = [field(prefix, 16), field(extension, 6)].concat();
    [&lengths[..], &words, master.as_bytes(), content].concat()
}

fn set_metadata(name: &str, how: u8, text: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[name.len() as i64, text.len() as i64]);
    [&lengths[..], &[how], &named(name), text].concat()
}

fn crc32(content: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, content) as u32
}

/// Size and checksum an info tells.
async fn info(talk: &mut Talk, name: &str) -> (i64, u32) {
    let (status, info) = talk.ask(22, &named(name)).await;
    assert_eq!(status, 0, "{name}");
    let number = |at: usize| i64::from_be_bytes(info[at..at + 8].try_into().unwrap());
    (number(0), number(16) as u32)
}

#[actix_rt::test]
async fn appender_files_grow_and_change() {
    let (_cluster, mut talks) = small_blocks().await;
    let [first, second] = &mut talks[..] else {
        panic!("two storages")
    };
    let mut expected = content(1, 1_000);
    let name = name_of(first.ask(23, &upload(&expected, "log")).await);
    assert_eq!(
        FileName::parse(name.as_bytes()).unwrap().kind,
        FileKind::Appender
    );
    for n in 2..6 {
        let data = content(n, 30_000);
        expected.extend(&data);
        let talk = if n % 2 == 0 {
            &mut *first
        } else {
            &mut *second
        };
        assert_eq!(talk.ask(24, &append(&name, &data)).await, (0, vec![]));
    }
    assert_eq!(second.download(&name).await, (0, expected.clone()));
    assert_eq!(
        info(first, &name).await,
        (expected.len() as i64, crc32(&expected))
    );
    // In the middle, over its end, and where nothing is.
    for offset in [500, expected.len() - 10] {
        let data = content(9, 70_000);
        expected.resize(expected.len().max(offset + data.len()), 0);
        expected[offset..offset + data.len()].copy_from_slice(&data);
        assert_eq!(
            first.ask(34, &modify(&name, offset as i64, &data)).await,
            (0, vec![])
        );
    }
    assert_eq!(second.download(&name).await.1, expected);
    for size in [100_000, 100_000, 200_000, 0, 3] {
        expected.resize(size, 0);
        assert_eq!(
            first.ask(36, &truncate(&name, size as i64)).await,
            (0, vec![])
        );
        assert_eq!(second.download(&name).await.1, expected, "{size}");
    }
    assert_eq!(first.ask(24, &append(&name, &[])).await, (0, vec![]));
    let part = second.ask(14, &range(1, 1, &name)).await;
    assert_eq!(part, (0, vec![0]));
    // A normal file of it.
    let normal = name_of(first.ask(38, name.as_bytes()).await);
    let parsed = FileName::parse(normal.as_bytes()).unwrap();
    assert_eq!(
        (parsed.kind, parsed.crc32),
        (FileKind::Normal(3), crc32(&expected))
    );
    assert_eq!(second.download(&normal).await, (0, expected));
    assert_eq!(second.download(&name).await.0, 2, "the old name is gone");
    assert_eq!(first.delete(&normal).await, 0);
    assert_eq!(second.delete(&normal).await, 2);
    // What is wrong.
    let normal = first.upload(b"normal", "txt").await;
    let fresh = name_of(first.ask(23, &upload(b"12345", "")).await);
    assert_eq!(first.ask(24, &append(&name, b"x")).await.0, 2);
    assert_eq!(first.ask(36, &truncate(&name, 1)).await.0, 2);
    for (command, body) in [
        (24, append(&normal, b"x")),
        (34, modify(&fresh, 6, b"x")),
        (34, modify(&fresh, -1, b"x")),
        (36, truncate(&normal, 1)),
        (36, truncate(&fresh, -1)),
        (38, normal.clone().into_bytes()),
    ] {
        let mut talk = Talk::to(first.stream.peer_addr().unwrap()).await;
        assert_eq!(talk.ask(command, &body).await, (22, vec![]), "{command}");
        assert!(talk.is_closed().await);
    }
}

#[actix_rt::test]
async fn appends_at_once_all_count() {
    let (cluster, mut talks) = small_blocks().await;
    // Block entries come with the record, or page by page after it.
    for begin in [0, 300 * BLOCK] {
        let before = content(1, begin);
        let name = name_of(talks[0].ask(23, &upload(&before, "log")).await);
        append_at_once(&cluster, &name).await;
        let (_, whole) = talks[1].download(&name).await;
        assert!(whole[..begin] == before);
        assert_eq!(whole.len(), begin + 40_000);
        for n in 0..4_u8 {
            let pieces = whole[begin..]
                .chunks(1_000)
                .filter(|piece| piece.iter().all(|byte| *byte == n));
            assert_eq!(pieces.count(), 10, "writer {n} behind {begin} bytes");
        }
    }
}

/// Four writers append ten times a thousand bytes of their number.
async fn append_at_once(cluster: &Cluster, name: &str) {
    let doors = doors(cluster, Role::Dserver);
    let mut writers = Vec::new();
    for n in 0..4_u8 {
        let (name, door) = (name.to_owned(), doors[usize::from(n) % 2]);
        writers.push(actix_rt::spawn(async move {
            let mut talk = Talk::to(door).await;
            for _ in 0..10 {
                assert_eq!(talk.ask(24, &append(&name, &[n; 1_000])).await.0, 0);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Appends until the file is there no more; how often it was appended to.
fn appending(door: SocketAddr, name: &str) -> JoinHandle<usize> {
    let name = name.to_owned();
    actix_rt::spawn(async move {
        let mut talk = Talk::to(door).await;
        let body = append(&name, &[7; 1_000]);
        let mut appended = 0;
        loop {
            match talk.ask(24, &body).await.0 {
                0 => appended += 1,
                2 => return appended,
                other => panic!("{other}"),
            }
        }
    })
}

#[actix_rt::test]
async fn nothing_is_undone_by_an_append() {
    let (cluster, mut talks) = small_blocks().await;
    let name = name_of(talks[0].ask(23, &upload(b"", "log")).await);
    let doors = doors(&cluster, Role::Dserver);
    let writers: Vec<_> = doors.iter().map(|door| appending(*door, &name)).collect();
    for _ in 0..20 {
        actix_rt::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(talks[0].ask(36, &truncate(&name, 0)).await.0, 0);
    }
    let (_, whole) = talks[1].download(&name).await;
    assert_eq!(whole.len() % 1_000, 0);
    assert!(
        whole.iter().all(|byte| *byte == 7),
        "no hole of an append to where the end was"
    );
    assert_eq!(talks[0].delete(&name).await, 0);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
}

#[actix_rt::test]
async fn a_file_made_normal_has_every_append_acknowledged() {
    let (cluster, mut talks) = small_blocks().await;
    for _ in 0..5 {
        let name = name_of(talks[0].ask(23, &upload(b"", "log")).await);
        let doors = doors(&cluster, Role::Dserver);
        let writers: Vec<_> = doors.iter().map(|door| appending(*door, &name)).collect();
        let begun = Instant::now();
        while info(&mut talks[0], &name).await.0 == 0 {
            assert!(begun.elapsed() < PATIENCE, "nothing is appended");
        }
        let normal = name_of(talks[0].ask(38, name.as_bytes()).await);
        let mut appended = 0;
        for writer in writers {
            appended += writer.await.unwrap();
        }
        let (_, whole) = talks[1].download(&normal).await;
        assert!(appended > 0);
        assert_eq!(whole.len(), appended * 1_000);
        let parsed = FileName::parse(normal.as_bytes()).unwrap();
        assert_eq!(parsed.kind, FileKind::Normal(whole.len() as u64));
        assert_eq!(parsed.crc32, crc32(&whole));
    }
}

#[actix_rt::test]
async fn metadata_goes_with_its_file() {
    let (cluster, mut talks) = small_blocks().await;
    let door = doors(&cluster, Role::Dserver)[1];
    let mut set = 0;
    for _ in 0..20 {
        let name = name_of(talks[0].ask(23, &upload(b"grows", "jpg")).await);
        let body = set_metadata(&name, b'O', b"a\x02b");
        let setting = actix_rt::spawn(async move { Talk::to(door).await.ask(13, &body).await.0 });
        assert_eq!(talks[0].delete(&name).await, 0);
        let status = setting.await.unwrap();
        assert!(matches!(status, 0 | 2), "{status}");
        set += u32::from(status == 0);
    }
    let config = cluster.config().clone();
    let client = sdfs_client::Client::connect_admin(config).await.unwrap();
    let left: Result<Vec<_>, _> = client.list("/.fastdfs/group1/meta").try_collect().await;
    match left {
        Ok(left) => assert!(left.is_empty(), "{set} were set, of them {left:?}"),
        Err(error) => assert!(error.is_not_found() && set == 0, "{error}"),
    }
}

#[actix_rt::test]
async fn large_files_are_files_like_others() {
    let (cluster, mut talks) = small_blocks().await;
    let content = content(3, 10 * BLOCK + 17);
    let name = talks[0].upload(&content, "iso").await;
    assert_eq!(name.len(), 44);
    for talk in &mut talks {
        assert_eq!(talk.download(&name).await, (0, content.clone()));
        assert_eq!(
            info(talk, &name).await,
            (content.len() as i64, crc32(&content))
        );
        let part = talk.ask(14, &range(BLOCK as i64 - 1, 2, &name)).await;
        assert_eq!(part, (0, content[BLOCK - 1..=BLOCK].to_vec()));
    }
    // An upload that is cut off leaves nothing.
    let before = listed(&cluster).await;
    let mut cut = Talk::to(talks[0].stream.peer_addr().unwrap()).await;
    let whole = kit::request(11, 0, &upload(&content, "iso"));
    cut.send(&whole[..whole.len() - 1]).await;
    drop(cut);
    assert_eq!(talks[1].delete(&name).await, 0);
    assert_eq!(talks[0].download(&name).await.0, 2);
    assert_eq!(listed(&cluster).await, before - 1);
}

#[actix_rt::test]
async fn an_upload_that_is_cut_off_leaves_no_blocks() {
    let (cluster, mut talks) = small_blocks().await;
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    talks[0].upload(&content(1, 2 * BLOCK), "iso").await;
    let kept = blocks(&client).await;
    assert_eq!(kept, [2, 2]);
    let whole = kit::request(11, 0, &upload(&content(2, 4 * BLOCK), "iso"));
    talks[0].send(&whole[..whole.len() - 1]).await;
    let begun = Instant::now();
    while blocks(&client).await != [5, 5] {
        assert!(begun.elapsed() < PATIENCE, "its blocks are not stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(talks.remove(0));
    // Freed when whoever had begun to read them, had they been a file's, is done.
    while blocks(&client).await != kept {
        assert!(begun.elapsed() < PATIENCE, "its blocks stay");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many blocks each dserver keeps.
async fn blocks(client: &Client) -> Vec<u64> {
    let mut counts = Vec::new();
    for server in ["dserver-1", "dserver-2"] {
        let status = client.status(server).await.unwrap();
        counts.push(status.spaces.iter().map(|space| space.blocks).sum());
    }
    counts
}

/// Files below the reserved directory.
async fn listed(cluster: &Cluster) -> usize {
    let client = sdfs_client::Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    let mut count = 0;
    for folder in ["data", "draft"] {
        let entries: Vec<_> = client
            .list(&format!("/.fastdfs/group1/{folder}"))
            .try_collect()
            .await
            .unwrap();
        count += entries.len();
    }
    count
}

#[actix_rt::test]
async fn slave_files_stand_beside_their_master() {
    let (_cluster, mut talks) = small_blocks().await;
    let master = talks[0].upload(b"master", "jpg").await;
    let stem = master.strip_suffix(".jpg").unwrap();
    for (prefix, extension, content) in [
        ("_150x150", "jpg", content(1, 500)),
        ("_big", "", content(2, 3 * BLOCK)),
        ("_empty", "png", vec![]),
    ] {
        let body = slave(&master, prefix, extension, &content);
        let name = name_of(talks[0].ask(21, &body).await);
        let dot = if extension.is_empty() { "" } else { "." };
        assert_eq!(name, format!("{stem}{prefix}{dot}{extension}"));
        assert_eq!(talks[1].download(&name).await, (0, content.clone()));
        assert_eq!(info(&mut talks[1], &name).await.1, crc32(&content));
        let mut again = Talk::to(talks[1].stream.peer_addr().unwrap()).await;
        assert_eq!(again.ask(21, &body).await.0, 17, "it is there");
    }
    assert_eq!(talks[0].delete(&master).await, 0);
    let slave_name = format!("{stem}_150x150.jpg");
    assert_eq!(talks[0].download(&slave_name).await.0, 0, "slaves stay");
    assert_eq!(
        talks[0]
            .ask(21, &slave(&master, "_late", "jpg", b"x"))
            .await
            .0,
        2
    );
    assert_eq!(talks[0].delete(&slave_name).await, 0);
    let mut talk = Talk::to(talks[0].stream.peer_addr().unwrap()).await;
    assert_eq!(talk.ask(21, &slave(&master, "", "jpg", b"x")).await.0, 22);
}

#[actix_rt::test]
async fn metadata_stays_with_its_file() {
    let (cluster, mut talks) = small_blocks().await;
    let anonymous = talks[0].upload(b"small", "jpg").await;
    let recorded = name_of(talks[0].ask(23, &upload(b"grows", "jpg")).await);
    for name in [&anonymous, &recorded] {
        assert_eq!(talks[1].ask(15, &named(name)).await.0, 2, "none yet");
        let set = |how, text: &[u8]| set_metadata(name, how, text);
        assert_eq!(
            talks[0].ask(13, &set(b'O', b"w\x021\x01h\x022")).await,
            (0, vec![])
        );
        assert_eq!(
            talks[1].ask(15, &named(name)).await,
            (0, b"h\x022\x01w\x021".to_vec())
        );
        assert_eq!(
            talks[1].ask(13, &set(b'M', b"h\x023\x01c\x02r")).await,
            (0, vec![])
        );
        assert_eq!(
            talks[0].ask(15, &named(name)).await.1,
            b"c\x02r\x01h\x023\x01w\x021"
        );
        assert_eq!(talks[0].ask(13, &set(b'O', b"s\x02h")).await, (0, vec![]));
        assert_eq!(talks[1].ask(15, &named(name)).await.1, b"s\x02h");
        assert_eq!(talks[0].ask(13, &set(b'O', b"")).await, (0, vec![]));
        assert_eq!(talks[1].ask(15, &named(name)).await.0, 2);

        // Merges at once from both storages: none is lost.
        let mut setters = Vec::new();
        for (n, door) in doors(&cluster, Role::Dserver).into_iter().enumerate() {
            let name = name.clone();
            setters.push(actix_rt::spawn(async move {
                let mut talk = Talk::to(door).await;
                for m in 0..8 {
                    let text = format!("k{n}{m}\u{2}v");
                    let body = set_metadata(&name, b'M', text.as_bytes());
                    assert_eq!(talk.ask(13, &body).await.0, 0);
                }
            }));
        }
        for setter in setters {
            setter.await.unwrap();
        }
        let (_, text) = talks[0].ask(15, &named(name)).await;
        assert_eq!(text.split(|byte| *byte == 1).count(), 16);
        assert_eq!(talks[1].delete(name).await, 0);
        assert_eq!(talks[0].ask(15, &named(name)).await.0, 2);
        assert_eq!(talks[0].ask(13, &set(b'O', b"s\x02h")).await.0, 2);
    }
    let name = talks[0].upload(b"small", "jpg").await;
    let mut cut_short = set_metadata(&name, b'O', b"a\x02b");
    cut_short.pop();
    for body in [
        set_metadata(&name, b'X', b"a\x02b"),
        set_metadata(&name, b'O', &[b'a'; 300]),
        cut_short,
    ] {
        let mut talk = Talk::to(talks[0].stream.peer_addr().unwrap()).await;
        assert_eq!(talk.ask(13, &body).await.0, 22);
    }
}

async fn shared_in_time(client: &Client, saved_bytes: u64) -> Sharing {
    let begun = Instant::now();
    loop {
        let shared = client.sharing().await.unwrap();
        if shared.saved_bytes == saved_bytes {
            return shared;
        }
        assert!(begun.elapsed() < PATIENCE, "{shared:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_rt::test]
async fn a_content_is_kept_once() {
    let storage = "copies: 2, copies_min: 1, block_bytes: 65536";
    let cluster = cluster_of_instant_uploads(2, storage).await;
    let doors = doors(&cluster, Role::Dserver);
    let (mut one, mut other) = (Talk::to(doors[0]).await, Talk::to(doors[1]).await);
    let client = Client::connect_admin(Arc::clone(cluster.config()))
        .await
        .unwrap();
    // One block, and more than one: the latter arrives before its digest is known.
    for (round, size) in [1_000, 3 * BLOCK + 7].into_iter().enumerate() {
        let content = content(9, size);
        let before = client.sharing().await.unwrap();
        let first = one.upload(&content, "txt").await;
        let second = other.upload(&content, "jpg").await;
        assert_ne!(first, second);
        // Larger ones are found to be known after the answer.
        let saved_bytes = before.saved_bytes + size as u64;
        let shared = shared_in_time(&client, saved_bytes).await;
        assert_eq!(shared.contents, round as u64 + 1);
        for name in [&first, &second] {
            assert_eq!(other.download(name).await, (0, content.clone()), "{name}");
            let name = FileName::parse(name.as_bytes()).unwrap();
            assert_eq!(name.kind, FileKind::Normal(size as u64));
        }
        assert_eq!(one.delete(&first).await, 0);
        assert_eq!(one.download(&first).await.0, 2);
        assert_eq!(one.download(&second).await, (0, content.clone()));
        let third = one.upload(&content, "txt").await;
        shared_in_time(&client, saved_bytes).await;
        assert_eq!(one.delete(&second).await, 0);
        assert_eq!(other.download(&third).await, (0, content));
    }
    // What is not to be kept once is not.
    let empty = one.upload(b"", "txt").await;
    assert_eq!(one.download(&empty).await, (0, Vec::new()));
    let appender = name_of(one.ask(23, &upload(&content(9, 1_000), "log")).await);
    assert_eq!(one.ask(24, &append(&appender, b"more")).await.0, 0);
    assert_eq!(client.sharing().await.unwrap().names, 2);
}
