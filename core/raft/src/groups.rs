//! The handle to all groups of a process.

use crate::errors::{MemberError, ProposeError, ReadError, StartError, StopReason};
use crate::ids::GroupId;
use crate::options::RaftOptions;
use crate::status::{LeaderView, RaftStatus};
use bytes::Bytes;
use sdfs_server_group::{Deadline, IncomingCall, ServerId};
use sdfs_store::Keyspace;
use std::ops::RangeInclusive;
use tokio::sync::watch;

/// The kinds of calls that belong to [`RaftGroups::serve`]. Servers only.
pub const CALL_KINDS: RangeInclusive<u16> = 0x0100..=0x01ff;

/// All raft groups of this process. Cheap to clone; all clones are the same groups.
#[derive(Clone)]
pub struct RaftGroups {}

impl RaftGroups {
    /// Opens the log and the groups and returns at once; each group then finds its members by
    /// itself. Raft calls that arrive before this returns are to be dropped unanswered: members
    /// ask again. Must be called on a tokio runtime, where all tasks of the groups then run.
    ///
    /// # Errors
    /// See [`StartError`]: each variant says what an operator can do.
    pub async fn start(_options: RaftOptions) -> Result<Self, StartError> {
        Err(StartError::Timers)
    }

    /// Commits `command` in `group` and gives its answer once the leader has applied it.
    ///
    /// Works at any server that knows the group: elsewhere than at the leader the command is sent
    /// to it, many together. While there is no leader, or the leader changes, it is sent again
    /// until the deadline. **A command may therefore be applied more than once**: it must carry a
    /// request id (or be idempotent by itself), and its machine must answer a repetition as it
    /// answered the first.
    ///
    /// At other members than the leader the command is not necessarily applied yet when this
    /// returns: read after [`RaftGroups::read_barrier`].
    ///
    /// # Errors
    /// [`ProposeError::Unknown`] when the deadline passed and it may have been applied;
    /// every other error means it surely was not.
    pub async fn propose(
        &self,
        group: GroupId,
        _command: Bytes,
        _deadline: Deadline,
    ) -> Result<Bytes, ProposeError> {
        Err(ProposeError::UnknownGroup(group))
    }

    /// After this returns, the local state machine holds every command that had been answered
    /// anywhere before the call: a linearizable read, at any member, learners too. One round to
    /// the leader and its majority serves all callers that wait for it (ReadIndex, Ongaro 6.4).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_barrier(&self, group: GroupId, _deadline: Deadline) -> Result<(), ReadError> {
        Err(ReadError::NotMember(group))
    }

    /// The group's leader, as far as known here.
    #[must_use]
    pub fn leader(&self, _group: GroupId) -> Option<ServerId> {
        None
    }

    /// Whether this server leads the group, as far as known here.
    #[must_use]
    pub fn is_leader(&self, _group: GroupId) -> bool {
        false
    }

    /// Who leads, and every change of it from now on; `None` for an unknown group.
    #[must_use]
    pub fn watch(&self, _group: GroupId) -> Option<watch::Receiver<LeaderView>> {
        None
    }

    /// The keyspace of the group's state machine as it is now; `None` where there is no state. A
    /// snapshot from the leader replaces it: ask again for each read.
    #[must_use]
    pub fn keyspace(&self, _group: GroupId) -> Option<Keyspace> {
        None
    }

    /// All groups as they are now.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        RaftStatus {
            me: ServerId(0),
            groups: Vec::new(),
            log_segments: 0,
            log_queued_bytes: 0,
            log_syncs: 0,
        }
    }

    /// Asks `to` to lead the group from now on. Works at the leader only; whether it happened is
    /// seen through [`RaftGroups::watch`].
    ///
    /// # Errors
    /// [`MemberError::NotLeader`] elsewhere.
    pub async fn transfer_leader(&self, group: GroupId, _to: ServerId) -> Result<(), MemberError> {
        Err(MemberError::UnknownGroup(group))
    }

    /// Adds a member: as a learner first, and once it has caught up as a voter if `is_voter`.
    /// Works at the leader only; one change of members at a time.
    ///
    /// # Errors
    /// See [`MemberError`]. After [`MemberError::Deadline`] the change may still happen.
    pub async fn add_member(
        &self,
        group: GroupId,
        _server: ServerId,
        _is_voter: bool,
        _deadline: Deadline,
    ) -> Result<(), MemberError> {
        Err(MemberError::UnknownGroup(group))
    }

    /// Removes a member altogether. Works at the leader only.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn remove_member(
        &self,
        group: GroupId,
        _server: ServerId,
        _deadline: Deadline,
    ) -> Result<(), MemberError> {
        Err(MemberError::UnknownGroup(group))
    }

    /// Answers one call of [`CALL_KINDS`]. Never blocks: whatever takes time runs in its own task.
    pub fn serve(&self, _call: IncomingCall) {}

    /// Waits until a group has stopped for good. A server in that state must end: what it holds
    /// can no longer be trusted to be complete.
    pub async fn stopped(&self) -> StopReason {
        std::future::pending().await
    }

    /// Stops all groups, writes what is queued and persists the store.
    pub async fn stop(&self) {}
}
