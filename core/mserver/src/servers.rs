//! Takes an administrator's orders for the list of servers.

use std::sync::Arc;

use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::maintenance::{Maintain, MaintenanceOrder};
use sdfs_types::calls::servers::{ChangeServers, ServerOrder};
use sdfs_types::{Access, FilePath, Refusal, ServerName, ServerRecord, ServerState, UserName};

use crate::core::Core;
use crate::maintenance;
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
        } => ServersCommand::Join(NewServer {
            name,
            role,
            address,
            zone,
        }),
        ServerOrder::Leave { name } => {
            drain(&core, &name, &user, deadline).await?;
            ServersCommand::Leave { name }
        }
        ServerOrder::Replace { .. } => return Err(Refusal::NotServed),
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
