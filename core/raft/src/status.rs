//! What the groups tell about themselves.

use crate::ids::GroupId;
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
    /// Asking the other members whether the group already exists.
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
    /// Whether it votes.
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

/// All groups at this server, and their log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RaftStatus {
    /// This server.
    pub me: ServerId,
    /// Its groups.
    pub groups: Vec<GroupStatus>,
    /// Segments of the log.
    pub log_segments: usize,
    /// Bytes waiting for the log's disk.
    pub log_queued_bytes: u64,
    /// Syncs of the log since start.
    pub log_syncs: u64,
}
