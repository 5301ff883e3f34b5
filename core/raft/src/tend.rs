//! Looks after the groups: who should lead, who learns, what the log may give up.

use crate::errors::StopReason;
use crate::group::Group;
use crate::groups::Shared;
use crate::ids::GroupId;
use crate::limits::{RETURN_AFTER, RETURN_LAG_MAX, TEND_EVERY};
use crate::members;
use crate::messages::AskRoom;
use crate::network::ask;
use crate::status::LeaderView;
use crate::types::{Raft, Types, node_of, server_of};
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use sdfs_server_group::{Deadline, Payload, ServerId};
use std::sync::Arc;
use tokio::time::{Instant, interval};

/// Keeps the group's view of its leader up to date until the group stops.
pub(crate) async fn watch_leader(shared: Arc<Shared>, group: Arc<Group>) {
    let Some(member) = &group.member else { return };
    let mut metrics = member.raft.server_metrics();
    loop {
        let view = {
            let metrics = metrics.borrow_and_update();
            let leader = metrics.current_leader.map(server_of);
            let term = metrics.vote.leader_id.term;
            LeaderView {
                leader,
                term,
                is_me: leader == Some(group.me()),
            }
        };
        group.set_view(view);
        if metrics.changed().await.is_err() {
            shared.ending.with(StopReason::Failed { group: group.id });
            return;
        }
    }
}

/// From time to time: adds missing learners, gives leadership back, or away without room for
/// commands, notices failure.
pub(crate) async fn tend(shared: Arc<Shared>, group: Arc<Group>) {
    let Some(member) = &group.member else { return };
    let mut due = interval(TEND_EVERY);
    let mut preferred_up_since: Option<Instant> = None;
    loop {
        due.tick().await;
        let metrics = member.raft.metrics().borrow_watched().clone();
        if let Err(fatal) = &metrics.running_state {
            tracing::error!(group = %group.id, error = %fatal, "the group has stopped");
            shared.ending.with(StopReason::Failed { group: group.id });
            return;
        }
        let is_up = group
            .preferred
            .is_some_and(|preferred| group.wire.is_up(preferred));
        if !is_up || !member.raft.is_leader() {
            preferred_up_since = None;
        }
        if !member.raft.is_leader() {
            continue;
        }
        add_learners(&shared, &group, &metrics).await;
        if shared.log.is_without_room() {
            if let Some(other) = successor(&group, &metrics).await {
                tracing::info!(group = %group.id, to = %other, "leads where there is room");
                transfer(&member.raft, other).await;
            }
            continue;
        }
        let since = *preferred_up_since.get_or_insert_with(Instant::now);
        if let Some(preferred) = group.preferred
            && since.elapsed() >= RETURN_AFTER
            && may_lead(&metrics, preferred, group.me())
            && has_room(&group, preferred).await
        {
            tracing::info!(group = %group.id, to = %preferred, "leadership returns");
            preferred_up_since = None;
            transfer(&member.raft, preferred).await;
        }
    }
}

/// Who else may lead, and has room.
async fn successor(group: &Group, metrics: &RaftMetrics<Types>) -> Option<ServerId> {
    for other in group.preferred.iter().chain(&group.voters).copied() {
        let may_lead = group.wire.is_up(other) && may_lead(metrics, other, group.me());
        if may_lead && has_room(group, other).await {
            return Some(other);
        }
    }
    None
}

/// Whether another server says that it has room for commands.
async fn has_room(group: &Group, other: ServerId) -> bool {
    let deadline = Deadline::after(TEND_EVERY);
    let wire = group.wire.as_ref();
    let asked = ask(wire, other, &AskRoom {}, Payload::new(), deadline).await;
    asked.is_ok_and(|(has_room, _)| has_room)
}

/// Whether `preferred` is another voter that lacks next to nothing.
fn may_lead(metrics: &RaftMetrics<Types>, preferred: ServerId, me: ServerId) -> bool {
    let node = node_of(preferred);
    let Some(replication) = &metrics.replication else {
        return false;
    };
    let matched = replication.get(&node).and_then(|matched| matched.as_ref());
    // One whose promotion is under way would have to finish it itself.
    let is_voter = members::votes(metrics, node);
    let last = metrics.last_log_index.unwrap_or(0);
    preferred != me
        && is_voter
        && matched.is_some_and(|matched| matched.index + RETURN_LAG_MAX >= last)
}

/// Asks `to` to lead. Failure shows as the leader staying who it is, and is tried again.
pub(crate) async fn transfer(raft: &Raft, to: ServerId) {
    if let Err(error) = raft.trigger().transfer_leader(node_of(to)).await {
        tracing::debug!(%to, %error, "leadership was not handed over");
    }
}

async fn add_learners(shared: &Shared, group: &Group, metrics: &RaftMetrics<Types>) {
    let members = metrics.membership_config.membership();
    // One change of members at a time, and none before the last one is committed.
    let is_settled = metrics.membership_config == metrics.committed_membership_config;
    let missing = group.learners.iter().find(|learner| {
        let node = node_of(**learner);
        members.get_node(&node).is_none() && group.wire.is_up(**learner)
    });
    let (Some(learner), Some(member)) = (missing.filter(|_| is_settled), &group.member) else {
        return;
    };
    if let Err(error) = members::add(shared, member, *learner, false).await {
        tracing::debug!(group = %group.id, %learner, %error, "learner not added now");
    }
}

/// From time to time: looks for room, and gives up segments of the shared log.
pub(crate) async fn tend_log(shared: Arc<Shared>) {
    let mut due = interval(TEND_EVERY);
    loop {
        due.tick().await;
        shared.log.look_for_room();
        if let Err(error) = shared.log.release_segments().await {
            tracing::error!(%error, "the raft log failed");
            shared.ending.with(StopReason::Failed {
                group: GroupId::ROOT,
            });
            return;
        }
    }
}
