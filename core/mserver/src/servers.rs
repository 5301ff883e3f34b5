//! Takes an administrator's orders for the list of servers.

use std::sync::Arc;

use sdfs_server_group::{Deadline, Groups, Role, ServerId};
use sdfs_types::calls::maintenance::{Maintain, MaintenanceOrder};
use sdfs_types::calls::servers::{ChangeServers, ServerOrder};
use sdfs_types::{Access, FilePath, Refusal, ServerName, ServerRecord, ServerState, UserName};

use crate::core::Core;
use crate::maintenance;
use crate::membership;
use crate::names::other_answer;
use crate::root::{NewServer, RootAnswer, RootCommand, ServersCommand};

/// Answers `ChangeServers`.
pub(crate) async fn answer(
    core: Arc<Core>,
    call: ChangeServers,
    user: UserName,
    deadline: Deadline,
) -> Result<ServerRecord, Refusal> {
    core.root_barrier(deadline).await?;
    let users = core.root.users();
    users.check(&user, Access::Admin, &FilePath::root())?;
    let order = format!("{:?}", call.order);
    let command = match call.order {
        ServerOrder::Join {
            name,
            role,
            address,
            zone,
        } => {
            check_group(&core.mesh.config().groups, &name, role)?;
            ServersCommand::Join(NewServer {
                name,
                role,
                address,
                zone,
            })
        }
        ServerOrder::Leave { name } => {
            drain(&core, &name, &user, deadline).await?;
            ServersCommand::Leave { name }
        }
        ServerOrder::Replace { name } => {
            check_lost(&core, &name).await?;
            ServersCommand::Replace { name }
        }
    };
    let command = RootCommand::Servers(command);
    match core.propose_root(command, deadline).await? {
        RootAnswer::Server(record) => {
            tracing::info!(%user, %order, state = %record.state, "the list of servers");
            Ok(record)
        }
        _ => Err(other_answer()),
    }
}

/// Refuses a dserver without a group where others have one: nobody would keep copies with it.
fn check_group(groups: &Groups, name: &ServerName, role: Role) -> Result<(), Refusal> {
    if role != Role::Dserver || groups.is_empty() || groups.of(name).is_some() {
        return Ok(());
    }
    Err(Refusal::OutOfRange {
        what: "the server".to_owned(),
        value: name.to_string(),
        allowed: "a dserver whose group stands in config.conf of the mservers".to_owned(),
    })
}

/// Has a dserver drained that is to leave; the order refuses when too few would stay.
async fn drain(
    core: &Arc<Core>,
    name: &ServerName,
    user: &UserName,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let list = Arc::clone(&core.root.servers.borrow());
    // What else stands in the way is found where the command is applied.
    let is_member = |record: &&ServerRecord| {
        record.role == Role::Dserver && record.state == ServerState::Member
    };
    let Some(record) = list.named(name.as_str()).filter(is_member) else {
        return Ok(());
    };
    let order = MaintenanceOrder::Drain { server: record.id };
    let call = Maintain { order };
    maintenance::answer(Arc::clone(core), call, Arc::clone(user), deadline).await?;
    Ok(())
}

/// Refuses to replace a mserver that runs, and while one of its groups has no majority that
/// answers, which could not let it go.
async fn check_lost(core: &Core, name: &ServerName) -> Result<(), Refusal> {
    let list = Arc::clone(&core.root.servers.borrow());
    let is_due =
        |record: &&ServerRecord| record.role == Role::Mserver && record.state != ServerState::Lost;
    let Some(record) = list.named(name.as_str()).filter(is_due) else {
        return Ok(());
    };
    let others = membership::other_members(&list, record.id);
    let told = membership::hear(core, &others).await;
    let refused = |why| {
        let record = Box::new(record.clone());
        Err(Refusal::ServerState { record, why })
    };
    if told.values().any(|told| told.up.contains(&record.id)) {
        let why = "it runs; only one that has stopped can be replaced";
        return refused(why.to_owned());
    }
    let answers = |server: &ServerId| told.contains_key(server) || *server == core.me();
    for group in core.layout.groups_of_voter(record.id) {
        let members = core.layout.members_of(group);
        let voters: Vec<_> = members
            .iter()
            .filter(|one| one.1)
            .map(|one| one.0)
            .collect();
        if let Some(silent) = missing_for_majority(&voters, record.id, answers) {
            let silent = list.servers.get(&silent);
            let silent = silent.map_or("another", |one| one.name.as_str());
            return refused(format!(
                "{silent} does not answer or is no member yet; more than half of the members of \
                 group {group} must be up to let it go"
            ));
        }
    }
    Ok(())
}

/// A voter that does not answer, when without `lost` those that do are no majority.
fn missing_for_majority(
    voters: &[ServerId],
    lost: ServerId,
    answers: impl Fn(&ServerId) -> bool,
) -> Option<ServerId> {
    let others = voters.iter().copied().filter(|voter| *voter != lost);
    let (up, silent): (Vec<_>, Vec<_>) = others.partition(|voter| answers(voter));
    let is_majority = up.len() * 2 > voters.len();
    silent.first().copied().filter(|_| !is_majority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dserver_joins_in_a_group_where_there_are_some() {
        let name = ServerName::from("dserver-4");
        let other = ServerName::from("dserver-1");
        let groups = |named: &ServerName| Groups::from_iter([(named.clone(), "a".into())]);
        let may = |groups: &Groups, role| check_group(groups, &name, role).is_ok();
        assert!(may(&Groups::default(), Role::Dserver));
        assert!(may(&groups(&name), Role::Dserver));
        assert!(!may(&groups(&other), Role::Dserver));
        assert!(may(&groups(&other), Role::Mserver));
    }

    #[test]
    fn a_majority_lets_a_lost_member_go() {
        let table: [(&[u16], &[u16], Option<u16>); 6] = [
            (&[1, 2, 3], &[2, 3], None),
            (&[1, 2, 3], &[2], Some(3)),
            (&[1, 2, 3, 4], &[2, 3, 4], None),
            (&[1, 2, 3, 4], &[2, 4], Some(3)),
            (&[1, 2, 3, 4, 5], &[2, 3, 5], None),
            (&[1], &[], None),
        ];
        for (voters, up, expected) in table {
            let voters: Vec<_> = voters.iter().map(|id| ServerId(*id)).collect();
            let answers = |server: &ServerId| up.contains(&server.0);
            let missing = missing_for_majority(&voters, ServerId(1), answers);
            assert_eq!(missing, expected.map(ServerId), "{voters:?} {up:?}");
        }
    }
}
