//! What clients asked for and were answered, with the moments of both: what is judged.

use serde::Serialize;

/// Names a content. Two writes of a run store the same only where the names are to share it.
pub(super) type Value = u64;

/// What a client asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Store a value, whatever is there.
    Put(Value),
    /// Store a value where nothing may be.
    PutNew(Value),
    /// Make a file of a declared size that reads as zeros, where nothing may be.
    Create(Value),
    /// Write a value over the one that is there, in place.
    Overwrite(Value),
    /// Give a value that lies elsewhere this name, which must be free.
    RenameTo(Value),
    /// Give a value that lies elsewhere this name, whatever is there.
    RenameOver(Value),
    /// Give what is here another name.
    RenameAway,
    /// Delete.
    Delete,
    /// Read all of it.
    Get,
    /// Read a part of it.
    GetRange,
    /// Look at its size.
    Stat,
    /// Look for it in a listing of its directory.
    List,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As asked.
    Done,
    /// As asked, though nobody said so: the other name of the rename shows it.
    Shown,
    /// This value was read, or taken away.
    Saw(Value),
    /// A part was read that is zeros.
    SawZeros,
    /// It has so many bytes.
    Sized(u64),
    /// Something has the name.
    Present,
    /// Nothing has the name.
    Absent,
    /// Bytes were read that nobody has stored.
    Garbled(String),
    /// It may have been done or not.
    Unknown(String),
    /// Nothing was changed, or nothing could be read.
    Failed(String),
}

/// One operation on one name. A rename is one on each of its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Operation {
    /// Which client did it.
    pub(super) client: u32,
    /// To which name.
    pub(super) name: String,
    /// What.
    pub(super) ask: Ask,
    /// When it was asked for, microseconds since the run began.
    pub(super) begin_us: u64,
    /// When it ended.
    pub(super) end_us: u64,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl Ask {
    /// What a person calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Ask::Put(_) => "put",
            Ask::PutNew(_) => "put new",
            Ask::Create(_) => "create",
            Ask::Overwrite(_) => "overwrite",
            Ask::RenameTo(_) => "rename to",
            Ask::RenameOver(_) => "rename over",
            Ask::RenameAway => "rename away",
            Ask::Delete => "delete",
            Ask::Get => "get",
            Ask::GetRange => "range read",
            Ask::Stat => "stat",
            Ask::List => "list",
        }
    }

    /// Whether it changes something when it is done.
    pub(super) fn is_change(self) -> bool {
        !matches!(self, Ask::Get | Ask::GetRange | Ask::Stat | Ask::List)
    }

    /// The value it stores.
    pub(super) fn value(self) -> Option<Value> {
        match self {
            Ask::Put(value)
            | Ask::PutNew(value)
            | Ask::Create(value)
            | Ask::Overwrite(value)
            | Ask::RenameTo(value)
            | Ask::RenameOver(value) => Some(value),
            _ => None,
        }
    }
}

impl Outcome {
    /// Whether the cluster answered what was asked; a refusal for cause is an answer.
    pub(super) fn is_answer(&self) -> bool {
        !matches!(self, Outcome::Unknown(_) | Outcome::Failed(_))
    }

    /// Whether it may have been done without anybody saying so.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Outcome::Unknown(_))
    }

    /// What a person reads.
    pub(super) fn sentence(&self) -> String {
        match self {
            Outcome::Done => "done".to_owned(),
            Outcome::Shown => "done, as its other name shows".to_owned(),
            Outcome::Saw(value) => format!("saw value {value}"),
            Outcome::SawZeros => "saw zeros".to_owned(),
            Outcome::Sized(bytes) => format!("{bytes} bytes"),
            Outcome::Present => "something is there".to_owned(),
            Outcome::Absent => "nothing is there".to_owned(),
            Outcome::Garbled(how) => format!("read what nobody stored: {how}"),
            Outcome::Unknown(why) => format!("unknown: {why}"),
            Outcome::Failed(why) => format!("failed: {why}"),
        }
    }
}
