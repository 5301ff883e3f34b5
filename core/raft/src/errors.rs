//! Why raft operations failed.

use crate::group_store::GroupStoreError;
use crate::ids::GroupId;
use sdfs_server_group::ServerId;
use sdfs_store::StoreError;
use std::path::PathBuf;

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The deadline passed. Whether the command was or will be applied is unknown.
    #[error("no answer before the deadline; the command may have been applied")]
    Unknown,
    /// The deadline passed and the command surely was not handed to a leader.
    #[error("no leader was reached before the deadline; the command was not applied")]
    NotSent,
    /// The command is larger than one entry may be.
    #[error("the command has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many proposals are waiting here; nothing was sent.
    #[error("too many proposals are waiting")]
    Full,
    /// No such group was started here.
    #[error("group {0} is unknown here")]
    UnknownGroup(GroupId),
    /// The group has stopped at this server for good.
    #[error("the group has stopped at this server")]
    Stopped,
}

/// Why a linearizable read cannot be made now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The deadline passed before a majority confirmed the leader and this member had applied
    /// what it must.
    #[error("no majority confirmed the read before the deadline")]
    Deadline,
    /// This server holds no state of that group.
    #[error("this server is no member of group {0}")]
    NotMember(GroupId),
    /// The group has stopped at this server for good.
    #[error("the group has stopped at this server")]
    Stopped,
}

/// Why the members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// Only the leader changes members; this is it, if one is known.
    #[error("this server does not lead the group")]
    NotLeader(Option<ServerId>),
    /// Another change of members is not yet committed.
    #[error("another change of members is under way")]
    Busy,
    /// The server that is to be a member does not say who it is.
    #[error("the server does not answer")]
    NoAnswer,
    /// The last voter cannot leave.
    #[error("a group needs a voter")]
    NoVoter,
    /// The deadline passed; the change may still happen.
    #[error("the change of members did not finish before the deadline")]
    Deadline,
    /// No such group was started here.
    #[error("group {0} is unknown here")]
    UnknownGroup(GroupId),
    /// The group has stopped at this server for good.
    #[error("the group has stopped at this server")]
    Stopped,
}

/// Why the state of a group was not brought to disk when somebody asked for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing was applied yet.
    #[error("the group has no state here yet")]
    Empty,
    /// The group has stopped at this server for good.
    #[error("the group has stopped at this server")]
    Stopped,
    /// It was not done in time.
    #[error("its state was not on disk in time; it may be later")]
    Deadline,
}

/// Why raft did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log is gone although this server has been a member.
    #[error(
        "the raft log in {dir} is missing or empty, but this server has been a member of the \
         cluster: starting without it could undo what the cluster agreed on. Put the directory \
         back; if it is lost, have this server replaced, empty its space and start it \
         again"
    )]
    LogLost {
        /// Where the log should be.
        dir: PathBuf,
    },
    /// The store is gone, and the log no longer holds everything it held.
    #[error(
        "the store has group {group} only up to entry {applied}, but the raft log in {dir} begins \
         after entry {purged}. Put the store's directory back; if it is lost, have this server \
         replaced, empty its space and start it again"
    )]
    StoreLost {
        /// The group.
        group: GroupId,
        /// Last entry in the store.
        applied: u64,
        /// Last entry no longer in the log.
        purged: u64,
        /// Where the log is.
        dir: PathBuf,
    },
    /// The directory belongs to another server.
    #[error("{dir} belongs to server {owner}, not to server {me}: check `space` in config.conf")]
    OtherServer {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        owner: ServerId,
        /// Who tried to use it.
        me: ServerId,
    },
    /// Log and identity file, or log and store, are not from the same server's life.
    #[error(
        "the raft log in {dir} and the rest of this server's space do not belong together: put \
         back the directories that do"
    )]
    Mixed {
        /// Where the log is.
        dir: PathBuf,
    },
    /// Entries that were once durable cannot be read.
    #[error(
        "the raft log in {dir} is damaged ({damage}): have this server replaced, empty its space \
         and start it again"
    )]
    LogDamaged {
        /// Where the log is.
        dir: PathBuf,
        /// What is wrong.
        damage: LogDamage,
    },
    /// Another version of this program has written the log. It is whole.
    #[error("the raft log in {dir} was not written by this version ({damage}); nothing is changed")]
    LogOfOtherVersion {
        /// Where the log is.
        dir: PathBuf,
        /// Which record shows it.
        damage: LogDamage,
    },
    /// The log could not be opened.
    #[error("the raft log: {0}")]
    Log(#[from] sdfs_log::OpenError),
    /// The identity file or the first record could not be written or read.
    #[error("{path}: {source}")]
    Files {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's own notes of raft are not what this program writes.
    #[error(
        "the value of {key} in keyspace {keyspace} of the store is not understood: have this \
         server replaced, empty its space and start it again"
    )]
    StoreDamaged {
        /// The keyspace.
        keyspace: String,
        /// The key.
        key: String,
    },
    /// openraft could not begin from what log and store hold.
    #[error("group {group}: {source}")]
    Group {
        /// The group.
        group: GroupId,
        /// What openraft said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log failed while it was opened.
    #[error("the raft log in {dir} failed: {source}")]
    LogFailed {
        /// Where the log is.
        dir: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Two groups have the same number.
    #[error("group {0} is listed twice")]
    DuplicateGroup(GroupId),
    /// The timers do not fit together.
    #[error("election_ms must be at least three times heartbeat_ms, and heartbeat_ms at least 1")]
    Timers,
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl From<GroupStoreError> for StartError {
    fn from(error: GroupStoreError) -> Self {
        match error {
            GroupStoreError::Store(error) => Self::Store(error),
            GroupStoreError::Malformed { keyspace, key } => Self::StoreDamaged { keyspace, key },
        }
    }
}

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogDamage {
    /// A stretch that was durable holds no valid record.
    #[error("segment {segment} is unreadable at byte {offset}")]
    Rot {
        /// The segment.
        segment: u32,
        /// The first unreadable byte.
        offset: u32,
    },
    /// An entry between others is missing.
    #[error("group {group} lacks entry {index}")]
    Hole {
        /// The group.
        group: GroupId,
        /// The first missing entry.
        index: u64,
    },
    /// A record is of another version.
    #[error(
        "the record in segment {segment} at byte {offset} has version {found}, this version reads \
         {known}; use the one that has written it"
    )]
    Version {
        /// The segment.
        segment: u32,
        /// Where the record begins.
        offset: u32,
        /// Its version.
        found: u8,
        /// The version read here.
        known: u8,
    },
    /// A record is whole, but this program cannot understand it.
    #[error(
        "the record in segment {segment} at byte {offset} is not of the form this version reads; \
         if another version has written it, use that one"
    )]
    Unknown {
        /// The segment.
        segment: u32,
        /// Where the record begins.
        offset: u32,
    },
}

/// Why a group stopped for good while running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The groups have agreed that this server's number belongs to another life of it.
    #[error(
        "server {known_by} knows server {me} by another log than the one here: the log of this \
         server was lost or is that of one that was replaced, and voting with it could undo what \
         the cluster agreed on. Put the right directory back; if it is lost, have this server \
         replaced"
    )]
    LogLost {
        /// This server.
        me: ServerId,
        /// Who knew the earlier life.
        known_by: ServerId,
    },
    /// Log, store or state machine failed; the cause was logged.
    #[error("group {group} stopped because its log, store or state machine failed")]
    Failed {
        /// The group.
        group: GroupId,
    },
    /// A committed entry is not of a form this program reads. To go on without it would make this
    /// member's state another one than that of the others.
    #[error(
        "entry {index} of group {group} is committed but cannot be read by this version: a newer \
         server has written it. Nothing after it is applied here; upgrade this server"
    )]
    NotUnderstood {
        /// The group.
        group: GroupId,
        /// The entry.
        index: u64,
    },
    /// [`crate::RaftGroups::stop`] was called.
    #[error("raft was stopped")]
    Asked,
}
