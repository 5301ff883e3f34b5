//! Calls of clients to any mserver: names, directories, file-meta-data, users.

use serde::{Deserialize, Serialize};

use super::call;
use crate::block_entry::{BlockEntry, BlockPage};
use crate::file::{
    Attributes, Digest, EntryKind, FileMetaData, FileMetaMetaData, Locate, MetaGroup, OpenFile,
};
use crate::grant::{Grant, PutProof};
use crate::ids::{BlockIndex, BlockSize, BlockVersion, FileDescriptor, RequestId};
use crate::path::{FilePath, Name};
use crate::trace::Trace;
use crate::user::{PathRight, UserName};
use crate::volume::{Volume, VolumeMap};
use sdfs_server_group::ServerId;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// Sees everything acknowledged before the call, by any server.
    #[default]
    Linearizable,
    /// What the asked mserver knows; may be behind.
    Local,
}

/// What a new file is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOptions {
    /// Block size; chosen by the declared size when absent.
    pub block_size: Option<BlockSize>,
    /// Attributes kept with it.
    pub attributes: Attributes,
    /// Make missing directories on the way.
    pub make_parents: bool,
}

/// Creates a file of `size_bytes` that reads as zeros, by the nine-step negotiation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateFile {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// Its size.
    pub size_bytes: u64,
    /// What it is to be like.
    pub options: FileOptions,
    /// Whether to answer with the timeline.
    pub explain: bool,
}
call!(CreateFile => FileCreated, CreateFile, path);

/// A file was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCreated {
    /// The file, open for writing.
    pub open: OpenFile,
    /// The timeline, when asked for.
    pub trace: Option<Trace>,
}

/// Asks for a descriptor and volumes to write a whole file to, before its name exists. The vote
/// on the name runs meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginPut {
    /// The same as in the [`FinishPut`] that follows.
    pub request: RequestId,
    /// Its name to be.
    pub path: FilePath,
    /// Its size when known.
    pub size_bytes: Option<u64>,
    /// What it is to be like.
    pub options: FileOptions,
    /// Whether a file of that name is replaced.
    pub replace: bool,
    /// Whether a put of this request may have been decided before: the answer then knows of
    /// everything acknowledged before the call.
    pub may_be_repeated: bool,
}
call!(BeginPut => PutBeginning, BeginPut, path);

/// How a put begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutBeginning {
    /// With blocks to be written.
    Begun(PutBegun),
    /// The request was decided before: the file exists, and nothing needs to be written.
    Finished {
        /// What every mserver knows of it.
        name: FileMetaMetaData,
    },
}

/// Where the blocks of a file to be go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBegun {
    /// The file's future descriptor.
    pub descriptor: FileDescriptor,
    /// Size of its blocks.
    pub block_size: BlockSize,
    /// Where its file-meta-data will be.
    pub locate: Locate,
    /// The volumes to write to, used in turn.
    pub plan: Vec<Volume>,
    /// The right to write.
    pub grant: Grant,
    /// With this the right to write is renewed.
    pub proof: PutProof,
}

/// Asks for a new grant to write the blocks of a put under way, which may take longer than a
/// grant lasts. The old one may be over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewGrant {
    /// As in the [`BeginPut`] before.
    pub request: RequestId,
    /// As in the [`BeginPut`] before: the user must still have the right to write it.
    pub path: FilePath,
    /// As answered to [`BeginPut`].
    pub descriptor: FileDescriptor,
    /// As answered to [`BeginPut`].
    pub proof: PutProof,
}
call!(RenewGrant => Grant, RenewGrant, path);

/// Makes the written blocks a file: file-meta-data first, then the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishPut {
    /// The same as in the [`BeginPut`] before.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// As answered to [`BeginPut`].
    pub descriptor: FileDescriptor,
    /// As answered to [`BeginPut`].
    pub block_size: BlockSize,
    /// As answered to [`BeginPut`].
    pub locate: Locate,
    /// As answered to [`BeginPut`]: proves that the descriptor was given out.
    pub grant: Grant,
    /// Its size.
    pub size_bytes: u64,
    /// Its blocks, one entry each.
    pub blocks: Vec<BlockEntry>,
    /// Digest of the content.
    pub digest: Option<Digest>,
    /// What it is to be like.
    pub options: FileOptions,
    /// Whether a file of that name is replaced.
    pub replace: bool,
}
call!(FinishPut => PutFinished, FinishPut, path);

/// Gives up a put that was not finished: the blocks that were written for it are freed. Refused
/// with `Exists` once its record is made. Who gives a put up sends no [`FinishPut`] for it any
/// more: one that comes late is refused as long as the group remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortPut {
    /// The same as in the [`BeginPut`] before.
    pub request: RequestId,
    /// The same as in the [`BeginPut`] before.
    pub path: FilePath,
    /// As answered to [`BeginPut`].
    pub descriptor: FileDescriptor,
    /// As answered to [`BeginPut`].
    pub proof: PutProof,
    /// As answered to [`BeginPut`].
    pub locate: Locate,
    /// The blocks from the first on; holes for those that are not known to be written.
    pub blocks: Vec<BlockEntry>,
}
call!(AbortPut => (), AbortPut, path);

/// What became of a put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutFinished {
    /// The file exists, durable on a majority of mservers.
    Done {
        /// What every mserver knows of it.
        name: FileMetaMetaData,
    },
    /// The name had another life meanwhile: write the blocks again under this descriptor and
    /// finish with it.
    Redo {
        /// Where the blocks go now.
        begun: PutBegun,
    },
}

/// Asks for all a client needs to read or write a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFile {
    /// Its name.
    pub path: FilePath,
    /// Whether the grant is to allow writing.
    pub write: bool,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}
call!(GetFile => OpenFile, GetFile, path);

/// Asks for block entries of an open file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBlocks {
    /// Which file.
    pub descriptor: FileDescriptor,
    /// Where its file-meta-data is.
    pub group: MetaGroup,
    /// The right to read it.
    pub grant: Grant,
    /// First entry wanted.
    pub first: u32,
    /// How many are wanted.
    pub count: u32,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}
call!(GetBlocks => BlocksGot, GetBlocks);

/// Block entries and where the blocks are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksGot {
    /// The file-meta-data they belong to.
    pub file: FileMetaData,
    /// The entries; shorter than asked at the end of what was written.
    pub page: BlockPage,
    /// The volumes they name.
    pub volumes: Vec<Volume>,
}

/// Which way a size may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// Only to a larger size; what is added reads as zeros. A smaller size is refused.
    Expand,
    /// Only to a smaller size; what is cut off is gone. A larger size is refused.
    Truncate,
}

/// Changes a file's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeFile {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// Only while the name stands for this file: an attempt that comes late finds another one.
    pub descriptor: FileDescriptor,
    /// Its new size.
    pub size_bytes: u64,
    /// Which way.
    pub resize: Resize,
    /// Only while the file's record has this revision; otherwise refused as changed.
    pub revision: Option<u64>,
}
call!(ResizeFile => FileMetaData, ResizeFile, path);

/// One block that was written and is to become the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockWritten {
    /// Which block.
    pub block: BlockIndex,
    /// The version the writer had seen: compared before it is set.
    pub previous: BlockVersion,
    /// What it is now.
    pub entry: BlockEntry,
}

/// Makes written blocks the file's, all or none, by compare-and-set on their previous versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitBlocks {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Which file.
    pub descriptor: FileDescriptor,
    /// Where its file-meta-data is.
    pub group: MetaGroup,
    /// The right to write it.
    pub grant: Grant,
    /// The blocks.
    pub written: Vec<BlockWritten>,
    /// The file grows to this size when it is smaller.
    pub size_bytes_at_least: u64,
    /// Only while the file's record has this revision; otherwise refused as changed.
    pub revision: Option<u64>,
}
call!(CommitBlocks => FileMetaData, CommitBlocks);

/// Deletes a file, or a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteFile {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// Whether a directory may still have entries; they go with it.
    pub recursive: bool,
}
call!(DeleteFile => FileDeleted, DeleteFile, path);

/// A name is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDeleted {
    /// What it stood for.
    pub descriptor: FileDescriptor,
}

/// Gives a file or directory another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// The name it has.
    pub from: FilePath,
    /// The name it gets.
    pub to: FilePath,
    /// Whether a file of that name is replaced.
    pub replace: bool,
}
call!(Rename => FileMetaMetaData, Rename, from, to);

/// Makes a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeDirectory {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// Make missing directories on the way, and be content when it exists.
    pub parents: bool,
}
call!(MakeDirectory => FileMetaMetaData, MakeDirectory, path);

/// Asks for one page of a directory, in order of the names' bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDirectory {
    /// Which directory.
    pub path: FilePath,
    /// Begin after this name.
    pub after: Option<Name>,
    /// At most this many entries, at most `LIST_ENTRIES_MAX`.
    pub limit: u32,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}
call!(ListDirectory => DirectoryPage, ListDirectory, path);

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Name,
    /// What it stands for.
    pub descriptor: FileDescriptor,
    /// File or directory.
    pub kind: EntryKind,
    /// Its present size, bytes.
    pub size_bytes: u64,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// Entries of a directory in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryPage {
    /// The entries.
    pub entries: Vec<DirectoryEntry>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// Asks what a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The name.
    pub path: FilePath,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}
call!(Stat => FileStat, Stat, path);

/// A quota and how much of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Files allowed below the directory.
    pub files_max: Option<u64>,
    /// Declared bytes allowed below the directory.
    pub bytes_max: Option<u64>,
    /// Files there are.
    pub files_used: u64,
    /// Declared bytes there are.
    pub bytes_used: u64,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// What every mserver knows.
    pub name: FileMetaMetaData,
    /// What its meta group knows, for a file.
    pub file: Option<FileMetaData>,
    /// Its quota, for a directory that has one.
    pub quota: Option<Quota>,
}

/// Changes attributes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAttributes {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Which file.
    pub path: FilePath,
    /// As in [`ResizeFile`].
    pub descriptor: FileDescriptor,
    /// Set these.
    pub set: Attributes,
    /// Take these away.
    pub remove: Vec<String>,
}
call!(SetAttributes => FileMetaData, SetAttributes, path);

/// Sets or lifts the quota of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetQuota {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Which directory.
    pub path: FilePath,
    /// Files allowed below it; `None` lifts it.
    pub files_max: Option<u64>,
    /// Declared bytes allowed below it; `None` lifts it.
    pub bytes_max: Option<u64>,
}
call!(SetQuota => Quota, SetQuota, path);

/// Asks for the volume map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetVolumeMap {
    /// The version the caller has; the same one is answered with `None`.
    pub known_version: u64,
}
call!(GetVolumeMap => Option<VolumeMap>, GetVolumeMap);

/// Adds a user or changes one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutUser {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// The access key.
    pub name: UserName,
    /// SHA-256 of the secret; `None` keeps the present one.
    pub key: Option<[u8; 32]>,
    /// What the user may do where.
    pub rights: Vec<PathRight>,
}
call!(PutUser => (), PutUser);

impl std::fmt::Debug for PutUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PutUser")
            .field("request", &self.request)
            .field("name", &self.name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// Takes a user away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteUser {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// The access key.
    pub name: UserName,
}
call!(DeleteUser => (), DeleteUser);

/// Has every dserver read and verify all it keeps, now. For administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {}
call!(Scrub => ScrubBegun, Scrub);

/// Who reads and verifies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubBegun {
    /// Dservers that have begun.
    pub begun: Vec<ServerId>,
    /// Dservers that could not be told.
    pub unreached: Vec<ServerId>,
}

/// Asks who the users are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListUsers {}
call!(ListUsers => Vec<UserListed>, ListUsers);

/// A user without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserListed {
    /// The access key.
    pub name: UserName,
    /// What the user may do where.
    pub rights: Vec<PathRight>,
}
