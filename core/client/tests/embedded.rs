//! The client with a real cluster inside this process: sizes with hashes, sparse and long files,
//! names, races, repetitions at other servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod shared;

use std::io::{self, Cursor, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use sdfs_client::{
    Attributes, BlockIndex, BlockSize, CallOptions, CreateOptions, Error, InstantPut, PutOptions,
    Refusal, UserKey,
};
use sdfs_types::{Access, Digest, FilePath, PathRight};
use shared::{bytes, client_of, client_via, cluster};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

const BLOCK: usize = 4 << 20;

fn small_blocks() -> CreateOptions {
    let block_size = BlockSize::from_bytes(65_536).ok();
    CreateOptions {
        block_size,
        ..CreateOptions::default()
    }
}

#[actix_rt::test]
async fn every_size_comes_back_elsewhere() {
    let cluster = cluster();
    let client = client_via(&cluster, "mserver-1").await;
    let elsewhere = client_via(&cluster, "mserver-3").await;
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1] {
        let path = format!("/size-{size}");
        let data = bytes(size);
        client
            .put(&path, data.clone(), PutOptions::default())
            .await
            .unwrap();
        assert!(elsewhere.get(&path).await.unwrap() == data, "{size} bytes");
        let kept = elsewhere.stat(&path).await.unwrap().file.unwrap();
        assert_eq!(kept.size_bytes, size as u64);
        assert_eq!(
            kept.digest,
            Some(Digest::Blake3(*blake3::hash(&data).as_bytes()))
        );
        client.delete(&path).await.unwrap();
    }
}

#[actix_rt::test]
async fn a_hundred_mebibytes_come_back() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let data = bytes(100 << 20);
    let mut source = Cursor::new(&data);
    client
        .put_from("/hundred", &mut source, PutOptions::default())
        .await
        .unwrap();
    let mut hasher = blake3::Hasher::new();
    let mut stream = client.get_stream("/hundred").await.unwrap();
    while let Some(piece) = stream.try_next().await.unwrap() {
        hasher.update(&piece);
    }
    assert_eq!(hasher.finalize(), blake3::hash(&data));
    assert_eq!(client.counters().corrupt_copies, 0);
}

#[actix_rt::test]
async fn a_sparse_file_reaches_four_tebibytes() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let options = CreateOptions {
        size_bytes: 4 << 40,
        ..CreateOptions::default()
    };
    let file = client
        .create_file_meta_data("/sparse", options)
        .await
        .unwrap()
        .file;
    assert_eq!(file.meta_data().block_size.bytes(), 64 << 20);
    client
        .write_block(&file, BlockIndex(40_000), "in the middle")
        .await
        .unwrap();
    let at = 40_000u64 * (64 << 20);
    let found = client.get_range("/sparse", at - 3..at + 16).await.unwrap();
    assert_eq!(found, "\0\0\0in the middle\0\0\0");
    let more = client.expand_file_size("/sparse", (4 << 40) + 1).await;
    assert!(
        matches!(more, Err(Error::Refused(Refusal::OutOfRange { .. }))),
        "{more:?}"
    );
}

#[actix_rt::test]
async fn a_long_file_is_paged() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let file = client
        .create_file_meta_data("/long", small_blocks())
        .await
        .unwrap()
        .file;
    let blocks = (0..9_000u16).step_by(3).chain([65_535]);
    let data = |block: u16| Bytes::from(block.to_be_bytes().to_vec());
    let written = blocks
        .clone()
        .map(|block| (BlockIndex(block), data(block)))
        .collect();
    client.write_blocks(&file, written).await.unwrap();
    let file = client.open("/long").await.unwrap();
    assert_eq!(file.size_bytes(), 65_535 * 65_536 + 2);
    let some = [
        BlockIndex(8_997),
        BlockIndex(65_535),
        BlockIndex(0),
        BlockIndex(4_098),
    ];
    let read = client.read_blocks(&file, &some).await.unwrap();
    for (block, read) in some.iter().zip(read) {
        assert_eq!(read[..2], data(block.0), "block {block}");
    }
    let hole = client.read_block(&file, BlockIndex(1)).await.unwrap();
    assert_eq!(hole, vec![0; 65_536]);
    let entries = client.get_block_metadata(&file, 0..9_000).await.unwrap();
    assert_eq!(
        entries.iter().filter(|entry| !entry.is_hole()).count(),
        3_000
    );
}

#[actix_rt::test]
async fn blocks_are_cut_and_grow_as_zeros() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let file = client
        .create_file_meta_data("/cut", small_blocks())
        .await
        .unwrap()
        .file;
    file.write_at(0, vec![7; 200_000]).await.unwrap();
    client.truncate("/cut", 70_000).await.unwrap();
    client.expand_file_size("/cut", 150_000).await.unwrap();
    let mut expected = vec![7; 70_000];
    expected.resize(150_000, 0);
    assert!(client.get("/cut").await.unwrap() == expected);
    file.refresh().await.unwrap();
    file.write_at(100_000, "x").await.unwrap();
    expected[100_000] = b'x';
    assert!(client.get("/cut").await.unwrap() == expected);
}

#[actix_rt::test]
async fn names_are_made_listed_moved_and_deleted() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    client.mkdir_all("/names/below").await.unwrap();
    let puts = (0..300).map(|number| {
        let client = client.clone();
        async move {
            let path = format!("/names/文件-{number:03}");
            client.put(&path, "", PutOptions::default()).await.map(drop)
        }
    });
    futures::stream::iter(puts)
        .buffer_unordered(32)
        .try_collect::<()>()
        .await
        .unwrap();
    let names = || client.list("/names").map_ok(|entry| entry.name.to_string());
    let found: Vec<_> = names().try_collect().await.unwrap();
    assert_eq!(found.len(), 301);
    assert!(found.is_sorted());
    client
        .rename("/names/文件-000", "/names/below/moved")
        .await
        .unwrap();
    assert!(
        client
            .stat("/names/文件-000")
            .await
            .unwrap_err()
            .is_not_found()
    );
    let taken = client.rename("/names/文件-001", "/names/below/moved").await;
    assert!(taken.unwrap_err().is_exists());
    client
        .rename_over("/names/文件-001", "/names/below/moved")
        .await
        .unwrap();
    let set = Attributes::from([("kind".to_owned(), "test".to_owned())]);
    client
        .set_attributes("/names/below/moved", set.clone(), &[])
        .await
        .unwrap();
    let stat = client.stat("/names/below/moved").await.unwrap();
    assert_eq!(stat.file.unwrap().attributes, set);
    let full = client.delete("/names").await;
    assert!(
        matches!(full, Err(Error::Refused(Refusal::NotEmpty { .. }))),
        "{full:?}"
    );
    client.delete_all("/names").await.unwrap();
    assert!(
        client
            .stat("/names/below")
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[actix_rt::test]
async fn one_of_many_creators_wins() {
    let cluster = cluster();
    let mut clients = Vec::new();
    for mserver in ["mserver-1", "mserver-2", "mserver-3"] {
        clients.push(client_via(&cluster, mserver).await);
    }
    let (mut whole, mut spoiled) = (0, Vec::new());
    while whole < 10 {
        let path = format!("/race-{whole}-{}", spoiled.len());
        let creates = clients
            .iter()
            .map(|client| client.create_file_meta_data(&path, CreateOptions::default()));
        let outcomes = futures::future::join_all(creates).await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .collect();
        assert!(winners.len() <= 1, "{path}: only one succeeds");
        let errors: Vec<_> = outcomes
            .iter()
            .filter_map(|one| one.as_ref().err())
            .collect();
        if errors.iter().any(|error| is_want_of_servers(error)) {
            spoiled.push(format!("{errors:?}"));
            assert!(spoiled.len() < 10, "{spoiled:#?}");
            continue;
        }
        assert_eq!(winners.len(), 1, "{path}: one succeeds, {errors:?}");
        let winner = winners[0].file.meta_data().descriptor;
        for error in errors {
            match error {
                Error::Refused(Refusal::Exists { descriptor, .. }) => {
                    assert_eq!(*descriptor, winner, "{path}");
                }
                other => panic!("{path}: {other:?}"),
            }
        }
        whole += 1;
    }
}

/// On a machine too busy to answer in time a create may fail so. Nothing else takes a race its
/// winner.
fn is_want_of_servers(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused(Refusal::NoVolume { .. } | Refusal::NoQuorum { .. } | Refusal::Busy { .. })
            | Error::Unknown { .. }
            | Error::Deadline { .. }
    )
}

#[actix_rt::test]
async fn a_repetition_elsewhere_is_the_first() {
    let cluster = cluster();
    let first = client_via(&cluster, "mserver-1").await;
    let request = Some(first.next_request());
    let once = CallOptions {
        request,
        ..CallOptions::default()
    };
    let made = first.with(once).mkdir("/once").await.unwrap();
    for mserver in ["mserver-2", "mserver-3"] {
        let elsewhere = client_via(&cluster, mserver).await.with(once);
        assert_eq!(
            elsewhere.mkdir("/once").await.unwrap().descriptor,
            made.descriptor
        );
    }
    let request = Some(first.next_request());
    let once = CallOptions {
        request,
        ..CallOptions::default()
    };
    let name = first
        .with(once)
        .put("/twice", "bytes", PutOptions::default())
        .await
        .unwrap();
    let again = client_via(&cluster, "mserver-2").await.with(once);
    let again = again
        .put("/twice", "bytes", PutOptions::default())
        .await
        .unwrap();
    assert_eq!(again.descriptor, name.descriptor);
    assert_eq!(first.get("/twice").await.unwrap(), "bytes");
}

#[actix_rt::test]
async fn users_do_what_they_may() {
    let cluster = cluster();
    let admin = client_of(&cluster).await;
    admin.mkdir("/shared").await.unwrap();
    admin
        .put("/shared/readme", "read me", PutOptions::default())
        .await
        .unwrap();
    let secret = "a secret of ann alone";
    let path = FilePath::parse("/shared").unwrap();
    let rights = vec![PathRight {
        path,
        access: Access::Read,
    }];
    admin
        .put_user("ann", Some(UserKey::of_secret(secret)), rights)
        .await
        .unwrap();
    let options = sdfs_client::ClientOptions::of_config(
        cluster.config().clone(),
        "ann",
        UserKey::of_secret(secret),
    );
    let ann = sdfs_client::Client::connect(options.unwrap())
        .await
        .unwrap();
    assert_eq!(ann.get("/shared/readme").await.unwrap(), "read me");
    let denied = ann.put("/shared/mine", "x", PutOptions::default()).await;
    assert!(
        matches!(denied, Err(Error::Refused(Refusal::Denied { .. }))),
        "{denied:?}"
    );
    let denied = ann.list_users().await;
    assert!(
        matches!(denied, Err(Error::Refused(Refusal::Denied { .. }))),
        "{denied:?}"
    );
    let names: Vec<_> = admin.list_users().await.unwrap();
    assert!(names.iter().any(|user| &*user.name == "ann"));
    admin.delete_user("ann").await.unwrap();
}

fn in_small_blocks() -> PutOptions {
    PutOptions {
        block_size: BlockSize::from_bytes(65_536).ok(),
        ..PutOptions::default()
    }
}

#[actix_rt::test]
async fn a_known_content_is_not_sent() {
    let cluster = cluster();
    let client = client_via(&cluster, "mserver-1").await;
    let elsewhere = client_via(&cluster, "mserver-2").await;
    for size in [1, 65_536, 65_537, 5 * 65_536, 9 * 65_536 + 1_025] {
        let data = bytes(size).slice(0..size);
        let (a, b) = (format!("/known-a-{size}"), format!("/known-b-{size}"));
        let mut source = Cursor::new(data.clone());
        let first = client.put_instant(&a, &mut source, in_small_blocks()).await;
        let first = first.unwrap();
        assert!(
            matches!(first, InstantPut::Sent { shared: Ok(()), .. }),
            "{first:?}"
        );
        let second = elsewhere
            .put_instant(&b, &mut source, in_small_blocks())
            .await;
        let second = second.unwrap();
        assert!(matches!(second, InstantPut::Linked { .. }), "{second:?}");
        assert_eq!(first.name().descriptor, second.name().descriptor);
        client.delete_now(&a).await.unwrap();
        assert!(elsewhere.get(&b).await.unwrap() == data, "{size} bytes");
        elsewhere.delete_now(&b).await.unwrap();
        let again = client.put_instant(&a, &mut source, in_small_blocks()).await;
        let again = again.unwrap();
        assert!(
            matches!(again, InstantPut::Sent { .. }),
            "all of it was given up"
        );
    }
}

/// Both files are of revision 0, and have the same name.
#[actix_rt::test]
async fn what_was_seen_of_another_file_changes_nothing() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let put = async |data| client.put("/f", data, PutOptions::default()).await.unwrap();
    put("first").await;
    let seen = client.stat("/f").await.unwrap().file.unwrap();
    put("other").await;
    let cut = client.resize_if("/f", &seen, 2).await;
    assert!(matches!(cut, Err(Error::Refused(Refusal::Changed { .. }))));
    assert_eq!(client.get("/f").await.unwrap(), "other");
    client.truncate("/f", 2).await.unwrap();
    assert_eq!(client.get("/f").await.unwrap(), "ot");
}

#[actix_rt::test]
async fn a_shared_content_never_changes() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let data = bytes(100_000);
    client
        .put("/kept-once", data.clone(), in_small_blocks())
        .await
        .unwrap();
    let early = client.open_for_write("/kept-once").await.unwrap();
    client.share("/kept-once").await.unwrap();
    client.share("/kept-once").await.unwrap();
    let is_shared = |error: &Error| matches!(error, Error::Refused(Refusal::Shared { .. }));
    let mark = Attributes::from([("k".to_owned(), "v".to_owned())]);
    let refused = [
        early.write_at(0, Bytes::from_static(b"x")).await.map(drop),
        client.open_for_write("/kept-once").await.map(drop),
        client
            .expand_file_size("/kept-once", 200_000)
            .await
            .map(drop),
        client.truncate("/kept-once", 5).await.map(drop),
        client
            .set_attributes("/kept-once", mark, &[])
            .await
            .map(drop),
    ];
    for (at, refused) in refused.into_iter().enumerate() {
        assert!(is_shared(&refused.unwrap_err()), "way {at}");
    }
    assert!(client.get("/kept-once").await.unwrap() == data);
    client
        .put("/kept-once", "anew", PutOptions::default())
        .await
        .unwrap();
    assert_eq!(client.get("/kept-once").await.unwrap(), "anew");
}

#[actix_rt::test]
async fn a_file_with_holes_is_not_shared() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    client
        .put("/empty", "", PutOptions::default())
        .await
        .unwrap();
    let sparse = CreateOptions {
        size_bytes: 100_000,
        ..small_blocks()
    };
    client
        .create_file_meta_data("/holes", sparse)
        .await
        .unwrap();
    for path in ["/empty", "/holes"] {
        let refused = client.share(path).await.unwrap_err();
        let is_told = matches!(refused, Error::Refused(Refusal::OutOfRange { .. }));
        assert!(is_told, "{path}: {refused}");
    }
    let file = client.open_for_write("/holes").await.unwrap();
    file.write_at(0, bytes(10)).await.unwrap();
}

/// Gives other bytes when it is read again.
struct Liar {
    passes: u8,
    at: u64,
}

impl AsyncRead for Liar {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = (LIE_BYTES - self.at).min(into.remaining() as u64);
        let byte = if self.passes > 1 { 1 } else { 0 };
        into.put_slice(&vec![byte; left as usize]);
        self.at += left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for Liar {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        if let SeekFrom::Start(at) = to {
            self.at = at;
        }
        self.passes += 1;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.at))
    }
}

const LIE_BYTES: u64 = 700_000;

#[actix_rt::test]
async fn who_knows_a_digest_alone_gets_nothing() {
    let cluster = cluster();
    let client = client_of(&cluster).await;
    let zeros = vec![0; LIE_BYTES as usize];
    let mut source = Cursor::new(zeros.clone());
    client
        .put_instant("/zeros", &mut source, in_small_blocks())
        .await
        .unwrap();
    let mut liar = Liar { passes: 0, at: 0 };
    let put = client
        .put_instant("/lie", &mut liar, in_small_blocks())
        .await;
    assert!(matches!(put.unwrap(), InstantPut::Sent { .. }));
    assert!(
        client
            .get("/lie")
            .await
            .unwrap()
            .iter()
            .all(|byte| *byte == 1)
    );
    assert!(client.get("/zeros").await.unwrap() == zeros);
}
