//! Files by their ids over HTTP, over real sockets: every request has its answer at every dserver,
//! and what is no request harms nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kit::http::{Http, Reply, get, request};
use kit::{GROUP, PATIENCE, Talk, cluster, content, doors, http_doors, named, upload};
use sdfs_fastdfs::Names;
use sdfs_fastdfs::limits::HTTP_CONNECTIONS_MAX;
use sdfs_server::Cluster;
use sdfs_server_group::Role;
use tokio::io::AsyncWriteExt;

const BLOCK: usize = 64 << 10;
const PIECE: usize = 256 << 10;

/// What a request has, and what its answer has.
type Row<'a> = (
    &'a str,
    String,
    &'a [(&'a str, &'a str)],
    u16,
    &'a [(&'a str, &'a str)],
    &'a [u8],
);

async fn small_blocks() -> (Cluster, Talk) {
    let cluster = cluster(1, 2, "copies: 2, copies_min: 1, block_bytes: 65536").await;
    let talk = Talk::to(doors(&cluster, Role::Dserver)[0]).await;
    (cluster, talk)
}

/// Uploads an appender file.
async fn appender(talk: &mut Talk, content: &[u8]) -> String {
    let (status, answer) = talk.ask(23, &upload(content, "log")).await;
    assert_eq!((status, &answer[..16]), (0, &GROUP[..]));
    String::from_utf8(answer[16..].to_vec()).unwrap()
}

async fn append(talk: &mut Talk, name: &str, data: &[u8]) {
    let lengths = [name.len(), data.len()].map(|length| (length as u64).to_be_bytes());
    let body = [&lengths.concat()[..], name.as_bytes(), data].concat();
    assert_eq!(talk.ask(24, &body).await, (0, vec![]));
}

fn path(name: &str) -> String {
    format!("/group1/{name}")
}

fn assert_answered(reply: &Reply, row: &Row<'_>, door: SocketAddr) {
    let (method, path, asked, status, headers, body) = row;
    let row = format!("{method} {path} {asked:?} at {door}: {reply:?}");
    assert_eq!(reply.status, *status, "{row}");
    for (name, value) in *headers {
        assert_eq!(reply.header(name).unwrap_or("-"), *value, "{name}: {row}");
    }
    assert!(
        reply.header("x-content-type-options") == Some("nosniff"),
        "{row}"
    );
    if *status < 300 || *status == 304 {
        assert!(reply.is_whole && reply.body == *body, "{row}");
    } else if *method != "HEAD" {
        let is_line = reply.text().ends_with('\n') && reply.text().lines().count() == 1;
        assert!(is_line && reply.body.len() > 10, "{row}");
    }
}

#[actix_rt::test]
async fn every_request_has_its_answer() {
    let (cluster, mut talk) = small_blocks().await;
    let bytes = content(1, 1_000);
    let file = path(&talk.upload(&bytes, "jpg").await);
    let empty = path(&talk.upload(b"", "").await);
    let empty_log = path(&appender(&mut talk, b"").await);
    let gone = talk.upload(&bytes, "jpg").await;
    assert_eq!(talk.delete(&gone).await, 0);
    let other = match file.strip_suffix(".jpg") {
        Some(stem) => format!("{stem}.png"),
        None => panic!("{file}"),
    };
    for door in http_doors(&cluster) {
        let whole = get(door, &file, &[]).await;
        let etag = whole.header("etag").unwrap().to_owned();
        let modified = whole.header("last-modified").unwrap().to_owned();
        assert!(etag.starts_with('"') && modified.ends_with(" GMT"));
        let (etag, modified) = (&*etag, &*modified);
        let none = b"";
        let all = [
            ("content-type", "image/jpeg"),
            ("content-length", "1000"),
            ("accept-ranges", "bytes"),
            ("etag", etag),
            ("last-modified", modified),
            ("content-range", "-"),
        ];
        let nothing = [("content-length", "0"), ("content-range", "-")];
        let part = [("content-length", "4"), ("content-range", "bytes 2-5/1000")];
        let range = ("Range", "bytes=2-5");
        let late = ("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT");
        let early = ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT");
        let full = || file.clone();
        let rows: &[Row<'_>] = &[
            ("GET", full(), &[], 200, &all, &bytes),
            ("HEAD", full(), &[], 200, &all, none),
            ("HEAD", full(), &[range], 200, &all, none),
            ("GET", format!("{file}?a=b"), &[], 200, &all, &bytes),
            ("GET", format!("http://x{file}"), &[], 200, &all, &bytes),
            ("GET", full(), &[range], 206, &part, &bytes[2..6]),
            (
                "GET",
                full(),
                &[("Range", "bytes=990-")],
                206,
                &[("content-range", "bytes 990-999/1000")],
                &bytes[990..],
            ),
            (
                "GET",
                full(),
                &[("Range", "bytes=-3")],
                206,
                &[("content-range", "bytes 997-999/1000")],
                &bytes[997..],
            ),
            (
                "GET",
                full(),
                &[("Range", "bytes=1000-")],
                416,
                &[("content-range", "bytes */1000"), ("etag", "-")],
                none,
            ),
            (
                "GET",
                full(),
                &[("Range", "bytes=0-1,4-5")],
                200,
                &all,
                &bytes,
            ),
            ("GET", full(), &[("Range", "lines=1-2")], 200, &all, &bytes),
            (
                "GET",
                full(),
                &[range, ("If-Range", etag)],
                206,
                &part,
                &bytes[2..6],
            ),
            (
                "GET",
                full(),
                &[range, ("If-Range", modified)],
                206,
                &part,
                &bytes[2..6],
            ),
            (
                "GET",
                full(),
                &[range, ("If-Range", "\"another\"")],
                200,
                &all,
                &bytes,
            ),
            (
                "GET",
                full(),
                &[("If-None-Match", etag)],
                304,
                &[("etag", etag), ("last-modified", modified)],
                none,
            ),
            ("HEAD", full(), &[("If-None-Match", "*")], 304, &[], none),
            (
                "GET",
                full(),
                &[("If-None-Match", "\"x\"")],
                200,
                &all,
                &bytes,
            ),
            ("GET", full(), &[late], 304, &[], none),
            ("GET", full(), &[early], 200, &all, &bytes),
            (
                "GET",
                full(),
                &[("If-None-Match", "\"x\""), late],
                200,
                &all,
                &bytes,
            ),
            ("GET", empty.clone(), &[], 200, &nothing, none),
            ("HEAD", empty.clone(), &[], 200, &nothing, none),
            ("GET", empty.clone(), &[range], 200, &nothing, none),
            (
                "GET",
                empty_log.clone(),
                &[],
                200,
                &[("content-length", "0"), ("content-type", "text/plain")],
                none,
            ),
            ("POST", full(), &[], 405, &[("allow", "GET, HEAD")], none),
            ("DELETE", full(), &[], 405, &[("allow", "GET, HEAD")], none),
            ("OPTIONS", "*".to_owned(), &[], 405, &[], none),
            ("GET", path(&gone), &[], 404, &[("etag", "-")], none),
            ("HEAD", path(&gone), &[], 404, &[], none),
            // Nobody was given that name.
            ("GET", other.clone(), &[], 404, &[], none),
            ("GET", "/".to_owned(), &[], 404, &[], none),
            ("GET", "/favicon.ico".to_owned(), &[], 404, &[], none),
            ("GET", format!("/group2{}", &file[7..]), &[], 404, &[], none),
            ("GET", "/group1".to_owned(), &[], 400, &[], none),
            ("GET", "/group1/".to_owned(), &[], 400, &[], none),
            ("GET", format!("/{file}"), &[], 404, &[], none),
            ("GET", format!("{file}/x"), &[], 400, &[], none),
            (
                "GET",
                "/group1/M00/../../etc".to_owned(),
                &[],
                400,
                &[],
                none,
            ),
            ("GET", file.replace('M', "%4D"), &[], 400, &[], none),
        ];
        let mut http = Http::to(door).await;
        for row in rows {
            let reply = http.ask(row.0, &row.1, row.2).await;
            assert_answered(&reply, row, door);
        }
    }
}

#[actix_rt::test]
async fn large_files_go_whole_and_by_ranges() {
    let (cluster, mut talk) = small_blocks().await;
    let bytes = content(2, 10 << 20);
    let file = path(&talk.upload(&bytes, "iso").await);
    let mut tags = Vec::new();
    for door in http_doors(&cluster) {
        let mut http = Http::to(door).await;
        let whole = http.ask("GET", &file, &[]).await;
        assert_eq!((whole.status, whole.body.len()), (200, bytes.len()));
        assert!(blake3::hash(&whole.body) == blake3::hash(&bytes));
        let head = http.ask("HEAD", &file, &[]).await;
        assert_eq!(head.header("content-length"), Some("10485760"));
        tags.push(head.header("etag").unwrap().to_owned());
        // Within a piece, over the ends of blocks and pieces, and all but a byte.
        for (first, last) in [
            (0, 0),
            (BLOCK - 1, BLOCK),
            (PIECE - 1, 3 * PIECE + 1),
            (bytes.len() - 1, bytes.len() - 1),
            (1, bytes.len() - 1),
        ] {
            let range = format!("bytes={first}-{last}");
            let part = http.ask("GET", &file, &[("Range", &range)]).await;
            let told = format!("bytes {first}-{last}/{}", bytes.len());
            assert_eq!(part.status, 206, "{range}");
            assert_eq!(part.header("content-range"), Some(&*told));
            assert!(part.body == bytes[first..=last], "{range}");
        }
    }
    assert_eq!(tags[0], tags[1], "a tag is good at every dserver");
    // As many small parts as a player asks for, put together.
    let mut http = Http::to(http_doors(&cluster)[1]).await;
    let mut put_together = Vec::new();
    for first in (0..bytes.len()).step_by(1_000_001) {
        let range = format!("bytes={first}-{}", first + 1_000_000);
        let headers = [("Range", &*range), ("If-Range", &*tags[0])];
        let part = http.ask("GET", &file, &headers).await;
        assert_eq!(part.status, 206);
        put_together.extend(part.body);
    }
    assert!(put_together == bytes);
}

#[actix_rt::test]
async fn a_file_that_grew_has_another_tag() {
    let (cluster, mut talk) = small_blocks().await;
    let mut bytes = content(3, 1_000);
    let name = appender(&mut talk, &bytes).await;
    let mut tags: Vec<String> = Vec::new();
    for length in [0, 1, 100_000] {
        let more = content(4, length);
        if length > 0 {
            append(&mut talk, &name, &more).await;
            bytes.extend(&more);
        }
        let mut seen = Vec::new();
        for door in http_doors(&cluster) {
            let mut http = Http::to(door).await;
            let whole = http.ask("GET", &path(&name), &[]).await;
            assert_eq!(whole.status, 200);
            assert!(whole.body == bytes, "{length}");
            let tag = whole.header("etag").unwrap().to_owned();
            let modified = whole.header("last-modified").unwrap().to_owned();
            for (asked, status) in [
                (vec![("If-None-Match", &*tag)], 304),
                // Within a second it may have been another one.
                (vec![("If-Modified-Since", &*modified)], 200),
                (vec![("Range", "bytes=0-0"), ("If-Range", &*tag)], 206),
                (vec![("Range", "bytes=0-0"), ("If-Range", &*modified)], 200),
            ] {
                let reply = http.ask("GET", &path(&name), &asked).await;
                assert_eq!(reply.status, status, "{asked:?}");
            }
            if let Some(former) = tags.last() {
                let asked = [("Range", "bytes=0-0"), ("If-Range", former)];
                let reply = http.ask("GET", &path(&name), &asked).await;
                assert!(reply.status == 200 && reply.body == bytes);
            }
            seen.push(tag);
        }
        assert_eq!(seen[0], seen[1]);
        assert!(!tags.contains(&seen[0]), "{tags:?}");
        tags.push(seen.remove(0));
    }
}

#[actix_rt::test]
async fn slave_files_made_anew_have_another_tag() {
    let (cluster, mut talk) = small_blocks().await;
    let master = talk.upload(b"master", "jpg").await;
    let mut tags = Vec::new();
    for content in [b"first", b"other"] {
        let lengths = [master.len(), content.len()].map(|length| (length as u64).to_be_bytes());
        let words = [kit::field("_small", 16), kit::field("jpg", 6)].concat();
        let body = [&lengths.concat()[..], &words, master.as_bytes(), content].concat();
        let (status, answer) = talk.ask(21, &body).await;
        assert_eq!(status, 0);
        let name = String::from_utf8(answer[16..].to_vec()).unwrap();
        let reply = get(http_doors(&cluster)[1], &path(&name), &[]).await;
        assert_eq!((reply.status, &*reply.body), (200, &content[..]));
        tags.push(reply.header("etag").unwrap().to_owned());
        assert_eq!(talk.delete(&name).await, 0);
        let reply = get(http_doors(&cluster)[1], &path(&name), &[]).await;
        assert_eq!(reply.status, 404);
    }
    assert_ne!(tags[0], tags[1]);
}

/// Requests that are sent at once are answered one after the other, in their order.
#[actix_rt::test]
async fn a_connection_serves_one_request_after_another() {
    let (cluster, mut talk) = small_blocks().await;
    let (small, large) = (content(5, 100), content(6, 3 * PIECE + 7));
    let small_file = path(&talk.upload(&small, "png").await);
    let large_file = path(&talk.upload(&large, "bin").await);
    let mut http = Http::to(http_doors(&cluster)[1]).await;
    let asked = [
        ("GET", &*small_file, 200, &small[..]),
        ("GET", &*large_file, 200, &large[..]),
        ("HEAD", &*large_file, 200, b""),
        ("GET", "/group1/x", 400, b""),
        ("GET", "/nothing", 404, b""),
        ("GET", &*small_file, 200, &small[..]),
    ];
    let all: Vec<u8> = asked
        .iter()
        .flat_map(|(method, path, ..)| request(method, path, &[]))
        .collect();
    http.send(&all).await;
    for (method, path, status, body) in asked {
        let reply = http.reply(method != "HEAD").await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(status != 200 || reply.body == body, "{method} {path}");
    }
    // One at a time goes on as well, and ends when it is said so.
    let reply = http.ask("GET", &small_file, &[]).await;
    assert!(reply.body == small);
    let last = http
        .ask("GET", &small_file, &[("Connection", "close")])
        .await;
    assert!(last.body == small && http.is_closed().await);
}

#[actix_rt::test]
async fn hostile_requests_harm_nobody() {
    let (cluster, mut talk) = small_blocks().await;
    let bytes = content(7, 3 << 20);
    let file = path(&talk.upload(&bytes, "bin").await);
    let door = http_doors(&cluster)[0];
    // A head that never comes to its end is waited for ten seconds, meanwhile others are served.
    let mut slow = Http::to(door).await;
    slow.send(b"GET / HTTP/1.1\r\nHost: loc").await;
    let endless = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2_000));
    for garbage in [
        &b"\x00\xff\xfe garbage\r\n\r\n"[..],
        &kit::request(111, 0, &[]),
        &kit::request(14, 0, &named("x")),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        endless.as_bytes(),
        many.as_bytes(),
    ] {
        let mut http = Http::to(door).await;
        // It may be closed before all of it is sent.
        let sent = http.stream.write_all(garbage).await;
        let shown = String::from_utf8_lossy(&garbage[..garbage.len().min(40)]);
        drop(sent);
        let refused = http.reply(true).await;
        let is_refused = refused.is_none_or(|reply| (400..=431).contains(&reply.status));
        assert!(is_refused && http.is_closed().await, "{shown}");
    }
    // A body that nobody wants, and one who goes in the middle of the answer.
    let mut http = Http::to(door).await;
    let announced = [("Content-Length", "99999999999")];
    let reply = http.ask("POST", &file, &announced).await;
    assert_eq!(reply.status, 405);
    for _ in 0..20 {
        let mut http = Http::to(door).await;
        http.send(&request("GET", &file, &[])).await;
        drop(http);
    }
    let whole = get(door, &file, &[]).await;
    assert!(whole.status == 200 && whole.body == bytes);
    assert!(
        slow.reply(true)
            .await
            .is_none_or(|reply| reply.status == 408)
    );
    assert!(slow.is_closed().await);
}

#[actix_rt::test]
async fn places_at_the_door_are_bounded() {
    let (cluster, mut talk) = small_blocks().await;
    let file = path(&talk.upload(b"for a few", "txt").await);
    let door = http_doors(&cluster)[0];
    let mut held = Vec::new();
    for _ in 0..HTTP_CONNECTIONS_MAX {
        held.push(Http::to(door).await);
    }
    // Whoever is too many is closed without a word.
    assert!(Http::to(door).await.is_closed().await);
    let reply = held[0].ask("GET", &file, &[]).await;
    assert_eq!(reply.status, 200, "those who are in are served");
    drop(held);
    let begun = Instant::now();
    loop {
        let mut http = Http::to(door).await;
        // It may be closed before all of it is sent.
        drop(http.stream.write_all(&request("GET", &file, &[])).await);
        match http.reply(true).await {
            Some(reply) => break assert_eq!(reply.status, 200),
            None => assert!(begun.elapsed() < PATIENCE),
        }
    }
}

/// Flips a byte of everything on the disks of a cluster that begins so; how often.
fn damage(folder: &Path, begin: &[u8]) -> usize {
    let mut damaged = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let whole = std::fs::read(&path).unwrap();
            let places = whole.windows(begin.len()).enumerate();
            let places = places.filter(|(_, window)| *window == begin);
            let places: Vec<usize> = places.map(|(at, _)| at).collect();
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            for place in places {
                let flipped = [!whole[place]];
                std::os::unix::fs::FileExt::write_all_at(&file, &flipped, place as u64).unwrap();
                damaged += 1;
            }
        }
    }
    damaged
}

#[actix_rt::test]
async fn damaged_files_are_cut_off_and_never_padded() {
    let (cluster, mut talk) = small_blocks().await;
    let bytes = content(8, 4 * PIECE);
    let file = path(&talk.upload(&bytes, "iso").await);
    let small_bytes = content(9, 10_000);
    let small = path(&talk.upload(&small_bytes, "jpg").await);
    let last_block = bytes.len() - BLOCK;
    let begin = &bytes[last_block..last_block + 32];
    assert_eq!(damage(cluster.folder(), begin), 2, "one for each copy");
    assert_eq!(damage(cluster.folder(), &small_bytes[..32]), 2);
    let http = http_doors(&cluster);
    let reply = get(http[0], &file, &[]).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.is_whole && bytes.starts_with(&reply.body));
    // What is whole is given, and what is not is said so where there is time for it.
    let mut http = Http::to(http[1]).await;
    let range = format!("bytes=0-{}", last_block - 1);
    let reply = http.ask("GET", &file, &[("Range", &range)]).await;
    assert!(reply.status == 206 && reply.body == bytes[..last_block]);
    let range = format!("bytes={last_block}-");
    for (path, headers) in [(&file, vec![("Range", &*range)]), (&small, vec![])] {
        let reply = http.ask("GET", path, &headers).await;
        assert!(matches!(reply.status, 502 | 503), "{reply:?}");
        assert_eq!(reply.header("retry-after"), Some("2"));
        assert!(reply.header("etag").is_none() && reply.text().lines().count() == 1);
    }
}

/// What is sent is the file as it was when it was asked for, or the beginning of it.
#[actix_rt::test]
async fn a_file_that_changes_meanwhile_is_never_mixed() {
    let (cluster, mut talk) = small_blocks().await;
    let before = content(10, 32 << 20);
    let name = appender(&mut talk, &before).await;
    for door in http_doors(&cluster) {
        let mut http = Http::to(door).await;
        http.send(&request("GET", &path(&name), &[])).await;
        // More than sockets hold: it waits to be read.
        let mut first = [0; 1];
        let peeked = http.stream.peek(&mut first).await.unwrap();
        assert_eq!(peeked, 1);
        let (status, seen) = talk.download(&name).await;
        assert_eq!(status, 0);
        let other: Vec<u8> = seen.iter().map(|byte| !byte).collect();
        let lengths = [name.len(), 0, other.len()].map(|length| (length as u64).to_be_bytes());
        let body = [&lengths.concat()[..], name.as_bytes(), &other].concat();
        assert_eq!(talk.ask(34, &body).await, (0, vec![]));
        let reply = http.reply(true).await.unwrap();
        assert_eq!(reply.status, 200);
        assert!(seen.starts_with(&reply.body), "{}", reply.body.len());
        let reply = get(door, &path(&name), &[]).await;
        assert!(reply.is_whole && reply.body == other);
    }
}

/// A name is checked before anything is looked up for it: whoever makes one up learns nothing.
#[actix_rt::test]
async fn names_made_up_find_nothing() {
    let (cluster, mut talk) = small_blocks().await;
    let name = talk.upload(b"of this cluster", "txt").await;
    let parsed = sdfs_fastdfs::FileName::parse(name.as_bytes()).unwrap();
    assert!(Names::new([7; 32]).given(&parsed).is_none());
    for (at, letter) in name.char_indices().skip(4) {
        let other = match letter {
            '0' => '1',
            letter if letter.is_ascii_alphanumeric() => '0',
            _ => continue,
        };
        let made = format!("{}{other}{}", &name[..at], &name[at + 1..]);
        let reply = get(http_doors(&cluster)[1], &path(&made), &[]).await;
        assert!(matches!(reply.status, 400 | 404), "{made}: {reply:?}");
    }
}
