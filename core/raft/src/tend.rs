//! Looks after the groups: who has joined, who should lead, what the log may give up.

use crate::errors::StopReason;
use crate::group::{Group, Member};
use crate::groups::Shared;
use crate::ids::GroupId;
use crate::limits::{
    ANNOUNCE_EVERY, REGISTER_EVERY, REGISTER_WAIT, RETURN_AFTER, RETURN_LAG_MAX, TEND_EVERY,
};
use crate::lives;
use crate::messages::{Register, Registered};
use crate::network::{self, AskError};
use crate::status::LeaderView;
use crate::types::{Raft, Types, node_of, server_of};
use futures::future::join_all;
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use sdfs_server_group::{Deadline, Payload, ServerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::{Instant, interval, sleep};

/// Which servers answered that they know this life, and which groups each of them has.
#[derive(Default)]
struct Answers {
    known_by: BTreeSet<ServerId>,
    existing: BTreeSet<(ServerId, GroupId)>,
    /// Who knew this life before it had the group: what came to be there came with this life.
    earlier: BTreeSet<(ServerId, GroupId)>,
}

impl Answers {
    /// Adds what was answered before.
    fn after(&mut self, shared: &Shared, before: &Answers) {
        let groups = shared.groups.keys();
        let all = groups.flat_map(|group| self.known_by.iter().map(|server| (*server, *group)));
        let blank: Vec<_> = all.filter(|one| !self.existing.contains(one)).collect();
        self.earlier.extend(blank);
        self.earlier.extend(&before.earlier);
    }

    /// Whether a new life of this server is known well enough in a group. A majority, this server
    /// included, is enough to begin the group. Where one exists that this life was not there to
    /// begin, a former life may have voted, and two majorities may share no server but this very
    /// one: there every other server must know the new life, and this server theirs.
    fn is_enough(&self, shared: &Shared, group: &Group) -> bool {
        let votes = group.member.is_some() && group.voters.contains(&group.me());
        let older = |one: &&(ServerId, GroupId)| one.1 == group.id && !self.earlier.contains(*one);
        if !votes || !self.existing.iter().any(|one| older(&one)) {
            return self.has_majority(group, |_| true);
        }
        let mut others = shared.standing.others().iter();
        others.all(|other| self.known_by.contains(other) && knows(shared, *other))
    }

    /// Whether a majority of the group's voters, this server included, has answered and is good.
    fn has_majority(&self, group: &Group, is_good: impl Fn(ServerId) -> bool) -> bool {
        let counts = |server: &&ServerId| self.known_by.contains(*server) && is_good(**server);
        group.voters.iter().filter(counts).count() * 2 > group.voters.len()
    }

    fn has(&self, group: GroupId) -> bool {
        self.existing.iter().any(|(_, existing)| *existing == group)
    }
}

/// Whether this server knows the life of another one, or it is the other one.
fn knows(shared: &Shared, server: ServerId) -> bool {
    let life = lives::known(&shared.stores, server);
    server == shared.me() || life.is_ok_and(|life| life.is_some())
}

/// Makes this server known to the others, then begins the groups nobody has begun.
pub(crate) async fn join(shared: Arc<Shared>) {
    let started = Instant::now();
    let mut before = Answers::default();
    loop {
        let begun = !shared
            .groups
            .values()
            .any(|group| needs_beginning(&shared, group));
        if shared.is_registered() && begun {
            return;
        }
        let Some(mut answers) = ask(&shared, shared.standing.others()).await else {
            return;
        };
        answers.after(&shared, &before);
        let mut groups = shared.groups.values();
        let is_known = groups.all(|group| answers.is_enough(&shared, group));
        if is_known && !shared.is_registered() && !note_registered(&shared) {
            return;
        }
        if shared.is_registered() {
            for group in shared.groups.values() {
                begin(&shared, group, &answers, started).await;
            }
        }
        before = answers;
        sleep(REGISTER_EVERY).await;
    }
}

/// Whether it could be noted; otherwise raft has stopped.
fn note_registered(shared: &Shared) -> bool {
    let noted = shared.set_registered();
    if let Err(error) = &noted {
        tracing::error!(%error, "the owner file could not be written");
        let group = GroupId::ROOT;
        shared.ending.with(StopReason::Failed { group });
    }
    noted.is_ok()
}

/// Whether this server may have to begin the group: it is a voter of it, and its log is blank.
fn needs_beginning(shared: &Shared, group: &Group) -> bool {
    group.member.is_some()
        && group.voters.contains(&group.me())
        && shared.log.with(group.id, |log| log.is_blank())
}

/// Tells this server's life to the others whenever a link with them comes up: until one of them
/// has confirmed it this server takes no part, and one that was replaced has forgotten it.
pub(crate) async fn announce(shared: Arc<Shared>) {
    let mut due = interval(ANNOUNCE_EVERY);
    loop {
        due.tick().await;
        let untold = shared.standing.untold();
        // Before it is registered, `join` asks.
        if untold.is_empty() || !shared.is_registered() {
            continue;
        }
        if ask(&shared, &untold).await.is_none() {
            return;
        }
    }
}

/// Tells servers this one's life. `None` when this server's log is known to be lost.
async fn ask(shared: &Shared, servers: &BTreeSet<ServerId>) -> Option<Answers> {
    let me = shared.me();
    let asked = servers
        .iter()
        .map(|server| async move { (*server, tell(shared, *server).await) });
    let mut answers = Answers::default();
    answers.known_by.insert(me);
    for (server, told) in join_all(asked).await {
        match told {
            Ok(Registered::Known { existing }) => {
                answers.known_by.insert(server);
                answers
                    .existing
                    .extend(existing.into_iter().map(|group| (server, group)));
            }
            Ok(Registered::OtherLife) => {
                shared.ending.with(StopReason::LogLost {
                    me,
                    known_by: server,
                });
                return None;
            }
            Err(error) => tracing::debug!(%server, %error, "no answer to who I am"),
        }
    }
    Some(answers)
}

/// Tells one server this one's life; what it confirms counts at once.
async fn tell(shared: &Shared, server: ServerId) -> Result<Registered, AskError> {
    let link = shared.wire.link(server);
    let call = Register {
        server: shared.me(),
        life: shared.life(),
    };
    let deadline = Deadline::after(REGISTER_WAIT);
    let wire = shared.wire.as_ref();
    let (told, _) = network::ask(wire, server, &call, Payload::new(), deadline).await?;
    // An answer over another link than the one it is noted for leaves that one unconfirmed.
    if let (Registered::Known { .. }, Some(link)) = (&told, link) {
        shared.standing.confirm(server, link);
    }
    Ok(told)
}

/// Begins a group once a majority of its voters said that nobody has. The preferred leader goes
/// first, so that the group does not begin by electing somebody else.
async fn begin(shared: &Shared, group: &Group, answers: &Answers, started: Instant) {
    let Some(member) = &group.member else { return };
    // Those it is begun with must have told their lives before: see `Answers::is_enough`.
    let may_begin = needs_beginning(shared, group)
        && answers.has_majority(group, |server| knows(shared, server))
        && !answers.has(group.id);
    let is_first = group
        .preferred
        .is_none_or(|preferred| preferred == group.me());
    if !may_begin || (!is_first && started.elapsed() < RETURN_AFTER) {
        return;
    }
    let voters: BTreeMap<u64, ()> = group
        .voters
        .iter()
        .map(|voter| (node_of(*voter), ()))
        .collect();
    if let Err(error) = member.raft.initialize(voters).await {
        // Somebody else began it in between: then it will be heard of.
        tracing::debug!(group = %group.id, %error, "not begun here");
    }
}

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

/// From time to time: adds missing learners, gives leadership back, notices failure.
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
        add_learners(&group, member, &metrics).await;
        let since = *preferred_up_since.get_or_insert_with(Instant::now);
        if let Some(preferred) = group.preferred
            && since.elapsed() >= RETURN_AFTER
            && may_lead(&metrics, preferred, group.me())
        {
            tracing::info!(group = %group.id, to = %preferred, "leadership returns");
            preferred_up_since = None;
            transfer(&member.raft, preferred).await;
        }
    }
}

/// Whether `preferred` is another voter that lacks next to nothing.
fn may_lead(metrics: &RaftMetrics<Types>, preferred: ServerId, me: ServerId) -> bool {
    let node = node_of(preferred);
    let Some(replication) = &metrics.replication else {
        return false;
    };
    let matched = replication.get(&node).and_then(|matched| matched.as_ref());
    let is_voter = metrics
        .membership_config
        .membership()
        .voter_ids()
        .any(|voter| voter == node);
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

async fn add_learners(group: &Group, member: &Member, metrics: &RaftMetrics<Types>) {
    let members = metrics.membership_config.membership();
    // One change of members at a time, and none before the last one is committed.
    let is_settled = metrics.membership_config == metrics.committed_membership_config;
    let missing = group.learners.iter().find(|learner| {
        let node = node_of(**learner);
        members.get_node(&node).is_none() && group.wire.is_up(**learner)
    });
    if let Some(learner) = missing.filter(|_| is_settled)
        && let Err(error) = member.raft.add_learner(node_of(*learner), (), false).await
    {
        tracing::debug!(group = %group.id, %learner, %error, "learner not added now");
    }
}

/// From time to time: gives up segments of the shared log.
pub(crate) async fn tend_log(shared: Arc<Shared>) {
    let mut due = interval(TEND_EVERY);
    loop {
        due.tick().await;
        if let Err(error) = shared.log.release_segments().await {
            tracing::error!(%error, "the raft log failed");
            shared.ending.with(StopReason::Failed {
                group: GroupId::ROOT,
            });
            return;
        }
    }
}
