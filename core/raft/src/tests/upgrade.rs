//! A raft log and a piece of a snapshot that an earlier version has written are read by this one,
//! or refused by their version.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::entry_code::put_entry;
use crate::errors::StartError;
use crate::fuzzing;
use crate::identity::Identity;
use crate::ids::GroupId;
use crate::owner::Owner;
use crate::raft_log::RaftLog;
use crate::record::{HardState, Life, RecordHead};
use crate::types::{Command, Entry, LeaderId, LogId, Membership, Payload, Vote};
use bytes::{Bytes, BytesMut};
use openraft::vote::{RaftLeaderId, RaftVote};
use sdfs_log::{Disk, LogOptions, MemoryDisk, Record, SegmentLog};
use sdfs_server_group::ServerId;
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

/// As the version of November 2026 writes them: [`records`], one after the other. What is behind
/// the last of them is cut off.
const SEGMENT: &[u8] = include_bytes!("fixtures/version-2/0000000001.seg");
const OWNER: &[u8] = include_bytes!("fixtures/version-2/owner");

const LIFE: Life = Life([7; 16]);
const DIR: &str = "raft/log";
const SEGMENT_BYTES: u32 = 64 << 10;

fn entry(term: u64, index: u64, payload: Payload) -> Entry {
    Entry {
        log_id: LogId::new(LeaderId::new(term, 1), index),
        payload,
    }
}

fn command(text: &'static str) -> Payload {
    Payload::Normal(Command(Bytes::from_static(text.as_bytes())))
}

fn members() -> Payload {
    let one = |server| (server, Identity::default());
    let nodes: BTreeMap<u64, Identity> = [1, 2, 300].map(one).into();
    let voters = vec![[1, 2].into(), [1, 2, 300].into()];
    Payload::Membership(Membership::new(voters, nodes).unwrap())
}

/// A log in which each kind of record is.
fn records() -> Vec<(RecordHead, Vec<Entry>)> {
    let (group, server) = (GroupId(0), ServerId(1));
    let entries = |first, entries: Vec<Entry>| {
        let count = entries.len() as u32;
        let committed = Some(LogId::new(LeaderId::new(1, 1), 0));
        let head = RecordHead::Entries {
            group,
            first,
            count,
            committed,
        };
        (head, entries)
    };
    let first = vec![
        entry(1, 0, members()),
        entry(1, 1, Payload::Blank),
        entry(1, 2, command("one")),
        entry(1, 3, command("lost")),
    ];
    let state = HardState {
        vote: Some(Vote::from_leader_id(LeaderId::new(300, 2), true)),
        purged: Some(LogId::new(LeaderId::new(1, 1), 0)),
        committed: Some(LogId::new(LeaderId::new(1, 1), 2)),
    };
    let copied = RecordHead::Copied {
        group,
        first: 2,
        count: 1,
    };
    vec![
        (RecordHead::Opened { server, life: LIFE }, vec![]),
        entries(0, first),
        (
            RecordHead::Truncated {
                group,
                after: Some(2),
            },
            vec![],
        ),
        entries(3, vec![entry(300, 3, command("two"))]),
        (RecordHead::Owner { server, life: LIFE }, vec![]),
        (RecordHead::State { group, state }, vec![]),
        (copied, vec![entry(1, 2, command("one"))]),
    ]
}

fn disk_with(files: &[(&str, &[u8])]) -> Arc<MemoryDisk> {
    let disk = MemoryDisk::new(1 << 30);
    for (name, bytes) in files {
        let path = Path::new(name);
        let file = disk.create(path).unwrap();
        file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
        file.sync().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    Arc::new(disk)
}

fn open(disk: &Arc<MemoryDisk>) -> Result<(RaftLog, Option<(ServerId, Life)>), StartError> {
    let disk = Arc::clone(disk);
    RaftLog::open(
        disk,
        Path::new(DIR),
        [GroupId(0)].into_iter(),
        SEGMENT_BYTES,
    )
}

fn refusal(disk: &Arc<MemoryDisk>) -> String {
    match open(disk) {
        Ok(_) => unreachable!("the log was opened"),
        Err(error) => error.to_string(),
    }
}

/// Appends a record to the log.
fn append_raw(disk: &Arc<MemoryDisk>, head: Bytes, data: Bytes) {
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES,
        reserve_bytes: 0,
        ..LogOptions::named("raft-log")
    };
    let disk = Arc::clone(disk);
    let log = SegmentLog::open(disk, Path::new(DIR), options, None, &mut |_, _, _| {}).unwrap();
    log.append(Record::new(head, data), drop).unwrap();
    log.close();
}

#[tokio::test]
async fn a_log_of_version_2_is_read() {
    let disk = disk_with(&[("raft/log/0000000001.seg", SEGMENT)]);
    let (log, owner) = open(&disk).unwrap();
    assert_eq!(owner, Some((ServerId(1), LIFE)));
    let read = log.read(GroupId(0), 0, u64::MAX, usize::MAX).await;
    let expected = [
        entry(1, 1, Payload::Blank),
        entry(1, 2, command("one")),
        entry(300, 3, command("two")),
    ];
    assert_eq!(read.unwrap(), expected);
    let RecordHead::State { state, .. } = &records()[5].0 else {
        unreachable!("the sixth record is a state");
    };
    log.with(GroupId(0), |log| assert_eq!(log.state(), state));
}

#[test]
fn records_of_version_2_have_their_bytes() {
    let disk = disk_with(&[("raft/log/0000000001.seg", SEGMENT)]);
    let (mut found, dir) = (Vec::new(), Path::new(DIR));
    let mut note = |_, head: &[u8], data: &[u8]| found.push((head.to_vec(), data.to_vec()));
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES,
        ..LogOptions::named("raft-log")
    };
    drop(SegmentLog::open(disk, dir, options, None, &mut note).unwrap());
    let written = records().into_iter().map(|(head, entries)| {
        let mut run = BytesMut::new();
        for entry in &entries {
            put_entry(&mut run, entry);
        }
        (head.to_bytes().to_vec(), run.to_vec())
    });
    assert_eq!(found, written.collect::<Vec<_>>());
}

#[test]
fn an_owner_file_of_now_is_read() {
    let disk = disk_with(&[("raft/owner", OWNER)]);
    let owner = Owner::read(&*disk, Path::new("raft")).unwrap().unwrap();
    assert_eq!((owner.server, owner.life), (ServerId(1), LIFE));
}

#[test]
fn a_record_of_a_later_version_is_refused_by_its_number() {
    let disk = disk_with(&[("raft/log/0000000001.seg", SEGMENT)]);
    append_raw(&disk, Bytes::from_static(&[3, 5, 1]), Bytes::new());
    let place = format!(
        "the record in segment 1 at byte {} has version 3",
        SEGMENT.len()
    );
    assert_eq!(
        refusal(&disk),
        format!(
            "the raft log in raft/log was not written by this version ({place}, this version \
             reads 2; use the one that has written it); nothing is changed"
        )
    );
}

/// Numbers that no log comes to: adding to them must not go round.
#[test]
fn endless_indexes_are_not_believed() {
    let (group, end) = (GroupId(0), LogId::new(LeaderId::new(1, 1), u64::MAX));
    let mut two = BytesMut::new();
    put_entry(&mut two, &entry(1, 0, Payload::Blank));
    put_entry(&mut two, &entry(1, 1, Payload::Blank));
    let state = HardState {
        purged: Some(end),
        ..HardState::default()
    };
    let (first, count, committed) = (u64::MAX, 2, None);
    let entries = RecordHead::Entries {
        group,
        first,
        count,
        committed,
    };
    for (head, data) in [
        (entries, two.clone().freeze()),
        (
            RecordHead::Copied {
                group,
                first,
                count,
            },
            two.freeze(),
        ),
        (
            RecordHead::Truncated {
                group,
                after: Some(u64::MAX),
            },
            Bytes::new(),
        ),
        (RecordHead::State { group, state }, Bytes::new()),
    ] {
        let disk = disk_with(&[("raft/log/0000000001.seg", SEGMENT)]);
        append_raw(&disk, head.to_bytes(), data);
        let said = refusal(&disk);
        assert!(
            said.contains("is not of the form this version reads"),
            "{head:?}: {said}"
        );
    }
}

/// Keys and values, each with its length before it.
#[test]
fn a_piece_of_a_snapshot_keeps_its_bytes() {
    let long = [&[0xac, 0x02][..], &[b'v'; 300]].concat();
    let piece = [&b"\x01a\x00\x02bc"[..], &long, b"\x03def\x01w"].concat();
    assert_eq!(fuzzing::snapshot(&[&piece]), Some(vec![piece.clone()]));
    let own = [&b"\x08\0applied\x01x"[..], &piece].concat();
    assert_eq!(
        fuzzing::snapshot(&[&own]),
        Some(vec![piece]),
        "what is this crate's stays here"
    );
    assert_eq!(fuzzing::snapshot(&[b"\x01a\x02b"]), None);
}
