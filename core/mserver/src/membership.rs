//! What the root group's leader does about the list of servers: begins it, makes members of those
//! that a majority of mservers has heard of, and lets go those that keep nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use sdfs_raft::GroupId;
use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::servers::GetServers;
use sdfs_types::{Refusal, ServerId, ServerList, ServerRecord, ServerState, VolumeMap};

use crate::core::Core;
use crate::limits::{DUTY_STEP_MAX, FOUND_EVERY, HEAR_MAX, MEMBERSHIP_EVERY};
use crate::root::{NewServer, RootCommand, ServersCommand};

/// Whom each mserver has a connection with.
type Heard = BTreeMap<ServerId, BTreeSet<ServerId>>;

/// Looks after the list while this mserver leads the root group.
pub(crate) async fn tend(core: Arc<Core>) {
    loop {
        if core.groups.is_leader(GroupId::ROOT)
            && let Err(refusal) = step(&core).await
        {
            tracing::debug!(%refusal, "the list of servers is as it was");
        }
        // Nothing is kept anywhere before the list says who there is.
        let is_begun = core.root.servers.borrow().version > 0;
        let pause = if is_begun {
            MEMBERSHIP_EVERY
        } else {
            FOUND_EVERY
        };
        tokio::time::sleep(pause).await;
    }
}

async fn step(core: &Core) -> Result<(), Refusal> {
    let list = Arc::clone(&core.root.servers.borrow());
    if list.version == 0 {
        return propose(core, ServersCommand::Found(configured(core))).await;
    }
    let is_any = |state| list.present().any(|record| record.state == state);
    if !is_any(ServerState::Joining) && !is_any(ServerState::Leaving) {
        return Ok(());
    }
    let mservers = core.mesh.all(Role::Mserver);
    let heard = hear(core, &mservers).await;
    for command in due(&list, &heard, mservers.len(), &core.root.volumes()) {
        tracing::info!(?command, "the list of servers changes");
        propose(core, command).await?;
    }
    Ok(())
}

async fn propose(core: &Core, command: ServersCommand) -> Result<(), Refusal> {
    let command = RootCommand::Servers(command);
    let deadline = Deadline::after(DUTY_STEP_MAX);
    core.propose_root(command, deadline).await.map(|_| ())
}

/// The servers of the configuration.
fn configured(core: &Core) -> Vec<(ServerId, NewServer)> {
    let servers = core.mesh.config().servers.iter().map(|server| {
        let new = NewServer {
            name: server.name.clone(),
            role: server.role,
            address: server.address,
            zone: server.zone.clone(),
        };
        (server.id, new)
    });
    servers.collect()
}

/// Asks every mserver whom it has a connection with.
async fn hear(core: &Core, mservers: &[ServerId]) -> Heard {
    let call = GetServers {
        known_version: u64::MAX,
    };
    let deadline = Deadline::after(HEAR_MAX);
    let asks = mservers.iter().map(|mserver| async move {
        let told = core.ask(*mserver, &call, deadline).await.ok()?;
        Some((*mserver, told.up.into_iter().collect()))
    });
    join_all(asks).await.into_iter().flatten().collect()
}

/// The changes that are due, from what the list and the volume map say and whom `heard` has heard
/// of `mservers`.
fn due(list: &ServerList, heard: &Heard, mservers: usize, map: &VolumeMap) -> Vec<ServersCommand> {
    let has_arrived = |record: &ServerRecord| {
        let by = heard.values().filter(|up| up.contains(&record.id)).count();
        by * 2 > mservers
    };
    let is_named = |server: ServerId| {
        let mut members = map.volumes.values().flat_map(|volume| &volume.members);
        members.any(|member| member.server == server)
    };
    let of = |record: &ServerRecord| {
        let (server, change) = (record.id, record.change);
        match record.state {
            ServerState::Joining if has_arrived(record) => {
                Some(ServersCommand::Arrived { server, change })
            }
            ServerState::Leaving if !is_named(server) => {
                Some(ServersCommand::Left { server, change })
            }
            _ => None,
        }
    };
    list.present().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{Epoch, MemberState, Volume, VolumeId, VolumeMember, VolumeStatus};

    fn list(state: ServerState) -> ServerList {
        let record = ServerRecord {
            id: ServerId(7),
            name: "dserver-4".into(),
            role: Role::Dserver,
            address: ([127, 0, 0, 1], 7_204).into(),
            zone: "a".to_owned(),
            state,
            change: 5,
        };
        ServerList {
            version: 9,
            servers: [(record.id, record)].into(),
        }
    }

    fn heard(by: &[u16]) -> Heard {
        let up = |id: u16| by.contains(&id).then_some(ServerId(7));
        (1..=3)
            .map(|id| (ServerId(id), up(id).into_iter().collect()))
            .collect()
    }

    fn map(member: u16) -> VolumeMap {
        let member = VolumeMember {
            server: ServerId(member),
            state: MemberState::Out,
        };
        let volume = Volume {
            id: VolumeId(1),
            epoch: Epoch(1),
            members: vec![member],
            status: VolumeStatus::Writable,
        };
        VolumeMap {
            version: 1,
            volumes: [(volume.id, volume)].into(),
        }
    }

    #[test]
    fn a_majority_makes_a_member() {
        let (server, change) = (ServerId(7), 5);
        let arrived = [ServersCommand::Arrived { server, change }];
        let table: [(&[u16], &[ServersCommand]); 4] = [
            (&[], &[]),
            (&[2], &[]),
            (&[1, 3], &arrived),
            (&[1, 2, 3], &arrived),
        ];
        for (by, expected) in table {
            let joining = list(ServerState::Joining);
            assert_eq!(due(&joining, &heard(by), 3, &map(4)), expected, "{by:?}");
            // Mservers that do not answer count as not having heard.
            let mut few = heard(by);
            few.remove(&ServerId(3));
            let known = by.iter().filter(|id| **id != 3).count();
            assert_eq!(
                due(&joining, &few, 3, &map(4)).len(),
                usize::from(known > 1)
            );
        }
    }

    #[test]
    fn whoever_is_named_stays() {
        let (server, change) = (ServerId(7), 5);
        let leaving = list(ServerState::Leaving);
        assert_eq!(due(&leaving, &heard(&[]), 3, &map(7)), []);
        let left = [ServersCommand::Left { server, change }];
        assert_eq!(due(&leaving, &heard(&[]), 3, &map(4)), left);
        for state in [ServerState::Member, ServerState::Gone, ServerState::Lost] {
            assert_eq!(due(&list(state), &heard(&[1, 2, 3]), 3, &map(4)), []);
        }
    }
}
