//! Writing, reading and freeing blocks at a cluster of three data-servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use blake3::hazmat::HasherExt;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::{
    Cluster, MSERVER, PATIENCE, VOLUME, block, bytes_for, caller, grants, read_call, volume,
    wait_for, write_call,
};
use sdfs_server_group::{Deadline, Payload, Role, ServerId};
use sdfs_types::calls::blocks::{AcceptAsk, AcceptFiles, BlockStored, Durability, FreeBlocks};
use sdfs_types::calls::content::{DigestBlock, DigestHow};
use sdfs_types::calls::negotiation::Trouble;
use sdfs_types::{
    BlockDescriptor, BlockVersion, Epoch, GrantRights, MemberState, Refusal, Traced, VolumeId,
    VolumeStatus, clock, wire,
};

#[actix::test]
async fn block_is_stored_on_every_member() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    for (n, length) in [1, 4096, 65_536, 65_537, 4 << 20].into_iter().enumerate() {
        let (at, bytes) = (block(n as u32, 65_535), bytes_for(n as u32, length));
        let to = (n % 3) as u16 + 1;
        assert_eq!(
            cluster.write(to, 2, at, &bytes).await,
            Ok(BlockStored { copies: 3 })
        );
        for from in 1..=3 {
            assert_eq!(
                cluster.read(from, at).await,
                Ok(bytes.clone()),
                "{length} bytes"
            );
        }
    }
}

#[actix::test]
async fn same_write_twice_is_one_block() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (at, bytes) = (block(1, 0), bytes_for(1, 5000));
    for to in [1, 2, 3, 1] {
        assert!(cluster.write(to, 2, at, &bytes).await.is_ok());
    }
    assert_eq!(
        cluster.write(2, 2, at, &bytes_for(2, 5000)).await,
        Err(Refusal::BlockExists)
    );
    assert_eq!(cluster.read(3, at).await, Ok(bytes));
    assert_eq!(cluster.server(1).spaces()[0].blocks, 1);
}

#[actix::test]
async fn other_epoch_is_refused_with_the_current_volume() {
    let cluster = Cluster::start(3, 1).await;
    let current = Box::new(cluster.found().await);
    for epoch in [1, 3] {
        let refused = cluster
            .write(1, epoch, block(1, 0), &bytes_for(1, 10))
            .await;
        assert_eq!(
            refused,
            Err(Refusal::StaleEpoch {
                current: current.clone()
            })
        );
    }
    let unknown = write_call(2, block(1, 0), &bytes_for(1, 10));
    let unknown = sdfs_types::calls::blocks::WriteBlock {
        volume: VolumeId(9),
        ..unknown
    };
    let refused = cluster
        .ask_as(Role::Mserver, 1, &unknown, bytes_for(1, 10))
        .await;
    assert_eq!(
        refused.unwrap_err(),
        Refusal::NoSuchVolume {
            volume: VolumeId(9)
        }
    );
}

#[actix::test]
async fn damaged_or_unnamed_bytes_are_refused() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let bytes = bytes_for(1, 1000);
    let mut call = write_call(2, block(1, 0), &bytes);
    call.crc32c ^= 1;
    let refused = cluster.ask_as(Role::Mserver, 1, &call, bytes.clone()).await;
    assert_eq!(refused.unwrap_err(), Refusal::Corrupt);
    let mut call = write_call(2, block(1, 0), &bytes);
    call.block.version = BlockVersion::NONE;
    let refused = cluster.ask_as(Role::Mserver, 1, &call, bytes).await;
    assert!(matches!(refused, Err(Refusal::Malformed { .. })));
    assert_eq!(
        cluster.read(1, block(1, 0)).await,
        Err(Refusal::NoSuchBlock)
    );
}

#[actix::test]
async fn dead_member_fails_the_write_and_is_reported() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster.set_down(3, true);
    let refused = cluster.write(1, 2, block(1, 0), &bytes_for(1, 10)).await;
    assert!(matches!(
        refused,
        Err(Refusal::CopyFailed {
            server: ServerId(3),
            ..
        })
    ));
    let report = wait_for("it is reported", || {
        cluster.wires.troubles.lock().unwrap().first().copied()
    });
    let report = report.await;
    assert_eq!(
        (report.member, report.trouble),
        (ServerId(3), Trouble::Silent)
    );
    // Fenced off, it is no longer waited for.
    use MemberState::{InSync, Out};
    cluster
        .push(
            3,
            &volume(3, &[InSync, InSync, Out], VolumeStatus::Degraded),
        )
        .await;
    let stored = cluster.write(1, 3, block(1, 0), &bytes_for(1, 10)).await;
    assert_eq!(stored, Ok(BlockStored { copies: 2 }));
}

#[actix::test]
async fn silent_member_never_counts_as_stored() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster.set_silent(2);
    let bytes = bytes_for(1, 10);
    let call = write_call(2, block(1, 0), &bytes);
    let deadline = Deadline::after_ms(100);
    let refused = cluster
        .ask_until(Role::Mserver, 1, (&call, bytes), deadline)
        .await;
    assert!(matches!(
        refused,
        Err(Refusal::CopyFailed { .. } | Refusal::Unknown { .. })
    ));
}

#[actix::test]
async fn clients_need_a_grant() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (at, bytes) = (block(1, 0), bytes_for(1, 100));
    let until = clock::now_ms() + 60_000;
    let mut write = write_call(2, at, &bytes);
    let read_grant = grants().grant(at.file, GrantRights::Read, until);
    for grant in [None, Some(read_grant)] {
        write.grant = grant;
        let refused = cluster.ask_as(Role::Client, 1, &write, bytes.clone()).await;
        assert_eq!(refused.unwrap_err(), Refusal::NotGranted);
    }
    write.grant = Some(grants().grant(at.file, GrantRights::Write, until));
    cluster
        .ask_as(Role::Client, 1, &write, bytes.clone())
        .await
        .unwrap();
    let refused = cluster
        .ask_as(Role::Client, 2, &read_call(at, None), Bytes::new())
        .await;
    assert_eq!(refused.unwrap_err(), Refusal::NotGranted);
    let read = read_call(at, Some(read_grant));
    let (_, payload) = cluster
        .ask_as(Role::Client, 2, &read, Bytes::new())
        .await
        .unwrap();
    assert_eq!(payload.to_bytes(), bytes);
}

#[actix::test]
async fn replicated_block_is_readable_at_once() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (at, bytes) = (block(1, 0), bytes_for(1, 100_000));
    let mut call = write_call(2, at, &bytes);
    call.durability = Durability::Replicated;
    cluster
        .ask_as(Role::Mserver, 1, &call, bytes.clone())
        .await
        .unwrap();
    for from in 1..=3 {
        assert_eq!(cluster.read(from, at).await, Ok(bytes.clone()));
    }
}

#[actix::test]
async fn freed_block_is_gone_everywhere() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let at = block(1, 0);
    cluster.write(1, 2, at, &bytes_for(1, 100)).await.unwrap();
    for id in 1..=3 {
        let free = FreeBlocks {
            volume: VOLUME,
            blocks: vec![at, block(7, 7)],
        };
        cluster.ask(id, &free).await.unwrap();
        assert_eq!(cluster.read(id, at).await, Err(Refusal::NoSuchBlock));
        assert_eq!(cluster.list(id, 2).await, []);
    }
}

#[actix::test]
async fn files_are_accepted_while_there_is_room() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let ask = |epoch: u32, reserve_bytes: u64| AcceptAsk {
        descriptor: block(1, 0).file,
        volume: VOLUME,
        epoch: Epoch(epoch),
        reserve_bytes,
    };
    let asks = vec![
        ask(2, 600 << 20),
        ask(2, 600 << 20),
        ask(1, 0),
        ask(2, 100 << 20),
    ];
    let asks = asks.into_iter().map(Traced::now).collect();
    let answers = cluster.ask(1, &AcceptFiles { asks }).await.unwrap();
    assert_eq!(answers[0], Ok(()));
    assert!(matches!(
        answers[1],
        Err(Refusal::NoSpace {
            server: ServerId(1),
            ..
        })
    ));
    assert!(matches!(answers[2], Err(Refusal::StaleEpoch { .. })));
    assert_eq!(answers[3], Ok(()));
    let free = wait_for("the load shows it", || {
        Some(cluster.wires.load(ServerId(1)).free_bytes).filter(|free| *free < 400 << 20)
    });
    assert!(free.await > 200 << 20);
}

#[actix::test]
async fn calls_of_other_kinds_are_refused() {
    let cluster = Cluster::start(1, 1).await;
    let (from, until) = (
        caller(Role::Mserver, Some(MSERVER)),
        Deadline::after(PATIENCE),
    );
    for (kind, head) in [(0x0200_u16, &b""[..]), (0xffff, b""), (0x0400, b"nonsense")] {
        let server = cluster.server(1);
        let (head, _) = server
            .answer(&from, kind, (head, Payload::new()), until)
            .await;
        let refused = wire::decode_answer::<()>(&head).unwrap();
        assert!(matches!(
            refused,
            Err(Refusal::NotServed | Refusal::Malformed { .. })
        ));
    }
}

#[actix::test]
async fn many_writers_at_once_all_succeed() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let writes = (0..300_u32).map(|n| {
        let cluster = &cluster;
        async move {
            let to = (n % 3) as u16 + 1;
            cluster.write(to, 2, block(n, 0), &bytes_for(n, 4096)).await
        }
    });
    let done = futures::future::join_all(writes).await;
    assert!(done.iter().all(Result::is_ok));
    for from in 1..=3 {
        assert_eq!(cluster.list(from, 2).await.len(), 300);
    }
}

/// The third member is out and does not hear that a block is freed; what it lists after a sync in
/// which the second one cannot answer at first.
async fn listed_after_a_sync(is_connected: bool) -> Vec<BlockDescriptor> {
    use MemberState::{InSync, Syncing};
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (freed, kept, bytes) = (block(1, 0), block(2, 0), bytes_for(1, 9));
    for at in [freed, kept] {
        assert!(cluster.write(1, 2, at, &bytes).await.is_ok());
    }
    for to in [1, 2] {
        let call = FreeBlocks {
            volume: VOLUME,
            blocks: vec![freed],
        };
        assert_eq!(cluster.ask(to, &call).await, Ok(()));
    }
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.set_down(2, !is_connected);
    for to in [1, 3] {
        cluster.push_to(to, 3, &syncing).await;
    }
    cluster.sync(3, &syncing).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    cluster.set_down(2, false);
    cluster.push_to(2, 3, &syncing).await;
    cluster.synced(3).await;
    assert!(cluster.list(1, 3).await == [kept]);
    cluster.list(3, 3).await
}

#[actix::test]
async fn a_source_an_epoch_behind_is_waited_for() {
    assert_eq!(listed_after_a_sync(true).await, [block(2, 0)]);
}

#[actix::test]
async fn a_source_not_yet_connected_is_waited_for() {
    assert_eq!(listed_after_a_sync(false).await, [block(2, 0)]);
}

#[actix::test]
async fn a_block_freed_during_a_sync_does_not_come_back() {
    use MemberState::{InSync, Syncing};
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (freed, bytes) = (block(1, 0), bytes_for(1, 9));
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    let call = FreeBlocks {
        volume: VOLUME,
        blocks: vec![freed],
    };
    assert_eq!(cluster.ask(3, &call).await, Ok(()));
    // A copy of it that was on its way arrives late, as a sync's does.
    let late = cluster.write_copy(3, 3, freed, &bytes).await;
    assert_eq!(late, Err(Refusal::NoSuchBlock));
    assert_eq!(cluster.server(3).spaces()[0].blocks, 0);
}

/// The third member is out and does not hear that a block is freed, and syncs while the second is
/// silent: it asks whose its blocks are.
#[actix::test]
async fn a_deleted_block_does_not_come_back_when_a_source_is_silent() {
    use MemberState::{InSync, Syncing};
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (deleted, lost, kept, bytes) = (block(1, 0), block(2, 0), block(3, 0), bytes_for(1, 9));
    for at in [deleted, lost, kept] {
        assert!(cluster.write(1, 2, at, &bytes).await.is_ok());
    }
    for to in [1, 2] {
        let call = FreeBlocks {
            volume: VOLUME,
            blocks: vec![deleted, lost],
        };
        assert_eq!(cluster.ask(to, &call).await, Ok(()));
    }
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.set_down(2, true);
    for to in [1, 3] {
        cluster.push_to(to, 3, &syncing).await;
    }
    cluster.sync(3, &syncing).await;
    // A mserver that cannot say whose they are at the moment is asked again.
    let asked = || cluster.wires.asked_needed.load(Ordering::Acquire);
    wait_for("it is asked again", || (asked() > 1).then_some(())).await;
    assert_eq!(*cluster.wires.syncs.lock().unwrap(), []);
    *cluster.wires.recorded.lock().unwrap() = Some([lost.file, kept.file].into());
    cluster.synced(3).await;
    assert_eq!(cluster.list(3, 3).await, [lost, kept]);
}

#[actix::test]
async fn digests_are_of_what_is_there() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (at, bytes) = (block(1, 0), bytes_for(1, 200_000));
    assert!(cluster.write(1, 2, at, &bytes).await.is_ok());
    let ask = |offset_bytes, length_bytes, how| DigestBlock {
        volume: VOLUME,
        block: at,
        crc32c: sdfs_log::crc32c(&bytes),
        offset_bytes,
        length_bytes,
        how,
    };
    let part = &bytes[70_001..170_000];
    let key = [7; 32];
    let subtree = {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(1 << 20);
        hasher.update(&bytes).finalize_non_root()
    };
    let table = [
        (
            ask(0, 200_000, DigestHow::Plain),
            *blake3::hash(&bytes).as_bytes(),
        ),
        (
            ask(70_001, 99_999, DigestHow::Plain),
            *blake3::hash(part).as_bytes(),
        ),
        (
            ask(70_001, 99_999, DigestHow::Keyed(key)),
            *blake3::keyed_hash(&key, part).as_bytes(),
        ),
        (ask(0, 200_000, DigestHow::Subtree(1 << 20)), subtree),
    ];
    for (call, digest) in table {
        let told = cluster.ask_as(Role::Mserver, 2, &call, Bytes::new()).await;
        assert_eq!(told.unwrap().0, digest, "{call:?}");
    }
    let otherwise = DigestBlock {
        crc32c: 1,
        ..ask(0, 10, DigestHow::Plain)
    };
    let refused = cluster
        .ask_as(Role::Mserver, 2, &otherwise, Bytes::new())
        .await;
    assert_eq!(
        refused.map(|told| told.0),
        Err(Refusal::Corrupt),
        "readers insist on it"
    );
    let wrong = [
        ask(0, 0, DigestHow::Plain),
        ask(0, 200_001, DigestHow::Plain),
        ask(200_000, 1, DigestHow::Plain),
        ask(u32::MAX, u32::MAX, DigestHow::Plain),
        ask(0, 200_000, DigestHow::Subtree(1)),
        ask(0, 200_000, DigestHow::Subtree(128 << 10)),
        ask(0, 200_000, DigestHow::Subtree(u64::MAX)),
    ];
    for call in wrong {
        let told = cluster.ask_as(Role::Mserver, 2, &call, Bytes::new()).await;
        let is_refused = matches!(
            told,
            Err(Refusal::OutOfRange { .. } | Refusal::Malformed { .. })
        );
        assert!(is_refused, "{call:?}");
    }
}
