//! A tracker of two groups: each is told apart in every command that names one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sdfs_server_group::AddressWidth;
use sdfs_types::{ServerId, Stamp, VolumeId};

use super::*;
use crate::group_name::GroupName;
use crate::limits::QUEUE_HALVING;
use crate::name::{FileKind, Names, NewName};

const FIRST: &[u8; 16] = b"group1\0\0\0\0\0\0\0\0\0\0";
const SECOND: &[u8; 16] = b"group2\0\0\0\0\0\0\0\0\0\0";
const OTHER: &[u8; 16] = b"group3\0\0\0\0\0\0\0\0\0\0";

fn names(group: u8) -> Names {
    Names::new([group; 32])
}

/// Storages 1 and 2 of the first group, 3 and 4 of the second with three times the room.
fn view() -> View {
    let storage = |(id, free_mib): (u16, u64)| Storage {
        id: ServerId(id),
        address: ([10, 0, 0, 1], 23_000 + id).into(),
        is_up: true,
        is_writable: true,
        total_bytes: 1 << 30,
        free_bytes: free_mib << 20,
        queue: 0,
    };
    let group = |name, number, storages: [(u16, u64); 2]| Group {
        name: GroupName::of(name),
        names: names(number),
        storages: storages.map(storage).into(),
        is_full: None,
    };
    let ids = |ids: [u16; 2]| ids.map(ServerId).to_vec();
    View {
        addresses: AddressWidth::IPv4,
        groups: vec![
            group("group1", 1, [(1, 100), (2, 100)]),
            group("group2", 2, [(3, 300), (4, 300)]),
        ],
        trackers: vec![],
        // The third was made before there were groups.
        in_sync: BTreeMap::from([
            (VolumeId(1), ids([1, 2])),
            (VolumeId(2), ids([3, 4])),
            (VolumeId(3), ids([2, 3])),
        ]),
        begun_s: 1_000,
        now_s: 2_000,
    }
}

/// Whom an answer to a query names: its group and a storage.
fn named(answer: &[u8]) -> (&[u8], u8) {
    // Ports are 23,000 and the number: 0x59d8 and on.
    (&answer[..16], answer[38] - 0xd8)
}

/// Whom so many questions name, and how often.
fn asked(view: &View, command: u8, body: &[u8], count: usize) -> BTreeMap<u8, usize> {
    let mut found = BTreeMap::new();
    for turn in 0..count {
        let told = answer(view, command, body, &mut turn.clone()).expect("a storage");
        let (group, storage) = named(&told);
        assert_eq!(group, if storage < 3 { FIRST } else { SECOND });
        *found.entry(storage).or_default() += 1;
    }
    found
}

/// That each was named about so often, and nobody else.
fn assert_shares(found: &BTreeMap<u8, usize>, expected: &[(u8, usize)]) {
    assert!(
        found
            .keys()
            .copied()
            .eq(expected.iter().map(|(storage, _)| *storage))
    );
    for (storage, count) in expected {
        assert!(found[storage].abs_diff(*count) <= 10, "{found:?}");
    }
}

fn name_of(volume: u32, group: u8) -> String {
    let new = NewName {
        volume: Some(VolumeId(volume)),
        stamp: Stamp {
            second: 1_500,
            number: 3,
            server: ServerId(9),
        },
        kind: FileKind::Trunk(10),
        crc32: 77,
        extension: "jpg",
    };
    names(group).make(&new).expect("a name")
}

#[test]
fn uploads_are_spread_by_room() {
    let all = asked(&view(), tracker::STORE_ONE, b"", 800);
    assert_shares(&all, &[(1, 100), (2, 100), (3, 300), (4, 300)]);
    let first = asked(&view(), tracker::STORE_IN_GROUP_ONE, FIRST, 100);
    assert_shares(&first, &[(1, 50), (2, 50)]);
    let second = asked(&view(), tracker::STORE_IN_GROUP_ONE, SECOND, 100);
    assert_shares(&second, &[(3, 50), (4, 50)]);
    let all = answer(&view(), tracker::STORE_IN_GROUP_ALL, SECOND, &mut 0).expect("both");
    assert_eq!(all.len(), 16 + 2 * 23 + 1);
}

#[test]
fn room_and_queue_share_out_a_group() {
    let halving = QUEUE_HALVING;
    // Room and queue of the two storages of a group, and how 400 uploads go to them.
    let table = [
        ((100, 0), (300, 0), [100, 300]),
        ((300, 0), (100, 0), [300, 100]),
        ((200, halving), (200, 0), [133, 267]),
        ((200, 9 * halving), (200, 0), [36, 364]),
        // A busy one with more room.
        ((300, 2 * halving), (100, 0), [200, 200]),
        // Where nobody has a megabyte left, or has told that he has, all are alike.
        ((0, 0), (0, 0), [200, 200]),
    ];
    for (first, second, expected) in table {
        let mut view = view();
        let storages = &mut view.groups[0].storages;
        for (storage, (free_mib, queue)) in storages.iter_mut().zip([first, second]) {
            storage.free_bytes = (free_mib << 20) + 1;
            storage.queue = queue;
        }
        let expected = [(1, expected[0]), (2, expected[1])];
        let found = asked(&view, tracker::STORE_IN_GROUP_ONE, FIRST, 400);
        assert_shares(&found, &expected);
        assert_eq!(asked(&view, tracker::STORE_IN_GROUP_ONE, FIRST, 400), found);
        // The group as one of several is shared out alike.
        view.groups.truncate(1);
        assert_shares(&asked(&view, tracker::STORE_ONE, b"", 400), &expected);
    }
}

#[test]
fn busy_storages_get_fewer_readers() {
    let mut view = view();
    let body = [&FIRST[..], name_of(1, 1).as_bytes()].concat();
    let found = asked(&view, tracker::FETCH_ONE, &body, 400);
    assert_shares(&found, &[(1, 200), (2, 200)]);
    view.groups[0].storages[0].queue = 3 * QUEUE_HALVING;
    let found = asked(&view, tracker::FETCH_ONE, &body, 400);
    assert_shares(&found, &[(1, 80), (2, 320)]);
    // Who asks the tracker twice for each file is led to all of them as well.
    let mut twice = BTreeMap::<u8, usize>::new();
    for turn in 0..200 {
        let told = answer(&view, tracker::FETCH_ONE, &body, &mut (2 * turn)).expect("a storage");
        *twice.entry(named(&told).1).or_default() += 1;
    }
    assert_shares(&twice, &[(1, 40), (2, 160)]);
}

#[test]
fn what_cannot_be_written_to_is_avoided() {
    let mut dead = view();
    dead.groups[1].storages[0].is_up = false;
    assert_eq!(
        asked(&dead, tracker::STORE_IN_GROUP_ONE, SECOND, 10).len(),
        1
    );
    let left = asked(&dead, tracker::STORE_ONE, b"", 100);
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
    dead.groups[1].storages[1].is_up = false;
    let left = asked(&dead, tracker::STORE_ONE, b"", 100);
    assert_shares(&left, &[(1, 50), (2, 50)]);
    let refused = |view: &View, command, body: &[u8]| answer(view, command, body, &mut 0).err();
    let in_second = tracker::STORE_IN_GROUP_ONE;
    assert_eq!(refused(&dead, in_second, SECOND), Some(Errno::NotFound));
    // What is full is worth another word than what is away.
    let full = |group: &mut Group| group.storages.iter_mut().for_each(|one| one.free_bytes = 0);
    full(&mut dead.groups[0]);
    let refusal = refused(&dead, tracker::STORE_ONE, b"");
    assert_eq!(refusal, Some(Errno::NoSpace));
    let mut half = view();
    full(&mut half.groups[0]);
    let left = asked(&half, tracker::STORE_ONE, b"", 10);
    assert!(left.keys().all(|storage| *storage >= 3), "{left:?}");
    assert_eq!(refused(&half, in_second, FIRST), Some(Errno::NoSpace));
}

#[test]
fn files_are_asked_of_their_group_alone() {
    let fetched = |volume, group: u8, asked_as: &[u8]| {
        let body = [asked_as, name_of(volume, group).as_bytes()].concat();
        let storages = asked(&view(), tracker::FETCH_ONE, &body, 10);
        let updated = asked(&view(), tracker::UPDATE, &body, 10);
        assert_eq!(
            storages.keys().collect::<Vec<_>>(),
            updated.keys().collect::<Vec<_>>()
        );
        storages.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(fetched(1, 1, FIRST), [1, 2]);
    assert_eq!(fetched(2, 2, SECOND), [3, 4]);
    // A tracker does not judge names: any of that group says that it has none such.
    assert_eq!(fetched(2, 2, FIRST), [1, 2]);
    // Of those that have it, one of its group.
    assert_eq!(fetched(3, 1, FIRST), [2]);
    let body = [&OTHER[..], name_of(1, 1).as_bytes()].concat();
    let refusal = answer(&view(), tracker::FETCH_ONE, &body, &mut 0).err();
    assert_eq!(refusal, Some(Errno::NotFound));
}

#[test]
fn lists_tell_groups_apart() {
    let view = view();
    let ask = |command, body: &[u8]| answer(&view, command, body, &mut 0);
    let all = ask(tracker::ALL_GROUPS, b"").expect("records");
    assert_eq!(all.len(), 2 * 113);
    let one = ask(tracker::ONE_GROUP, SECOND).expect("a record");
    assert_eq!(all[113..], one[..]);
    assert_eq!(&one[..17], b"group2\0\0\0\0\0\0\0\0\0\0\0");
    let number = |at: usize| u64::from_be_bytes(one[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!((number(17 + 8), number(17 + 4 * 8)), (300, 2));
    let storages = ask(tracker::STORAGES, SECOND).expect("records");
    assert_eq!(
        (storages.len(), storages[2], storages[487 + 2]),
        (2 * 487, b'3', b'4')
    );
    let id = |group: &[u8], id: &[u8]| [group, id].concat();
    assert_eq!(
        ask(tracker::STORAGES, &id(SECOND, b"3")).map(|one| one.len()),
        Ok(487)
    );
    assert_eq!(
        ask(tracker::STORAGES, &id(FIRST, b"3")),
        Err(Errno::NotFound)
    );
    assert_eq!(ask(tracker::DELETE_GROUP, SECOND), Err(Errno::Busy));
    for command in [
        tracker::ONE_GROUP,
        tracker::STORAGES,
        tracker::STORE_IN_GROUP_ONE,
    ] {
        assert_eq!(ask(command, OTHER), Err(Errno::NotFound), "{command}");
    }
    assert_eq!(
        ask(tracker::STORAGE_STAT, &[0; 4]).map(|all| all.len()),
        Ok(6 + 4 * 106)
    );
    assert_eq!(
        ask(tracker::VOLUME_STAT, &[0; 4]).map(|all| all.len()),
        Ok(5 + 2 * 59)
    );
    let ids = ask(tracker::STORAGE_IDS, &1_u32.to_be_bytes()).expect("ids");
    let lines = String::from_utf8_lossy(&ids[8..]);
    let expected = "2 group1 10.0.0.1:23002\n3 group2 10.0.0.1:23003\n4 group2 10.0.0.1:23004\n";
    assert_eq!(lines, expected);
}

proptest! {
    #[test]
    fn shares_are_as_their_weights(
        weights in prop::collection::vec(0_u64..1_000, 1..6),
        begin in any::<usize>(),
    ) {
        let total: u64 = weights.iter().sum();
        let count = 2_000;
        let mut found = vec![0_u64; weights.len()];
        for turn in 0..count {
            match share_of(begin.wrapping_add(turn), &weights) {
                Some(place) => found[place] += 1,
                None => prop_assert_eq!(total, 0),
            }
        }
        for (found, weight) in found.into_iter().zip(weights) {
            let expected = (weight * count as u64).checked_div(total).unwrap_or(0);
            prop_assert!(found.abs_diff(expected) <= 20, "{found} for {expected}");
            prop_assert!(weight > 0 || found == 0);
        }
    }
}
