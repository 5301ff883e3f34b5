//! What clients asked for and were answered, with the moments of both: what the properties judge.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sdfs_types::FileDescriptor;

use crate::repeater::Repeat;

/// Names the content of one put: no two puts of a run store the same.
pub(crate) type Value = u64;

/// What a client did to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Stored a value under a name, whatever was there.
    Put(Value),
    /// Stored a value under a name that had to be free.
    PutNew(Value),
    /// Gave a value that was stored elsewhere a name that had to be free.
    RenameTo(Value),
    /// Gave what a name stood for another one.
    RenameAway,
    /// Removed a name.
    Delete,
    /// Read a name.
    Get,
    /// Asked whether a name stands for something.
    Look,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked; with the descriptor a put was given.
    Done(Option<FileDescriptor>),
    /// A get brought this.
    Read(Value),
    /// A get brought bytes that no put has stored.
    Garbled(String),
    /// The name does not exist.
    Absent,
    /// The name exists.
    Present,
    /// Nobody knows whether it was done.
    Unknown(String),
    /// Nothing was changed.
    Failed(String),
}

/// How a block of a file is named in a history.
pub(crate) fn block_name(file: &str, block: u16) -> String {
    format!("{file}#{block}")
}

/// The file a name of a history belongs to.
pub(crate) fn file_of(name: &str) -> &str {
    name.split('#').next().unwrap_or(name)
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Which client did it.
    pub(crate) client: usize,
    /// What.
    pub(crate) what: What,
    /// To which name, or to which block of a file.
    pub(crate) name: String,
    /// When it was asked for.
    pub(crate) begin: Duration,
    /// When and how it ended first.
    pub(crate) end: Option<(Duration, Outcome)>,
    /// How often it ended.
    pub(crate) ends: u32,
    /// Calls and blocks of it that were tried again.
    pub(crate) retries: u64,
    /// By when it must have ended.
    pub(crate) due: Duration,
}

impl Operation {
    /// The value it stores, if it stores one.
    #[must_use]
    pub(crate) fn value(&self) -> Option<Value> {
        match self.what {
            What::Put(value) | What::PutNew(value) | What::RenameTo(value) => Some(value),
            What::RenameAway | What::Delete | What::Get | What::Look => None,
        }
    }

    /// Whether it was acknowledged.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.end, Some((_, Outcome::Done(_))))
    }

    /// The descriptor of a file that was made with every call and block done at the first attempt.
    #[must_use]
    pub(crate) fn clean_file(&self) -> Option<FileDescriptor> {
        match &self.end {
            Some((_, Outcome::Done(made))) if self.retries == 0 => *made,
            _ => None,
        }
    }

    /// Whether it was done, or may have been.
    #[must_use]
    pub(crate) fn may_be_done(&self) -> bool {
        self.is_done() || self.is_unknown()
    }

    /// Whether it may have been done without anybody saying so.
    #[must_use]
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.end, None | Some((_, Outcome::Unknown(_))))
    }
}

/// All operations of a run, in the order they were begun. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct History {
    operations: Rc<RefCell<Vec<Operation>>>,
    repeats: Rc<RefCell<Vec<Repeat>>>,
}

impl History {
    /// Notes that an operation begins; the number is for its end.
    pub(crate) fn begin(&self, operation: Operation) -> usize {
        let mut all = self.operations.borrow_mut();
        all.push(operation);
        all.len() - 1
    }

    /// Notes the end of an operation. The first one counts; that there were more is noted too.
    pub(crate) fn end(&self, number: usize, at: Duration, outcome: Outcome) {
        if let Some(operation) = self.operations.borrow_mut().get_mut(number) {
            operation.ends += 1;
            operation.end.get_or_insert((at, outcome));
        }
    }

    /// Notes how much of an operation was tried again.
    pub(crate) fn note_retries(&self, number: usize, retries: u64) {
        if let Some(operation) = self.operations.borrow_mut().get_mut(number) {
            operation.retries += retries;
        }
    }

    /// Names of files under which anybody may have stored something, in order.
    #[must_use]
    pub(crate) fn names(&self) -> Vec<String> {
        let all = self.operations.borrow();
        let stored = all
            .iter()
            .filter(|o| o.value().is_some() && o.may_be_done());
        let names: BTreeSet<String> = stored.map(|o| file_of(&o.name).to_owned()).collect();
        names.into_iter().collect()
    }

    /// Files of which nothing may stay once they have gone.
    #[must_use]
    pub(crate) fn clean_files(&self) -> BTreeSet<FileDescriptor> {
        let all = self.operations.borrow();
        all.iter().filter_map(Operation::clean_file).collect()
    }

    /// Notes the answers to a change that was asked for twice.
    pub(crate) fn note_repeat(&self, repeat: Repeat) {
        self.repeats.borrow_mut().push(repeat);
    }

    /// All changes that were asked for twice.
    #[must_use]
    pub(crate) fn repeats(&self) -> Vec<Repeat> {
        self.repeats.borrow().clone()
    }

    /// Everything noted so far.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Operation> {
        self.operations.borrow().clone()
    }
}
