//! Looking behind the names: what is recorded of files and what is kept on dservers, page by page,
//! so that all of it can be compared; and taking away what is nobody's. For administrators.

use serde::{Deserialize, Serialize};

use super::blocks::BlockKept;
use super::call;
use crate::block_entry::BlockEntry;
use crate::file::{FileMetaMetaData, MetaGroup};
use crate::ids::{BlockDescriptor, BlockIndex, FileDescriptor, RequestId, VolumeId};
use crate::path::FilePath;
use sdfs_server_group::ServerId;

/// Asks for one page, or to take away what is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// What.
    pub ask: InspectAsk,
}
call!(Inspect => InspectAnswer, Inspect);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InspectAsk {
    /// Files that have a record in a meta group, in order.
    Records {
        /// Which group.
        group: MetaGroup,
        /// Begin after this file.
        after: Option<FileDescriptor>,
        /// At most this many.
        limit: u32,
    },
    /// For each file whether it has a name, is in the trash, or is about to be removed.
    Named {
        /// Which files.
        files: Vec<FileDescriptor>,
    },
    /// For each file whether any meta group has a record of it.
    Recorded {
        /// Which files.
        files: Vec<FileDescriptor>,
    },
    /// Blocks a dserver keeps of a volume, in order.
    Copies {
        /// Which dserver.
        server: ServerId,
        /// What of it.
        list: ListCopies,
    },
    /// Blocks that are no file's: those that indeed are not are freed, and no file that has them
    /// can come to be any more.
    FreeOrphans {
        /// Their volume.
        volume: VolumeId,
        /// The blocks.
        blocks: Vec<BlockDescriptor>,
    },
    /// Records of files without a name: those that indeed have none are removed.
    RemoveRecords {
        /// Their group.
        group: MetaGroup,
        /// The files, each with the request that made its record.
        files: Vec<(FileDescriptor, RequestId)>,
    },
    /// What a path stands for. Nothing is made by looking, also no record of a name without one.
    Entry {
        /// The path.
        path: FilePath,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InspectAnswer {
    /// A page of records.
    Records(RecordPage),
    /// A flag for each file asked about.
    Flags(Vec<bool>),
    /// A page of blocks.
    Copies(CopiesPage),
    /// How many were taken away.
    Done(u64),
    /// What the path stands for, when it does.
    Entry(Option<FileMetaMetaData>),
}

/// Files that have a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPage {
    /// The files.
    pub files: Vec<RecordListed>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// A record, as far as it says where bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordListed {
    /// The file.
    pub file: FileDescriptor,
    /// The request that made the record.
    pub request: RequestId,
    /// When, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Blocks that were ever written, holes with them: a cut-off block keeps its version.
    pub blocks: Vec<(BlockIndex, BlockEntry)>,
}

/// Asks a dserver for one page of what it keeps of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCopies {
    /// The volume.
    pub volume: VolumeId,
    /// Begin after this block.
    pub after: Option<BlockDescriptor>,
    /// At most this many.
    pub limit: u32,
    /// Blocks written longer ago are told apart, seconds; those from before the server was
    /// started are only as old as that.
    pub old_s: u64,
}
call!(ListCopies => CopiesPage, ListCopies);

/// Blocks a dserver keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesPage {
    /// The blocks, each with whether it is surely older than asked.
    pub blocks: Vec<(BlockKept, bool)>,
    /// Whether there are more after the last.
    pub more: bool,
}

impl RecordListed {
    /// Whether the file has left this version of a block behind for good, as
    /// [`BlockEntry::has_replaced`]; of a block it has not come to it has not.
    #[must_use]
    pub fn has_replaced(&self, block: &BlockDescriptor, volume: VolumeId) -> bool {
        let entry = self.blocks.iter().find(|(index, _)| *index == block.block);
        entry.is_some_and(|(_, entry)| entry.has_replaced(block.version, volume))
    }
}
