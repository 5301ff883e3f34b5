//! What is known of a file: its meta-meta-data on every mserver, its meta-data on the main and
//! slaves of its meta group.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::block_entry::BlockPage;
use crate::grant::Grant;
use crate::ids::{BlockSize, FileDescriptor, RequestId, VolumeId};
use crate::path::Name;
use crate::user::UserName;
use crate::volume::Volume;
use sdfs_server_group::ServerId;

/// Attributes a user keeps with a file.
pub type Attributes = BTreeMap<String, String>;

/// The attribute of a file whose content other names may share: it is never changed again. Set by
/// mservers alone.
pub const SHARED_ATTRIBUTE: &str = "sdfs.shared";

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// The raft group that keeps a file's meta-data: group `i` has the `i`-th mserver as its
/// preferred leader. Group 0 is the root group and never keeps file-meta-data.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MetaGroup(pub u8);

/// Where a file's meta-data is kept, as decided when the name was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locate {
    /// The group.
    pub group: MetaGroup,
    /// Its preferred leader.
    pub main: ServerId,
    /// Its other members.
    pub slaves: Vec<ServerId>,
}

/// What every mserver knows of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMetaMetaData {
    /// Last component of the path.
    pub name: Name,
    /// The file's or directory's life.
    pub descriptor: FileDescriptor,
    /// File or directory.
    pub kind: EntryKind,
    /// The request that created it.
    pub request: RequestId,
    /// Where its file-meta-data is kept; nobody keeps any for a directory.
    pub locate: Option<Locate>,
    /// Size declared at create, bytes; the file-meta-data knows the present one.
    pub size_bytes: u64,
    /// Size of its blocks.
    pub block_size: BlockSize,
    /// Who created it.
    pub owner: UserName,
    /// When, milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// A digest of a file's whole content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Digest {
    /// BLAKE3, 256 bits.
    Blake3([u8; 32]),
}

/// What the main and slaves of a file's meta group know of it. Block entries travel apart, in
/// pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMetaData {
    /// The file's life.
    pub descriptor: FileDescriptor,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Size of its blocks.
    pub block_size: BlockSize,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When its content or size last changed, milliseconds since the Unix epoch.
    pub modified_ms: u64,
    /// Who owns it.
    pub owner: UserName,
    /// What a user keeps with it.
    pub attributes: Attributes,
    /// Digest of the content, when it was written at once and not changed since.
    pub digest: Option<Digest>,
    /// The volumes its blocks are planned for, used in turn.
    pub plan: Vec<VolumeId>,
    /// Counts the changes of this record.
    pub revision: u64,
}

impl FileMetaData {
    /// Whether other names may share the content, so that it is never changed.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.attributes.contains_key(SHARED_ATTRIBUTE)
    }
}

/// All a client needs to read or write a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// What every mserver knows.
    pub name: FileMetaMetaData,
    /// What its meta group knows.
    pub file: FileMetaData,
    /// Its first block entries; more by `GetBlocks`.
    pub blocks: BlockPage,
    /// The volumes named by `plan` and `blocks`.
    pub volumes: Vec<Volume>,
    /// The right to read or write its blocks at dservers.
    pub grant: Grant,
}
