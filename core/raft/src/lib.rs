//! Consensus: openraft groups over the server group's mesh, one shared log per process.
//!
//! Holds the groups' logs, their state machines' applied positions, snapshots between members,
//! forwarding of proposals to leaders, linearizable reads at any member, and who leads. Does not
//! hold what commands mean: that is each group's [`StateMachine`].

mod errors;
mod groups;
mod ids;
mod machine;
mod options;
mod status;

pub use errors::{MemberError, ProposeError, ReadError, StartError, StopReason};
pub use groups::{CALL_KINDS, RaftGroups};
pub use ids::GroupId;
pub use machine::StateMachine;
pub use options::{GroupSpec, RaftOptions, RaftTimers};
pub use status::{GroupState, GroupStatus, LeaderView, MemberStatus, RaftStatus};
