//! Restarts, lost and failing disks, rot, and bringing members up to date.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Cluster, VOLUME, block, bytes_for, grants, read_call, volume, wait_for, write_call};
use sdfs_dserver::limits::{
    BACKGROUND_SYNC_WAIT, LEFT_BEHIND_EVERY, LEFT_BEHIND_WAIT, SYNC_BYTES_PER_S_SHARED,
};
use sdfs_log::{CrashLoss, Disk, Fault, MemoryDisk};
use sdfs_server_group::{Role, ServerId};
use sdfs_types::calls::blocks::{FreeBlocks, PushVolumes, SyncVolume, WriteBlock};
use sdfs_types::calls::negotiation::{ReportTrouble, Trouble};
use sdfs_types::{
    Epoch, GrantRights, MemberState, Refusal, Volume, VolumeId, VolumeMember, VolumeStatus, clock,
};

use MemberState::{InSync, Out, Syncing};

const THREE: ServerId = ServerId(3);

#[actix::test]
async fn restart_reads_everything_before_any_push() {
    let mut cluster = Cluster::start(3, 1).await;
    let current = cluster.found().await;
    for n in 0..50 {
        cluster
            .write(1, 2, block(n, 0), &bytes_for(n, 5000))
            .await
            .unwrap();
    }
    let disk = cluster.disks[&THREE].crash(CrashLoss::Everything);
    cluster.stop_server(THREE).await;
    cluster.start_server(THREE, disk).await;
    for n in 0..50 {
        assert_eq!(cluster.read(3, block(n, 0)).await, Ok(bytes_for(n, 5000)));
    }
    let refused = cluster.write(3, 2, block(99, 0), &bytes_for(9, 10)).await;
    assert_eq!(
        refused,
        Err(Refusal::NoSuchVolume { volume: VOLUME }),
        "nobody told it yet"
    );
    assert_eq!(cluster.push_to(3, 2, &current).await.lost, []);
    cluster
        .write(3, 2, block(99, 0), &bytes_for(9, 10))
        .await
        .unwrap();
}

#[actix::test]
async fn lost_disk_is_noticed() {
    let mut cluster = Cluster::start(3, 1).await;
    let current = cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 5000))
        .await
        .unwrap();
    cluster.stop_server(THREE).await;
    cluster.start_server(THREE, MemoryDisk::new(1 << 30)).await;
    assert_eq!(cluster.push_to(3, 2, &current).await.lost, [VOLUME]);
    assert_eq!(cluster.server(3).kept(), [], "it says so to who asks");
    let refused = cluster.write(1, 2, block(2, 0), &bytes_for(1, 5000)).await;
    assert!(
        refused.is_err(),
        "no copy is stored where the others are lost"
    );
}

#[actix::test]
async fn a_sync_makes_way_for_clients() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster.set_down(3, true);
    let degraded = volume(3, &[InSync, InSync, Out], VolumeStatus::Degraded);
    cluster.push_to(1, 3, &degraded).await;
    cluster.push_to(2, 3, &degraded).await;
    let (blocks, block_bytes) = (32, 2 << 20);
    for n in 0..blocks {
        let bytes = bytes_for(n, block_bytes);
        cluster.write(1, 3, block(n, 0), &bytes).await.unwrap();
    }
    cluster.set_down(3, false);
    let syncing = volume(4, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(4, &syncing).await;
    let at = block(0, 0);
    let until = clock::now_ms() + 600_000;
    let grant = grants().grant(at.file, GrantRights::Read, until);
    let read = read_call(at, Some(grant));
    let reading = async {
        loop {
            let answer = cluster.ask_as(Role::Client, 1, &read, Bytes::new()).await;
            answer.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let copying = async {
        let serves = || (cluster.wires.load(ServerId(1)).client_calls > 0).then_some(());
        wait_for("the load tells of clients", serves).await;
        let begun = Instant::now();
        cluster.sync(3, &syncing).await;
        assert_eq!(cluster.synced(4).await.copied, u64::from(blocks));
        begun.elapsed()
    };
    let took = tokio::select! {
        () = reading => unreachable!("it reads for ever"),
        took = copying => took,
    };
    let bytes = blocks as usize * block_bytes;
    let least = bytes as f64 / SYNC_BYTES_PER_S_SHARED as f64;
    assert!(took.as_secs_f64() > 0.8 * least, "{took:?}, {least} s");
}

#[actix::test]
async fn returning_member_gets_what_it_missed() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    for n in 0..40 {
        cluster
            .write(1, 2, block(n, 0), &bytes_for(n, 3000))
            .await
            .unwrap();
    }
    cluster.set_down(3, true);
    let degraded = volume(3, &[InSync, InSync, Out], VolumeStatus::Degraded);
    cluster.push_to(1, 3, &degraded).await;
    cluster.push_to(2, 3, &degraded).await;
    for n in 40..70 {
        cluster
            .write(1, 3, block(n, 0), &bytes_for(n, 100_000))
            .await
            .unwrap();
    }
    let freed: Vec<_> = (0..10).map(|n| block(n, 0)).collect();
    for id in 1..=2 {
        cluster
            .ask(
                id,
                &FreeBlocks {
                    volume: VOLUME,
                    blocks: freed.clone(),
                },
            )
            .await
            .unwrap();
    }
    cluster.set_down(3, false);
    let syncing = volume(4, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(4, &syncing).await;
    // Writes go to the syncing member from now on.
    cluster
        .write(2, 4, block(200, 0), &bytes_for(200, 10))
        .await
        .unwrap();
    cluster.sync(3, &syncing).await;
    let report = cluster.synced(4).await;
    assert_eq!(
        (report.member, report.copied, report.present),
        (THREE, 30, 31)
    );
    assert_eq!(report.copied_bytes, 30 * 100_000);
    assert_eq!(cluster.list(3, 4).await, cluster.list(1, 4).await);
    for n in (10..70).chain([200]) {
        assert_eq!(
            cluster.read(3, block(n, 0)).await,
            cluster.read(1, block(n, 0)).await
        );
    }
    assert_eq!(
        cluster.read(3, block(0, 0)).await,
        Err(Refusal::NoSuchBlock)
    );
}

#[actix::test]
async fn sync_replaces_rotten_copies() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    for n in 0..10 {
        cluster
            .write(1, 2, block(n, 0), &bytes_for(n, 3000))
            .await
            .unwrap();
    }
    cluster.rot(3);
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    cluster.sync(3, &syncing).await;
    let report = cluster.synced(3).await;
    assert_eq!((report.copied, report.present), (1, 9));
    for n in 0..10 {
        assert_eq!(cluster.read(3, block(n, 0)).await, Ok(bytes_for(n, 3000)));
    }
}

#[actix::test]
async fn sync_asked_for_again_is_reported_again() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    cluster.sync(3, &syncing).await;
    cluster.synced(3).await;
    cluster.wires.syncs.lock().unwrap().clear();
    // The actor may not have noticed the end of the first yet; the leader asks until it hears.
    wait_for("it is reported again", || Some(())).await;
    let again = async {
        loop {
            cluster.sync(3, &syncing).await;
            if !cluster.wires.syncs.lock().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, again).await.unwrap();
}

#[actix::test]
async fn source_that_is_down_is_done_without() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    let syncing = volume(3, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    cluster.set_down(1, true);
    cluster.sync(3, &syncing).await;
    assert_eq!(cluster.synced(3).await.present, 1);
}

#[actix::test]
async fn rotten_block_is_repaired_from_another_member() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    rots_and_is_repaired(&cluster).await;
}

#[actix::test]
async fn last_member_in_sync_is_repaired_too() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    let others_sync = volume(3, &[Syncing, Syncing, InSync], VolumeStatus::ReadOnly);
    cluster.push(3, &others_sync).await;
    rots_and_is_repaired(&cluster).await;
}

#[actix::test]
async fn two_damaged_members_are_repaired_by_one_that_waits_for_them() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let at = block(1, 0);
    cluster.write(1, 2, at, &bytes_for(1, 3000)).await.unwrap();
    let one_syncs = volume(3, &[Syncing, InSync, InSync], VolumeStatus::Degraded);
    cluster.push(3, &one_syncs).await;
    for damaged in [2, 3] {
        cluster.rot(damaged);
        assert_eq!(cluster.read(damaged, at).await, Err(Refusal::Corrupt));
    }
    for damaged in [2, 3] {
        let deadline = tokio::time::Instant::now() + common::PATIENCE;
        while cluster.read(damaged, at).await != Ok(bytes_for(1, 3000)) {
            assert!(tokio::time::Instant::now() < deadline, "it is not repaired");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    cluster.sync(1, &one_syncs).await;
    cluster.synced(3).await;
    assert_eq!(cluster.read(1, at).await, Ok(bytes_for(1, 3000)));
}

async fn rots_and_is_repaired(cluster: &Cluster) {
    let at = block(1, 0);
    cluster.rot(3);
    assert_eq!(cluster.read(3, at).await, Err(Refusal::Corrupt));
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    while cluster.read(3, at).await != Ok(bytes_for(1, 3000)) {
        assert!(tokio::time::Instant::now() < deadline, "it is not repaired");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn a_block_its_source_has_put_aside_is_no_freed_one() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (at, bytes) = (block(1, 0), bytes_for(1, 3_000));
    cluster.write(1, 2, at, &bytes).await.unwrap();
    let syncing = volume(3, &[InSync, Out, Syncing], VolumeStatus::Degraded);
    cluster.push(3, &syncing).await;
    // Nor can the source fetch it from the one that syncs.
    cluster.set_down(3, true);
    cluster.rot(1);
    assert_eq!(cluster.read(1, at).await, Err(Refusal::Corrupt));
    cluster.sync(3, &syncing).await;
    let early = tokio::time::timeout(Duration::from_millis(500), cluster.synced(3)).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(cluster.read(3, at).await, Ok(bytes.clone()));
    cluster.set_down(3, false);
    assert_eq!(cluster.synced(3).await.present, 1);
    assert_eq!(cluster.read(3, at).await, Ok(bytes));
}

/// Sixteen are asked for at a time.
#[actix::test]
async fn what_nobody_can_give_holds_up_no_other_repair() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let (lost, repairable) = (0..17, block(20, 0));
    for n in lost.clone().chain([20]) {
        let bytes = bytes_for(n, 3_000);
        cluster.write(1, 2, block(n, 0), &bytes).await.unwrap();
    }
    let rot = |id: u16, n: u32| {
        let (disk, log) = (&cluster.disks[&ServerId(id)], Path::new("/space-0/log"));
        let mut names = disk.list(log).unwrap();
        names.sort();
        let path = log.join(&names[0]);
        let (segment, wanted) = (disk.open(&path).unwrap(), bytes_for(n, 3_000));
        let bytes = segment.read_at(0, 1 << 20).unwrap();
        let mut parts = bytes.windows(wanted.len());
        let at = parts.position(|part| part == wanted);
        disk.flip_bit(&path, at.unwrap() as u64 * 8).unwrap();
    };
    for n in lost.clone() {
        (1..=3).for_each(|id| rot(id, n));
    }
    rot(3, 20);
    for n in lost.clone() {
        for id in 1..=3 {
            assert_eq!(cluster.read(id, block(n, 0)).await, Err(Refusal::Corrupt));
        }
    }
    assert_eq!(cluster.read(3, repairable).await, Err(Refusal::Corrupt));
    wait_for("its turn has come", || {
        let scrub = cluster.server(3).spaces()[0].scrub;
        (scrub.repaired == 1).then_some(())
    })
    .await;
    assert_eq!(cluster.read(3, repairable).await, Ok(bytes_for(20, 3_000)));
    let still = cluster.read(3, block(0, 0)).await;
    assert_eq!(still, Err(Refusal::Corrupt), "nobody has it");
}

#[actix::test]
async fn failed_space_is_closed_and_reported() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    let disk = &cluster.disks[&THREE];
    disk.fail_change(disk.changes() + 1, Fault::Io);
    let refused = cluster.write(1, 2, block(2, 0), &bytes_for(2, 3000)).await;
    assert!(matches!(
        refused,
        Err(Refusal::CopyFailed { server: THREE, .. })
    ));
    let report = wait_for("it is reported", || {
        let troubles = cluster.wires.troubles.lock().unwrap();
        troubles
            .iter()
            .find(|report| report.trouble == Trouble::DiskFailed)
            .copied()
    });
    assert_eq!(report.await.member, THREE);
    assert!(cluster.server(3).spaces()[0].failed.is_some());
    let again = cluster.write(3, 2, block(3, 0), &bytes_for(2, 3000)).await;
    assert_eq!(again, Err(Refusal::DiskFailed { server: THREE }));
}

/// Writes to the volume; the space that keeps it at server 3 fails after the tenth.
async fn write_until_it_fails(
    cluster: &Cluster,
    space: usize,
    acknowledged: &Cell<u32>,
) -> Refusal {
    loop {
        let n = acknowledged.get();
        assert!(n < 200, "nobody felt it");
        if n == 10 {
            let dir = format!("/space-{space}");
            cluster.disks[&THREE].fail_syncs_below(Path::new(&dir));
        }
        let bytes = bytes_for(n, 3_000);
        match cluster.write(1, 2, block(n, 0), &bytes).await {
            Ok(_) => acknowledged.set(n + 1),
            Err(refusal) => return refusal,
        }
    }
}

/// Writes to another volume, and twenty times more when the first one's writes are over.
async fn write_beyond(cluster: &Cluster, volume: VolumeId, is_over: &Cell<bool>) {
    let (mut n, mut more) = (0, 20);
    while more > 0 {
        more -= u32::from(is_over.get());
        let bytes = bytes_for(n, 3_000);
        let call = WriteBlock {
            volume,
            ..write_call(2, block(1_000 + n, 0), &bytes)
        };
        let stored = cluster.ask_as(Role::Mserver, 1, &call, bytes.clone()).await;
        stored.unwrap();
        n += 1;
    }
}

/// A dserver has as many disks as spaces, and loses one of them while clients write to all.
#[actix::test]
async fn one_space_that_fails_takes_its_own_volumes_alone() {
    let cluster = Cluster::start(3, 2).await;
    let other = VolumeId(2);
    let mut version = 0;
    let mut push = async |one: &Volume, two: &Volume| {
        version += 1;
        let push = PushVolumes {
            map_version: version,
            volumes: vec![one.clone(), two.clone()],
            copies_min: 2,
        };
        for id in 1..=3 {
            assert_eq!(cluster.ask(id, &push).await.unwrap().lost, []);
        }
    };
    let founding = volume(1, &[Syncing; 3], VolumeStatus::ReadOnly);
    let founded = volume(2, &[InSync; 3], VolumeStatus::Writable);
    let second = |first: &Volume| Volume {
        id: other,
        ..first.clone()
    };
    push(&founding, &second(&founding)).await;
    push(&founded, &second(&founded)).await;
    let space_of = |volume| {
        let spaces = cluster.server(3).spaces();
        let mut places = 0..spaces.len();
        places.find(|place| spaces[*place].volumes.contains(&volume))
    };
    let broken = space_of(VOLUME).unwrap();
    assert_eq!(space_of(other), Some(1 - broken), "one volume in each");

    let (acknowledged, is_over) = (Cell::new(0), Cell::new(false));
    let first = async {
        let refusal = write_until_it_fails(&cluster, broken, &acknowledged).await;
        is_over.set(true);
        refusal
    };
    let (refusal, ()) = tokio::join!(first, write_beyond(&cluster, other, &is_over));
    let is_told = matches!(refusal, Refusal::CopyFailed { server: THREE, .. });
    assert!(is_told && acknowledged.get() >= 10, "{refusal:?}");
    wait_for("it is reported", || {
        let troubles = cluster.wires.troubles.lock().unwrap();
        let failed = |report: &&ReportTrouble| report.trouble == Trouble::DiskFailed;
        troubles.iter().find(failed).copied()
    })
    .await;
    let troubles = cluster.wires.troubles.lock().unwrap().clone();
    for report in troubles {
        assert_eq!((report.volume, report.member), (VOLUME, THREE));
    }
    let spaces = cluster.server(3).spaces();
    assert!(spaces[broken].failed.is_some() && spaces[1 - broken].failed.is_none());
    let again = cluster.write(3, 2, block(300, 0), &bytes_for(1, 10)).await;
    assert_eq!(again, Err(Refusal::DiskFailed { server: THREE }));

    let fenced = volume(3, &[InSync, InSync, Out], VolumeStatus::Degraded);
    push(&fenced, &second(&founded)).await;
    let syncing = volume(4, &[InSync, InSync, Syncing], VolumeStatus::Degraded);
    push(&syncing, &second(&founded)).await;
    cluster.sync(3, &syncing).await;
    let report = cluster.synced(4).await;
    assert!(report.copied >= u64::from(acknowledged.get()), "{report:?}");
    let whole = volume(5, &[InSync; 3], VolumeStatus::Writable);
    push(&whole, &second(&founded)).await;
    let bytes = bytes_for(500, 3_000);
    cluster.write(1, 5, block(500, 0), &bytes).await.unwrap();
    for n in (0..acknowledged.get()).chain([500]) {
        assert_eq!(cluster.read(3, block(n, 0)).await, Ok(bytes_for(n, 3_000)));
    }
    let kept = cluster.server(3).spaces().remove(1 - broken).volumes;
    assert_eq!(kept, [VOLUME, other], "the disk that works has both");
}

#[actix::test]
async fn other_space_goes_on_after_one_failed() {
    let mut cluster = Cluster::start(1, 2).await;
    let one = volume(1, &[Syncing], VolumeStatus::ReadOnly);
    cluster.push(1, &one).await;
    let one = volume(2, &[InSync], VolumeStatus::Writable);
    cluster.push(2, &one).await;
    cluster
        .write(1, 2, block(1, 0), &bytes_for(1, 3000))
        .await
        .unwrap();
    let kept: Vec<usize> = cluster
        .server(1)
        .spaces()
        .iter()
        .map(|s| s.volumes.len())
        .collect();
    assert_eq!(kept.iter().sum::<usize>(), 1, "a volume lives on one space");
    let damaged = kept.iter().position(|n| *n == 1).unwrap();
    // The space's own file is damaged: it cannot be opened at the next start.
    let disk = cluster.disks[&ServerId(1)].clone();
    cluster.stop_server(ServerId(1)).await;
    let file = format!("/space-{damaged}/space");
    disk.flip_bit(Path::new(&file), 100).unwrap();
    cluster.start_server(ServerId(1), disk).await;
    assert_eq!(cluster.push_to(1, 2, &one).await.lost, [VOLUME]);
    // Made anew as a copy to be brought up to date, it finds its place on the other space.
    let syncing = volume(3, &[Syncing], VolumeStatus::ReadOnly);
    assert_eq!(cluster.push_to(1, 3, &syncing).await.lost, []);
    let spaces = cluster.server(1).spaces();
    assert!(spaces.iter().any(|space| space.failed.is_some()));
    assert!(spaces.iter().any(|space| space.volumes == [VOLUME]));
}

/// A space that was away while its volume was synced into another one lacks what was written since.
#[actix::test]
async fn space_that_works_again_is_home_no_more() {
    let mut cluster = Cluster::start(1, 2).await;
    let kept = |cluster: &Cluster, space: usize| cluster.server(1).spaces()[space].volumes.clone();
    // Others first, until there is more room in the first space, which is looked at first.
    let mut one = volume(1, &[Syncing], VolumeStatus::ReadOnly);
    let mut map_version = 0;
    while kept(&cluster, 1).len() <= kept(&cluster, 0).len() {
        map_version += 1;
        one.id = VolumeId(900 + map_version as u32);
        cluster.push_to(1, map_version, &one).await;
    }
    one.id = VOLUME;
    cluster.push_to(1, map_version + 1, &one).await;
    assert!(kept(&cluster, 0).contains(&VOLUME));
    let next = map_version + 2;
    let disk = cluster.disks[&ServerId(1)].clone();
    cluster.stop_server(ServerId(1)).await;
    disk.flip_bit(Path::new("/space-0/space"), 100).unwrap();
    cluster.start_server(ServerId(1), disk.clone()).await;
    let in_sync = |epoch| volume(epoch, &[InSync], VolumeStatus::Writable);
    assert_eq!(cluster.push_to(1, next, &in_sync(2)).await.lost, [VOLUME]);
    let syncing = volume(3, &[Syncing], VolumeStatus::ReadOnly);
    assert_eq!(cluster.push_to(1, next + 1, &syncing).await.lost, []);
    assert_eq!(cluster.push_to(1, next + 2, &in_sync(4)).await.lost, []);
    let bytes = bytes_for(7, 3_000);
    cluster.write(1, 4, block(1, 0), &bytes).await.unwrap();
    // The first space works again.
    cluster.stop_server(ServerId(1)).await;
    disk.flip_bit(Path::new("/space-0/space"), 100).unwrap();
    cluster.start_server(ServerId(1), disk).await;
    assert_eq!(
        cluster.read(1, block(1, 0)).await,
        Ok(bytes.clone()),
        "before any push"
    );
    assert_eq!(cluster.push_to(1, next + 3, &in_sync(5)).await.lost, []);
    assert_eq!(cluster.read(1, block(1, 0)).await, Ok(bytes.clone()));
    // It becomes the home again while the other one is away, and stays so when that is back.
    let flip = |cluster: &Cluster, space: usize| {
        let file = format!("/space-{space}/space");
        let disk = cluster.disks[&ServerId(1)].clone();
        disk.flip_bit(Path::new(&file), 100).unwrap();
        disk
    };
    cluster.stop_server(ServerId(1)).await;
    let disk = flip(&cluster, 1);
    cluster.start_server(ServerId(1), disk).await;
    let syncing = volume(6, &[Syncing], VolumeStatus::ReadOnly);
    cluster.push_to(1, next + 4, &syncing).await;
    assert_eq!(cluster.push_to(1, next + 5, &in_sync(7)).await.lost, []);
    let again = bytes_for(8, 3_000);
    cluster.write(1, 7, block(2, 0), &again).await.unwrap();
    cluster.stop_server(ServerId(1)).await;
    let disk = flip(&cluster, 1);
    cluster.start_server(ServerId(1), disk).await;
    assert_eq!(cluster.push_to(1, next + 6, &in_sync(8)).await.lost, []);
    assert_eq!(cluster.read(1, block(2, 0)).await, Ok(again.clone()));
    wait_for("what the former home kept is given back", || {
        (!kept(&cluster, 1).contains(&VOLUME)).then_some(())
    })
    .await;
    assert_eq!(cluster.read(1, block(2, 0)).await, Ok(again));
}

/// A disk that is full to the last byte has no room to note that something is free.
#[actix::test]
async fn full_disk_holds_up_neither_the_map_nor_the_end() {
    let cluster = Cluster::start(3, 1).await;
    let current = cluster.found().await;
    for n in 0..20 {
        let bytes = bytes_for(n, 5_000);
        cluster.write(1, 2, block(n, 0), &bytes).await.unwrap();
    }
    cluster.disks[&THREE].set_capacity(0);
    cluster.wires.may_forget.store(true, Ordering::Release);
    let nothing = PushVolumes {
        map_version: 3,
        volumes: Vec::new(),
        copies_min: 2,
    };
    cluster.ask(3, &nothing).await.unwrap();
    tokio::time::sleep(LEFT_BEHIND_EVERY * 2).await;
    let in_time = |what| tokio::time::timeout(LEFT_BEHIND_WAIT * 2, what);
    let pushed = in_time(cluster.push_to(3, 4, &current)).await;
    assert_eq!(pushed.expect("the map is taken").lost, []);
    let stopped = tokio::time::timeout(BACKGROUND_SYNC_WAIT * 4, cluster.stop_server(THREE));
    stopped.await.expect("the server ends");
}

#[actix::test]
async fn full_disk_refuses_and_is_reported() {
    let cluster = Cluster::start(3, 1).await;
    cluster.found().await;
    let disk = &cluster.disks[&THREE];
    disk.set_capacity(6 << 20);
    let mut refused = None;
    for n in 0..40 {
        if let Err(refusal) = cluster
            .write(1, 2, block(n, 0), &bytes_for(n, 300_000))
            .await
        {
            refused = Some(refusal);
            break;
        }
    }
    assert!(
        matches!(refused, Some(Refusal::CopyFailed { server: THREE, .. })),
        "{refused:?}"
    );
    wait_for("it is reported", || {
        let troubles = cluster.wires.troubles.lock().unwrap();
        troubles
            .iter()
            .find(|report| report.trouble == Trouble::Full)
            .copied()
    })
    .await;
    assert!(
        cluster.server(3).spaces()[0].failed.is_none(),
        "a full disk is not a failed one"
    );
    // What is there can still be read and freed.
    assert_eq!(
        cluster.read(3, block(0, 0)).await,
        Ok(bytes_for(0, 300_000))
    );
    let free = FreeBlocks {
        volume: VOLUME,
        blocks: vec![block(0, 0)],
    };
    cluster.ask(3, &free).await.unwrap();
}

#[actix::test]
async fn a_volume_left_behind_is_given_back() {
    let mut cluster = Cluster::start(3, 1).await;
    let current = cluster.found().await;
    for n in 0..20 {
        let bytes = bytes_for(n, 5_000);
        cluster.write(1, 2, block(n, 0), &bytes).await.unwrap();
    }
    let mut left = volume(3, &[InSync; 2], VolumeStatus::Writable);
    assert_eq!(left.state_of(THREE), None);
    cluster.push_to(3, 3, &current).await;
    let nothing = PushVolumes {
        map_version: 4,
        volumes: Vec::new(),
        copies_min: 2,
    };
    cluster.ask(3, &nothing).await.unwrap();
    // Nobody may be asked in vain: without the word of a mserver all of it stays.
    tokio::time::sleep(LEFT_BEHIND_EVERY * 2).await;
    let space = || cluster.server(3).spaces().remove(0);
    assert_eq!((space().blocks, space().volumes), (20, vec![VOLUME]));
    // Nor what is damaged, which nobody can repair any more.
    cluster.rot(3);
    assert_eq!(cluster.read(3, block(0, 0)).await, Err(Refusal::Corrupt));
    assert_eq!((space().blocks, space().scrub.damaged), (19, 1));
    cluster.wires.may_forget.store(true, Ordering::Release);
    wait_for("the volume is given back", || {
        let space = space();
        let is_freed = space.blocks == 0 && space.volumes.is_empty();
        let is_freed = is_freed && space.scrub.repaired == 1;
        (is_freed && cluster.server(3).kept().is_empty()).then_some(())
    })
    .await;
    // A member again, it begins from nothing.
    left.epoch = Epoch(4);
    left.members.push(VolumeMember {
        server: THREE,
        state: Syncing,
    });
    assert_eq!(cluster.push(5, &left).await[2].lost, []);
    cluster.sync(3, &left).await;
    assert_eq!(cluster.synced(4).await.copied, 20);
    let disk = cluster.disks[&THREE].crash(CrashLoss::Everything);
    cluster.stop_server(THREE).await;
    cluster.start_server(THREE, disk).await;
    let bytes = cluster.read(3, block(7, 0)).await;
    assert_eq!(bytes, Ok(bytes_for(7, 5_000)));
}

#[actix::test]
async fn a_sync_ends_when_its_volume_moves_away() {
    let cluster = Cluster::start(3, 1).await;
    let alone = |epoch| volume(epoch, &[InSync], VolumeStatus::Writable);
    let founding = volume(1, &[Syncing], VolumeStatus::ReadOnly);
    cluster.push_to(1, 1, &founding).await;
    cluster.push_to(1, 2, &alone(2)).await;
    for index in 0..4 {
        let bytes = bytes_for(u32::from(index), 1_000);
        cluster.write(1, 2, block(1, index), &bytes).await.unwrap();
    }
    let states = [InSync, Syncing, Syncing];
    let joined = volume(3, &states, VolumeStatus::Degraded);
    cluster.push(3, &joined).await;
    // Both syncs begin and cannot get on.
    cluster.set_down(1, true);
    cluster.sync(2, &joined).await;
    cluster.sync(3, &joined).await;
    let named_no_more = PushVolumes {
        map_version: 4,
        volumes: Vec::new(),
        copies_min: 2,
    };
    cluster.ask(2, &named_no_more).await.unwrap();
    // What was sent before and comes late changes nothing.
    cluster.push_to(2, 3, &joined).await;
    let late = SyncVolume {
        volume: joined.clone(),
        sources: vec![ServerId(1)],
    };
    let refused = cluster.ask(2, &late).await;
    assert_eq!(refused, Err(Refusal::NoSuchVolume { volume: VOLUME }));
    wait_for("the sync ends", || {
        let kept = cluster.server(2).kept();
        kept[0].sync.is_none().then_some(())
    })
    .await;
    cluster.set_down(1, false);
    let done = cluster.synced(3).await;
    assert_eq!((done.member, done.copied), (ServerId(3), 4));
    assert_eq!(cluster.server(2).kept()[0].blocks, 0);
    let reports = cluster.wires.syncs.lock().unwrap().clone();
    assert!(reports.iter().all(|report| report.member == ServerId(3)));
}
