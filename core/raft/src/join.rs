//! How a server finds its groups: it begins those that nobody has, and learns whether another
//! server has taken its number.

use crate::errors::StopReason;
use crate::group::{Group, Member};
use crate::groups::Shared;
use crate::identity::{Birth, Identity};
use crate::ids::GroupId;
use crate::limits::{INTRODUCE_EVERY, INTRODUCE_WAIT, RETURN_AFTER};
use crate::messages::{Introduce, Introduced};
use crate::network::{self, AskError};
use crate::record::Life;
use crate::types::node_of;
use futures::future::join_all;
use sdfs_server_group::{Deadline, Payload, ServerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// What the others said in one round: the life of each, and the groups it has anything of.
#[derive(Debug, Default)]
struct Heard(BTreeMap<ServerId, (Life, Vec<GroupId>)>);

impl Heard {
    /// The members with which this server may begin a group that has these voters: all of them,
    /// when each was heard and nobody has the group. With one missing it could exist there, and
    /// only there.
    fn first_members(
        &self,
        group: GroupId,
        voters: &[ServerId],
        me: (ServerId, Life),
    ) -> Option<BTreeMap<ServerId, Identity>> {
        if !self.having(group).is_empty() {
            return None;
        }
        let life_of = |voter: &ServerId| match self.0.get(voter) {
            _ if *voter == me.0 => Some((*voter, me.1)),
            heard => heard.map(|(life, _)| (*voter, *life)),
        };
        let lives: BTreeMap<_, _> = voters.iter().map(life_of).collect::<Option<_>>()?;
        let birth = Birth::of(lives.values().copied());
        let named = |(voter, life)| (voter, Identity { birth, life });
        Some(lives.into_iter().map(named).collect())
    }

    /// The servers that have anything of a group.
    fn having(&self, group: GroupId) -> Vec<ServerId> {
        let has = |(_, existing): &(Life, Vec<GroupId>)| existing.contains(&group);
        let having = self.0.iter().filter(|(_, told)| has(told));
        having.map(|(server, _)| *server).collect()
    }

    /// The voters that have not been heard.
    fn missing(&self, voters: &[ServerId], me: ServerId) -> BTreeSet<ServerId> {
        let is_missing = |voter: &&ServerId| **voter != me && !self.0.contains_key(*voter);
        voters.iter().filter(is_missing).copied().collect()
    }
}

/// What a voter that has nothing of its group waits for.
#[derive(Debug, PartialEq, Eq)]
enum Waits {
    /// These servers, to begin it with them.
    ToBegin(BTreeSet<ServerId>),
    /// These servers have it: they add this one, or tell it that its log is lost.
    ToBeAdded(Vec<ServerId>),
}

impl Waits {
    fn of(heard: &Heard, group: &Group, me: ServerId) -> Waits {
        match heard.having(group.id) {
            having if having.is_empty() => Waits::ToBegin(heard.missing(&group.voters, me)),
            having => Waits::ToBeAdded(having),
        }
    }

    fn tell(&self, group: GroupId) {
        match self {
            Waits::ToBegin(missing) if missing.is_empty() => {}
            Waits::ToBegin(missing) => {
                tracing::info!(%group, ?missing, "a new group begins when these servers run too");
            }
            Waits::ToBeAdded(having) => tracing::warn!(
                %group,
                ?having,
                "these servers have the group, this one has nothing of it: it waits to be added, \
                 or to be told that its log is lost; `sdfs join --replace` has it added"
            ),
        }
    }
}

/// Begins the groups that nobody has, and looks who this server is whenever that is in doubt.
pub(crate) async fn join(shared: Arc<Shared>) {
    let started = Instant::now();
    let mut seen = BTreeMap::new();
    loop {
        // One that has all its groups asks nobody, until it is called by another life than its own.
        if !shared.members().any(|(group, _)| is_blank(&shared, group)) {
            shared.doubt.notified().await;
        }
        let Some(heard) = introduce(&shared).await else {
            return;
        };
        for (group, member) in shared.members() {
            if is_blank(&shared, group) && group.voters.contains(&shared.me()) {
                begin(&shared, (group, member), &heard, started).await;
                let waits = Waits::of(&heard, group, shared.me());
                // Told when it is so twice in a row: a group that is just being begun is there a
                // moment before this server is added.
                let rounds = match seen.get(&group.id) {
                    Some((before, rounds)) if *before == waits => rounds + 1,
                    _ => 1_u64,
                };
                if rounds == 2 {
                    waits.tell(group.id);
                }
                seen.insert(group.id, (waits, rounds));
            }
        }
        sleep(INTRODUCE_EVERY).await;
    }
}

fn is_blank(shared: &Shared, group: &Group) -> bool {
    shared.log.with(group.id, |log| log.is_blank())
}

/// Tells all others who this server is. `None` when its log is known to be lost.
async fn introduce(shared: &Shared) -> Option<Heard> {
    let asked = shared
        .others
        .iter()
        .map(|server| async move { (*server, introduce_to(shared, *server).await) });
    let mut heard = Heard::default();
    for (server, told) in join_all(asked).await {
        match told {
            Ok(Introduced::Here { life, existing }) => {
                heard.0.insert(server, (life, existing));
            }
            Ok(Introduced::OtherLife) => {
                shared.ending.with(StopReason::LogLost {
                    me: shared.me(),
                    known_by: server,
                });
                return None;
            }
            Err(error) => tracing::debug!(%server, %error, "no answer to who I am"),
        }
    }
    Some(heard)
}

/// Tells one server who this one is, and asks it the same.
pub(crate) async fn introduce_to(
    shared: &Shared,
    server: ServerId,
) -> Result<Introduced, AskError> {
    let call = Introduce {
        server: shared.me(),
        life: shared.life,
    };
    let deadline = Deadline::after(INTRODUCE_WAIT);
    let told = network::ask(
        shared.wire.as_ref(),
        server,
        &call,
        Payload::new(),
        deadline,
    );
    Ok(told.await?.0)
}

/// Begins a group nobody has. The preferred leader goes first, so that the group does not begin by
/// electing somebody else.
async fn begin(shared: &Shared, place: (&Group, &Member), heard: &Heard, started: Instant) {
    let (group, member) = place;
    let me = (shared.me(), shared.life);
    let Some(first) = heard.first_members(group.id, &group.voters, me) else {
        return;
    };
    let is_first = group
        .preferred
        .is_none_or(|preferred| preferred == group.me());
    if !is_first && started.elapsed() < RETURN_AFTER {
        return;
    }
    // All have the same birth.
    if first.values().any(|one| !member.is_of(one.birth)) {
        return;
    }
    let first: BTreeMap<u64, Identity> = first
        .into_iter()
        .map(|(server, identity)| (node_of(server), identity))
        .collect();
    if let Err(error) = member.raft.initialize(first).await {
        // Somebody else began it in between: then it will be heard of.
        tracing::debug!(group = %group.id, %error, "not begun here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_begins_with_all_its_voters_alone() {
        let (group, other) = (GroupId(2), GroupId(1));
        let all = [1, 2, 3].map(ServerId);
        let life = |number: u8| Life([number; 16]);
        let blank = |number: u8| (ServerId(number.into()), (life(number), vec![other]));
        let has = |number: u8| (ServerId(number.into()), (life(number), vec![other, group]));
        let table = [
            (vec![], false),
            (vec![blank(2)], false),
            (vec![blank(2), blank(3)], true),
            (vec![blank(2), has(3)], false),
            // Somebody who does not vote may have it, too.
            (vec![blank(2), blank(3), has(4)], false),
            (vec![blank(2), blank(3), blank(4)], true),
        ];
        for (heard, begins) in table {
            let heard = Heard(heard.into_iter().collect());
            let first = heard.first_members(group, &all, (ServerId(1), life(1)));
            assert_eq!(first.is_some(), begins, "{heard:?}");
            let Some(first) = first else { continue };
            assert_eq!(first.len(), 3);
            let birth = Birth::of([1, 2, 3].into_iter().map(life));
            assert!(first.values().all(|one| one.birth == birth));
        }
    }

    #[test]
    fn whoever_was_not_heard_is_missing() {
        let heard = Heard([(ServerId(2), (Life([2; 16]), Vec::new()))].into());
        let all = [1, 2, 3].map(ServerId);
        assert_eq!(heard.missing(&all, ServerId(1)), [ServerId(3)].into());
    }
}
