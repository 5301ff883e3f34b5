//! A meta group's machine: records, block entries, what is to be freed; by tables, and against a
//! plain vector of blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use sdfs_mserver::FileLife;
use sdfs_mserver::meta::{MetaAnswer, MetaAnswers, MetaCommand, MetaMachine, MetaView};
use sdfs_raft::StateMachine;
use sdfs_types::calls::names::{BlockWritten, Resize};
use sdfs_types::wire;
use sdfs_types::{
    Attributes, BlockDescriptor, BlockEntry, BlockIndex, BlockSize, BlockVersion, Digest,
    FileDescriptor, FileId, FileMetaData, FileVersion, Refusal, RequestId, VolumeId,
};

use crate::driver::{Driver, request};

struct Files {
    driver: Driver<MetaMachine>,
    view: Arc<MetaView>,
    next: u64,
}

const FILE: FileDescriptor = FileDescriptor {
    id: FileId(5),
    version: FileVersion(1),
};

/// The request of every create here.
const CREATED: RequestId = RequestId {
    client: 9,
    sequence: 1,
};

fn life(request: RequestId) -> FileLife {
    FileLife {
        descriptor: FILE,
        request,
    }
}

fn new_file(size_bytes: u64) -> FileMetaData {
    FileMetaData {
        descriptor: FILE,
        size_bytes,
        block_size: BlockSize::from_bytes(1 << 16).unwrap(),
        created_ms: 1,
        modified_ms: 1,
        owner: "ann".into(),
        attributes: Attributes::new(),
        digest: None,
        plan: vec![VolumeId(1)],
        revision: 0,
    }
}

fn entry(version: u16, length_bytes: u32) -> BlockEntry {
    BlockEntry {
        version: BlockVersion(version),
        volume: VolumeId(1),
        length_bytes,
        crc32c: 9,
    }
}

impl Files {
    fn new() -> Files {
        let (machine, view) = MetaMachine::new();
        Files {
            driver: Driver::new(machine),
            view,
            next: 0,
        }
    }

    fn reopened(self) -> Files {
        let (mut machine, view) = MetaMachine::new();
        machine.open(&self.driver.keyspace).unwrap();
        Files {
            driver: Driver {
                machine,
                ..self.driver
            },
            view,
            next: self.next,
        }
    }

    fn fresh_request(&mut self) -> RequestId {
        self.next += 1;
        request(self.next)
    }

    fn run(&mut self, command: MetaCommand) -> Result<MetaAnswer, Refusal> {
        let answers: MetaAnswers =
            wire::decode(&self.driver.apply(&wire::encode(&vec![command]))).unwrap();
        answers.into_iter().next().unwrap()
    }

    fn create(&mut self, size_bytes: u64) {
        self.run(MetaCommand::Create {
            request: CREATED,
            file: new_file(size_bytes),
        })
        .unwrap();
    }

    fn commit(&mut self, written: Vec<BlockWritten>, at_least: u64) -> Result<MetaAnswer, Refusal> {
        let command = MetaCommand::Commit {
            request: self.fresh_request(),
            descriptor: FILE,
            written,
            size_bytes_at_least: at_least,
            revision: None,
            now_ms: 2,
        };
        self.run(command)
    }

    fn resize(&mut self, size_bytes: u64, resize: Resize) -> Result<MetaAnswer, Refusal> {
        let request = self.fresh_request();
        self.run(MetaCommand::Resize {
            request,
            descriptor: FILE,
            size_bytes,
            resize,
            revision: None,
            now_ms: 3,
        })
    }

    fn size(&self) -> u64 {
        let record = self.view.record(FILE).unwrap().unwrap();
        assert_eq!(
            self.view.size_bytes(FILE).unwrap(),
            Some(record.file.size_bytes)
        );
        record.file.size_bytes
    }

    fn blocks(&self, first: u32, count: u32) -> Vec<BlockEntry> {
        let record = self.view.record(FILE).unwrap().unwrap();
        self.view.blocks(&record, first, count).unwrap().entries
    }

    fn given_up(&self) -> Vec<BlockDescriptor> {
        let all = self.view.to_free(None, u64::MAX, usize::MAX).unwrap();
        all.into_iter()
            .flat_map(|(_, entry)| entry.blocks)
            .collect()
    }
}

fn written(block: u16, previous: u16, entry: BlockEntry) -> BlockWritten {
    BlockWritten {
        block: BlockIndex(block),
        previous: BlockVersion(previous),
        entry,
    }
}

fn named(block: u16, version: u16) -> BlockDescriptor {
    BlockDescriptor {
        file: FILE,
        block: BlockIndex(block),
        version: BlockVersion(version),
    }
}

#[test]
fn create_is_made_once() {
    let mut files = Files::new();
    files.create(7);
    let again = files
        .run(MetaCommand::Create {
            request: CREATED,
            file: new_file(8),
        })
        .unwrap();
    assert!(matches!(again, MetaAnswer::File(file) if file.size_bytes == 7));
}

/// Somebody who found the name without a record has made it, and knew no attributes.
#[test]
fn a_create_gives_its_attributes_to_a_record_made_for_a_reader() {
    let mut files = Files::new();
    files.create(7);
    let create = |file| MetaCommand::Create {
        request: CREATED,
        file,
    };
    let coloured = |colour: &str| FileMetaData {
        attributes: [("colour".to_owned(), colour.to_owned())].into(),
        ..new_file(8)
    };
    let mut made = |file| match files.run(create(file)) {
        Ok(MetaAnswer::File(file)) => (file.size_bytes, file.attributes),
        other => panic!("{other:?}"),
    };
    let red = (7, coloured("red").attributes);
    assert_eq!(made(coloured("red")), red);
    // Later readers and repetitions change nothing.
    assert_eq!(made(new_file(8)), red);
    assert_eq!(made(coloured("blue")), red);
}

#[test]
fn commit_compares_before_it_sets() {
    let mut files = Files::new();
    files.create(0);
    files
        .commit(
            vec![written(0, 0, entry(1, 10)), written(40, 0, entry(1, 20))],
            50,
        )
        .unwrap();
    let stale = files.commit(
        vec![written(1, 0, entry(1, 5)), written(0, 0, entry(2, 6))],
        99,
    );
    assert_eq!(
        stale,
        Err(Refusal::Conflict {
            block: 0,
            current: BlockVersion(1)
        })
    );
    assert_eq!(files.size(), 50, "nothing of it was done");
    assert_eq!(files.blocks(0, 2), [entry(1, 10), BlockEntry::default()]);
    assert_eq!(files.given_up(), []);
    files.commit(vec![written(40, 1, entry(2, 30))], 0).unwrap();
    assert_eq!(files.blocks(40, 9), [entry(2, 30)]);
    assert_eq!(files.given_up(), [named(40, 1)]);
}

#[test]
fn changes_are_refused_at_another_revision() {
    let mut files = Files::new();
    files.create(0);
    let commit = |request, revision| MetaCommand::Commit {
        request,
        descriptor: FILE,
        written: vec![written(0, 0, entry(1, 10))],
        size_bytes_at_least: 10,
        revision: Some(revision),
        now_ms: 2,
    };
    let resize = |request, size_bytes, revision| MetaCommand::Resize {
        request,
        descriptor: FILE,
        size_bytes,
        resize: Resize::Expand,
        revision: Some(revision),
        now_ms: 3,
    };
    let (first, second) = (files.fresh_request(), files.fresh_request());
    files.run(resize(first, 5, 0)).unwrap();
    let changed = Err(Refusal::Changed { revision: 1 });
    assert_eq!(files.run(commit(second, 0)), changed);
    assert_eq!(files.run(resize(second, 50, 0)), changed);
    assert_eq!(files.size(), 5, "nothing of it was done");
    assert!(files.run(resize(first, 5, 0)).is_ok(), "a repetition");
    files.run(commit(second, 1)).unwrap();
    assert_eq!(files.size(), 10);
}

#[test]
fn repeated_commit_changes_nothing() {
    let mut files = Files::new();
    files.create(0);
    let command = MetaCommand::Commit {
        request: files.fresh_request(),
        descriptor: FILE,
        written: vec![written(0, 0, entry(1, 10))],
        size_bytes_at_least: 10,
        revision: None,
        now_ms: 2,
    };
    let first = files.run(command.clone());
    let mut files = files.reopened();
    assert_eq!(files.run(command), first);
    assert_eq!(files.given_up(), []);
}

#[test]
fn sparse_expand_reaches_the_last_block() {
    let mut files = Files::new();
    let mut file = new_file(0);
    file.block_size = BlockSize::from_bytes(64 << 20).unwrap();
    files
        .run(MetaCommand::Create {
            request: CREATED,
            file,
        })
        .unwrap();
    files.resize(4 << 40, Resize::Expand).unwrap();
    assert!(files.driver.contents().len() < 6, "expanding costs nothing");
    files
        .commit(vec![written(65_535, 0, entry(1, 10))], 0)
        .unwrap();
    assert_eq!(
        files.blocks(65_534, 10),
        [BlockEntry::default(), entry(1, 10)]
    );
    assert!(matches!(
        files.resize((4 << 40) + 1, Resize::Expand),
        Err(Refusal::OutOfRange { .. })
    ));
}

#[test]
fn truncate_gives_blocks_up() {
    let mut files = Files::new();
    files.create(0);
    let block = 1_u64 << 16;
    let all: Vec<_> = (0..200)
        .map(|at| written(at, 0, entry(1, 1 << 16)))
        .collect();
    files.commit(all, 200 * block).unwrap();
    assert!(matches!(
        files.resize(201 * block, Resize::Truncate),
        Err(Refusal::OutOfRange { .. })
    ));
    assert!(matches!(
        files.resize(block, Resize::Expand),
        Err(Refusal::OutOfRange { .. })
    ));
    files.resize(3 * block + 100, Resize::Truncate).unwrap();
    assert_eq!(
        files.blocks(3, 1),
        [BlockEntry {
            length_bytes: 100,
            ..entry(1, 0)
        }]
    );
    assert_eq!(files.given_up().len(), 196);
    files.resize(200 * block, Resize::Expand).unwrap();
    let cut = files.blocks(4, 1)[0];
    assert!(cut.is_hole(), "reads as zeros again");
    // The version stays used up: another content never gets the same name.
    assert_eq!(cut.version, BlockVersion(1));
    files.commit(vec![written(4, 1, entry(2, 50))], 0).unwrap();
    assert_eq!(files.blocks(4, 1), [entry(2, 50)]);
}

#[test]
fn put_of_every_block_reads_back() {
    let mut files = Files::new();
    let blocks: Vec<_> = (0..65_536_u32).map(|at| entry(1, at % 100 + 1)).collect();
    let request = files.fresh_request();
    let put = MetaCommand::Put {
        request,
        file: new_file(65_536 << 16),
        blocks: blocks.clone(),
    };
    files.run(put.clone()).unwrap();
    files.run(put).unwrap();
    let mut files = files.reopened();
    let mut read = Vec::new();
    while read.len() < blocks.len() {
        let page = files.blocks(read.len() as u32, 1_000);
        assert!(!page.is_empty());
        read.extend(page);
    }
    assert_eq!(read, blocks);
    files
        .run(MetaCommand::Remove {
            lives: vec![life(request)],
            now_ms: 9,
        })
        .unwrap();
    let given_up: BTreeSet<_> = files.given_up().into_iter().collect();
    assert_eq!(given_up.len(), 65_536);
    assert!(files.view.record(FILE).unwrap().is_none());
}

#[test]
fn another_put_cannot_take_the_descriptor() {
    let mut files = Files::new();
    let put = |request| MetaCommand::Put {
        request,
        file: new_file(1),
        blocks: vec![entry(1, 1)],
    };
    let (first, second) = (files.fresh_request(), files.fresh_request());
    files.run(put(first)).unwrap();
    assert_eq!(files.run(put(second)), Err(Refusal::NotGranted));
    // What another request gives up is not this one's.
    let remove = |request| MetaCommand::Remove {
        lives: vec![life(request)],
        now_ms: 9,
    };
    files.run(remove(second)).unwrap();
    assert!(files.view.record(FILE).unwrap().is_some());
    files.run(remove(first)).unwrap();
    assert!(files.view.record(FILE).unwrap().is_none());
    assert_eq!(
        files.run(put(second)),
        Err(Refusal::Gone { descriptor: FILE })
    );
}

#[test]
fn what_a_put_wrote_is_given_up_with_it() {
    let mut files = Files::new();
    let request = files.fresh_request();
    let hole = BlockEntry::default();
    let blocks = vec![entry(1, 9), hole, entry(2, 9)];
    let abort = MetaCommand::AbortPut {
        descriptor: FILE,
        blocks: blocks.clone(),
        now_ms: 9,
    };
    let put = MetaCommand::Put {
        request,
        file: new_file(3),
        blocks,
    };
    for _ in 0..2 {
        assert_eq!(files.run(abort.clone()), Ok(MetaAnswer::Done));
    }
    assert_eq!(files.given_up(), [named(0, 1), named(2, 2)]);
    let mut files = files.reopened();
    let late = files.run(put);
    assert_eq!(late, Err(Refusal::Gone { descriptor: FILE }));
    assert!(files.view.record(FILE).unwrap().is_none());
}

#[test]
fn a_file_that_was_put_is_not_given_up() {
    let mut files = Files::new();
    let request = files.fresh_request();
    let blocks = vec![entry(1, 9)];
    let put = MetaCommand::Put {
        request,
        file: new_file(3),
        blocks: blocks.clone(),
    };
    let made = files.run(put).unwrap();
    let abort = MetaCommand::AbortPut {
        descriptor: FILE,
        blocks,
        now_ms: 9,
    };
    assert_eq!(files.run(abort), Ok(made));
    assert_eq!(files.given_up(), []);
    assert_eq!(files.blocks(0, 9), [entry(1, 9)]);
}

#[test]
fn removed_file_stays_removed() {
    let mut files = Files::new();
    files.create(0);
    files.commit(vec![written(0, 0, entry(1, 10))], 10).unwrap();
    let remove = MetaCommand::Remove {
        lives: vec![life(CREATED)],
        now_ms: 9,
    };
    files.run(remove.clone()).unwrap();
    files.run(remove).unwrap();
    assert_eq!(files.given_up(), [named(0, 1)]);
    let mut files = files.reopened();
    let late = files.run(MetaCommand::Create {
        request: CREATED,
        file: new_file(0),
    });
    assert_eq!(late, Err(Refusal::Gone { descriptor: FILE }));
    assert_eq!(
        files.commit(vec![], 5),
        Err(Refusal::Gone { descriptor: FILE })
    );
}

#[test]
fn freed_blocks_leave_the_list() {
    let mut files = Files::new();
    files.create(0);
    files.commit(vec![written(0, 0, entry(1, 10))], 10).unwrap();
    files.commit(vec![written(0, 1, entry(2, 10))], 10).unwrap();
    files.commit(vec![written(0, 2, entry(3, 10))], 10).unwrap();
    let all = files.view.to_free(None, u64::MAX, 10).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(files.view.next_free(), all[1].0 + 1);
    let further = |after, before| files.view.to_free(after, before, 10).unwrap();
    assert_eq!(further(Some(all[0].0), u64::MAX), all[1..]);
    assert_eq!(further(None, all[1].0), all[..1], "the rest is not due");
    assert_eq!(further(None, 0), []);
    files
        .run(MetaCommand::Freed {
            sequences: vec![all[0].0],
        })
        .unwrap();
    let further = |after, before| files.view.to_free(after, before, 10).unwrap();
    assert_eq!(further(None, all[1].0), []);
    assert_eq!(further(None, u64::MAX), all[1..]);
    files
        .run(MetaCommand::Freed {
            sequences: vec![all[1].0],
        })
        .unwrap();
    assert_eq!(files.view.to_free(None, u64::MAX, 10).unwrap(), []);
    files.commit(vec![written(0, 3, entry(4, 10))], 10).unwrap();
    let next = files.view.to_free(None, u64::MAX, 10).unwrap();
    assert_eq!(next.len(), 1, "an empty list goes on");
}

/// The sweep may look while a disk that stalls has not taken the entry yet.
#[test]
fn what_is_not_committed_yet_stays_in_the_list() {
    let mut files = Files::new();
    files.create(0);
    files.commit(vec![written(0, 0, entry(1, 10))], 10).unwrap();
    let command = MetaCommand::Commit {
        request: files.fresh_request(),
        descriptor: FILE,
        written: vec![written(0, 1, entry(2, 10))],
        size_bytes_at_least: 10,
        revision: None,
        now_ms: 2,
    };
    let view = Arc::clone(&files.view);
    let list = || view.to_free(None, view.next_free(), 10).unwrap();
    files
        .driver
        .apply_and_look(&[wire::encode(&vec![command])], || {
            assert_eq!(list(), []);
        });
    assert_eq!(list().len(), 1);
}

#[test]
fn attributes_are_set_and_taken_away() {
    let mut files = Files::new();
    files.create(0);
    let mut change = |set: &[(&str, &str)], remove: &[&str]| {
        let request = files.fresh_request();
        let set = set
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let remove = remove.iter().map(|name| (*name).to_owned()).collect();
        files.run(MetaCommand::SetAttributes {
            request,
            descriptor: FILE,
            set,
            remove,
            now_ms: 4,
        })
    };
    change(&[("a", "1"), ("b", "2")], &[]).unwrap();
    let Ok(MetaAnswer::File(file)) = change(&[("c", "3")], &["a"]) else {
        panic!()
    };
    let names: Vec<_> = file.attributes.keys().collect();
    assert_eq!(names, ["b", "c"]);
    let long = "x".repeat(70_000);
    assert!(matches!(
        change(&[("d", &long)], &[]),
        Err(Refusal::OutOfRange { .. })
    ));
}

#[derive(Clone, Debug)]
enum Op {
    Write {
        block: u16,
        length: u32,
        is_stale: bool,
    },
    Truncate {
        size: u64,
    },
    Expand {
        size: u64,
    },
    Reopen,
}

fn any_op() -> impl Strategy<Value = Op> {
    let size = || 0..(400_u64 << 16);
    prop_oneof![
        5 => (0..400_u16, 1..65_537_u32, prop::bool::weighted(0.1))
            .prop_map(|(block, length, is_stale)| Op::Write { block, length, is_stale }),
        1 => size().prop_map(|size| Op::Truncate { size }),
        1 => size().prop_map(|size| Op::Expand { size }),
        1 => Just(Op::Reopen),
    ]
}

/// What a block is to be: its version and how many of its bytes are the file's.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Block {
    version: u16,
    length: u32,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn files_behave_like_vectors(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut files = Files::new();
        files.create(0);
        let mut model = vec![Block::default(); 400];
        let mut size = 0_u64;
        let mut superseded = BTreeSet::new();
        for op in ops {
            match op {
                Op::Write { block, length, is_stale } => {
                    let present = model[usize::from(block)];
                    let previous = present.version + u16::from(is_stale);
                    let end = (u64::from(block) << 16) + u64::from(length);
                    let new = entry(present.version + 7, length);
                    let done = files.commit(vec![written(block, previous, new)], end);
                    prop_assert_eq!(done.is_ok(), !is_stale);
                    if !is_stale {
                        if present.length > 0 {
                            superseded.insert(named(block, present.version));
                        }
                        model[usize::from(block)] = Block { version: new.version.0, length };
                        size = size.max(end);
                    }
                }
                Op::Truncate { size: to } => {
                    let done = files.resize(to, Resize::Truncate);
                    prop_assert_eq!(done.is_ok(), to <= size);
                    if to <= size {
                        for (block, kept) in model.iter_mut().enumerate() {
                            let begin = (block as u64) << 16;
                            let left = to.saturating_sub(begin).min(1 << 16);
                            let left = u32::try_from(left).unwrap();
                            if left == 0 && kept.length > 0 {
                                superseded.insert(named(block as u16, kept.version));
                            }
                            kept.length = kept.length.min(left);
                        }
                        size = to;
                    }
                }
                Op::Expand { size: to } => {
                    let done = files.resize(to, Resize::Expand);
                    prop_assert_eq!(done.is_ok(), to >= size);
                    size = size.max(to);
                }
                Op::Reopen => files = files.reopened(),
            }
            prop_assert_eq!(files.size(), size);
        }
        let mut read: Vec<Block> = files
            .blocks(0, 1_000)
            .into_iter()
            .map(|entry| Block { version: entry.version.0, length: entry.length_bytes })
            .collect();
        read.resize(400, Block::default());
        prop_assert_eq!(read, model);
        let given_up: BTreeSet<_> = files.given_up().into_iter().collect();
        prop_assert_eq!(given_up, superseded);
    }
}

#[test]
fn refused_record_is_never_made() {
    let mut files = Files::new();
    let refuse = |request| MetaCommand::Refuse {
        life: life(request),
        now_ms: 9,
    };
    assert_eq!(files.run(refuse(CREATED)), Ok(MetaAnswer::Done));
    let late = files.run(MetaCommand::Create {
        request: CREATED,
        file: new_file(0),
    });
    assert_eq!(late, Err(Refusal::Gone { descriptor: FILE }));

    let mut files = Files::new();
    files.create(7);
    let answer = files.run(refuse(CREATED));
    assert!(matches!(answer, Ok(MetaAnswer::File(file)) if file.size_bytes == 7));
    assert!(files.view.record(FILE).unwrap().is_some());
}

#[test]
fn a_sealed_file_is_as_it_was_digested() {
    let digest = Digest::Blake3([1; 32]);
    let seal = |revision| MetaCommand::Seal {
        descriptor: FILE,
        revision,
        digest,
    };
    let mut files = Files::new();
    assert_eq!(files.run(seal(0)), Err(Refusal::Gone { descriptor: FILE }));
    files.create(10);
    let resize = |files: &mut Files, size_bytes| MetaCommand::Resize {
        request: files.fresh_request(),
        descriptor: FILE,
        size_bytes,
        resize: Resize::Expand,
        revision: None,
        now_ms: 2,
    };
    let first = resize(&mut files, 20);
    files.run(first.clone()).unwrap();
    // Digested before the change.
    assert_eq!(files.run(seal(0)), Err(Refusal::Changed { revision: 1 }));
    let Ok(MetaAnswer::File(sealed)) = files.run(seal(1)) else {
        panic!("not sealed");
    };
    assert!(sealed.is_shared());
    assert_eq!((sealed.digest, sealed.revision), (Some(digest), 2));
    let mut files = files.reopened();
    // Asked again, and by another one who saw it sealed; but not by one who saw it before.
    assert_eq!(files.run(seal(1)), Ok(MetaAnswer::File(sealed.clone())));
    assert_eq!(files.run(seal(2)), Ok(MetaAnswer::File(sealed.clone())));
    assert_eq!(files.run(seal(0)), Err(Refusal::Changed { revision: 2 }));
    // What was done before is answered as then; nothing more is done.
    assert_eq!(files.run(first), Ok(MetaAnswer::File(sealed)));
    let again = resize(&mut files, 30);
    let shared = Refusal::Shared { descriptor: FILE };
    assert_eq!(files.run(again), Err(shared));
}
