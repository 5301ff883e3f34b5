//! Consensus: openraft groups over the server group's mesh, one shared log per process.
//!
//! Holds the groups' logs, their state machines' applied positions, snapshots between members,
//! forwarding of proposals to leaders, linearizable reads at any member, and who leads. Does not
//! hold what commands mean: that is each group's [`StateMachine`].

mod answer;
mod applier;
mod barrier;
mod ending;
mod entry_code;
mod errors;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod group_log;
mod group_store;
mod groups;
mod identity;
mod ids;
mod join;
mod limits;
mod log_storage;
mod machine;
mod members;
mod messages;
mod network;
mod options;
mod owner;
mod raft_log;
mod record;
mod recovery;
mod room;
mod runtime;
mod segments;
mod snapshot;
mod start;
mod status;
mod tend;
mod types;
mod wire;

#[cfg(test)]
mod tests;

pub use errors::{
    LogDamage, MemberError, ProposeError, ReadError, SnapshotError, StartError, StopReason,
};
pub use groups::RaftGroups;
pub use ids::GroupId;
pub use machine::{ApplyError, StateMachine};
pub use messages::CALL_KINDS;
pub use options::{GroupSpec, LogKept, RaftOptions, RaftTimers};
pub use status::{GroupState, GroupStatus, LeaderView, LogCounts, MemberStatus, RaftStatus};
