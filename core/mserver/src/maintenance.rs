//! Takes an operator's orders for the volumes' upkeep.

use std::sync::Arc;

use sdfs_server_group::{Caller, Deadline, Role};
use sdfs_types::calls::maintenance::{Maintain, Maintenance, MaintenanceOrder};
use sdfs_types::calls::negotiation::MayForget;
use sdfs_types::limits::HEAL_BYTES_PER_S_MIN;
use sdfs_types::{Access, FilePath, Refusal, ServerId, UserName, clock};

use crate::core::Core;
use crate::names::other_answer;
use crate::root::{RootAnswer, RootCommand};
use crate::volumes::{MaintenanceCommand, VolumeAnswer, VolumeCommand};

/// Answers `Maintain`.
pub(crate) async fn answer(
    core: Arc<Core>,
    call: Maintain,
    user: UserName,
    deadline: Deadline,
) -> Result<Maintenance, Refusal> {
    if call.order == MaintenanceOrder::Show {
        return Ok(standing(&core));
    }
    core.root_barrier(deadline).await?;
    let users = core.root.users();
    users.check(&user, Access::Admin, &FilePath::root())?;
    let mut dservers = core.mesh.all(Role::Dserver);
    check(call.order, &dservers)?;
    let mut up = core.mesh.up(Role::Dserver);
    // Others than those of its group are no help to a dserver that is drained.
    if let Some(server) = named(call.order) {
        let group = group_of(&core, server);
        let is_of_it = |other: &ServerId| group_of(&core, *other) == group;
        dservers.retain(is_of_it);
        up.retain(is_of_it);
    }
    let copies = core.mesh.config().storage.copies;
    // With fewer dservers than copies each has one of all: none can be missed.
    let copies = usize::from(copies).min(dservers.len());
    let command = MaintenanceCommand {
        order: call.order,
        by: user.to_string(),
        at_ms: clock::now_ms(),
        expected: None,
        up: up.clone(),
        copies: u8::try_from(copies).unwrap_or(u8::MAX),
    };
    let command = RootCommand::Volume(VolumeCommand::Maintain(command));
    match core.propose_root(command, deadline).await? {
        RootAnswer::Volume(VolumeAnswer::Done { .. }) => {
            tracing::info!(%user, order = ?call.order, "an order for the volumes is given");
            core.root_barrier(deadline).await?;
            Ok(standing(&core))
        }
        RootAnswer::Volume(_) => Err(too_few(&core, call.order, &up, copies)),
        _ => Err(other_answer()),
    }
}

/// Refuses orders that could never be carried out. A drain can be stopped also when its server has
/// left the configuration meanwhile.
fn check(order: MaintenanceOrder, dservers: &[ServerId]) -> Result<(), Refusal> {
    match order {
        MaintenanceOrder::Drain { server } if !dservers.contains(&server) => {
            Err(Refusal::OutOfRange {
                what: "the server".to_owned(),
                value: server.to_string(),
                allowed: "a dserver of the configuration".to_owned(),
            })
        }
        MaintenanceOrder::LimitHealing {
            bytes_per_s: Some(rate),
        } if rate < HEAL_BYTES_PER_S_MIN => Err(Refusal::OutOfRange {
            what: "the heal rate".to_owned(),
            value: format!("{rate} bytes a second"),
            allowed: format!("at least {HEAL_BYTES_PER_S_MIN}"),
        }),
        _ => Ok(()),
    }
}

/// Copies there must be elsewhere before one left behind is freed. A volume's only copy counts as
/// in sync also when its disk is lost.
const COPIES_ELSEWHERE: usize = 2;

/// Answers `MayForget`.
pub(crate) async fn may_forget(
    core: &Core,
    call: MayForget,
    from: &Caller,
    deadline: Deadline,
) -> Result<bool, Refusal> {
    let server = from.server.ok_or(Refusal::NotServed)?;
    core.root_barrier(deadline).await?;
    let orders = standing(core);
    let staying = core.mesh.all(Role::Dserver).into_iter();
    let staying = staying.filter(|server| !orders.draining.contains_key(server));
    let copies = usize::from(core.mesh.config().storage.copies).min(staying.count());
    let map = core.root.volumes();
    Ok(map.volumes.get(&call.volume).is_some_and(|volume| {
        let in_sync = volume.readable().count();
        let is_whole = in_sync == volume.members.len() && in_sync >= copies.max(COPIES_ELSEWHERE);
        // One that does not answer may be gone before the map says so.
        let are_there = volume.readable().all(|member| core.mesh.is_up(member));
        is_whole && are_there && volume.state_of(server).is_none()
    }))
}

fn standing(core: &Core) -> Maintenance {
    (**core.root.orders.borrow()).clone()
}

fn group_of(core: &Core, server: ServerId) -> Option<Arc<str>> {
    let server = core.mesh.server(server)?;
    core.mesh.config().groups.of(&server.name).cloned()
}

fn named(order: MaintenanceOrder) -> Option<ServerId> {
    match order {
        MaintenanceOrder::Drain { server } | MaintenanceOrder::StopDrain { server } => Some(server),
        _ => None,
    }
}

fn too_few(core: &Core, order: MaintenanceOrder, up: &[ServerId], copies: usize) -> Refusal {
    let Some(server) = named(order) else {
        return other_answer();
    };
    let standing = standing(core);
    let stays = |other: &&ServerId| **other != server && !standing.draining.contains_key(*other);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Refusal::TooFewServers {
        server,
        staying: count(up.iter().filter(stays).count()),
        needed: count(copies),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_nobody_can_carry_out_are_refused() {
        let dservers = [ServerId(4), ServerId(5)];
        let drain = |number| MaintenanceOrder::Drain {
            server: ServerId(number),
        };
        let stop = |number| MaintenanceOrder::StopDrain {
            server: ServerId(number),
        };
        let limit = |bytes_per_s| MaintenanceOrder::LimitHealing { bytes_per_s };
        let table = [
            (drain(4), true),
            (drain(9), false),
            (stop(9), true),
            (limit(Some(1)), false),
            (limit(Some(HEAL_BYTES_PER_S_MIN)), true),
            (limit(None), true),
        ];
        for (order, may) in table {
            assert_eq!(check(order, &dservers).is_ok(), may, "{order:?}");
        }
    }
}
