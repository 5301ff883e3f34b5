//! What every part of the file store speaks about: identifiers, records, calls and their one
//! versioned wire form. Nothing here does I/O or decides anything about a running cluster.

pub mod anonymous;
pub mod block_entry;
pub mod calls;
pub mod clock;
pub mod file;
pub mod grant;
pub mod ids;
pub mod limits;
pub mod outlook;
pub mod path;
pub mod readable;
pub mod refusal;
pub mod server_list;
pub mod trace;
pub mod traced;
pub mod user;
pub mod volume;
pub mod wire;

pub use anonymous::Stamp;
pub use block_entry::{BlockEntry, BlockPage};
pub use file::{
    Attributes, Digest, EntryKind, FileMetaData, FileMetaMetaData, Locate, MetaGroup, OpenFile,
    SHARED_ATTRIBUTE,
};
pub use grant::{Grant, GrantKey, GrantRights, PutGiven, PutProof};
pub use ids::{
    BlockDescriptor, BlockIndex, BlockSize, BlockVersion, Epoch, FileDescriptor, FileId,
    FileVersion, RequestId, VolumeId,
};
pub use outlook::{Condition, Outlook, ROOM_BYTES_MIN, newest_map, outlook_of};
pub use path::{FASTDFS_FOLDER, FilePath, Name, PathFault};
pub use refusal::Refusal;
pub use sdfs_server_group::{Load, Role, ServerId, ServerName};
pub use server_list::{ServerList, ServerRecord, ServerState};
pub use trace::{Trace, TraceStep, TraceWhat};
pub use traced::Traced;
pub use user::{Access, CLUSTER_USER, PathRight, User, UserName};
pub use volume::{MemberState, Volume, VolumeMap, VolumeMember, VolumeStatus};
