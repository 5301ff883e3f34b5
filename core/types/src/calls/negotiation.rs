//! Calls between mservers (the negotiation of a name, forwarding to a main) and reports of
//! dservers to them.

use serde::{Deserialize, Serialize};

use super::call;
use super::inspect::RecordPage;
use crate::block_entry::BlockPage;
use crate::file::{Attributes, FileMetaData, FileMetaMetaData, MetaGroup};
use crate::ids::{BlockDescriptor, Epoch, FileDescriptor, RequestId, VolumeId};
use crate::path::FilePath;
use crate::refusal::Refusal;
use crate::trace::Trace;
use crate::traced::Traced;
use crate::user::UserName;
use crate::volume::Volume;
use sdfs_server_group::ServerId;

/// Orders coordinators that want one name at the same time: the lower one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Grows with each round of one coordinator that backed off.
    pub round: u32,
    /// The coordinator.
    pub coordinator: ServerId,
    /// Counts the creates of that coordinator.
    pub sequence: u64,
}

/// Asks one mserver whether a name may be created, and reserves it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanCreateAsk {
    /// The name.
    pub path: FilePath,
    /// Who wants it.
    pub owner: UserName,
    /// The declared size.
    pub size_bytes: u64,
    /// The client's request.
    pub request: RequestId,
    /// Whether a file of that name is replaced.
    pub replace: bool,
    /// Whose turn it is.
    pub ballot: Ballot,
}

/// Asks about many names at once: what gathered while the last batch was on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanCreate {
    /// The names.
    pub asks: Vec<Traced<CanCreateAsk>>,
}
call!(CanCreate => Vec<Vote>, CanCreate);

/// One mserver's answer about one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote {
    /// The name is reserved here for the asking ballot, with a lease.
    Can {
        /// Creates under way here.
        load: u32,
        /// Bytes free for metadata here.
        free_bytes: u64,
    },
    /// Final: the name cannot be created.
    Cannot {
        /// Why.
        refusal: Refusal,
    },
    /// A lower ballot holds the reservation; back off and try again.
    Outranked {
        /// The ballot that holds it.
        by: Ballot,
    },
}

/// Gives reservations back before their lease ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The names and the ballots that reserved them.
    pub reservations: Vec<(FilePath, Ballot)>,
}
call!(Release => (), Release);

/// Tells the main to create file-meta-data for decided names and to find dservers for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateMetaData {
    /// The decided names.
    pub files: Vec<Traced<MetaDataWanted>>,
}
call!(CreateMetaData => Vec<Result<MetaDataCreated, Refusal>>, CreateMetaData);

/// A decided name that needs its file-meta-data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaDataWanted {
    /// What was decided.
    pub name: FileMetaMetaData,
    /// What the user keeps with it.
    pub attributes: Attributes,
    /// Volumes whose dservers have accepted the file already; none: the main has some accept.
    pub plan: Vec<VolumeId>,
}

/// File-meta-data was created and its dservers have accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaDataCreated {
    /// The record.
    pub file: FileMetaData,
    /// The volumes planned.
    pub volumes: Vec<Volume>,
    /// The steps at the main, times counted from its start there.
    pub trace: Trace,
}

/// Passes a call about file-meta-data on to a member of its meta group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtMain {
    /// Which group.
    pub group: MetaGroup,
    /// What to do.
    pub ask: MainAsk,
}
call!(AtMain => MainAnswer, AtMain);

/// What is asked of a member of a meta group. Rights were checked by the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MainAsk {
    /// Read the record and a run of block entries.
    Get {
        /// What every mserver knows of it; the record is made from it when it is missing.
        name: Option<FileMetaMetaData>,
        /// Which file.
        descriptor: FileDescriptor,
        /// First block entry wanted.
        first: u32,
        /// How many are wanted.
        count: u32,
        /// Whether everything acknowledged must be seen.
        linearizable: bool,
    },
    /// The present sizes of files, for a listing; `None` where the record is missing.
    Sizes {
        /// Which files.
        descriptors: Vec<FileDescriptor>,
    },
    /// Records in order, where their bytes are.
    Records {
        /// Begin after this file.
        after: Option<FileDescriptor>,
        /// At most this many.
        limit: u32,
    },
    /// The records of these files, where there are any.
    RecordsOf {
        /// Which files.
        files: Vec<FileDescriptor>,
    },
    /// For each block whether a record here has it, or may come to have it.
    AreNeeded(AreNeeded),
}

/// What a member of a meta group answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MainAnswer {
    /// The record and the block entries asked for.
    File {
        /// The record.
        file: FileMetaData,
        /// The entries.
        page: BlockPage,
    },
    /// Sizes in the order asked.
    Sizes {
        /// Bytes each.
        sizes_bytes: Vec<Option<u64>>,
    },
    /// Records.
    Records {
        /// The page.
        page: RecordPage,
    },
    /// A flag for each block asked about.
    Flags(Vec<bool>),
}

/// What a server saw go wrong with a member of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It did not answer a copy in time.
    Silent,
    /// Its disk failed.
    DiskFailed,
    /// Its space came up empty although it had kept this volume.
    SpaceLost,
    /// It has no room left.
    Full,
}

/// Tells the root leader of a member in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTrouble {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch it was seen in.
    pub epoch: Epoch,
    /// The member.
    pub member: ServerId,
    /// What was seen.
    pub trouble: Trouble,
}
call!(ReportTrouble => (), ReportTrouble);

/// Tells the root leader that a syncing member has verified copies of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSync {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch it was synced in.
    pub epoch: Epoch,
    /// The member.
    pub member: ServerId,
    /// Blocks copied.
    pub copied: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Blocks found present and right.
    pub present: u64,
}
call!(ReportSync => (), ReportSync);

/// Asks whether the asking dserver may give back what it keeps of a volume: it is no member, and
/// the members are all in sync and as many as there are to be. Answered from the map as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayForget {
    /// The volume.
    pub volume: VolumeId,
}
call!(MayForget => bool, MayForget);

/// Asks for each block whether a file may still need it, from its record as it is: no for a file
/// without a record, for a version that a newer one has replaced or that was cut off, and for one
/// that the file has in another volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreNeeded {
    /// Their volume.
    pub volume: VolumeId,
    /// The blocks, of named files, at most [`AreNeeded::BLOCKS_MAX`].
    pub blocks: Vec<BlockDescriptor>,
}
call!(AreNeeded => Vec<bool>, AreNeeded);

impl AreNeeded {
    /// Blocks of one call.
    pub const BLOCKS_MAX: usize = 1_024;
}

/// Asks a mserver what it remembers of how a name came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTimeline {
    /// The request that made the name.
    pub request: RequestId,
}
call!(GetTimeline => Vec<TimelinePart>, GetTimeline);

/// What one mserver did for a name in one go: a put has a beginning and an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelinePart {
    /// When it began, milliseconds since the Unix epoch by the clock of that mserver.
    pub began_ms: u64,
    /// The steps.
    pub trace: Trace,
}
