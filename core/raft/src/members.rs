//! Changes of a group's members, at its leader.

use crate::errors::MemberError;
use crate::group::Member;
use crate::groups::Shared;
use crate::identity::Identity;
use crate::join::introduce_to;
use crate::limits::PROMOTE_LAG_MAX;
use crate::messages::Introduced;
use crate::types::{Raft, Types, node_of, server_of};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, RaftMetrics};
use sdfs_server_group::ServerId;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// How often a learner's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Adds `server` as a learner if it is no member, waits until it has nearly caught up, and makes
/// it a voter if asked.
pub(crate) async fn add(
    shared: &Shared,
    member: &Member,
    server: ServerId,
    is_voter: bool,
) -> Result<(), MemberError> {
    let (raft, node) = (&member.raft, node_of(server));
    let metrics = raft.metrics().borrow_watched().clone();
    let members = metrics.membership_config.membership();
    if members.get_node(&node).is_none() {
        let identity = identity_of(shared, member, server).await?;
        let added = raft.add_learner(node, identity, false).await;
        added.map_err(cause_of)?;
    }
    if !is_voter || votes(&metrics, node) {
        return Ok(());
    }
    while !has_caught_up(raft, node)? {
        sleep(LOOK_EVERY).await;
    }
    let voters = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
    raft.change_membership(voters, false)
        .await
        .map(|_| ())
        .map_err(cause_of)
}

/// Who a server is that is to become a member of this group: it is asked for its life.
async fn identity_of(
    shared: &Shared,
    member: &Member,
    server: ServerId,
) -> Result<Identity, MemberError> {
    let birth = *member.birth.get().ok_or(MemberError::NotLeader(None))?;
    match introduce_to(shared, server).await {
        Ok(Introduced::Here { life, .. }) => Ok(Identity { birth, life }),
        Ok(Introduced::OtherLife) => Err(MemberError::NotLeader(None)),
        Err(error) => {
            tracing::debug!(%server, %error, "it does not say who it is");
            Err(MemberError::NoAnswer)
        }
    }
}

/// Whether a member votes for good: a change of voters takes two steps, and between them there are
/// two configurations, of which a leader that is lost may leave the group in.
pub(crate) fn votes(metrics: &RaftMetrics<Types>, node: u64) -> bool {
    let all = [
        &metrics.membership_config,
        &metrics.committed_membership_config,
    ];
    let mut configs = all
        .into_iter()
        .flat_map(|members| members.get_joint_config());
    configs.all(|voters| voters.contains(&node))
}

/// Whether `server` is among the members that are committed, or those that are to be.
pub(crate) fn names(metrics: &RaftMetrics<Types>, server: ServerId) -> bool {
    let node = node_of(server);
    let all = [
        &metrics.membership_config,
        &metrics.committed_membership_config,
    ];
    all.iter()
        .any(|members| members.membership().get_node(&node).is_some())
}

fn has_caught_up(raft: &Raft, node: u64) -> Result<bool, MemberError> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let Some(replication) = &metrics.replication else {
        return Err(MemberError::NotLeader(
            metrics.current_leader.map(server_of),
        ));
    };
    let matched = replication.get(&node).and_then(|matched| matched.as_ref());
    let last = metrics.last_log_index.unwrap_or(0);
    Ok(matched.is_some_and(|matched| matched.index + PROMOTE_LAG_MAX >= last))
}

/// Removes `server`, voter or learner.
pub(crate) async fn remove(raft: &Raft, server: ServerId) -> Result<(), MemberError> {
    let node = node_of(server);
    let members = raft.metrics().borrow_watched().membership_config.clone();
    if members.membership().get_node(&node).is_none() {
        return Ok(());
    }
    let one = BTreeSet::from([node]);
    let is_voter = members.voter_ids().any(|voter| voter == node);
    let change = if is_voter {
        ChangeMembers::RemoveVoters(one)
    } else {
        ChangeMembers::RemoveNodes(one)
    };
    raft.change_membership(change, false)
        .await
        .map(|_| ())
        .map_err(cause_of)
}

fn cause_of(error: RaftError<Types, ClientWriteError<Types>>) -> MemberError {
    match error {
        RaftError::Fatal(_) => MemberError::Stopped,
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward))
        | RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward)) => {
            MemberError::NotLeader(forward.leader_id.map(server_of))
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(change)) => match change {
            ChangeMembershipError::EmptyMembership(_) => MemberError::NoVoter,
            _ => MemberError::Busy,
        },
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => MemberError::Busy,
    }
}
