//! Bytes in and out: every size, every door, and every way a copy, a volume or another writer
//! can stand in the way. Against doubles, which fail when told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::io::{Cursor, SeekFrom};
use std::time::Duration;

use crate::kit::{Fault, Kit};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use sdfs_client::{
    BlockIndex, BlockSize, CallOptions, Client, CopyCause, CreateOptions, Error, OnConflict,
    PutOptions, Refusal,
};
use sdfs_types::calls::CallKind;
use sdfs_types::{BlockDescriptor, Digest, Epoch, MemberState, ServerId, VolumeId, VolumeStatus};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

const BLOCK: usize = 65_536;

fn small_blocks() -> PutOptions {
    let block_size = BlockSize::from_bytes(BLOCK as u64).ok();
    PutOptions {
        block_size,
        ..PutOptions::default()
    }
}

/// Bytes that differ everywhere.
fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

async fn cluster() -> (Kit, Client) {
    let kit = Kit::start();
    let client = kit.client().await;
    (kit, client)
}

#[actix_rt::test]
async fn every_size_comes_back() {
    let (_kit, client) = cluster().await;
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * BLOCK + 7] {
        let data = bytes(size);
        let name = client
            .put("/f", data.clone(), small_blocks())
            .await
            .unwrap();
        assert_eq!(name.size_bytes, size as u64);
        assert_eq!(client.get("/f").await.unwrap(), data, "{size} bytes");
        let kept = client.get_file_meta_data("/f").await.unwrap().file.digest;
        assert_eq!(kept, Some(Digest::Blake3(*blake3::hash(&data).as_bytes())));
    }
}

#[actix_rt::test]
async fn every_door_stores_the_same() {
    let (_kit, client) = cluster().await;
    let data = bytes(5 * BLOCK + 99);
    client
        .put_from("/reader", &mut Cursor::new(&data), small_blocks())
        .await
        .unwrap();
    let pieces: Vec<_> = data
        .chunks(10_007)
        .map(Bytes::copy_from_slice)
        .map(Ok)
        .collect();
    let mut stream = futures::stream::iter(pieces);
    client
        .put_stream("/stream", &mut stream, small_blocks())
        .await
        .unwrap();
    let mut writer = client.create("/finish", small_blocks()).await.unwrap();
    writer.write_all(&data).await.unwrap();
    writer.finish().await.unwrap();
    let mut writer = client.create("/shutdown", small_blocks()).await.unwrap();
    writer.write_all(&data[..BLOCK + 1]).await.unwrap();
    writer.flush().await.unwrap();
    assert!(client.stat("/shutdown").await.unwrap_err().is_not_found());
    writer.write_all(&data[BLOCK + 1..]).await.unwrap();
    writer.shutdown().await.unwrap();
    for path in ["/reader", "/stream", "/finish", "/shutdown"] {
        assert_eq!(client.get(path).await.unwrap(), data, "{path}");
        let mut copy = Vec::new();
        assert_eq!(
            client.get_to(path, &mut copy).await.unwrap(),
            data.len() as u64
        );
        assert_eq!(copy, data, "{path}");
    }
}

#[actix_rt::test]
async fn a_failing_source_stores_nothing() {
    let (kit, client) = cluster().await;
    let breaks = futures::stream::once(async {
        kit.until_served(CallKind::WriteBlock, 2).await;
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    });
    let stream = futures::stream::iter([Ok(bytes(2 * BLOCK))]).chain(breaks);
    let mut stream = std::pin::pin!(stream);
    let outcome = client.put_stream("/f", &mut stream, small_blocks()).await;
    assert!(matches!(outcome, Err(Error::Source(_))), "{outcome:?}");
    assert!(client.stat("/f").await.unwrap_err().is_not_found());
    assert!(kit.model().blocks.is_empty(), "blocks are left behind");
}

#[actix_rt::test]
async fn a_put_that_is_left_leaves_no_blocks() {
    let (kit, client) = cluster().await;
    let (_sender, pieces) = futures::channel::mpsc::unbounded();
    let mut never_ends = futures::stream::iter(vec![Ok(bytes(2 * BLOCK))]).chain(pieces);
    tokio::select! {
        put = client.put_stream("/f", &mut never_ends, small_blocks()) => panic!("{put:?}"),
        () = kit.until_served(CallKind::WriteBlock, 2) => {}
    }
    let mut writer = client.create("/g", small_blocks()).await.unwrap();
    writer.write_all(&bytes(2 * BLOCK)).await.unwrap();
    drop(writer);
    kit.until_served(CallKind::WriteBlock, 4).await;
    until_no_blocks(&kit).await;
    assert_eq!(kit.served(CallKind::AbortPut), 2);
}

#[actix_rt::test]
async fn a_block_that_hangs_keeps_no_others() {
    let (kit, client) = cluster().await;
    kit.fault(4, CallKind::WriteBlock, Fault::Silence, 99);
    let mut writer = client.create("/g", small_blocks()).await.unwrap();
    writer.write_all(&bytes(8 * BLOCK)).await.unwrap();
    tokio::select! {
        flushed = writer.flush() => panic!("{flushed:?}"),
        () = kit.until_served(CallKind::WriteBlock, 8) => {}
    }
    kit.until_kept(1).await;
    drop(writer);
    kit.until_served(CallKind::AbortPut, 1).await;
    until_no_blocks(&kit).await;
}

async fn until_no_blocks(kit: &Kit) {
    let none = async {
        while !kit.model().blocks.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let freed = tokio::time::timeout(Duration::from_secs(30), none).await;
    freed.expect("blocks are left behind");
}

#[actix_rt::test]
async fn what_may_be_a_file_is_not_taken_back() {
    let (kit, client) = cluster().await;
    kit.fault_everywhere(CallKind::FinishPut, &Fault::LoseAnswer, 99);
    let client = client.with(CallOptions {
        timeout: Some(Duration::from_secs(3)),
        ..CallOptions::default()
    });
    let put = client.put("/f", bytes(2 * BLOCK), small_blocks()).await;
    assert!(matches!(put, Err(Error::Unknown { .. })), "{put:?}");
    kit.no_more_faults();
    assert_eq!(client.get("/f").await.unwrap(), bytes(2 * BLOCK));
    assert_eq!(kit.served(CallKind::AbortPut), 0);
}

#[actix_rt::test]
async fn ranges_are_cut_at_the_end() {
    let (_kit, client) = cluster().await;
    let data = bytes(3 * BLOCK);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    let end = data.len() as u64;
    for range in [
        0..1,
        65_535..65_537,
        end - 1..end + 9,
        end..end + 1,
        5..5,
        9..u64::MAX,
    ] {
        let expected = data.slice((range.start as usize)..(range.end.min(end) as usize));
        assert_eq!(
            client.get_range("/f", range.clone()).await.unwrap(),
            expected,
            "{range:?}"
        );
        let stream = client.get_range_stream("/f", range).await.unwrap();
        let pieces: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(pieces.concat(), expected);
    }
}

#[actix_rt::test]
async fn a_small_read_moves_few_bytes() {
    let (kit, client) = cluster().await;
    client
        .put("/f", bytes(4 << 20), PutOptions::default())
        .await
        .unwrap();
    let before = kit.served(CallKind::ReadBlock);
    let file = client.open("/f").await.unwrap();
    assert_eq!(
        file.read_at(100_000..100_010).await.unwrap(),
        bytes(4 << 20)[100_000..100_010]
    );
    assert_eq!(kit.served(CallKind::ReadBlock), before + 1);
}

#[actix_rt::test]
async fn a_handle_reads_and_seeks() {
    let (_kit, client) = cluster().await;
    let data = bytes(20 * BLOCK + 3);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    let mut file = client.open("/f").await.unwrap();
    let mut all = Vec::new();
    file.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, data);
    assert_eq!(file.seek(SeekFrom::Start(70_000)).await.unwrap(), 70_000);
    let mut some = vec![0; 100_000];
    file.read_exact(&mut some).await.unwrap();
    assert_eq!(some, data[70_000..170_000]);
    assert_eq!(file.seek(SeekFrom::Current(-10)).await.unwrap(), 169_990);
    file.read_exact(&mut some[..20]).await.unwrap();
    assert_eq!(some[..20], data[169_990..170_010]);
    file.seek(SeekFrom::End(5)).await.unwrap();
    assert_eq!(file.read(&mut some).await.unwrap(), 0);
    assert!(file.seek(SeekFrom::Current(i64::MIN)).await.is_err());
}

#[actix_rt::test]
async fn holes_read_as_zeros() {
    let (kit, client) = cluster().await;
    let options = CreateOptions {
        size_bytes: 4 << 40,
        ..CreateOptions::default()
    };
    let file = client
        .create_file_meta_data("/sparse", options)
        .await
        .unwrap()
        .file;
    // Near the begin of the last block: a block is stored from its begin on.
    let last = (4u64 << 40) - (64 << 20) + 9;
    file.write_at(last, "end").await.unwrap();
    let before = kit.served(CallKind::ReadBlock);
    let end = file.read_at(last - 5..last + 6).await.unwrap();
    assert_eq!(end, "\0\0\0\0\0end\0\0\0");
    assert_eq!(
        client
            .get_range("/sparse", 1 << 40..(1 << 40) + 9)
            .await
            .unwrap(),
        vec![0; 9]
    );
    let zeros = client.get_range("/sparse", 0..100 << 20).await.unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0) && zeros.len() == 100 << 20);
    assert_eq!(kit.served(CallKind::ReadBlock), before + 1);
    let written = kit.model().blocks.len();
    assert_eq!(written, 3, "three copies of one block");
}

#[actix_rt::test]
async fn blocks_are_read_and_written_apart() {
    let (_kit, client) = cluster().await;
    let block_size = BlockSize::from_bytes(BLOCK as u64).ok();
    let options = CreateOptions {
        block_size,
        ..CreateOptions::default()
    };
    let file = client
        .create_file_meta_data("/f", options)
        .await
        .unwrap()
        .file;
    let whole = bytes(BLOCK);
    client
        .write_block_array(&file, BlockIndex(1), vec![whole.clone(), "x".into()])
        .await
        .unwrap();
    client
        .write_blocks(&file, vec![(BlockIndex(4), "y".into())])
        .await
        .unwrap();
    assert_eq!(file.size_bytes(), 4 * BLOCK as u64 + 1);
    let read = client
        .read_block_array(&file, BlockIndex(0), 6)
        .await
        .unwrap();
    let mut short = vec![0; BLOCK];
    short[0] = b'x';
    assert_eq!(
        read,
        [
            Bytes::from(vec![0; BLOCK]),
            whole,
            short.into(),
            vec![0; BLOCK].into(),
            "y".into(),
            Bytes::new()
        ]
    );
    let some = [BlockIndex(4), BlockIndex(1)];
    assert_eq!(client.read_blocks(&file, &some).await.unwrap()[0], "y");
    let entries = client.get_block_metadata(&file, 0..5).await.unwrap();
    let versions: Vec<_> = entries.iter().map(|entry| entry.version.0).collect();
    assert_eq!(versions, [0, 1, 1, 0, 1]);
    client
        .write_block(&file, BlockIndex(1), "again")
        .await
        .unwrap();
    assert_eq!(
        client.get_block_metadata(&file, 1..2).await.unwrap()[0]
            .version
            .0,
        2
    );
    let long = client
        .write_block(&file, BlockIndex(0), vec![0; BLOCK + 1])
        .await;
    assert!(matches!(long, Err(Error::OutOfRange { .. })), "{long:?}");
    let far = client.read_block_array(&file, BlockIndex(65_535), 2).await;
    assert!(matches!(far, Err(Error::OutOfRange { .. })), "{far:?}");
    let beyond = file.write_at(65_536 * BLOCK as u64, "z").await;
    assert!(
        matches!(beyond, Err(Error::OutOfRange { .. })),
        "{beyond:?}"
    );
}

#[actix_rt::test]
async fn a_bad_copy_is_read_elsewhere() {
    let (kit, client) = cluster().await;
    let data = bytes(6 * BLOCK);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    for server in 4..=5 {
        kit.fault(server, CallKind::ReadBlock, Fault::Damage, 1);
    }
    assert_eq!(client.get("/f").await.unwrap(), data);
    assert!(client.counters().corrupt_copies >= 1);
    let again = client.get_range("/f", 70_000..70_001).await.unwrap();
    assert_eq!(again, data.slice(70_000..70_001));
}

#[actix_rt::test]
async fn only_bad_copies_fail_by_the_deadline() {
    let (kit, client) = cluster().await;
    client.put("/f", bytes(10), small_blocks()).await.unwrap();
    kit.fault_everywhere(CallKind::ReadBlock, &Fault::Damage, 10_000);
    let timeout = Some(Duration::from_secs(2));
    let hasty = client.with(CallOptions {
        timeout,
        ..CallOptions::default()
    });
    match hasty.get("/f").await {
        Err(Error::NoCopy {
            last: CopyCause::Corrupt,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[actix_rt::test]
async fn a_missing_copy_is_read_elsewhere() {
    let (kit, client) = cluster().await;
    let data = bytes(6 * BLOCK);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    kit.model().lose_copies(4);
    kit.model().lose_copies(6);
    assert_eq!(client.get("/f").await.unwrap(), data);
    assert!(client.counters().missing_copies >= 1);
    kit.model().lose_copies(5);
    let outcome = client.get("/f").await;
    assert!(
        matches!(
            outcome,
            Err(Error::NoCopy {
                last: CopyCause::Missing,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[actix_rt::test]
async fn a_silent_dserver_delays_little() {
    let (kit, client) = cluster().await;
    let data = bytes(6 * BLOCK);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    kit.fault(4, CallKind::ReadBlock, Fault::Silence, 1_000);
    let begin = tokio::time::Instant::now();
    assert_eq!(client.get("/f").await.unwrap(), data);
    assert_eq!(client.get("/f").await.unwrap(), data);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[actix_rt::test]
async fn a_new_epoch_is_learned() {
    let (kit, client) = cluster().await;
    client.put("/a", bytes(9), small_blocks()).await.unwrap();
    {
        let mut model = kit.model();
        model.map.version += 1;
        for volume in model.map.volumes.values_mut() {
            volume.epoch = Epoch(2);
            volume.members[0].state = MemberState::Out;
        }
    }
    let file = client.open_for_write("/a").await.unwrap();
    kit.model()
        .map
        .volumes
        .values_mut()
        .for_each(|volume| volume.epoch = Epoch(3));
    client
        .write_block(&file, BlockIndex(0), "fenced")
        .await
        .unwrap();
    assert_eq!(
        client.get("/a").await.unwrap(),
        "fencedbytes"[..6].to_owned() + &"\0".repeat(3)
    );
}

#[actix_rt::test]
async fn another_volume_takes_the_block() {
    let (kit, client) = cluster().await;
    let server = ServerId(5);
    let refusals = [
        Refusal::CopyFailed {
            server,
            why: "disk".to_owned(),
        },
        Refusal::NoSpace {
            server,
            free_bytes: 0,
        },
        Refusal::TooFewCopies {
            volume: VolumeId(1),
            in_sync: 1,
            needed: 2,
        },
        Refusal::DiskFailed { server },
        Refusal::NoSuchVolume {
            volume: VolumeId(1),
        },
        Refusal::Busy {
            why: "full queue".to_owned(),
        },
    ];
    for refusal in refusals {
        kit.fault_everywhere(CallKind::WriteBlock, &Fault::Refuse(refusal.clone()), 1);
        client
            .put("/f", bytes(3 * BLOCK), small_blocks())
            .await
            .unwrap();
        assert_eq!(
            client.get("/f").await.unwrap(),
            bytes(3 * BLOCK),
            "{refusal}"
        );
        kit.no_more_faults();
    }
}

#[actix_rt::test]
async fn no_writable_volume_is_definite() {
    let (kit, client) = cluster().await;
    for volume in kit.model().map.volumes.values_mut() {
        volume.status = VolumeStatus::ReadOnly;
    }
    let timeout = Some(Duration::from_millis(300));
    let hasty = client.with(CallOptions {
        timeout,
        ..CallOptions::default()
    });
    let outcome = hasty.put("/f", "x", small_blocks()).await;
    assert!(
        matches!(
            outcome,
            Err(Error::Refused(Refusal::NoVolume { .. }) | Error::Deadline { .. })
        ),
        "{outcome:?}"
    );
    assert!(client.stat("/f").await.unwrap_err().is_not_found());
}

#[actix_rt::test]
async fn a_lost_block_write_is_repeated() {
    let (kit, client) = cluster().await;
    kit.fault_everywhere(CallKind::WriteBlock, &Fault::LoseAnswer, 1);
    client
        .put("/f", bytes(2 * BLOCK), small_blocks())
        .await
        .unwrap();
    assert_eq!(client.get("/f").await.unwrap(), bytes(2 * BLOCK));
    assert!(client.counters().retries >= 1);
}

#[actix_rt::test]
async fn a_taken_version_is_skipped() {
    let (kit, client) = cluster().await;
    client.put("/f", bytes(10), small_blocks()).await.unwrap();
    let file = client.open_for_write("/f").await.unwrap();
    let descriptor = file.meta_data().descriptor;
    for volume in 1..=2 {
        for server in 4..=6 {
            let block = BlockDescriptor {
                file: descriptor,
                block: BlockIndex(0),
                version: sdfs_types::BlockVersion(2),
            };
            let place = (ServerId(server), VolumeId(volume), block);
            kit.model()
                .blocks
                .insert(place, "nobody committed this".into());
        }
    }
    client
        .write_block(&file, BlockIndex(0), "mine")
        .await
        .unwrap();
    assert_eq!(
        client.get_block_metadata(&file, 0..1).await.unwrap()[0]
            .version
            .0,
        3
    );
}

#[actix_rt::test]
async fn a_redo_stores_the_same_bytes() {
    let (kit, client) = cluster().await;
    for size in [10, 5 * BLOCK + 1] {
        kit.model().redo_next = true;
        let mut source = Cursor::new(bytes(size));
        client
            .put_from("/f", &mut source, small_blocks())
            .await
            .unwrap();
        assert_eq!(client.get("/f").await.unwrap(), bytes(size));
    }
}

#[actix_rt::test]
async fn an_old_grant_is_renewed() {
    let (kit, client) = cluster().await;
    let data = bytes(3 * BLOCK);
    kit.fault_everywhere(CallKind::WriteBlock, &Fault::Refuse(Refusal::NotGranted), 1);
    client
        .put("/f", data.clone(), small_blocks())
        .await
        .unwrap();
    kit.fault_everywhere(CallKind::ReadBlock, &Fault::Refuse(Refusal::NotGranted), 1);
    assert_eq!(client.get("/f").await.unwrap(), data);
    let file = client.open_for_write("/f").await.unwrap();
    kit.fault_everywhere(
        CallKind::CommitBlocks,
        &Fault::Refuse(Refusal::NotGranted),
        1,
    );
    file.write_at(1, "x").await.unwrap();
}

#[actix_rt::test]
async fn concurrent_partial_writes_all_stay() {
    let (_kit, client) = cluster().await;
    client
        .put("/f", vec![0; 2 * BLOCK], small_blocks())
        .await
        .unwrap();
    let writes = (0..16u64).map(|place| {
        let client = client.clone();
        async move {
            let file = client.open_for_write("/f").await.unwrap();
            let at = BLOCK as u64 - 8 + place;
            file.write_at(at, vec![1 + place as u8]).await.unwrap();
        }
    });
    futures::stream::iter(writes)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let found = client
        .get_range("/f", BLOCK as u64 - 8..BLOCK as u64 + 8)
        .await
        .unwrap();
    assert_eq!(found, (1..=16).collect::<Vec<u8>>());
}

#[actix_rt::test]
async fn a_conflict_is_told_on_demand() {
    let (_kit, client) = cluster().await;
    client.put("/f", bytes(10), small_blocks()).await.unwrap();
    let mine = client.open_for_write("/f").await.unwrap();
    let other = client.open_for_write("/f").await.unwrap();
    client
        .write_block(&other, BlockIndex(0), "other")
        .await
        .unwrap();
    let careful = CallOptions {
        on_conflict: OnConflict::Fail,
        ..CallOptions::default()
    };
    let outcome = client
        .with(careful)
        .write_block(&mine, BlockIndex(0), "mine")
        .await;
    assert!(
        matches!(
            outcome,
            Err(Error::Refused(Refusal::Conflict { block: 0, .. }))
        ),
        "{outcome:?}"
    );
    client
        .write_block(&mine, BlockIndex(0), "mine")
        .await
        .unwrap();
    assert_eq!(client.get_range("/f", 0..4).await.unwrap(), "mine");
}

#[actix_rt::test]
async fn what_was_not_seen_is_not_changed() {
    let (_kit, client) = cluster().await;
    client.put("/f", bytes(10), small_blocks()).await.unwrap();
    let (mine, other) = (
        client.open_for_write("/f").await.unwrap(),
        client.open_for_write("/f").await.unwrap(),
    );
    let seen = mine.meta_data();
    let is_refused = |outcome: Result<_, Error>| {
        let changed = matches!(outcome, Err(Error::Refused(Refusal::Changed { .. })));
        assert!(changed, "{outcome:?}");
    };
    // Another block: no version of what this one writes is another.
    other.write_at(3 * BLOCK as u64, "far").await.unwrap();
    is_refused(mine.write_at_if(&seen, 10, "near").await);
    is_refused(client.resize_if("/f", &seen, 5).await);
    mine.refresh().await.unwrap();
    is_refused(mine.write_at_if(&seen, 10, "near").await);
    let seen = mine.meta_data();
    let seen = mine.write_at_if(&seen, 10, "near").await.unwrap();
    let seen = client.resize_if("/f", &seen, 12).await.unwrap();
    let seen = client.resize_if("/f", &seen, 12).await.unwrap();
    client.resize_if("/f", &seen, 20).await.unwrap();
    let found = client.get_range("/f", 8..20).await.unwrap();
    assert_eq!(found, [&bytes(10)[8..], b"ne", &[0; 8]].concat());
}

/// A handle says which revision it has seen, and a write on that condition relies on it.
#[actix_rt::test]
async fn what_others_changed_is_seen_after_a_write() {
    let (_kit, client) = cluster().await;
    let far = 3 * BLOCK as u64;
    client
        .put("/f", bytes(4 * BLOCK), small_blocks())
        .await
        .unwrap();
    let (mine, other) = (
        client.open_for_write("/f").await.unwrap(),
        client.open_for_write("/f").await.unwrap(),
    );
    other.write_at(far, "theirs").await.unwrap();
    mine.write_at(0, "mine").await.unwrap();
    assert_eq!(mine.read_at(far..far + 6).await.unwrap(), "theirs");
    // Of several writes at once none is missed, in whatever order they are done.
    let writes = (0..8_u64).map(|n| mine.write_at(n * 20_000, format!("{n} written")));
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    for n in 0..8_u64 {
        let found = mine.read_at(n * 20_000..n * 20_000 + 9).await.unwrap();
        assert_eq!(found, format!("{n} written"));
    }
}

#[actix_rt::test]
async fn a_replaced_file_is_noticed() {
    let (kit, client) = cluster().await;
    client
        .put("/f", bytes(3 * BLOCK), small_blocks())
        .await
        .unwrap();
    let file = client.open("/f").await.unwrap();
    let was = file.meta_data().descriptor;
    kit.model().blocks.clear();
    client.put("/f", "new", small_blocks()).await.unwrap();
    let outcome = file.read_at(0..10).await;
    assert!(
        matches!(outcome, Err(Error::Replaced { was: old, .. }) if old == was),
        "{outcome:?}"
    );
    assert_eq!(client.get("/f").await.unwrap(), "new");
}

#[actix_rt::test]
async fn a_list_walks_all_pages() {
    let (_kit, client) = cluster().await;
    let mut names: Vec<_> = (0..37).map(|number| format!("name-{number}")).collect();
    for name in &names {
        client.mkdir(&format!("/{name}")).await.unwrap();
    }
    names.sort();
    let found: Vec<_> = client
        .list("/")
        .map_ok(|entry| entry.name.to_string())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(found, names);
    let after = client.list_after("/", Some("name-35".into()));
    assert_eq!(
        after.count().await,
        names.len() - 1 - names.iter().position(|name| name == "name-35").unwrap()
    );
    let missing: Result<Vec<_>, _> = client.list("/nowhere").try_collect().await;
    assert!(missing.unwrap_err().is_not_found());
    let bad: Result<Vec<_>, _> = client.list("/a//b").try_collect().await;
    assert!(matches!(bad, Err(Error::Refused(Refusal::Path(_)))));
}
