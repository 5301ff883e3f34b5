//! What the groups tell about themselves.

use crate::group::Group;
use crate::groups::Shared;
use crate::ids::GroupId;
use crate::members::votes;
use crate::types::{Types, server_of};
use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, RaftMetrics, ServerState};
use sdfs_server_group::ServerId;
use serde::Serialize;

/// Who leads a group, as this server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaderView {
    /// The leader, when one is known.
    pub leader: Option<ServerId>,
    /// The term it leads in, or the newest term heard of.
    pub term: u64,
    /// Whether it is this server. A leader may already have been replaced without knowing:
    /// whatever must be true goes through a proposal or a read barrier.
    pub is_me: bool,
}

/// What a server is in a group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum GroupState {
    /// Waits for all that are to vote to begin the group, or for its leader to add this server.
    Joining,
    /// Gets the log, votes never.
    Learner,
    /// Follows a leader.
    Follower,
    /// Wants to lead.
    Candidate,
    /// Leads.
    Leader,
    /// Takes no part: proposals are sent on to the members.
    Outside,
    /// Stopped for good; the reason was logged.
    Stopped,
}

/// One member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// The member.
    pub server: ServerId,
    /// Whether it votes, and no change of that is under way.
    pub is_voter: bool,
    /// Last entry it is known to hold; known at the leader only.
    pub matched_index: Option<u64>,
}

/// One group at this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// What this server is in it.
    pub state: GroupState,
    /// The newest term heard of.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<ServerId>,
    /// Who should lead.
    pub preferred: Option<ServerId>,
    /// Last entry in the log.
    pub last_index: Option<u64>,
    /// Last entry known to be committed.
    pub committed_index: Option<u64>,
    /// Last entry applied.
    pub applied_index: Option<u64>,
    /// Last entry that is only in the store, no longer in the log.
    pub purged_index: Option<u64>,
    /// Milliseconds since a majority last answered; known at the leader only.
    pub quorum_ms_ago: Option<u64>,
    /// The members.
    pub members: Vec<MemberStatus>,
}

/// What a log has taken since start, and what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LogCounts {
    /// Syncs, each for all records that waited.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Records waiting for the disk.
    pub queued_records: u64,
    /// Bytes waiting for the disk.
    pub queued_bytes: u64,
    /// Segments begun.
    pub segments_begun: u64,
    /// Free bytes of the disk at the last look.
    pub free_bytes: u64,
    /// Size of the disk, bytes.
    pub total_bytes: u64,
}

/// All groups at this server, and their log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RaftStatus {
    /// This server.
    pub me: ServerId,
    /// Its groups.
    pub groups: Vec<GroupStatus>,
    /// Segments of the log.
    pub log_segments: usize,
    /// What the log has taken since start, and what waits.
    pub log: LogCounts,
}

/// Looks at every group.
pub(crate) fn status_of(shared: &Shared) -> RaftStatus {
    let (log, log_segments) = shared.log.stats();
    RaftStatus {
        me: shared.me(),
        groups: shared
            .groups
            .values()
            .map(|group| group_status(shared, group))
            .collect(),
        log_segments,
        log: LogCounts {
            syncs: log.commits,
            records: log.records,
            record_bytes: log.record_bytes,
            queued_records: log.queued_records,
            queued_bytes: log.queued_bytes,
            segments_begun: log.segments_begun,
            free_bytes: log.free_bytes,
            total_bytes: log.total_bytes,
        },
    }
}

fn group_status(shared: &Shared, group: &Group) -> GroupStatus {
    let view = *group.view.borrow();
    let mut status = GroupStatus {
        group: group.id,
        state: GroupState::Outside,
        term: view.term,
        leader: view.leader,
        preferred: group.preferred,
        last_index: None,
        committed_index: None,
        applied_index: None,
        purged_index: None,
        quorum_ms_ago: None,
        members: Vec::new(),
    };
    let Some(member) = &group.member else {
        return status;
    };
    let is_blank = shared.log.with(group.id, |log| log.is_blank());
    let metrics = member.raft.metrics();
    let metrics = metrics.borrow_watched();
    status.state = match metrics.state {
        _ if metrics.running_state.is_err() => GroupState::Stopped,
        _ if is_blank => GroupState::Joining,
        ServerState::Learner => GroupState::Learner,
        ServerState::Follower => GroupState::Follower,
        ServerState::Candidate => GroupState::Candidate,
        ServerState::Leader => GroupState::Leader,
        ServerState::Shutdown => GroupState::Stopped,
    };
    status.term = metrics.current_term;
    status.leader = metrics.current_leader.map(server_of);
    status.last_index = metrics.last_log_index;
    status.committed_index = metrics.local_committed.map(|log_id| log_id.index);
    status.applied_index = metrics.last_applied.map(|log_id| log_id.index);
    status.purged_index = metrics.purged.map(|log_id| log_id.index);
    status.quorum_ms_ago = metrics
        .last_quorum_acked
        .as_ref()
        .map(|acked| acked.elapsed().as_millis() as u64);
    status.members = members_of(&metrics);
    status
}

fn members_of(metrics: &RaftMetrics<Types>) -> Vec<MemberStatus> {
    let members = metrics.membership_config.membership();
    let matched = |node: &u64| metrics.replication.as_ref()?.get(node)?.as_ref();
    let status = |(node, _): (&u64, _)| MemberStatus {
        server: server_of(*node),
        is_voter: votes(metrics, *node),
        matched_index: matched(node).map(|log_id| log_id.index),
    };
    members.nodes().map(status).collect()
}
