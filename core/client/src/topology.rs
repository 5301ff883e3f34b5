//! Which servers there are and where: from the configuration, or as a server told.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sdfs_server_group::{Config, Role, ServerId, ServerName};
use sdfs_types::ServerList;
use sdfs_types::calls::status::ServerStatus;

/// Where one server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: ServerName,
    /// What it is for.
    pub(crate) role: Role,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// The servers the client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Mservers that were given or learned; the first calls go to them.
    pub(crate) mservers: Vec<SocketAddr>,
    places: BTreeMap<ServerId, Place>,
    /// The version of the list that says so; 0 without one.
    pub(crate) list_version: u64,
}

impl Topology {
    /// Of addresses alone; the rest is learned from the first server that answers.
    pub(crate) fn of_addresses(mservers: &[SocketAddr]) -> Topology {
        Topology {
            mservers: mservers.to_vec(),
            ..Topology::default()
        }
    }

    /// Of a whole configuration.
    pub(crate) fn of_config(config: &Config) -> Topology {
        let mut topology = Topology::default();
        for server in &config.servers {
            let place = Place {
                name: server.name.clone(),
                role: server.role,
                address: server.address,
            };
            topology.add(server.id, place);
        }
        topology
    }

    /// Takes over what a server told. Addresses that cannot be read are left out: they are of
    /// no use to anybody.
    pub(crate) fn learn(&mut self, status: &ServerStatus) {
        let own = (status.server, &status.name, status.role, &status.address);
        let peers = status
            .peers
            .iter()
            .map(|peer| (peer.server, &peer.name, peer.role, &peer.address));
        for (id, name, role, address) in peers.chain([own]) {
            if let Ok(address) = address.parse() {
                self.add(
                    id,
                    Place {
                        name: name.as_str().into(),
                        role,
                        address,
                    },
                );
            }
        }
    }

    /// Takes over the list of servers, which says it better than any configuration.
    pub(crate) fn take(&mut self, list: &ServerList) {
        if list.version <= self.list_version {
            return;
        }
        let mut listed = Topology {
            list_version: list.version,
            ..Topology::default()
        };
        for record in list.present() {
            let place = Place {
                name: record.name.clone(),
                role: record.role,
                address: record.address,
            };
            listed.add(record.id, place);
        }
        *self = listed;
    }

    /// Where that server is, when it is known.
    pub(crate) fn place(&self, id: ServerId) -> Option<&Place> {
        self.places.get(&id)
    }

    /// Where the server of that name is, when it is known.
    pub(crate) fn named(&self, name: &str) -> Option<&Place> {
        self.places
            .values()
            .find(|place| place.name.as_str() == name)
    }

    /// Whether a mserver listens there.
    pub(crate) fn is_mserver(&self, address: SocketAddr) -> bool {
        self.mservers.contains(&address)
    }

    fn add(&mut self, id: ServerId, place: Place) {
        if place.role == Role::Mserver && !self.is_mserver(place.address) {
            self.mservers.push(place.address);
        }
        self.places.insert(id, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::calls::status::PeerStatus;

    fn told() -> ServerStatus {
        let peer = |id: u16, name: &str, role, address: &str| PeerStatus {
            server: ServerId(id),
            name: name.to_owned(),
            role,
            address: address.to_owned(),
            state: "Up".to_owned(),
            rtt_us: None,
            rtt_min_us: None,
            jitter_us: None,
            free_bytes: None,
            established: 1,
        };
        ServerStatus {
            server: ServerId(1),
            name: "mserver-1".to_owned(),
            role: Role::Mserver,
            address: "127.0.0.1:7101".to_owned(),
            program: String::new(),
            up_s: 0,
            peers: vec![
                peer(2, "mserver-2", Role::Mserver, "127.0.0.1:7102"),
                peer(4, "dserver-1", Role::Dserver, "127.0.0.1:7201"),
                peer(5, "dserver-2", Role::Dserver, "nowhere"),
            ],
            groups: Vec::new(),
            volumes: Vec::new(),
            spaces: Vec::new(),
            kept: Vec::new(),
            hears_majority: true,
        }
    }

    #[test]
    fn the_list_counts_more_than_a_configuration() {
        use sdfs_types::{ServerRecord, ServerState};
        let record = |id: u16, name: &str, role, state| ServerRecord {
            id: ServerId(id),
            name: name.into(),
            role,
            address: ([127, 0, 0, 1], 7_100 + id).into(),
            zone: "a".to_owned(),
            state,
            change: 4,
        };
        let records = [
            record(1, "mserver-1", Role::Mserver, ServerState::Member),
            record(4, "dserver-1", Role::Dserver, ServerState::Gone),
            record(7, "dserver-4", Role::Dserver, ServerState::Joining),
        ];
        let list = ServerList {
            version: 4,
            servers: records.map(|one| (one.id, one)).into(),
        };
        let mut topology = Topology::default();
        topology.learn(&told());
        topology.take(&list);
        assert_eq!(topology.mservers, [list.servers[&ServerId(1)].address]);
        assert!(topology.place(ServerId(2)).is_none() && topology.place(ServerId(4)).is_none());
        assert!(topology.named("dserver-4").is_some());
        let known = topology.clone();
        topology.take(&ServerList {
            version: 3,
            ..ServerList::default()
        });
        assert_eq!(topology, known);
    }

    #[test]
    fn one_address_finds_the_others() {
        let first: SocketAddr = "127.0.0.1:7101".parse().expect("an address");
        let mut topology = Topology::of_addresses(&[first]);
        topology.learn(&told());
        let second: SocketAddr = "127.0.0.1:7102".parse().expect("an address");
        assert_eq!(topology.mservers, [first, second]);
        let place = topology.place(ServerId(4)).expect("learned");
        assert_eq!(place.address.port(), 7_201);
        assert!(topology.named("dserver-2").is_none());
        assert!(!topology.is_mserver(place.address));
    }
}
