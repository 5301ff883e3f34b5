//! What the list of servers means for one server: whom to connect with, and whether it belongs to
//! the cluster itself. Pure.

use std::sync::Arc;

use sdfs_server_group::{ServerConfig, ServerId};
use sdfs_types::{ServerList, ServerRecord, ServerState};

use crate::error::Outsider;

/// One change of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Connect with a server, or know it as described.
    Add(ServerConfig),
    /// End the connection.
    Remove(ServerId),
}

/// How the mesh of `me`, which knows these others, becomes that of the list.
pub(crate) fn steps(me: ServerId, others: &[Arc<ServerConfig>], list: &ServerList) -> Vec<Step> {
    if list.version == 0 {
        return Vec::new();
    }
    let connected = |id: &ServerId| {
        let record = list.servers.get(id)?;
        (record.is_connected() && record.id != me).then_some(record)
    };
    let unknown = others.iter().filter(|one| connected(&one.id).is_none());
    let removed = unknown.map(|one| Step::Remove(one.id));
    let wanted = list.servers.keys().filter_map(connected);
    let added = wanted.filter_map(|record| {
        let known = others.iter().find(|one| one.id == record.id);
        let server = described(record, known.map(|known| &**known));
        (known.map(|known| &**known) != Some(&server)).then_some(Step::Add(server))
    });
    removed.chain(added).collect()
}

/// A server as the list describes it. Where it keeps its files is known to itself alone.
pub(crate) fn described(record: &ServerRecord, known: Option<&ServerConfig>) -> ServerConfig {
    ServerConfig {
        id: record.id,
        name: record.name.clone(),
        role: record.role,
        address: record.address,
        space: known.map_or_else(Vec::new, |known| known.space.clone()),
        zone: record.zone.clone(),
    }
}

/// Why `me` must end, if the list says so.
pub(crate) fn outsider(me: &ServerConfig, list: &ServerList) -> Option<Outsider> {
    if list.version == 0 {
        return None;
    }
    let (name, id) = (me.name.clone(), me.id);
    match list.servers.get(&id) {
        Some(record) if record.name == me.name && record.role == me.role => match record.state {
            ServerState::Gone => Some(Outsider::Gone { name, id }),
            ServerState::Lost => Some(Outsider::Lost { name, id }),
            ServerState::Joining | ServerState::Member | ServerState::Leaving => None,
        },
        other => Some(Outsider::Unlisted {
            name,
            id,
            is: other.map_or_else(
                || "nobody".to_owned(),
                |record| format!("{}, a {}", record.name, record.role),
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::Role;

    fn record(id: u16, state: ServerState) -> ServerRecord {
        ServerRecord {
            id: ServerId(id),
            name: format!("dserver-{id}").as_str().into(),
            role: Role::Dserver,
            address: ([127, 0, 0, 1], 7_200 + id).into(),
            zone: "a".to_owned(),
            state,
            change: 1,
        }
    }

    fn list(records: &[ServerRecord]) -> ServerList {
        let servers = records.iter().cloned().map(|one| (one.id, one));
        ServerList {
            version: 3,
            servers: servers.collect(),
        }
    }

    fn server(id: u16) -> Arc<ServerConfig> {
        Arc::new(described(&record(id, ServerState::Member), None))
    }

    #[test]
    fn the_mesh_becomes_the_list() {
        use ServerState::{Gone, Joining, Leaving, Lost, Member};
        let me = ServerId(1);
        let known = [server(2), server(3), server(9)];
        let states = [
            (1, Member),
            (2, Leaving),
            (3, Gone),
            (4, Joining),
            (5, Lost),
        ];
        let now = list(&states.map(|(id, state)| record(id, state)));
        let expected = [
            Step::Remove(ServerId(3)),
            Step::Remove(ServerId(9)),
            Step::Add((*server(4)).clone()),
        ];
        assert_eq!(steps(me, &known, &now), expected);
        assert_eq!(steps(me, &[server(2), server(4)], &now), []);
        assert_eq!(steps(me, &known, &ServerList::default()), []);
    }

    #[test]
    fn another_zone_or_address_is_told() {
        let moved = ServerRecord {
            zone: "b".to_owned(),
            ..record(2, ServerState::Member)
        };
        let known = ServerConfig {
            space: vec!["data".into()],
            ..(*server(2)).clone()
        };
        let now = list(&[record(1, ServerState::Member), moved]);
        let steps = steps(ServerId(1), &[Arc::new(known.clone())], &now);
        let zone = "b".to_owned();
        assert_eq!(steps, [Step::Add(ServerConfig { zone, ..known })]);
    }

    #[test]
    fn an_outsider_learns_why() {
        let me = server(2);
        let judged = |list: &ServerList| outsider(&me, list);
        let of = |state| list(&[record(2, state)]);
        assert_eq!(judged(&ServerList::default()), None);
        assert_eq!(judged(&of(ServerState::Joining)), None);
        assert_eq!(judged(&of(ServerState::Leaving)), None);
        assert!(matches!(
            judged(&of(ServerState::Gone)),
            Some(Outsider::Gone { .. })
        ));
        assert!(matches!(
            judged(&of(ServerState::Lost)),
            Some(Outsider::Lost { .. })
        ));
        let other = ServerRecord {
            name: "dserver-9".into(),
            ..record(2, ServerState::Member)
        };
        for now in [list(&[other]), list(&[record(3, ServerState::Member)])] {
            assert!(
                matches!(judged(&now), Some(Outsider::Unlisted { .. })),
                "{now:?}"
            );
        }
    }
}
