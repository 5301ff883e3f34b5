//! Blocks stay listed until every member of their volume has freed them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;

use sdfs_types::calls::blocks::FreeBlocks;
use sdfs_types::{BlockDescriptor, BlockIndex, BlockVersion, Epoch, VolumeId};

use super::command::{MemberChange, VolumeCommand};
use super::door::RootFault;
use super::fakes_test::{FakeRoot, FakeServers, Mood, id, until};
use super::sweep::{FreeKey, FreeList, ToFree, sweep};

struct FakeList {
    entries: Mutex<BTreeMap<FreeKey, ToFree>>,
    is_leader: AtomicBool,
}

impl FakeList {
    fn left(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

impl FreeList for FakeList {
    fn is_leader(&self) -> bool {
        self.is_leader.load(Ordering::Relaxed)
    }

    fn list(&self, after: Option<FreeKey>, limit: usize) -> Result<Vec<ToFree>, RootFault> {
        let entries = self.entries.lock().unwrap();
        let further = entries
            .values()
            .filter(|entry| after.is_none_or(|after| entry.key > after));
        Ok(further.take(limit).cloned().collect())
    }

    fn done(&self, keys: Vec<FreeKey>) -> BoxFuture<'static, Result<(), RootFault>> {
        let mut entries = self.entries.lock().unwrap();
        for key in keys {
            entries.remove(&key);
        }
        Box::pin(async { Ok(()) })
    }
}

fn scene() -> (Arc<FakeServers>, Arc<FakeList>) {
    let (servers, list, _) = scene_and_root();
    (servers, list)
}

/// 1,000 listed blocks in volumes 1 (members 1 2 3) and 2 (members 4 5 6).
fn scene_and_root() -> (Arc<FakeServers>, Arc<FakeList>, Arc<FakeRoot>) {
    let servers = FakeServers::new(6);
    let (root, map) = FakeRoot::new(id(100));
    let volumes = vec![[1, 2, 3].map(id).to_vec(), [4, 5, 6].map(id).to_vec()];
    root.apply(&VolumeCommand::Add {
        first: VolumeId(1),
        volumes: volumes.clone(),
    });
    for (volume, members) in (1..).map(VolumeId).zip(volumes) {
        let change = MemberChange::Found { members };
        let (expected, copies_min) = (Epoch(1), 2);
        root.apply(&VolumeCommand::Change {
            volume,
            expected,
            change,
            copies_min,
        });
    }
    let entry = |number: u16| ToFree {
        key: FreeKey(number.into()),
        volume: VolumeId(u32::from(number % 2) + 1),
        blocks: vec![BlockDescriptor {
            block: BlockIndex(number),
            version: BlockVersion(1),
            ..BlockDescriptor::default()
        }],
    };
    let entries = (0..1_000)
        .map(entry)
        .map(|entry| (entry.key, entry))
        .collect();
    let is_leader = AtomicBool::new(true);
    let list = Arc::new(FakeList {
        entries: Mutex::new(entries),
        is_leader,
    });
    tokio::spawn(sweep(
        Arc::clone(&servers) as _,
        Arc::clone(&root) as _,
        map,
        Arc::clone(&list) as _,
    ));
    (servers, list, root)
}

fn freed(servers: &FakeServers, dserver: u16) -> usize {
    servers
        .calls::<FreeBlocks>(dserver)
        .iter()
        .map(|call| call.blocks.len())
        .sum()
}

#[tokio::test]
async fn every_member_frees_every_block() {
    let (servers, list) = scene();
    until("sweeping", || list.left() == 0).await;
    for dserver in 1..=6 {
        assert_eq!(freed(&servers, dserver), 500, "dserver {dserver}");
    }
}

#[tokio::test]
async fn blocks_of_a_lost_member_stay_listed() {
    let (servers, list) = scene();
    servers.lose(5);
    until("sweeping the other volume", || list.left() == 500).await;
    assert_eq!(freed(&servers, 4), 0);
    servers.establish(5);
    until("sweeping the rest", || list.left() == 0).await;
    assert!(freed(&servers, 5) >= 500);
}

#[tokio::test]
async fn a_refusing_member_is_told_again() {
    let (servers, list) = scene();
    let refuses = [VolumeId(1)].into();
    servers.set_mood(
        2,
        Mood {
            refuses,
            ..Mood::default()
        },
    );
    until("sweeping the other volume", || list.left() == 500).await;
    servers.set_mood(2, Mood::default());
    until("sweeping the rest", || list.left() == 0).await;
}

#[tokio::test]
async fn only_the_leader_sweeps() {
    let (servers, list) = scene();
    list.is_leader.store(false, Ordering::Relaxed);
    tokio::time::sleep(super::limits::SWEEP_IDLE * 2).await;
    assert_eq!((list.left(), freed(&servers, 1)), (1_000, 0));
    list.is_leader.store(true, Ordering::Relaxed);
    until("sweeping", || list.left() == 0).await;
}

/// Its sync was committed while the others freed, and this server has not heard of it: it may have
/// looked at them before.
#[tokio::test]
async fn a_member_that_begins_to_sync_meanwhile_is_told_too() {
    let (servers, list, root) = scene_and_root();
    let change = |expected, change| VolumeCommand::Change {
        volume: VolumeId(1),
        expected,
        change,
        copies_min: 2,
    };
    let member = id(3);
    root.apply(&change(Epoch(2), MemberChange::Fence { member }));
    root.commit_elsewhere(change(Epoch(3), MemberChange::Sync { member }));
    until("sweeping", || list.left() == 0).await;
    assert_eq!(freed(&servers, 3), 500);
}

/// Once it is told, what it still copies from them cannot be what they have freed.
#[tokio::test]
async fn members_in_sync_are_told_before_one_that_syncs() {
    let (servers, list, root) = scene_and_root();
    let member = id(3);
    let changes = [
        (Epoch(2), MemberChange::Fence { member }),
        (Epoch(3), MemberChange::Sync { member }),
    ];
    for (expected, change) in changes {
        root.apply(&VolumeCommand::Change {
            volume: VolumeId(1),
            expected,
            change,
            copies_min: 2,
        });
    }
    let refuses = [VolumeId(1)].into();
    servers.set_mood(
        2,
        Mood {
            refuses,
            ..Mood::default()
        },
    );
    until("sweeping the other volume", || list.left() == 500).await;
    assert!(freed(&servers, 1) > 0);
    assert_eq!(freed(&servers, 3), 0);
    servers.set_mood(2, Mood::default());
    until("sweeping the rest", || list.left() == 0).await;
    assert_eq!(freed(&servers, 3), 500);
}
