//! A space against a model of it, through crashes, compaction and checkpoints.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use sdfs_log::{CrashLoss, Disk, Fault, MemoryDisk};
use sdfs_types::{
    BlockDescriptor, BlockIndex, BlockVersion, Epoch, FileDescriptor, FileId, FileVersion,
    ServerId, VolumeId,
};

use crate::block_table::{Known, position_of};
use crate::locked::locked;
use crate::space::{Space, SpaceFault, SpaceOptions};
use crate::space_file::{self, Owner};
use crate::space_read::LoadFault;
use crate::space_write::{BlockBody, Purpose, StoreFault, Storing};

pub(crate) const DIR: &str = "/space";
pub(crate) const VOLUME: VolumeId = VolumeId(3);

pub(crate) fn block(file: u32, index: u16, version: u16) -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId(file),
            version: FileVersion(1),
        },
        block: BlockIndex(index),
        version: BlockVersion(version),
    }
}

pub(crate) fn bytes_for(seed: u64, length: usize) -> Bytes {
    Bytes::from(
        (0..length)
            .map(|i| (seed as usize * 131 + i * 7) as u8)
            .collect::<Vec<u8>>(),
    )
}

fn body(bytes: Bytes) -> BlockBody {
    BlockBody::new(vec![bytes]).unwrap()
}

pub(crate) fn try_open(disk: &MemoryDisk) -> Result<Space, SpaceFault> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = SpaceOptions {
        segment_bytes: 256 << 10,
        reserve_bytes: 0,
        owner: owner(4),
    };
    Space::open(disk, Path::new(DIR), &options)
}

fn owner(server: u16) -> Owner {
    Owner {
        cluster: "sdfs".to_owned(),
        server: ServerId(server),
    }
}

#[test]
fn a_space_of_another_server_is_refused() {
    let disk = MemoryDisk::new(64 << 20);
    let space = open(&disk);
    space.keep(&[(VOLUME, Epoch(1))]).unwrap();
    drop(space);
    let mut record = space_file::read(&disk, Path::new(DIR)).unwrap().unwrap();
    record.owner = Some(owner(5));
    space_file::write(&disk, Path::new(DIR), &record).unwrap();
    let Err(fault) = try_open(&disk) else {
        panic!("another server's space was opened");
    };
    let said = fault.to_string();
    assert!(
        said.contains("belongs to server 5 of cluster sdfs, and this is server 4 of cluster sdfs"),
        "{said}"
    );
}

#[test]
fn a_space_without_an_owner_gets_one() {
    let disk = MemoryDisk::new(64 << 20);
    open(&disk).keep(&[(VOLUME, Epoch(1))]).unwrap();
    let mut record = space_file::read(&disk, Path::new(DIR)).unwrap().unwrap();
    record.owner = None;
    space_file::write(&disk, Path::new(DIR), &record).unwrap();
    assert!(open(&disk).kept_since(VOLUME).is_some());
    let record = space_file::read(&disk, Path::new(DIR)).unwrap().unwrap();
    assert_eq!(record.owner, Some(owner(4)));
}

#[test]
fn a_full_disk_is_opened_and_marked_later() {
    let disk = MemoryDisk::new(64 << 20);
    let space = open(&disk);
    space.keep(&[(VOLUME, Epoch(1))]).unwrap();
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 1_000)).unwrap();
    space.log.close();
    drop(space);
    let mut record = space_file::read(&disk, Path::new(DIR)).unwrap().unwrap();
    record.owner = None;
    space_file::write(&disk, Path::new(DIR), &record).unwrap();
    disk.set_capacity(0);
    let space = open(&disk);
    assert_eq!(load(&space, at).unwrap(), bytes_for(1, 1_000));
    space.mark();
    let on_disk = || space_file::read(&disk, Path::new(DIR)).unwrap().unwrap();
    assert_eq!(on_disk().owner, None);
    disk.set_capacity(64 << 20);
    space.mark();
    assert_eq!(on_disk().owner, Some(owner(4)));
    assert!(space.kept_since(VOLUME).is_some());
}

fn open(disk: &MemoryDisk) -> Space {
    try_open(disk).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn store(space: &Space, at: BlockDescriptor, bytes: &Bytes) -> Result<(), StoreFault> {
    runtime().block_on(async {
        space
            .store((VOLUME, at), &body(bytes.clone()), Purpose::Write)
            .await?
            .durable()
            .await
    })
}

fn free(space: &Space, blocks: &[BlockDescriptor]) -> Result<(), StoreFault> {
    runtime().block_on(space.free(VOLUME, blocks))
}

pub(crate) fn load(space: &Space, at: BlockDescriptor) -> Result<Bytes, LoadFault> {
    let loaded = runtime().block_on(space.load(VOLUME, at, (0, u32::MAX)));
    loaded.map(|loaded| loaded.bytes)
}

#[test]
fn last_block_of_last_version_is_kept() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    let at = block(u32::MAX, 65_535, 65_535);
    store(&space, at, &bytes_for(1, 100)).unwrap();
    drop(space);
    assert_eq!(load(&open(&disk), at).unwrap(), bytes_for(1, 100));
}

#[test]
fn descriptor_stands_for_one_content() {
    let space = open(&MemoryDisk::new(1 << 30));
    let at = block(1, 2, 3);
    store(&space, at, &bytes_for(1, 5000)).unwrap();
    store(&space, at, &bytes_for(1, 5000)).unwrap();
    assert!(matches!(
        store(&space, at, &bytes_for(2, 5000)),
        Err(StoreFault::Exists)
    ));
    assert!(matches!(
        store(&space, at, &bytes_for(1, 4999)),
        Err(StoreFault::Exists)
    ));
    assert_eq!(space.log.stats().records, 1);
    assert_eq!(load(&space, at).unwrap(), bytes_for(1, 5000));
}

#[test]
fn second_writer_waits_for_the_first() {
    let space = open(&MemoryDisk::new(1 << 30));
    let (at, one) = (block(1, 2, 3), body(bytes_for(1, 5000)));
    let first = space
        .begin_store((VOLUME, at), &one, Purpose::Write)
        .unwrap();
    let second = space
        .begin_store((VOLUME, at), &one, Purpose::Write)
        .unwrap();
    let other = space.begin_store((VOLUME, at), &body(bytes_for(2, 5000)), Purpose::Write);
    assert!(matches!(first, Storing::Queued(_)));
    assert!(matches!(other, Err(StoreFault::Exists)));
    runtime().block_on(async {
        second.durable().await.unwrap();
        first.durable().await.unwrap();
    });
    assert_eq!(space.log.stats().records, 1);
}

#[test]
fn ranges_are_read_with_their_sums() {
    let space = open(&MemoryDisk::new(1 << 30));
    let (at, bytes) = (block(1, 0, 1), bytes_for(9, 200_000));
    store(&space, at, &bytes).unwrap();
    let part = runtime()
        .block_on(space.load(VOLUME, at, (70_000, 10)))
        .unwrap();
    assert_eq!((part.offset_bytes, part.block_bytes), (65_536, 200_000));
    assert_eq!(part.bytes, bytes.slice(65_536..131_072));
    assert_eq!(part.pieces, [sdfs_log::crc32c(&part.bytes)]);
    let last = runtime()
        .block_on(space.load(VOLUME, at, (199_999, 100)))
        .unwrap();
    assert_eq!(last.bytes, bytes.slice(196_608..));
}

/// A place that was given up holds another block as soon as it is used again.
#[test]
fn a_part_of_another_block_is_none_of_this_one() {
    let space = open(&MemoryDisk::new(1 << 30));
    let (at, other) = (block(1, 0, 1), block(2, 0, 1));
    for (seed, one) in [(1, at), (2, other)] {
        store(&space, one, &bytes_for(seed, 300_000)).unwrap();
    }
    let meant = space.look_up(VOLUME, &at).unwrap();
    let found = space.look_up(VOLUME, &other).unwrap();
    let used_again = crate::block_index::StoredBlock {
        segment: found.segment,
        offset: found.offset,
        ..meant
    };
    locked(&space.table).set(VOLUME, at, used_again);
    let part = |one| {
        runtime()
            .block_on(space.load(VOLUME, one, (131_100, 10)))
            .map(drop)
    };
    assert!(part(other).is_ok());
    assert_eq!(part(at), Err(LoadFault::Damaged));
}

fn flip(disk: &MemoryDisk, space: &Space, at: BlockDescriptor, byte: u32) {
    let stored = space.look_up(VOLUME, &at).unwrap();
    let path = Path::new(DIR)
        .join("log")
        .join(format!("{:010}.seg", stored.segment));
    disk.flip_bit(&path, u64::from(stored.offset + byte) * 8 + 3)
        .unwrap();
}

#[test]
fn flipped_bit_is_found_by_a_read() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    for (n, byte) in [500, 70_000, 30, 50].into_iter().enumerate() {
        let at = block(n as u32, 0, 1);
        store(&space, at, &bytes_for(n as u64, 150_000)).unwrap();
        flip(&disk, &space, at, byte);
        assert_eq!(load(&space, at), Err(LoadFault::Damaged), "byte {byte}");
        assert_eq!(load(&space, at), Err(LoadFault::Absent), "it was put aside");
        assert_eq!(space.damaged(), [(VOLUME, at)]);
        store(&space, at, &bytes_for(n as u64, 150_000)).unwrap();
        assert_eq!(load(&space, at).unwrap(), bytes_for(n as u64, 150_000));
        assert_eq!(space.damaged(), []);
    }
}

#[test]
fn flipped_bit_is_found_by_a_part_read() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 300_000)).unwrap();
    flip(&disk, &space, at, 140_000);
    assert!(
        runtime().block_on(space.load(VOLUME, at, (0, 10))).is_ok(),
        "another piece is good"
    );
    let damaged = runtime().block_on(space.load(VOLUME, at, (131_100, 10)));
    assert_eq!(damaged, Err(LoadFault::Damaged));
}

#[test]
fn flipped_bits_are_found_by_scrub() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    for n in 0..20 {
        store(&space, block(n, 0, 1), &bytes_for(u64::from(n), 3000)).unwrap();
    }
    assert_eq!(space.scrub(), []);
    flip(&disk, &space, block(7, 0, 1), 200);
    flip(&disk, &space, block(11, 0, 1), 90);
    let expected = [(VOLUME, block(7, 0, 1)), (VOLUME, block(11, 0, 1))];
    assert_eq!(space.scrub(), expected);
    assert_eq!(space.scrub(), []);
}

#[test]
fn compaction_keeps_what_is_live_and_frees_the_rest() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    for n in 0..200 {
        store(&space, block(n, 0, 1), &bytes_for(u64::from(n), 10_000)).unwrap();
    }
    let most: Vec<_> = (0..200)
        .filter(|n| n % 5 != 0)
        .map(|n| block(n, 0, 1))
        .collect();
    free(&space, &most).unwrap();
    let before = space.log.segments().len();
    while let Some(segment) = space.compaction_due(&Default::default()) {
        space.compact(segment).unwrap();
        let gone = || space.log.segments().iter().all(|s| s.id != segment);
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !gone() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(
        space.log.segments().len() < before / 2,
        "{before} {:?}",
        space.log.segments()
    );
    let check = |space: &Space| {
        for n in 0..200 {
            let found = load(space, block(n, 0, 1));
            match n % 5 {
                0 => assert_eq!(found.unwrap(), bytes_for(u64::from(n), 10_000)),
                _ => assert_eq!(found, Err(LoadFault::Absent)),
            }
        }
    };
    check(&space);
    drop(space);
    let space = open(&disk);
    check(&space);
    let live: u64 = space
        .log
        .segments()
        .iter()
        .map(|s| locked(&space.table).live_in(s.id.0))
        .sum();
    let blocks = 40 * crate::block_table::record_bytes(10_000);
    assert_eq!(live, blocks);
}

#[test]
fn segment_that_was_given_up_is_no_damage() {
    let space = open(&MemoryDisk::new(1 << 30));
    for n in 0..60 {
        store(&space, block(n, 0, 1), &bytes_for(u64::from(n), 10_000)).unwrap();
    }
    let first = space.log.segments()[0].id;
    // As often as it takes its file to go, and once more.
    while space.log.segments().iter().any(|s| s.id == first) {
        assert_eq!(space.compact(first), Ok(()));
    }
    assert_eq!(space.compact(first), Ok(()));
    assert_eq!(space.damaged(), []);
}

#[test]
fn checkpoint_spares_the_replay() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    for n in 0..100 {
        store(&space, block(n, 0, 1), &bytes_for(u64::from(n), 5000)).unwrap();
    }
    space.checkpoint().unwrap();
    free(&space, &[block(3, 0, 1)]).unwrap();
    store(&space, block(500, 0, 1), &bytes_for(500, 5000)).unwrap();
    drop(space);
    let space = open(&disk);
    assert_eq!(space.log.replay_report().records, 2);
    assert_eq!(locked(&space.table).totals(), (100, 500_000));
    assert_eq!(load(&space, block(3, 0, 1)), Err(LoadFault::Absent));
    assert_eq!(load(&space, block(99, 0, 1)).unwrap(), bytes_for(99, 5000));
    assert_eq!(
        load(&space, block(500, 0, 1)).unwrap(),
        bytes_for(500, 5000)
    );
}

/// What a checkpoint leaves out the next start never hears of.
#[test]
fn block_put_aside_meanwhile_is_in_no_checkpoint() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    let (rotten, good) = (block(1, 0, 1), block(2, 0, 1));
    for at in [rotten, good] {
        store(&space, at, &bytes_for(1, 5_000)).unwrap();
    }
    let read_meanwhile = || {
        let mut table = locked(&space.table);
        let Known::Stored(stored) = table.known(VOLUME, &rotten) else {
            panic!("it is stored");
        };
        table.quarantine(VOLUME, rotten, position_of(&stored))
    };
    space.checkpoint_when(read_meanwhile).unwrap();
    drop(space);
    let space = open(&disk);
    assert_eq!(load(&space, rotten).unwrap(), bytes_for(1, 5_000));
}

/// What is put aside is found again by the next start, which would take it for freed else.
#[test]
fn known_damage_is_in_no_checkpoint() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 5_000)).unwrap();
    let place = position_of(&space.look_up(VOLUME, &at).unwrap());
    assert!(locked(&space.table).quarantine(VOLUME, at, place));
    assert!(!space.checkpoint().unwrap());
    drop(space);
    assert_eq!(load(&open(&disk), at).unwrap(), bytes_for(1, 5_000));
}

/// A list that was made meanwhile lacks the block, though none is damaged before or after.
#[test]
fn a_repair_during_a_list_is_noticed() {
    let space = open(&MemoryDisk::new(1 << 30));
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 5_000)).unwrap();
    let sound = || locked(&space.table).sound(Some(VOLUME));
    let before = sound();
    let place = position_of(&space.look_up(VOLUME, &at).unwrap());
    assert!(locked(&space.table).quarantine(VOLUME, at, place));
    assert_eq!(sound(), None);
    assert!(space.list(VOLUME, None, 10).0.is_empty());
    store(&space, at, &bytes_for(1, 5_000)).unwrap();
    assert_eq!(space.list(VOLUME, None, 10).0.len(), 1);
    assert!(sound().is_some() && sound() != before);
}

/// A block that lay here before a sync began and is written again while it runs is acknowledged.
#[test]
fn block_written_again_is_no_surplus() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    let blocks @ [again, old] = [block(1, 0, 1), block(2, 0, 1)];
    for at in blocks {
        store(&space, at, &bytes_for(1, 5_000)).unwrap();
    }
    locked(&space.table).begin_sync(VOLUME, space.log.end());
    store(&space, again, &bytes_for(1, 5_000)).unwrap();
    runtime()
        .block_on(space.free_of_before(VOLUME, &blocks))
        .unwrap();
    assert_eq!(load(&space, again).unwrap(), bytes_for(1, 5_000));
    assert_eq!(load(&space, old), Err(LoadFault::Absent));
}

#[test]
fn damaged_checkpoint_only_costs_a_replay() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    store(&space, block(1, 0, 1), &bytes_for(1, 5000)).unwrap();
    space.checkpoint().unwrap();
    drop(space);
    disk.flip_bit(&Path::new(DIR).join("checkpoint"), 300)
        .unwrap();
    let space = open(&disk);
    assert_eq!(space.log.replay_report().records, 1);
    assert_eq!(load(&space, block(1, 0, 1)).unwrap(), bytes_for(1, 5000));
}

#[test]
fn blocks_without_identity_are_refused() {
    let disk = MemoryDisk::new(1 << 30);
    store(&open(&disk), block(1, 0, 1), &bytes_for(1, 100)).unwrap();
    disk.remove(&Path::new(DIR).join("space")).unwrap();
    assert!(matches!(
        try_open(&disk),
        Err(SpaceFault::NoIdentity { .. })
    ));
}

#[test]
fn kept_volumes_are_remembered() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    assert!(space.kept_since(VOLUME).is_none());
    space.keep(&[(VOLUME, Epoch(1))]).unwrap();
    drop(space);
    let space = open(&disk.crash(CrashLoss::Everything));
    assert!(space.kept_since(VOLUME).is_some() && space.kept_since(VolumeId(4)).is_none());
}

#[test]
fn failed_disk_refuses_for_good() {
    let disk = MemoryDisk::new(1 << 30);
    let space = open(&disk);
    disk.fail_change(disk.changes() + 1, Fault::Io);
    let failed = store(&space, block(1, 0, 1), &bytes_for(1, 100));
    assert!(matches!(failed, Err(StoreFault::Failed)));
    assert!(!space.is_open());
    let failed = store(&space, block(2, 0, 1), &bytes_for(2, 100));
    assert!(matches!(failed, Err(StoreFault::Failed)));
}

#[test]
fn what_a_failed_disk_freed_is_not_free() {
    let disk = MemoryDisk::new(64 << 20);
    let space = open(&disk);
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 1_000)).unwrap();
    disk.fail_change(disk.changes(), Fault::Io);
    assert!(matches!(free(&space, &[at]), Err(StoreFault::Failed)));
    let again = free(&space, &[at]);
    assert!(matches!(again, Err(StoreFault::Failed)), "{again:?}");
    drop(space);
    let space = open(&disk.crash(CrashLoss::Everything));
    assert!(load(&space, at).is_ok(), "it is back");
}

/// What cannot be read now was acknowledged all the same: no writer gets its version.
#[test]
fn a_damaged_block_is_not_written_over() {
    let disk = MemoryDisk::new(64 << 20);
    let space = open(&disk);
    space.keep(&[(VOLUME, Epoch(1))]).unwrap();
    let at = block(1, 0, 1);
    store(&space, at, &bytes_for(1, 5_000)).unwrap();
    let place = position_of(&space.look_up(VOLUME, &at).unwrap());
    assert!(locked(&space.table).quarantine(VOLUME, at, place));
    let other = body(bytes_for(2, 5_000));
    let written = space.begin_store((VOLUME, at), &other, Purpose::Write);
    assert!(matches!(written, Err(StoreFault::Exists)));
    assert!(!space.damaged().is_empty());
    // What members in sync have is right, whatever was here.
    let synced = space.begin_store((VOLUME, at), &other, Purpose::Sync);
    runtime().block_on(synced.unwrap().durable()).unwrap();
    assert_eq!(load(&space, at).unwrap(), bytes_for(2, 5_000));
    assert!(space.damaged().is_empty());
}

#[test]
fn a_repair_stores_nothing_that_was_freed() {
    let disk = MemoryDisk::new(64 << 20);
    let space = open(&disk);
    space.keep(&[(VOLUME, Epoch(1))]).unwrap();
    let (at, bytes) = (block(1, 0, 1), body(bytes_for(1, 5_000)));
    store(&space, at, &bytes_for(1, 5_000)).unwrap();
    let repaired = || match space.begin_store((VOLUME, at), &bytes, Purpose::Repair) {
        Ok(storing) => runtime().block_on(storing.durable()),
        Err(fault) => Err(fault),
    };
    let put_aside = || {
        let place = position_of(&space.look_up(VOLUME, &at).unwrap());
        assert!(locked(&space.table).quarantine(VOLUME, at, place));
    };
    assert!(matches!(repaired(), Err(StoreFault::Gone)), "it is whole");
    put_aside();
    assert!(matches!(repaired(), Ok(())));
    // Who found it freed elsewhere is too late: it is whole.
    runtime().block_on(space.free_damaged(VOLUME, at)).unwrap();
    assert_eq!(load(&space, at).unwrap(), bytes_for(1, 5_000));
    put_aside();
    runtime().block_on(space.free_damaged(VOLUME, at)).unwrap();
    assert!(matches!(repaired(), Err(StoreFault::Gone)), "it is freed");
}

#[test]
fn listing_is_paged_in_order() {
    let space = open(&MemoryDisk::new(1 << 30));
    let table = &space.table;
    for n in 0..3000_u32 {
        let stored = crate::block_index::StoredBlock {
            segment: 1,
            offset: n * 64,
            length_bytes: 1,
            crc32c: n,
        };
        locked(table).set(VOLUME, block(n, 0, 1), stored);
    }
    let (page, more) = space.list(VOLUME, None, 2000);
    assert!(more && page.len() == 2000);
    let (rest, more) = space.list(VOLUME, page.last().map(|kept| kept.block), 2000);
    assert!(!more && rest.len() == 1000);
    assert!(page.iter().chain(&rest).is_sorted_by_key(|kept| kept.block));
    assert_eq!(space.list(VolumeId(99), None, 10), (vec![], false));
    assert_eq!(
        position_of(&space.look_up(VOLUME, &block(5, 0, 1)).unwrap()).offset,
        320
    );
}

#[derive(Clone, Debug)]
enum Step {
    Store(u32, usize),
    Free(u32),
    Compact,
    Checkpoint,
    Restart,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0_u32..40, 0_usize..40_000).prop_map(|(file, length)| Step::Store(file, length)),
        6 => (0_u32..40).prop_map(Step::Free),
        3 => Just(Step::Compact),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn space_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..120)) {
        let mut disk = MemoryDisk::new(1 << 30);
        let mut space = open(&disk);
        let mut model: BTreeMap<BlockDescriptor, Bytes> = BTreeMap::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Store(file, length) => {
                    let (at, bytes) = (block(file, 0, 1), bytes_for(n as u64, length));
                    match model.get(&at) {
                        Some(old) if *old != bytes => {
                            let again = store(&space, at, &bytes);
                            prop_assert!(matches!(again, Err(StoreFault::Exists)));
                        }
                        _ => {
                            store(&space, at, &bytes).unwrap();
                            model.insert(at, bytes);
                        }
                    }
                }
                Step::Free(file) => {
                    free(&space, &[block(file, 0, 1)]).unwrap();
                    model.remove(&block(file, 0, 1));
                }
                Step::Compact => {
                    let segments = space.log.segments();
                    if segments.len() > 1 {
                        let segment = segments[n % (segments.len() - 1)].id;
                        prop_assert_eq!(space.compact(segment), Ok(()), "{}", segment);
                    }
                }
                Step::Checkpoint => drop(space.checkpoint().unwrap()),
                Step::Restart => {
                    drop(space);
                    space = open(&disk);
                }
                Step::Crash(seed) => {
                    disk = disk.crash(CrashLoss::Some(seed));
                    space = open(&disk);
                }
            }
        }
        let (blocks, bytes) = locked(&space.table).totals();
        prop_assert_eq!(blocks as usize, model.len());
        prop_assert_eq!(bytes, model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        for (at, bytes) in &model {
            prop_assert_eq!(load(&space, *at), Ok(bytes.clone()));
        }
        let live: u64 = {
            let table = locked(&space.table);
            space.log.segments().iter().map(|segment| table.live_in(segment.id.0)).sum()
        };
        let expected: u64 =
            model.values().map(|b| crate::block_table::record_bytes(b.len() as u32)).sum();
        prop_assert_eq!(live, expected);
    }
}

/// Stores, frees, compacts and checkpoints until the disk fails; gives what was acknowledged and
/// what was begun.
fn work(space: &Space) -> (BTreeMap<u32, bool>, Option<u32>) {
    let mut acknowledged = BTreeMap::new();
    for n in 0..60 {
        if store(space, block(n, 0, 1), &bytes_for(u64::from(n), 9000)).is_err() {
            return (acknowledged, Some(n));
        }
        acknowledged.insert(n, true);
        if n % 3 == 2 {
            if free(space, &[block(n - 1, 0, 1)]).is_err() {
                return (acknowledged, Some(n - 1));
            }
            acknowledged.insert(n - 1, false);
        }
        if n % 10 == 9 {
            // What a failing disk makes of these shows in the next store.
            space.checkpoint().unwrap_or(false);
            let first = space.log.segments()[0].id;
            space.compact(first).unwrap_or(());
        }
    }
    (acknowledged, None)
}

#[test]
fn acknowledged_blocks_survive_every_crash() {
    let disk = MemoryDisk::new(1 << 30);
    work(&open(&disk));
    let changes = disk.changes();
    assert!(changes > 150, "{changes}");
    for number in 0..changes {
        let disk = MemoryDisk::new(1 << 30);
        let fault = if number % 2 == 0 {
            Fault::Crash
        } else {
            Fault::Torn
        };
        disk.fail_change(number, fault);
        let (acknowledged, open_end) =
            try_open(&disk).map_or_else(|_| Default::default(), |s| work(&s));
        let loss = match number % 3 {
            0 => CrashLoss::Everything,
            1 => CrashLoss::Nothing,
            _ => CrashLoss::Some(number),
        };
        let disk = disk.crash(loss);
        let space = open(&disk);
        for (n, is_there) in acknowledged
            .into_iter()
            .filter(|(n, _)| Some(*n) != open_end)
        {
            let found = load(&space, block(n, 0, 1));
            let expected = if is_there {
                Ok(bytes_for(u64::from(n), 9000))
            } else {
                Err(LoadFault::Absent)
            };
            assert!(
                found == expected,
                "block {n}, {fault:?} at {number}, {loss:?}: {:?}",
                space.log.replay_report()
            );
        }
        assert!(
            !space
                .has_lost_records
                .load(std::sync::atomic::Ordering::Acquire),
            "{fault:?} at {number}, {loss:?}"
        );
    }
}
