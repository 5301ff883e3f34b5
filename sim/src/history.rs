//! What clients asked for and were answered, with the moments of both: what the properties judge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sdfs_types::FileDescriptor;

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
    /// Removed a name.
    Delete,
    /// Read a name.
    Get,
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
    /// The name exists already.
    Present,
    /// Nobody knows whether it was done.
    Unknown(String),
    /// Nothing was changed.
    Failed(String),
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Which client did it.
    pub(crate) client: usize,
    /// What.
    pub(crate) what: What,
    /// To which name.
    pub(crate) name: String,
    /// When it was asked for.
    pub(crate) begin: Duration,
    /// When and how it ended.
    pub(crate) end: Option<(Duration, Outcome)>,
    /// By when it must have ended.
    pub(crate) due: Duration,
}

impl Operation {
    /// The value it stores, if it stores one.
    #[must_use]
    pub(crate) fn value(&self) -> Option<Value> {
        match self.what {
            What::Put(value) | What::PutNew(value) | What::RenameTo(value) => Some(value),
            What::Delete | What::Get => None,
        }
    }

    /// Whether it was acknowledged.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.end, Some((_, Outcome::Done(_))))
    }

    /// Whether it may have been done without anybody saying so.
    #[must_use]
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.end, None | Some((_, Outcome::Unknown(_))))
    }
}

/// All operations of a run, in the order they were begun. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct History(Rc<RefCell<Vec<Operation>>>);

impl History {
    /// Notes that an operation begins; the number is for its end.
    pub(crate) fn begin(&self, operation: Operation) -> usize {
        let mut all = self.0.borrow_mut();
        all.push(operation);
        all.len() - 1
    }

    /// Notes the end of an operation.
    pub(crate) fn end(&self, number: usize, at: Duration, outcome: Outcome) {
        if let Some(operation) = self.0.borrow_mut().get_mut(number) {
            operation.end = Some((at, outcome));
        }
    }

    /// Everything noted so far.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Operation> {
        self.0.borrow().clone()
    }
}
