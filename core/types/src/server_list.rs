//! The servers of the cluster as its root group agrees on them: who belongs to it, where each is,
//! who comes and who goes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use sdfs_server_group::{Role, ServerId, ServerName};

/// How far a server is in belonging to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServerState {
    /// Expected: the others know it, a majority of mservers has not heard of it yet.
    Joining,
    /// Belongs to the cluster.
    Member,
    /// Keeps what it has until others have it.
    Leaving,
    /// Belongs to the cluster no more, and never again under its number.
    Gone,
    /// A mserver whose disk is lost: its groups let it go, so that it may join them anew.
    Lost,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Member => "member",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
            Self::Lost => "lost",
        })
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Its number, given once.
    pub id: ServerId,
    /// Its name; no other server that is not gone has it.
    pub name: ServerName,
    /// What it is for.
    pub role: Role,
    /// Where it listens; no other server that is not gone does.
    pub address: SocketAddr,
    /// What fails together with it.
    pub zone: String,
    /// How far it is.
    pub state: ServerState,
    /// The number of the change that made the record what it is.
    pub change: u64,
}

impl ServerRecord {
    /// Whether servers keep a connection with it. With one that is gone or lost they do not: it
    /// could speak for what it no longer is.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, ServerState::Gone | ServerState::Lost)
    }
}

/// All servers there ever were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerList {
    /// Counts the changes; 0 before the list is begun from the configuration.
    pub version: u64,
    /// By number.
    pub servers: BTreeMap<ServerId, ServerRecord>,
}

impl ServerList {
    /// The servers that are not gone, by number.
    pub fn present(&self) -> impl Iterator<Item = &ServerRecord> {
        self.servers
            .values()
            .filter(|server| server.state != ServerState::Gone)
    }

    /// The server of that name: the present one, else the one that had it last.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&ServerRecord> {
        let present = self.present().find(|server| server.name.as_str() == name);
        present.or_else(|| {
            let mut all = self.servers.values().rev();
            all.find(|server| server.name.as_str() == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_present_server() {
        let record = |id: u16, state| ServerRecord {
            id: ServerId(id),
            name: "dserver-1".into(),
            role: Role::Dserver,
            address: ([127, 0, 0, 1], 7_200 + id).into(),
            zone: "a".to_owned(),
            state,
            change: 1,
        };
        let all = [
            record(1, ServerState::Gone),
            record(2, ServerState::Leaving),
            record(3, ServerState::Gone),
        ];
        let mut list = ServerList {
            version: 1,
            servers: all.map(|one| (one.id, one)).into(),
        };
        let id_of = |list: &ServerList| list.named("dserver-1").map(|one| one.id.0);
        assert_eq!(id_of(&list), Some(2));
        list.servers.remove(&ServerId(2));
        assert_eq!(id_of(&list), Some(3));
        assert_eq!(list.present().count(), 0);
    }
}
