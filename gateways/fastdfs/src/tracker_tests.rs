//! Every command of a tracker against a cluster of three storages, one of them dead.

use std::collections::BTreeMap;

use sdfs_server_group::AddressWidth;
use sdfs_types::{ServerId, Stamp, VolumeId};

use super::*;
use crate::group_name::GroupName;
use crate::name::{FileKind, Names, NewName};
use crate::view::Tracker;
use crate::wire::status;

const GROUP: &[u8; 16] = b"group1\0\0\0\0\0\0\0\0\0\0";

fn names() -> Names {
    Names::new([1; 32])
}

fn view() -> View {
    let storage = |(id, is_up): (u16, bool)| Storage {
        id: ServerId(id),
        address: ([10, 0, 0, 1], 23_000 + id).into(),
        is_up,
        is_writable: true,
        total_bytes: 100 << 20,
        free_bytes: 50 << 20,
        queue: 0,
    };
    let tracker = |(port, is_up)| Tracker {
        address: ([10, 0, 0, 9], port).into(),
        is_up,
    };
    let group1 = Group {
        name: GroupName::of("group1"),
        names: names(),
        storages: [(4, true), (5, false), (6, true)].map(storage).into(),
        is_full: None,
    };
    View {
        addresses: AddressWidth::IPv4,
        groups: vec![group1],
        trackers: [(22_122, false), (22_123, true)].map(tracker).into(),
        in_sync: BTreeMap::from([
            (VolumeId(1), vec![ServerId(4), ServerId(5)]),
            (VolumeId(2), vec![ServerId(5)]),
        ]),
        begun_s: 1_000,
        now_s: 2_000,
    }
}

fn ask(command: u8, body: &[u8]) -> Result<Vec<u8>, Errno> {
    ask_of(&view(), command, body)
}

fn ask_of(view: &View, command: u8, body: &[u8]) -> Result<Vec<u8>, Errno> {
    answer(view, command, body, &mut 0).map(|bytes| bytes.to_vec())
}

fn with_group(rest: &[u8]) -> Vec<u8> {
    [&GROUP[..], rest].concat()
}

fn name_of(volume: u32, server: u16) -> Vec<u8> {
    let new = NewName {
        volume: Some(VolumeId(volume)),
        stamp: Stamp {
            second: 1_500,
            number: 3,
            server: ServerId(server),
        },
        kind: FileKind::Trunk(10),
        crc32: 77,
        extension: "jpg",
    };
    with_group(names().make(&new).expect("a name").as_bytes())
}

/// The ports an answer names, and its last byte if it is one over.
fn ports(answer: &[u8]) -> Vec<u8> {
    assert_eq!(&answer[..16], GROUP);
    let addresses = answer[16..].chunks_exact(15 + 8);
    addresses
        .map(|address| {
            assert_eq!(&address[..15], b"10.0.0.1\0\0\0\0\0\0\0");
            assert_eq!(address[15..22], [0, 0, 0, 0, 0, 0, 89], "port 23,0xx");
            address[22] - 216
        })
        .collect()
}

#[test]
fn uploads_go_to_storages_that_live() {
    let one = ask(tracker::STORE_ONE, b"").expect("a storage");
    assert_eq!(one.len(), 40);
    assert_eq!(one.last(), Some(&0), "the path index");
    let all = ask(tracker::STORE_ALL, b"").expect("storages");
    assert_eq!(ports(&all), [6, 4]);
    assert_eq!(all.len(), 16 + 2 * 23 + 1);
    for command in [tracker::STORE_IN_GROUP_ONE, tracker::STORE_IN_GROUP_ALL] {
        assert!(ask(command, GROUP).is_ok());
        assert_eq!(
            ask(command, b"group2\0\0\0\0\0\0\0\0\0\0"),
            Err(Errno::NotFound)
        );
        assert_eq!(ask(command, b"group1"), Err(Errno::Invalid));
    }
    assert_eq!(ask(tracker::STORE_ONE, b"x"), Err(Errno::Invalid));
    let mut turn = 0;
    let mut given = Vec::new();
    for _ in 0..4 {
        let one = answer(&view(), tracker::STORE_ONE, b"", &mut turn);
        given.extend(ports(&one.expect("a storage")));
    }
    assert_eq!(given, [6, 4, 6, 4], "load is spread");
}

#[test]
fn nowhere_to_upload_has_its_reasons() {
    let mut view = view();
    view.groups[0]
        .storages
        .iter_mut()
        .for_each(|storage| storage.free_bytes = 0);
    assert_eq!(ask_of(&view, tracker::STORE_ONE, b""), Err(Errno::NoSpace));
    // One that has just come and has not told how full it is.
    view.groups[0].storages[2].total_bytes = 0;
    assert!(ask_of(&view, tracker::STORE_ONE, b"").is_ok());
    view.groups[0]
        .storages
        .iter_mut()
        .for_each(|storage| storage.is_writable = false);
    assert_eq!(ask_of(&view, tracker::STORE_ONE, b""), Err(Errno::NotFound));
    view.groups[0].is_full = Some(true);
    assert_eq!(ask_of(&view, tracker::STORE_ONE, b""), Err(Errno::NoSpace));
}

#[test]
fn wide_addresses_are_45_bytes() {
    let view = View {
        addresses: AddressWidth::IPv6,
        ..view()
    };
    let lengths = [
        (tracker::STORE_ONE, Vec::new(), 70),
        (tracker::FETCH_ONE, name_of(1, 4), 69),
        (tracker::STORAGES, GROUP.to_vec(), 3 * 517),
    ];
    for (command, body, length) in lengths {
        assert_eq!(ask_of(&view, command, &body).map(|a| a.len()), Ok(length));
    }
}

#[test]
fn files_are_fetched_where_they_are() {
    let one = ask(tracker::FETCH_ONE, &name_of(1, 5)).expect("a storage");
    assert_eq!(
        (one.len(), ports(&one)),
        (39, vec![4]),
        "the only living member"
    );
    // Its member is away, not the file: anybody says so.
    let away = ask(tracker::FETCH_ALL, &name_of(2, 5)).expect("storages");
    assert_eq!(ports(&away), [6, 4]);
    let mut nobody = view();
    nobody.groups[0]
        .storages
        .iter_mut()
        .for_each(|one| one.is_up = false);
    let answer = ask_of(&nobody, tracker::FETCH_ONE, &name_of(1, 4));
    assert_eq!(answer, Err(Errno::NotFound));
    // What has a record, or is no name at all, is asked of anybody.
    let any = ask(tracker::FETCH_ALL, &with_group(&[b'x'; 22])).expect("storages");
    assert_eq!(ports(&any), [6, 4]);
    for length in [0, 21, 128, 500] {
        let body = with_group(&vec![b'x'; length]);
        assert_eq!(
            ask(tracker::FETCH_ONE, &body),
            Err(Errno::Invalid),
            "{length}"
        );
    }
    let other = [b"group2\0\0\0\0\0\0\0\0\0\0", &name_of(1, 4)[16..]].concat();
    assert_eq!(ask(tracker::FETCH_ONE, &other), Err(Errno::NotFound));
}

#[test]
fn changes_go_to_the_source_while_it_lives() {
    for _ in 0..4 {
        let update = ask(tracker::UPDATE, &name_of(1, 4)).expect("a storage");
        assert_eq!(ports(&update), [4]);
    }
    let update = ask(tracker::UPDATE, &name_of(1, 5)).expect("a storage");
    assert_eq!(ports(&update), [4], "another member");
}

#[test]
fn a_foreign_name_tells_no_volume_and_no_source() {
    // Its folders look like volume 2, which only a dead storage has, its source like storage 4.
    let of_another = NewName {
        volume: Some(VolumeId(2)),
        stamp: Stamp {
            second: 1_000,
            number: 1,
            server: ServerId(4),
        },
        kind: FileKind::Trunk(5),
        crc32: 7,
        extension: "bin",
    };
    let foreign = Names::new([9; 32]).make(&of_another).expect("a name");
    let body = with_group(foreign.as_bytes());
    for command in [tracker::FETCH_ONE, tracker::UPDATE] {
        let mut named: Vec<u8> = (0..4)
            .flat_map(|turn| {
                let answer = answer(&view(), command, &body, &mut { turn });
                ports(&answer.expect("a storage"))
            })
            .collect();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named, [4, 6], "{command}: all that are up");
    }
}

#[test]
fn records_have_their_lengths() {
    let id = |text: &[u8]| with_group(text);
    let table: &[(u8, Vec<u8>, Result<usize, Errno>)] = &[
        (tracker::ONE_GROUP, GROUP.to_vec(), Ok(113)),
        (tracker::ALL_GROUPS, vec![], Ok(113)),
        (tracker::ALL_GROUPS, vec![0], Err(Errno::Invalid)),
        (tracker::STORAGES, GROUP.to_vec(), Ok(3 * 487)),
        (tracker::STORAGES, id(b"5"), Ok(487)),
        (tracker::STORAGES, id(b"9"), Err(Errno::NotFound)),
        (tracker::STORAGES, id(&[b'1'; 16]), Err(Errno::Invalid)),
        (tracker::DELETE_STORAGE, id(b"5"), Err(Errno::Busy)),
        (tracker::DELETE_STORAGE, id(b"9"), Err(Errno::NotFound)),
        (tracker::DELETE_GROUP, GROUP.to_vec(), Err(Errno::Busy)),
        (
            tracker::SET_TRUNK_SERVER,
            GROUP.to_vec(),
            Err(Errno::Unsupported),
        ),
        (tracker::LEADER, vec![], Ok("10.0.0.9:22123".len())),
        (tracker::TRACKER_STAT, vec![0; 3], Ok(1 + 2 * 90)),
        (tracker::TRACKER_STAT, vec![], Err(Errno::Invalid)),
        (tracker::STORAGE_STAT, vec![0; 4], Ok(6 + 3 * 106)),
        (tracker::VOLUME_STAT, vec![0; 4], Ok(5 + 59)),
        (tracker::STORAGE_STATUS, id(b"10.0.0.1"), Ok(67)),
        (
            tracker::STORAGE_IDS,
            vec![0, 0, 0, 1],
            Ok(8 + 2 * "5 group1 10.0.0.1:23005\n".len()),
        ),
        (tracker::STORAGE_IDS, vec![0, 0, 0, 9], Ok(8)),
        (tracker::STORAGE_IDS, vec![0], Err(Errno::Invalid)),
        (common::ACTIVE_TEST, vec![], Ok(0)),
        (common::ACTIVE_TEST, vec![1], Err(Errno::Invalid)),
        (11, vec![], Err(Errno::Invalid)),
        (0, vec![], Err(Errno::Invalid)),
    ];
    for (command, body, expected) in table {
        let found = ask(*command, body).map(|answer| answer.len());
        assert_eq!(found, *expected, "command {command} with {body:?}");
    }
    let text = ask(tracker::PARAMETERS, b"").expect("a text");
    assert!(text.starts_with(b"use_storage_id=1\n"));
}

#[test]
fn statistics_are_of_what_is_asked_for() {
    // Tracker 22123 is up and leads; storages 4 and 6 are active, 5 is offline; nothing is of trunk
    // files. A command, its filter, and how many are told.
    let table: &[(u8, &[u8], usize)] = &[
        (tracker::TRACKER_STAT, &[0, 0, 0], 2),
        (tracker::TRACKER_STAT, &[0, 1, 1], 2),
        (tracker::TRACKER_STAT, &[1, 1, 0], 1),
        (tracker::TRACKER_STAT, &[1, 0, 0], 1),
        (tracker::TRACKER_STAT, &[2, 0, 1], 1),
        (tracker::TRACKER_STAT, &[3, 1, 1], 1),
        (tracker::TRACKER_STAT, &[3, 1, 0], 0),
        (tracker::STORAGE_STAT, &[0, 0, 0, 0], 3),
        (tracker::STORAGE_STAT, &[1, b'=', status::ACTIVE, 0], 2),
        (tracker::STORAGE_STAT, &[1, b'!', status::ACTIVE, 0], 1),
        (tracker::STORAGE_STAT, &[1, b'=', status::OFFLINE, 0], 1),
        (tracker::STORAGE_STAT, &[1, b'=', 0, 0], 0),
        (tracker::STORAGE_STAT, &[2, 0, 0, 1], 0),
        (tracker::STORAGE_STAT, &[3, b'=', status::ACTIVE, 0], 2),
        (tracker::VOLUME_STAT, &[0, 0, 0, 0], 1),
        (tracker::VOLUME_STAT, &[1, 1, 0, 0], 1),
        (tracker::VOLUME_STAT, &[1, 0, 0, 0], 0),
        (tracker::VOLUME_STAT, &[2, 0, 1, 0], 1),
        (tracker::VOLUME_STAT, &[2, 0, 0, 0], 0),
        (tracker::VOLUME_STAT, &[4, 0, 0, 1], 0),
        (tracker::VOLUME_STAT, &[7, 1, 1, 0], 1),
    ];
    for (command, filter, count) in table {
        let told = ask(*command, filter).expect("statistics");
        // What is in front ends with the count.
        let (head, record) = match *command {
            tracker::TRACKER_STAT => (1, 90),
            tracker::STORAGE_STAT => (6, 106),
            _ => (5, 59),
        };
        assert_eq!(told.len(), head + count * record, "{command} {filter:?}");
        assert_eq!(usize::from(told[head - 1]), *count, "{command} {filter:?}");
    }
    let active = ask(tracker::TRACKER_STAT, &[1, 1, 0]).expect("statistics");
    assert_eq!(&active[1..16], b"10.0.0.9:22123\0");
    // Of two that are up one leads.
    let mut both = view();
    both.trackers[0].is_up = true;
    let follower = ask_of(&both, tracker::TRACKER_STAT, &[3, 1, 0]).expect("statistics");
    assert_eq!(
        (follower.len(), &follower[..16]),
        (91, &b"\x0110.0.0.9:22123\0"[..])
    );
    let dead = ask(tracker::STORAGE_STAT, &[1, b'!', status::ACTIVE, 0]).expect("statistics");
    assert_eq!(dead[6..8], *b"5\0");
    let neither = ask(tracker::STORAGE_STAT, &[1, b'<', status::ACTIVE, 0]);
    assert_eq!(neither, Err(Errno::Invalid));
}

#[test]
fn dead_storages_are_told_so() {
    let record = ask(tracker::STORAGES, &with_group(b"5")).expect("a record");
    assert_eq!(record[..3], [5, 0, b'5']);
    let record = ask(tracker::STORAGES, &with_group(b"4")).expect("a record");
    assert_eq!(record[..3], [7, 6, b'4']);
    assert_eq!(&record[18..27], b"10.0.0.1\0");
    assert_eq!(record[130..138], 23_004_u64.to_be_bytes());
    let group = ask(tracker::ALL_GROUPS, b"").expect("a record");
    let numbers: Vec<u64> = group[17..]
        .chunks(8)
        .map(|number| u64::from_be_bytes(number.try_into().expect("8 bytes")))
        .collect();
    assert_eq!(
        numbers,
        [100, 50, 0, 0, 3, 23_004, 2, 2, 0, 1, 256, u64::MAX]
    );
}
