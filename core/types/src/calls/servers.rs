//! The list of servers: told to everybody, changed by administrators.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::call;
use crate::server_list::{ServerList, ServerRecord};
use sdfs_server_group::{Role, ServerId, ServerName};

/// Asks a server for the list as it knows it; it may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetServers {
    /// The version the asker has; 0 for none.
    pub known_version: u64,
}
call!(GetServers => ServersTold, GetServers);

/// What a server knows of all servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServersTold {
    /// The list, when it is newer than the asker's.
    pub list: Option<ServerList>,
    /// Whom the answering server has a connection with, itself included.
    pub up: Vec<ServerId>,
    /// Lost servers that no group at the answering server names any more, each with the number of
    /// the change that made it lost.
    pub forgotten: Vec<(ServerId, u64)>,
    /// The raft groups the answering server leads.
    pub led: Vec<GroupLed>,
}

/// A raft group in the words of its leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLed {
    /// 0 is the root group, `i` the meta group of the `i`-th mserver.
    pub group: u8,
    /// Who votes in it, as far as no change of that is under way.
    pub voters: Vec<ServerId>,
}

/// Changes the list. Every order may be given twice: the second finds it done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeServers {
    /// The order.
    pub order: ServerOrder,
}
call!(ChangeServers => ServerRecord, ChangeServers);

/// One order, for the server it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerOrder {
    /// A new server is to be expected.
    Join {
        /// Its name.
        name: ServerName,
        /// What it is for.
        role: Role,
        /// Where it will listen.
        address: SocketAddr,
        /// What fails together with it.
        zone: String,
    },
    /// A server goes for good, once others have what it keeps.
    Leave {
        /// Its name.
        name: ServerName,
    },
    /// A mserver whose disk is lost is to come back with an empty one.
    Replace {
        /// Its name.
        name: ServerName,
    },
}
