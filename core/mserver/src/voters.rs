//! The members of the raft groups, kept to what the list of servers says: a lost mserver is let go
//! by the leaders of its groups, and taken back when it comes anew.

use std::sync::Arc;

use futures::future::join_all;
use sdfs_raft::{GroupStatus, MemberError};
use sdfs_server_group::Deadline;
use sdfs_types::{ServerId, ServerList, ServerState};

use crate::core::Core;
use crate::limits::{MEMBERS_CHANGE_MAX, MEMBERSHIP_EVERY};

/// A mserver that was lost by a change of the list.
pub(crate) type Loss = (ServerId, u64);

/// One change of a group's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It becomes a voter, or a learner.
    Add(ServerId, bool),
    /// It is a member no more.
    Remove(ServerId),
}

/// Keeps the groups that are led here to the list, and notes which lost mservers they have let go.
pub(crate) async fn tend(core: Arc<Core>) {
    loop {
        let list = Arc::clone(&core.root.servers.borrow());
        note_forgotten(&core, &list);
        let status = core.groups.status();
        let led = status.groups.iter();
        let led = led.filter(|group| core.groups.is_leader(group.group));
        join_all(led.map(|group| keep(&core, &list, group))).await;
        tokio::time::sleep(MEMBERSHIP_EVERY).await;
    }
}

async fn keep(core: &Core, list: &ServerList, group: &GroupStatus) {
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| (member.server, member.is_voter))
        .collect();
    let is_up = |server| core.mesh.is_up(server);
    let Some(change) = due(list, &core.layout.members_of(group.group), &members, is_up) else {
        return;
    };
    let (id, deadline) = (group.group, Deadline::after(MEMBERS_CHANGE_MAX));
    tracing::info!(group = %id, ?change, "the members of a group change");
    let changed = match change {
        Change::Add(server, votes) => core.groups.add_member(id, server, votes, deadline).await,
        Change::Remove(server) => core.groups.remove_member(id, server, deadline).await,
    };
    match changed {
        Ok(()) | Err(MemberError::Busy | MemberError::NotLeader(_)) => {}
        Err(error) => tracing::warn!(group = %id, ?change, %error, "not changed yet"),
    }
}

/// The next change of a group with these members (and whether each votes), of which those in
/// `wanted` are to be: one at a time, and whoever is lost goes before anybody comes.
fn due(
    list: &ServerList,
    wanted: &[(ServerId, bool)],
    members: &[(ServerId, bool)],
    is_up: impl Fn(ServerId) -> bool,
) -> Option<Change> {
    let is = |server: ServerId, state| {
        let record = list.servers.get(&server);
        record.is_some_and(|record| record.state == state)
    };
    let lost = members.iter().find(|one| is(one.0, ServerState::Lost));
    if let Some((server, _)) = lost {
        return Some(Change::Remove(*server));
    }
    let missing = wanted.iter().find(|one| {
        let (server, _) = **one;
        is(server, ServerState::Joining) && is_up(server) && !members.contains(one)
    });
    missing.map(|(server, votes)| Change::Add(*server, *votes))
}

/// Notes each lost mserver that no group here names any more, once for each loss.
fn note_forgotten(core: &Core, list: &ServerList) {
    let lost = list.present().filter(|one| one.state == ServerState::Lost);
    let losses: Vec<Loss> = lost.map(|one| (one.id, one.change)).collect();
    let is_kept = |loss: &&Loss| core.forgotten.borrow().contains(loss);
    let is_due = |loss: &&Loss| is_kept(loss) || !core.groups.is_member(loss.0);
    let forgotten: Vec<Loss> = losses.iter().filter(is_due).copied().collect();
    core.forgotten.send_if_modified(|known| {
        let is_news = *known != forgotten;
        *known = forgotten;
        is_news
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{Role, ServerRecord};

    fn list(state: ServerState) -> ServerList {
        let record = |id: u16, state| ServerRecord {
            id: ServerId(id),
            name: format!("mserver-{id}").as_str().into(),
            role: Role::Mserver,
            address: ([127, 0, 0, 1], 7_100 + id).into(),
            zone: "a".to_owned(),
            state,
            change: 1,
        };
        let states = [
            (1, ServerState::Member),
            (2, state),
            (3, ServerState::Member),
        ];
        ServerList {
            version: 1,
            servers: states
                .map(|(id, state)| (ServerId(id), record(id, state)))
                .into(),
        }
    }

    fn members(ids: &[u16]) -> Vec<(ServerId, bool)> {
        ids.iter().map(|id| (ServerId(*id), true)).collect()
    }

    #[test]
    fn the_members_follow_the_list() {
        use ServerState::{Joining, Lost, Member};
        let (two, all) = (ServerId(2), members(&[1, 2, 3]));
        let learner = [members(&[1, 3]), vec![(two, false)]].concat();
        let table = [
            (Member, all.clone(), true, None),
            (Member, members(&[1, 3]), true, None),
            (Lost, all.clone(), false, Some(Change::Remove(two))),
            (Lost, members(&[1, 3]), true, None),
            (Joining, members(&[1, 3]), false, None),
            (
                Joining,
                members(&[1, 3]),
                true,
                Some(Change::Add(two, true)),
            ),
            (Joining, learner, true, Some(Change::Add(two, true))),
            (Joining, all.clone(), true, None),
        ];
        for (state, now, is_up, expected) in table {
            let change = due(&list(state), &all, &now, |_| is_up);
            assert_eq!(change, expected, "{state} {now:?}");
        }
    }
}
