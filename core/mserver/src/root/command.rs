//! What the root group is asked, and how it answers. One entry of its log carries many commands.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use sdfs_types::calls::names::Quota;
use sdfs_types::calls::trash::{TrashEmptied, TrashName, TrashRestored};
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{
    BlockSize, FileDescriptor, FileId, FileMetaMetaData, FilePath, Locate, MetaGroup, PathRight,
    Refusal, RequestId, ServerId, ServerRecord, UserName,
};

use super::contents::{ContentKey, Link};
use super::servers::ServersCommand;
use crate::volumes::{VolumeAnswer, VolumeCommand};

/// What is made of a file before its name is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// Nothing; the name gets its descriptor here.
    Nothing,
    /// Its record, perhaps, under a leased descriptor: a create whose main works meanwhile. When
    /// the name gets another one, this record is given up.
    Record(FileDescriptor),
    /// Its record with its blocks, under a leased descriptor: the end of a put. It is the one the
    /// name gets, or the put is refused and all of it given up.
    Blocks(FileDescriptor),
    /// Nothing, as something spoke against the name when it was looked at. The decision refuses it
    /// for good, or is that the create may be tried again.
    Refused,
}

impl Begun {
    /// The descriptor it is made under.
    #[must_use]
    pub fn descriptor(&self) -> Option<FileDescriptor> {
        match self {
            Begun::Nothing | Begun::Refused => None,
            Begun::Record(descriptor) | Begun::Blocks(descriptor) => Some(*descriptor),
        }
    }
}

/// Decides a name: a create, or the end of a put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// The client's request.
    pub request: RequestId,
    /// The name.
    pub path: FilePath,
    /// Who owns it.
    pub owner: UserName,
    /// The declared size.
    pub size_bytes: u64,
    /// The size of its blocks.
    pub block_size: BlockSize,
    /// Where its file-meta-data is.
    pub locate: Locate,
    /// When, by the coordinator's clock.
    pub now_ms: u64,
    /// Make missing directories on the way.
    pub make_parents: bool,
    /// Whether a file of that name is replaced.
    pub replace: bool,
    /// What there is of the file already.
    pub begun: Begun,
}

/// How long what a command takes away stays in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToTrash {
    /// Who takes it away.
    pub by: UserName,
    /// When, milliseconds since the Unix epoch.
    pub deleted_ms: u64,
    /// Until when it stays, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// One change of the root group's state. Times come with it: applying asks no clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootCommand {
    /// Decides a name.
    Decide(Box<Decide>),
    /// Takes a name back whose create found no dservers; its request may try again. Proposed no
    /// longer: logs written by former builds have it.
    Withdraw {
        /// The create's request.
        request: RequestId,
        /// The name.
        path: FilePath,
        /// What was decided.
        descriptor: FileDescriptor,
        /// When.
        now_ms: u64,
    },
    /// Makes a directory.
    MakeDirectory {
        /// The client's request.
        request: RequestId,
        /// The name.
        path: FilePath,
        /// Make missing ones on the way, and be content when it exists.
        parents: bool,
        /// Who owns it.
        owner: UserName,
        /// When.
        now_ms: u64,
    },
    /// Takes a name away.
    Delete {
        /// The client's request.
        request: RequestId,
        /// The name.
        path: FilePath,
        /// Whether a directory may have entries.
        recursive: bool,
        /// When.
        now_ms: u64,
    },
    /// Gives a file or directory another name.
    Rename {
        /// The client's request.
        request: RequestId,
        /// The name it has.
        from: FilePath,
        /// The name it gets.
        to: FilePath,
        /// Whether a file of that name is replaced.
        replace: bool,
    },
    /// Changes the declared size of a file, as quotas count it.
    Redeclare {
        /// The name.
        path: FilePath,
        /// The file it must still stand for.
        descriptor: FileDescriptor,
        /// The new size.
        size_bytes: u64,
    },
    /// Sets or lifts a quota.
    SetQuota {
        /// The directory.
        path: FilePath,
        /// Files allowed below it.
        files_max: Option<u64>,
        /// Declared bytes allowed below it.
        bytes_max: Option<u64>,
    },
    /// Adds or changes a user.
    PutUser {
        /// The access key.
        name: UserName,
        /// SHA-256 of the secret; `None` keeps the present one.
        key: Option<[u8; 32]>,
        /// What the user may do where.
        rights: Vec<PathRight>,
    },
    /// Takes a user away.
    DeleteUser {
        /// The client's request.
        request: RequestId,
        /// The access key.
        name: UserName,
    },
    /// Adds the first administrator; does nothing when there is any user.
    FoundAdmin {
        /// The access key.
        name: UserName,
        /// SHA-256 of the secret.
        key: [u8; 32],
    },
    /// Leases a range of file ids to a coordinator. A lost answer only wastes ids.
    LeaseFileIds {
        /// How many.
        count: u32,
    },
    /// The meta-data of these files is gone from their meta group.
    Removed {
        /// The meta group.
        group: MetaGroup,
        /// Their places in the list.
        sequences: Vec<u64>,
    },
    /// Removes some entries of directories that have no name any more.
    Sweep {
        /// How many at most.
        entries_max: u32,
    },
    /// Changes the volume map.
    Volume(VolumeCommand),
    /// A command whose deleted or replaced files go to the trash.
    Trashing {
        /// The command: a deletion, a renaming or a decision.
        command: Box<RootCommand>,
        /// Until when.
        to_trash: ToTrash,
    },
    /// Gives a file of the trash a name again.
    Restore {
        /// The client's request.
        request: RequestId,
        /// Which file.
        what: TrashName,
        /// The name it gets; else the one it had.
        to: Option<FilePath>,
        /// Whether a file of that name is replaced.
        replace: bool,
        /// Who wants it.
        by: UserName,
        /// When.
        now_ms: u64,
    },
    /// Takes files of the trash away for good, some at a time.
    EmptyTrash {
        /// The client's request.
        request: RequestId,
        /// What had this name or lay below it.
        path: FilePath,
        /// From after this path on.
        after: Option<FilePath>,
        /// What was deleted later stays.
        before_ms: u64,
        /// Who wants it.
        by: UserName,
        /// How many paths at most.
        paths_max: u32,
    },
    /// Takes files of the trash away for good whose time is over, some at a time.
    ExpireTrash {
        /// When.
        now_ms: u64,
        /// How many at most.
        files_max: u32,
    },
    /// Changes the list of servers.
    Servers(ServersCommand),
    /// These files never get a name any more. What has one, or had, keeps it.
    GiveUp {
        /// Which files.
        files: Vec<FileDescriptor>,
    },
    /// Leases stamps of anonymous files to a dserver. A lost answer only wastes them.
    LeaseStamps {
        /// To whom.
        server: ServerId,
        /// From which second on, since the Unix epoch.
        wanted_s: u32,
    },
    /// Makes a file's content one that names share.
    Share {
        /// Its name.
        path: FilePath,
        /// The file it must still stand for.
        descriptor: FileDescriptor,
        /// The content.
        key: ContentKey,
        /// Its size, bytes.
        size_bytes: u64,
    },
    /// Gives a name to a content.
    Link(Box<Link>),
}

/// How the root group answers a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootAnswer {
    /// What the name stands for now.
    Name(FileMetaMetaData),
    /// What the name stood for.
    Deleted {
        /// The descriptor.
        descriptor: FileDescriptor,
    },
    /// The quota as it is now.
    Quota(Quota),
    /// Ids from `first` on.
    Leased {
        /// The first.
        first: FileId,
        /// How many.
        count: u32,
    },
    /// Some entries were swept.
    Swept {
        /// Whether there is more to do.
        more: bool,
    },
    /// The volume map's answer.
    Volume(VolumeAnswer),
    /// Done.
    Done,
    /// What a file of the trash stands under now.
    Restored(TrashRestored),
    /// What was taken away for good.
    Emptied(TrashEmptied),
    /// A server as the list has it now.
    Server(ServerRecord),
    /// Stamps of these seconds.
    StampsLeased {
        /// The first second.
        from_s: u32,
        /// The second after the last.
        until_s: u32,
    },
}

/// What one entry of the log is answered with: an answer for each command, in order.
pub type RootAnswers = Vec<Result<RootAnswer, Refusal>>;

/// One command as an entry of its own.
pub fn encode_one(command: RootCommand) -> Bytes {
    wire::encode(&vec![command])
}

/// A volume command as an entry of its own.
pub fn encode_volume(command: VolumeCommand) -> Bytes {
    encode_one(RootCommand::Volume(command))
}

/// The answer to [`encode_volume`].
///
/// # Errors
/// When the bytes are no answer; an answer to something else reads as stale.
pub fn decode_volume(answer: &[u8]) -> Result<VolumeAnswer, WireFault> {
    let answers: RootAnswers = wire::decode(answer)?;
    Ok(match answers.into_iter().next() {
        Some(Ok(RootAnswer::Volume(answer))) => answer,
        _ => VolumeAnswer::Stale,
    })
}
