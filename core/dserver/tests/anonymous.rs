//! Anonymous files at a cluster of three data-servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Cluster, PATIENCE, VOLUME, block, bytes_for, volume, wait_for};
use sdfs_dserver::{AnonymousFile, AnonymousFiles};
use sdfs_log::{CrashLoss, MemoryDisk};
use sdfs_server_group::{Deadline, Role, ServerId};
use sdfs_types::calls::anonymous::FreeAnonymous;
use sdfs_types::{Epoch, MemberState, Refusal, Volume, VolumeStatus};

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

fn files(cluster: &Cluster, server: u16) -> AnonymousFiles {
    cluster.server(server).anonymous()
}

/// Three members, and a fourth server that is none.
async fn with_a_non_member() -> Cluster {
    let mut cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .start_server(ServerId(4), MemoryDisk::new(1 << 30))
        .await;
    cluster
}

async fn put(cluster: &Cluster, server: u16, content: Bytes) -> AnonymousFile {
    files(cluster, server).put(content, soon()).await.unwrap()
}

async fn read(cluster: &Cluster, server: u16, file: AnonymousFile) -> Option<Bytes> {
    let load = files(cluster, server)
        .load(file, (0, u32::MAX), soon())
        .await;
    load.unwrap()
}

#[actix::test]
async fn a_file_is_on_every_member_at_once() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let mut known = BTreeSet::new();
    for (n, length) in [0, 1, 4096, 65_537, 300_000, 4 << 20]
        .into_iter()
        .enumerate()
    {
        let (from, content) = (n as u16 % 3 + 1, bytes_for(n as u32, length));
        let file = put(&cluster, from, content.clone()).await;
        assert!(known.insert(file.stamp), "a stamp is given out once");
        assert_eq!((file.volume, file.stamp.server), (VOLUME, ServerId(from)));
        for to in 1..=3 {
            assert_eq!(read(&cluster, to, file).await.as_ref(), Some(&content));
            let found = files(&cluster, to).length(file, soon()).await;
            assert_eq!(found, Ok(Some(length as u32)));
            let part = files(&cluster, to)
                .load(file, (length as u32 / 2, 100), soon())
                .await;
            let end = (length / 2 + 100).min(length);
            assert_eq!(part.unwrap(), Some(content.slice(length / 2..end)));
        }
    }
}

#[actix::test]
async fn a_freed_file_is_nowhere() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let file = put(&cluster, 1, bytes_for(1, 9)).await;
    assert_eq!(files(&cluster, 2).free(file, soon()).await, Ok(true));
    for to in 1..=3 {
        assert_eq!(read(&cluster, to, file).await, None);
        assert_eq!(files(&cluster, to).length(file, soon()).await, Ok(None));
        assert_eq!(cluster.server(to).spaces()[0].blocks, 0);
    }
    assert_eq!(files(&cluster, 3).free(file, soon()).await, Ok(false));
}

#[actix::test]
async fn a_member_that_lacks_a_file_reads_it_elsewhere() {
    let cluster = with_a_non_member().await;
    let content = bytes_for(1, 70_000);
    let file = put(&cluster, 1, content.clone()).await;
    // No member at all, and one that is being brought up to date.
    assert_eq!(read(&cluster, 4, file).await, Some(content.clone()));
    cluster.set_down(3, true);
    use MemberState::{InSync, Out, Syncing};
    let now = volume(3, &[InSync, InSync, Out, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &now).await;
    assert_eq!(read(&cluster, 4, file).await, Some(content));
    assert_eq!(
        files(&cluster, 4).length(file, soon()).await,
        Ok(Some(70_000))
    );
}

#[actix::test]
async fn a_failed_upload_leaves_nothing() {
    let cluster = Cluster::start(3, 1).await;
    let volume = cluster.found().await;
    cluster.set_down(3, true);
    let hasty = Deadline::after(Duration::from_millis(300));
    let refused = files(&cluster, 1).put(bytes_for(1, 9), hasty).await;
    assert!(refused.is_err(), "one copy is missing: {refused:?}");
    cluster.set_down(3, false);
    wait_for("the members are empty", || {
        let is_empty = |id| cluster.server(id).spaces()[0].blocks == 0;
        (1..=3).all(is_empty).then_some(())
    })
    .await;
    assert_eq!(volume.epoch, Epoch(2));
}

#[actix::test]
async fn without_stamps_nothing_is_taken() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    *cluster.wires.leased_to.lock().unwrap() = None;
    let hasty = Deadline::after(Duration::from_millis(50));
    let refused = files(&cluster, 1).put(bytes_for(1, 9), hasty).await;
    assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    *cluster.wires.leased_to.lock().unwrap() = Some(0);
    let first = put(&cluster, 1, bytes_for(1, 9)).await;
    *cluster.wires.leased_to.lock().unwrap() = None;
    let next = put(&cluster, 1, bytes_for(1, 9)).await;
    assert!(next.stamp > first.stamp, "a lease outlasts the mservers");
}

#[actix::test]
async fn a_restarted_server_gives_out_other_stamps() {
    let mut cluster = Cluster::start(3, 1).await;
    let volume = cluster.found().await;
    let first = put(&cluster, 1, bytes_for(1, 9)).await;
    let disk = cluster.disks[&ServerId(1)].clone();
    cluster.stop_server(ServerId(1)).await;
    cluster.start_server(ServerId(1), disk).await;
    cluster.push(3, &volume).await;
    let second = put(&cluster, 1, bytes_for(2, 9)).await;
    assert!(second.stamp.second >= first.stamp.second + 20 || second.stamp > first.stamp);
    assert_ne!(second.stamp, first.stamp);
    assert_eq!(read(&cluster, 2, first).await, Some(bytes_for(1, 9)));
}

#[actix::test]
async fn an_acknowledged_file_outlives_a_crash_of_all() {
    let mut cluster = Cluster::start(3, 1).await;
    let volume = cluster.found().await;
    let mut known = Vec::new();
    for n in 0..50 {
        let content = bytes_for(n, 5_000);
        let file = put(&cluster, n as u16 % 3 + 1, content.clone()).await;
        known.push((file, content));
    }
    let crashed = cluster.disks.iter();
    let crashed: Vec<_> = crashed
        .map(|(id, disk)| (*id, disk.crash(CrashLoss::Everything)))
        .collect();
    for (id, _) in &crashed {
        cluster.stop_server(*id).await;
    }
    for (id, disk) in crashed {
        cluster.start_server(id, disk).await;
    }
    for kept in cluster.push(3, &volume).await {
        assert_eq!(kept.lost, []);
    }
    for (file, content) in known {
        for at in 1..=3 {
            // Its own copy, and what clients are told.
            let own = cluster.read(at, file.stamp.block()).await;
            assert_eq!(own.as_ref(), Ok(&content), "{file:?} at {at}");
            assert_eq!(read(&cluster, at, file).await.as_ref(), Some(&content));
        }
    }
}

fn free(epoch: u32, file: AnonymousFile) -> FreeAnonymous {
    FreeAnonymous {
        volume: VOLUME,
        epoch: Epoch(epoch),
        blocks: vec![file.stamp.block()],
    }
}

#[actix::test]
async fn frees_of_another_epoch_or_of_named_files_are_refused() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let file = put(&cluster, 1, bytes_for(1, 9)).await;
    for epoch in [1, 3] {
        let refused = cluster
            .ask_as(Role::Dserver, 2, &free(epoch, file), Bytes::new())
            .await;
        assert!(
            matches!(refused, Err(Refusal::StaleEpoch { .. })),
            "{refused:?}"
        );
    }
    let named = FreeAnonymous {
        blocks: vec![block(1, 0)],
        ..free(2, file)
    };
    let refused = cluster.ask_as(Role::Dserver, 2, &named, Bytes::new()).await;
    assert!(
        matches!(refused, Err(Refusal::Malformed { .. })),
        "{refused:?}"
    );
    assert_eq!(read(&cluster, 2, file).await, Some(bytes_for(1, 9)));
}

#[actix::test]
async fn a_file_freed_during_a_sync_does_not_come_back() {
    use MemberState::{InSync, Syncing};
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    let file = put(&cluster, 1, bytes_for(1, 9)).await;
    assert_eq!(files(&cluster, 1).free(file, soon()).await, Ok(true));
    // A copy of it that was on its way arrives late, as a sync's does.
    let late = cluster
        .write_copy(3, 3, file.stamp.block(), &bytes_for(1, 9))
        .await;
    assert_eq!(late, Err(Refusal::NoSuchBlock));
    assert_eq!(cluster.server(3).spaces()[0].blocks, 0);
    // In sync again, the member takes whatever it is told: no copies are on their way.
    cluster
        .push(4, &volume(4, &[InSync; 3], VolumeStatus::Writable))
        .await;
    let again = cluster
        .write_copy(3, 4, file.stamp.block(), &bytes_for(1, 9))
        .await;
    assert_eq!(again, Ok(()));
}

#[actix::test]
async fn a_file_freed_elsewhere_does_not_come_back_when_a_source_is_silent() {
    use MemberState::{InSync, Syncing};
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (freed, kept) = (
        put(&cluster, 1, bytes_for(1, 9)).await,
        put(&cluster, 1, bytes_for(2, 9)).await,
    );
    // The third is taken out and does not hear that one of them is freed.
    cluster.set_down(3, true);
    let without = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    let without = Volume {
        members: without.members[..2].to_vec(),
        ..without
    };
    for to in [1, 2] {
        cluster.push_to(to, 3, &without).await;
    }
    assert_eq!(files(&cluster, 1).free(freed, soon()).await, Ok(true));
    cluster.set_down(3, false);
    cluster.set_down(2, true);
    let syncing = volume(4, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    for to in [1, 3] {
        cluster.push_to(to, 4, &syncing).await;
    }
    // The other may be gone for good.
    cluster.sync(3, &syncing).await;
    cluster.synced(4).await;
    let spaces = cluster.server(3).spaces();
    assert_eq!(spaces[0].blocks, 1, "{kept:?} alone");
}

#[actix::test]
async fn a_mark_goes_with_its_file() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let file = put(&cluster, 1, bytes_for(1, 9)).await;
    assert_eq!(files(&cluster, 2).is_marked(file, soon()).await, Ok(false));
    assert_eq!(files(&cluster, 3).mark(file, soon()).await, Ok(()));
    assert_eq!(
        files(&cluster, 3).mark(file, soon()).await,
        Ok(()),
        "marked once"
    );
    assert_eq!(files(&cluster, 2).is_marked(file, soon()).await, Ok(true));
    assert_eq!(files(&cluster, 1).free(file, soon()).await, Ok(true));
    for to in 1..=3 {
        assert_eq!(files(&cluster, to).is_marked(file, soon()).await, Ok(false));
        assert_eq!(cluster.server(to).spaces()[0].blocks, 0);
    }
}

#[actix::test]
async fn a_damaged_file_is_read_elsewhere() {
    let cluster = with_a_non_member().await;
    let content = bytes_for(1, 5_000);
    let file = put(&cluster, 1, content.clone()).await;
    for down in [2, 3] {
        cluster.set_down(down, true);
    }
    cluster.rot(1);
    let hasty = || Deadline::after(Duration::from_millis(300));
    // Found damaged by the first, put aside from then on: never taken for one that was freed.
    for reader in [1, 1, 4] {
        let files = files(&cluster, reader);
        let load = files.load(file, (0, u32::MAX), hasty()).await;
        assert!(load.is_err(), "{reader}");
    }
    cluster.set_down(2, false);
    for reader in [1, 4] {
        assert_eq!(read(&cluster, reader, file).await.as_ref(), Some(&content));
    }
}

#[actix::test]
async fn members_that_were_taken_out_show_no_deleted_files() {
    use MemberState::{InSync, Out};
    let cluster = with_a_non_member().await;
    let mut kept = Vec::new();
    for n in 0..2 {
        let put = files(&cluster, 1).put(bytes_for(n, 9), soon()).await;
        kept.push(put.unwrap());
    }
    assert_eq!(read(&cluster, 3, kept[0]).await, Some(bytes_for(0, 9)));
    // The third is taken out and does not hear of it.
    let now = volume(3, &[InSync, InSync, Out], VolumeStatus::Degraded);
    let begun = Instant::now();
    for member in [1, 2] {
        cluster.push_to(member, 3, &now).await;
    }
    assert_eq!(files(&cluster, 1).free(kept[0], soon()).await, Ok(true));
    let lease = Duration::from_millis(sdfs_types::limits::READ_LEASE_MS);
    assert!(begun.elapsed() >= lease, "it might still show the file");
    for reader in [3, 4] {
        assert_eq!(read(&cluster, reader, kept[0]).await, None, "{reader}");
    }
    // One that is no member has the members do it.
    assert_eq!(files(&cluster, 4).free(kept[1], soon()).await, Ok(true));
    assert_eq!(files(&cluster, 4).free(kept[1], soon()).await, Ok(false));
    for reader in 1..=4 {
        assert_eq!(read(&cluster, reader, kept[1]).await, None, "{reader}");
    }
}

#[actix::test]
async fn without_a_lease_nothing_is_read() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let content = bytes_for(1, 9);
    let file = put(&cluster, 1, content.clone()).await;
    let map = cluster.wires.map.lock().unwrap().take();
    let hasty = || Deadline::after(Duration::from_millis(100));
    assert_eq!(files(&cluster, 2).load_now(file), None);
    let load = files(&cluster, 2).load(file, (0, 9), hasty()).await;
    assert!(matches!(load, Err(Refusal::Busy { .. })), "{load:?}");
    let length = files(&cluster, 2).length(file, hasty()).await;
    assert!(matches!(length, Err(Refusal::Busy { .. })), "{length:?}");
    *cluster.wires.map.lock().unwrap() = map;
    assert_eq!(read(&cluster, 2, file).await.as_ref(), Some(&content));
    assert_eq!(files(&cluster, 2).load_now(file), Some(content));
}

#[actix::test]
async fn a_silent_member_takes_a_part_of_the_time() {
    let cluster = with_a_non_member().await;
    let content = bytes_for(1, 9);
    let file = put(&cluster, 1, content.clone()).await;
    cluster.set_silent(1);
    assert_eq!(read(&cluster, 4, file).await, Some(content));
}

#[actix::test]
async fn a_damaged_file_that_was_freed_does_not_come_back() {
    let mut cluster = Cluster::start(3, 1).await;
    let volume = cluster.found().await;
    let file = put(&cluster, 1, bytes_for(1, 5_000)).await;
    for down in [2, 3] {
        cluster.set_down(down, true);
    }
    cluster.rot(1);
    let hasty = Deadline::after(Duration::from_millis(300));
    let load = files(&cluster, 1).load(file, (0, u32::MAX), hasty).await;
    assert!(load.is_err(), "put aside");
    for down in [2, 3] {
        cluster.set_down(down, false);
    }
    assert_eq!(files(&cluster, 1).free(file, soon()).await, Ok(true));
    // The disk gives the right bytes after all: a cable, not the platter.
    cluster.rot(1);
    let disk = cluster.disks[&ServerId(1)].clone();
    cluster.stop_server(ServerId(1)).await;
    cluster.start_server(ServerId(1), disk).await;
    cluster.push(3, &volume).await;
    assert_eq!(cluster.server(1).spaces()[0].blocks, 0);
    assert_eq!(read(&cluster, 1, file).await, None);
}
