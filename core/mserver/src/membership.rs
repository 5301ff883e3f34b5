//! What the root group's leader does about the list of servers: begins it, makes members of those
//! that a majority of mservers has heard of and that vote where they are to, lets go those that
//! keep nothing any more, and lets a lost mserver begin anew when its groups have let it go.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use sdfs_raft::GroupId;
use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::servers::{GetServers, ServersTold};
use sdfs_types::{Refusal, ServerId, ServerList, ServerRecord, ServerState, VolumeMap};

use crate::core::Core;
use crate::layout::Layout;
use crate::limits::{DUTY_STEP_MAX, FOUND_EVERY, HEAR_MAX, MEMBERSHIP_EVERY};
use crate::root::{NewServer, RootCommand, ServersCommand};

/// What each mserver that answered told.
pub(crate) type Heard = BTreeMap<ServerId, ServersTold>;

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
    let is_settled = |record: &ServerRecord| record.state == ServerState::Member;
    if list.present().all(is_settled) {
        return Ok(());
    }
    let heard = hear(core, &core.mesh.all(Role::Mserver)).await;
    let seen = Seen {
        list: &list,
        heard: &heard,
        layout: &core.layout,
        map: &core.root.volumes(),
    };
    for command in due(&seen) {
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

/// The mservers that are members, but one. Whoever is lost or joins is asked nothing: the groups do
/// without it.
pub(crate) fn other_members(list: &ServerList, but: ServerId) -> Vec<ServerId> {
    let is_other = |one: &&ServerRecord| {
        one.role == Role::Mserver && one.state == ServerState::Member && one.id != but
    };
    list.present().filter(is_other).map(|one| one.id).collect()
}

/// Asks mservers whom they have a connection with, and what they have done about lost ones.
pub(crate) async fn hear(core: &Core, mservers: &[ServerId]) -> Heard {
    let call = GetServers {
        known_version: u64::MAX,
    };
    let deadline = Deadline::after(HEAR_MAX);
    let asks = mservers.iter().map(|mserver| async move {
        let told = core.ask(*mserver, &call, deadline).await.ok()?;
        Some((*mserver, told))
    });
    join_all(asks).await.into_iter().flatten().collect()
}

/// What the leader goes by.
struct Seen<'a> {
    list: &'a ServerList,
    heard: &'a Heard,
    layout: &'a Layout,
    map: &'a VolumeMap,
}

/// The changes that are due.
fn due(seen: &Seen<'_>) -> Vec<ServersCommand> {
    let of = |record: &ServerRecord| {
        let (server, change) = (record.id, record.change);
        match record.state {
            ServerState::Joining if seen.has_arrived(record) => {
                Some(ServersCommand::Arrived { server, change })
            }
            ServerState::Lost if seen.is_forgotten(record) => {
                Some(ServersCommand::Forgotten { server, change })
            }
            ServerState::Leaving if !seen.is_named(server) => {
                Some(ServersCommand::Left { server, change })
            }
            _ => None,
        }
    };
    seen.list.present().filter_map(of).collect()
}

impl Seen<'_> {
    /// Whether a majority of mservers hears it, and it votes wherever it is to.
    fn has_arrived(&self, record: &ServerRecord) -> bool {
        let by = self
            .heard
            .values()
            .filter(|told| told.up.contains(&record.id));
        let mservers = self.list.present().filter(|one| one.role == Role::Mserver);
        by.count() * 2 > mservers.count() && self.votes_everywhere(record.id)
    }

    fn votes_everywhere(&self, server: ServerId) -> bool {
        let led: Vec<_> = self.heard.values().flat_map(|told| &told.led).collect();
        self.layout.groups_of_voter(server).all(|group| {
            let mut leaders = led.iter().filter(|led| led.group == group.0);
            leaders.any(|led| led.voters.contains(&server))
        })
    }

    /// Whether no group names it any more, in the words of every other member: one that does not
    /// answer may lead a group that does.
    fn is_forgotten(&self, record: &ServerRecord) -> bool {
        let others = other_members(self.list, record.id);
        let forgotten = (record.id, record.change);
        others.iter().all(|other| {
            let told = self.heard.get(other);
            told.is_some_and(|told| told.forgotten.contains(&forgotten))
        })
    }

    fn is_named(&self, server: ServerId) -> bool {
        let mut members = self.map.volumes.values().flat_map(|volume| &volume.members);
        members.any(|member| member.server == server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::calls::servers::GroupLed;
    use sdfs_types::{Epoch, MemberState, Volume, VolumeId, VolumeMember, VolumeStatus};

    /// Three mservers, and one server that is `state` since change 5.
    fn list(id: u16, state: ServerState) -> ServerList {
        let record = |server: u16, state| ServerRecord {
            id: ServerId(server),
            name: format!("s-{server}").as_str().into(),
            role: if server <= 3 {
                Role::Mserver
            } else {
                Role::Dserver
            },
            address: ([127, 0, 0, 1], 7_200 + server).into(),
            zone: "a".to_owned(),
            state,
            change: 5,
        };
        let members = (1..=3).map(|server| record(server, ServerState::Member));
        let servers = members.chain([record(id, state)]);
        ServerList {
            version: 9,
            servers: servers.map(|one| (one.id, one)).collect(),
        }
    }

    fn heard(by: &[u16], told: &ServersTold) -> Heard {
        let told = |id: &u16| (ServerId(*id), told.clone());
        by.iter().map(told).collect()
    }

    fn up(id: u16) -> ServersTold {
        ServersTold {
            up: vec![ServerId(id)],
            ..ServersTold::default()
        }
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

    fn due_of(list: &ServerList, heard: &Heard, member: u16) -> Vec<ServersCommand> {
        due(&Seen {
            list,
            heard,
            layout: &Layout::new((1..=3).map(ServerId).collect()),
            map: &map(member),
        })
    }

    #[test]
    fn a_majority_makes_a_member() {
        let (server, change) = (ServerId(7), 5);
        let arrived = [ServersCommand::Arrived { server, change }];
        let joining = list(7, ServerState::Joining);
        let table: [(&[u16], &[ServersCommand]); 4] = [
            (&[], &[]),
            (&[2], &[]),
            (&[1, 3], &arrived),
            (&[1, 2, 3], &arrived),
        ];
        for (by, expected) in table {
            assert_eq!(due_of(&joining, &heard(by, &up(7)), 4), expected, "{by:?}");
            // Those that answer and do not hear it do not count.
            assert_eq!(due_of(&joining, &heard(by, &up(8)), 4), [], "{by:?}");
        }
    }

    #[test]
    fn whoever_is_named_stays() {
        let (server, change) = (ServerId(7), 5);
        let leaving = list(7, ServerState::Leaving);
        assert_eq!(due_of(&leaving, &Heard::new(), 7), []);
        let left = [ServersCommand::Left { server, change }];
        assert_eq!(due_of(&leaving, &Heard::new(), 4), left);
        for state in [ServerState::Member, ServerState::Gone] {
            let by_all = heard(&[1, 2, 3], &up(7));
            assert_eq!(due_of(&list(7, state), &by_all, 4), []);
        }
    }

    #[test]
    fn a_lost_mserver_is_forgotten_by_all_others() {
        let (server, change) = (ServerId(2), 5);
        let lost = list(2, ServerState::Lost);
        let told = |change| ServersTold {
            forgotten: vec![(server, change)],
            ..ServersTold::default()
        };
        let forgotten = [ServersCommand::Forgotten { server, change }];
        assert_eq!(due_of(&lost, &heard(&[1, 3], &told(5)), 4), forgotten);
        assert_eq!(due_of(&lost, &heard(&[1], &told(5)), 4), []);
        // Whoever is lost or joins itself is no member of any group that could name it.
        for state in [ServerState::Lost, ServerState::Joining] {
            let mut two = lost.clone();
            two.servers
                .entry(ServerId(3))
                .and_modify(|one| one.state = state);
            assert_eq!(
                due_of(&two, &heard(&[1], &told(5)), 4),
                forgotten,
                "{state}"
            );
        }
        // Another loss of the same server is not this one.
        assert_eq!(due_of(&lost, &heard(&[1, 3], &told(4)), 4), []);
    }

    #[test]
    fn a_mserver_is_a_member_when_it_votes_everywhere() {
        let (server, change) = (ServerId(2), 5);
        let joining = list(2, ServerState::Joining);
        let led = |groups: &[u8]| {
            let voters = vec![ServerId(1), server];
            let led = groups.iter().map(|group| GroupLed {
                group: *group,
                voters: voters.clone(),
            });
            ServersTold {
                led: led.collect(),
                ..up(2)
            }
        };
        let arrived = [ServersCommand::Arrived { server, change }];
        assert_eq!(
            due_of(&joining, &heard(&[1, 3], &led(&[0, 1, 2, 3])), 4),
            arrived
        );
        for missing in 0..4_u8 {
            let some: Vec<u8> = (0..4).filter(|group| *group != missing).collect();
            assert_eq!(due_of(&joining, &heard(&[1, 3], &led(&some)), 4), []);
        }
    }
}
