//! What a meta group is asked, and how it answers. One entry of its log carries many commands.

use serde::{Deserialize, Serialize};

use sdfs_types::calls::names::{BlockWritten, Resize};
use sdfs_types::{
    Attributes, BlockEntry, Digest, FileDescriptor, FileMetaData, Refusal, RequestId,
};

use crate::life::FileLife;

/// One change of a meta group's state. Times come with it: applying asks no clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Creates the record of a name; answers with the present one when it exists.
    Create {
        /// The client's request.
        request: RequestId,
        /// The record.
        file: FileMetaData,
    },
    /// Keeps a record from being created; answers with it when it exists. Proposed no longer: logs
    /// written by former builds have it.
    Refuse {
        /// Of which life.
        life: FileLife,
        /// When.
        now_ms: u64,
    },
    /// Creates the record of a file that was written before it got its name.
    Put {
        /// The client's request.
        request: RequestId,
        /// The record.
        file: FileMetaData,
        /// Its blocks from the first on.
        blocks: Vec<BlockEntry>,
    },
    /// Changes the size.
    Resize {
        /// The client's request.
        request: RequestId,
        /// Which file.
        descriptor: FileDescriptor,
        /// The new size.
        size_bytes: u64,
        /// Which way.
        resize: Resize,
        /// Only while the record has this revision.
        revision: Option<u64>,
        /// When.
        now_ms: u64,
    },
    /// Makes written blocks the file's, all or none.
    Commit {
        /// The client's request.
        request: RequestId,
        /// Which file.
        descriptor: FileDescriptor,
        /// The blocks.
        written: Vec<BlockWritten>,
        /// Grow to this size.
        size_bytes_at_least: u64,
        /// Only while the record has this revision.
        revision: Option<u64>,
        /// When.
        now_ms: u64,
    },
    /// Changes attributes.
    SetAttributes {
        /// The client's request.
        request: RequestId,
        /// Which file.
        descriptor: FileDescriptor,
        /// Set these.
        set: Attributes,
        /// Take these away.
        remove: Vec<String>,
        /// When.
        now_ms: u64,
    },
    /// Removes records; their blocks are to be freed.
    Remove {
        /// Which files.
        lives: Vec<FileLife>,
        /// When.
        now_ms: u64,
    },
    /// These blocks have been freed.
    Freed {
        /// Their places in the list.
        sequences: Vec<u64>,
    },
    /// Removes records of files the root group has given up, which needs no note of them here: a
    /// record that is made of one again is refused its name, and removed once more.
    Discard {
        /// Which files.
        lives: Vec<FileLife>,
        /// When.
        now_ms: u64,
    },
    /// From now on the file is never changed: other names may share its content.
    Seal {
        /// Which file.
        descriptor: FileDescriptor,
        /// Only when the record had this revision before it was sealed.
        revision: u64,
        /// What its content was digested to.
        digest: Digest,
    },
    /// Keeps the record of a put from being made and gives up what was written for it; answers
    /// with the record when it is made already.
    AbortPut {
        /// Which file.
        descriptor: FileDescriptor,
        /// Its blocks from the first on.
        blocks: Vec<BlockEntry>,
        /// When.
        now_ms: u64,
    },
}

/// How a meta group answers a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaAnswer {
    /// The record as it is now.
    File(FileMetaData),
    /// Done.
    Done,
}

/// What one entry of the log is answered with: an answer for each command, in order.
pub type MetaAnswers = Vec<Result<MetaAnswer, Refusal>>;
