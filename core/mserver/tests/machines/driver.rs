//! Drives a group's state machine as raft does: entries in order, a batch committed now and then.

use bytes::Bytes;
use sdfs_mserver::root::{
    Begun, Decide, RootAnswer, RootAnswers, RootCommand, RootMachine, RootView, ToTrash, Trashed,
    Users,
};
use sdfs_raft::StateMachine;
use sdfs_store::{Keyspace, Store};
use sdfs_types::calls::trash::{TrashName, TrashRestored};
use sdfs_types::wire;
use sdfs_types::{
    Access, BlockSize, FileDescriptor, FileMetaMetaData, FilePath, Locate, MetaGroup, PathRight,
    Refusal, RequestId, ServerId,
};
use std::sync::Arc;

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

pub(crate) fn request(sequence: u64) -> RequestId {
    RequestId {
        client: 7,
        sequence,
    }
}

pub(crate) fn locate() -> Locate {
    Locate {
        group: MetaGroup(1),
        main: ServerId(1),
        slaves: vec![ServerId(2), ServerId(3)],
    }
}

pub(crate) struct Driver<M> {
    pub(crate) machine: M,
    pub(crate) keyspace: Keyspace,
    pub(crate) index: u64,
}

impl<M: StateMachine> Driver<M> {
    pub(crate) fn new(mut machine: M) -> Driver<M> {
        let keyspace = Store::memory().keyspace("state").unwrap();
        machine.open(&keyspace).unwrap();
        Driver {
            machine,
            keyspace,
            index: 0,
        }
    }

    pub(crate) fn apply(&mut self, entry: &Bytes) -> Bytes {
        self.apply_all(std::slice::from_ref(entry)).remove(0)
    }

    /// Applies entries in one batch.
    pub(crate) fn apply_all(&mut self, entries: &[Bytes]) -> Vec<Bytes> {
        self.apply_and_look(entries, || ())
    }

    /// Applies entries in one batch, and looks before that is committed.
    pub(crate) fn apply_and_look(&mut self, entries: &[Bytes], look: impl FnOnce()) -> Vec<Bytes> {
        let mut batch = self.keyspace.batch();
        let mut answers = Vec::new();
        for entry in entries {
            self.index += 1;
            answers.push(self.machine.apply(self.index, entry, &mut batch).unwrap());
        }
        look();
        batch.commit().unwrap();
        self.machine.committed(self.index);
        answers
    }

    /// Everything the keyspace holds.
    pub(crate) fn contents(&self) -> Vec<(Bytes, Bytes)> {
        self.keyspace
            .scan(&sdfs_store::KeyRange::all(), usize::MAX)
            .unwrap()
    }
}

pub(crate) struct Names {
    pub(crate) driver: Driver<RootMachine>,
    pub(crate) view: Arc<RootView>,
    next: u64,
}

pub(crate) type Answer = Result<RootAnswer, Refusal>;

impl Default for Names {
    fn default() -> Self {
        Names::new()
    }
}

impl Names {
    pub(crate) fn new() -> Names {
        let (machine, view) = RootMachine::new(Users::default());
        Names {
            driver: Driver::new(machine),
            view,
            next: 0,
        }
    }

    /// The same state in another process: opened from the keyspace.
    pub(crate) fn reopened(self) -> Names {
        let (mut machine, view) = RootMachine::new(Users::default());
        machine.open(&self.driver.keyspace).unwrap();
        Names {
            driver: Driver {
                machine,
                ..self.driver
            },
            view,
            next: self.next,
        }
    }

    pub(crate) fn fresh_request(&mut self) -> RequestId {
        self.next += 1;
        request(self.next)
    }

    pub(crate) fn run(&mut self, command: RootCommand) -> Answer {
        self.run_all(vec![command]).remove(0)
    }

    pub(crate) fn run_all(&mut self, commands: Vec<RootCommand>) -> RootAnswers {
        wire::decode(&self.driver.apply(&wire::encode(&commands))).unwrap()
    }

    pub(crate) fn decide(&mut self, at: &str) -> Decide {
        Decide {
            request: self.fresh_request(),
            path: path(at),
            owner: "ann".into(),
            size_bytes: 10,
            block_size: BlockSize::default(),
            locate: locate(),
            now_ms: 1_000,
            make_parents: false,
            replace: false,
            begun: Begun::Nothing,
        }
    }

    pub(crate) fn create(&mut self, at: &str) -> Answer {
        let decide = self.decide(at);
        self.run(RootCommand::Decide(Box::new(decide)))
    }

    pub(crate) fn mkdir(&mut self, at: &str) -> Answer {
        let request = self.fresh_request();
        self.run(RootCommand::MakeDirectory {
            request,
            path: path(at),
            parents: false,
            owner: "ann".into(),
            now_ms: 1_000,
        })
    }

    pub(crate) fn delete(&mut self, at: &str, recursive: bool) -> Answer {
        let request = self.fresh_request();
        self.run(RootCommand::Delete {
            request,
            path: path(at),
            recursive,
            now_ms: 1_000,
        })
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, replace: bool) -> Answer {
        let request = self.fresh_request();
        self.run(RootCommand::Rename {
            request,
            from: path(from),
            to: path(to),
            replace,
        })
    }

    /// Lets a user write below a path.
    pub(crate) fn allow(&mut self, name: &str, at: &str) {
        let right = PathRight {
            path: path(at),
            access: Access::Write,
        };
        self.run(RootCommand::PutUser {
            name: name.into(),
            key: Some([1; 32]),
            rights: vec![right],
        })
        .unwrap();
    }

    /// The command, with what it takes away kept until a time; at 0 it is not kept.
    pub(crate) fn keeping(command: RootCommand, until_ms: u64) -> RootCommand {
        if until_ms == 0 {
            return command;
        }
        RootCommand::Trashing {
            command: Box::new(command),
            to_trash: ToTrash {
                by: "ann".into(),
                deleted_ms: 1_000,
                until_ms,
            },
        }
    }

    /// Deletes into the trash, and sweeps what was below a directory.
    pub(crate) fn trash(&mut self, at: &str, until_ms: u64) -> Answer {
        let command = RootCommand::Delete {
            request: self.fresh_request(),
            path: path(at),
            recursive: true,
            now_ms: 1_000,
        };
        let answer = self.run(Names::keeping(command, until_ms));
        self.sweep();
        answer
    }

    pub(crate) fn sweep(&mut self) {
        while self.run(RootCommand::Sweep { entries_max: 3 })
            == Ok(RootAnswer::Swept { more: true })
        {}
    }

    pub(crate) fn restoration(
        &mut self,
        what: TrashName,
        to: Option<&str>,
        replace: bool,
    ) -> RootCommand {
        RootCommand::Restore {
            request: self.fresh_request(),
            what,
            to: to.map(path),
            replace,
            by: "ann".into(),
            now_ms: 2_000,
        }
    }

    /// Restores what was deleted last under a name.
    pub(crate) fn restore(&mut self, at: &str, to: Option<&str>) -> Answer {
        let command = self.restoration(TrashName::Path(path(at)), to, false);
        self.run(command)
    }

    pub(crate) fn expire(&mut self, now_ms: u64) {
        let files_max = 2;
        while self.run(RootCommand::ExpireTrash { now_ms, files_max })
            == Ok(RootAnswer::Swept { more: true })
        {}
    }

    /// Everything in the trash.
    pub(crate) fn trashed(&self) -> Vec<Trashed> {
        self.view
            .trash(&FilePath::root(), None, usize::MAX)
            .unwrap()
            .0
    }

    pub(crate) fn stat(&self, at: &str) -> Result<Arc<FileMetaMetaData>, Refusal> {
        let at = path(at);
        self.view
            .walk(&at)
            .unwrap()
            .found(&at)
            .map(|(_, entry)| entry)
    }

    /// Files whose meta-data is to be removed, in order of their descriptors.
    pub(crate) fn removals(&self) -> Vec<FileDescriptor> {
        let listed = self.view.removals(locate().group, None, 1_000).unwrap();
        let mut descriptors: Vec<_> = listed
            .into_iter()
            .map(|(_, life)| life.descriptor)
            .collect();
        descriptors.sort_unstable();
        descriptors
    }

    pub(crate) fn list(&self, at: &str) -> Vec<String> {
        let directory = self.stat(at).unwrap().descriptor;
        let entries = self.view.list(directory, None, usize::MAX).unwrap();
        entries.iter().map(|entry| entry.name.to_string()).collect()
    }
}

pub(crate) fn restored(answer: Answer) -> TrashRestored {
    match answer {
        Ok(RootAnswer::Restored(restored)) => restored,
        other => panic!("not restored: {other:?}"),
    }
}

pub(crate) fn name_of(answer: Answer) -> FileMetaMetaData {
    match answer {
        Ok(RootAnswer::Name(name)) => name,
        other => panic!("no name: {other:?}"),
    }
}

pub(crate) fn descriptor_of(answer: Answer) -> FileDescriptor {
    name_of(answer).descriptor
}
