//! The list of servers as the root group keeps it: which changes are allowed, how they are kept,
//! and the snapshot the rest of this server reads.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use sdfs_server_group::config::{NAMES_ALLOWED, is_name};
use sdfs_store::{Batch, KeyRange, Keyspace, StoreError};
use sdfs_types::calls::maintenance::Maintenance;
use sdfs_types::wire;
use sdfs_types::{
    Refusal, Role, ServerId, ServerList, ServerName, ServerRecord, ServerState, VolumeMap,
};

use super::command::RootAnswer;
use super::keys;
use crate::fault::unreadable;

/// The present list, for everybody on this server.
pub type ServerWatch = watch::Receiver<Arc<ServerList>>;

/// A server as it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewServer {
    /// Its name.
    pub name: ServerName,
    /// What it is for.
    pub role: Role,
    /// Where it listens.
    pub address: SocketAddr,
    /// What fails together with it.
    pub zone: String,
}

/// One change of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServersCommand {
    /// Begins the list with the servers of the configuration; does nothing when there is one.
    Found(Vec<(ServerId, NewServer)>),
    /// A server is to be expected.
    Join(NewServer),
    /// A majority of mservers has heard of a joining server.
    Arrived {
        /// Which one.
        server: ServerId,
        /// The change its record was seen at.
        change: u64,
    },
    /// A dserver goes, once it is drained.
    Leave {
        /// Its name.
        name: ServerName,
    },
    /// A mserver's disk is lost: its groups let it go.
    Replace {
        /// Its name.
        name: ServerName,
    },
    /// The groups have let a lost mserver go: it may come back with an empty disk.
    Forgotten {
        /// Which one.
        server: ServerId,
        /// The change its record was seen at.
        change: u64,
    },
    /// A leaving dserver keeps nothing any more.
    Left {
        /// Which one.
        server: ServerId,
        /// The change its record was seen at.
        change: u64,
    },
}

/// What of the volumes decides whether a dserver may leave.
#[derive(Clone, Copy)]
pub(crate) struct Upkeep<'a> {
    pub(crate) map: &'a VolumeMap,
    pub(crate) orders: &'a Maintenance,
}

impl Upkeep<'_> {
    /// Whether no volume names it, not even as a former member.
    fn is_empty(&self, server: ServerId) -> bool {
        let mut members = self.map.volumes.values().flat_map(|volume| &volume.members);
        !members.any(|member| member.server == server)
    }

    fn is_draining(&self, server: ServerId) -> bool {
        self.orders.draining.contains_key(&server)
    }
}

/// The part of the root group's state machine that holds the list.
pub(crate) struct ServerTable {
    list: Arc<ServerList>,
    published: watch::Sender<Arc<ServerList>>,
}

impl ServerTable {
    /// An empty list, and how others follow it.
    pub(crate) fn new() -> (ServerTable, ServerWatch) {
        let list = Arc::<ServerList>::default();
        let (published, watch) = watch::channel(Arc::clone(&list));
        (ServerTable { list, published }, watch)
    }

    /// Reads the list at start and after a snapshot replaced the keyspace, and publishes it.
    pub(crate) fn load(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        let mut list = ServerList::default();
        for pair in keyspace.pairs(&KeyRange::prefix(&[keys::SERVER])) {
            let record: ServerRecord = wire::decode(&pair?.1).map_err(unreadable)?;
            list.version = list.version.max(record.change);
            list.servers.insert(record.id, record);
        }
        self.list = Arc::new(list);
        self.committed();
        Ok(())
    }

    /// Applies one committed command.
    pub(crate) fn apply(
        &mut self,
        command: &ServersCommand,
        upkeep: Upkeep<'_>,
        batch: &mut Batch,
    ) -> Result<RootAnswer, Refusal> {
        if let ServersCommand::Found(servers) = command {
            let first = founded(&self.list, servers);
            first.into_iter().for_each(|record| self.put(record, batch));
            return Ok(RootAnswer::Done);
        }
        let record = changed(&self.list, command, upkeep)?;
        if self.list.servers.get(&record.id) != Some(&record) {
            self.put(record.clone(), batch);
        }
        Ok(RootAnswer::Server(record))
    }

    /// Whether that server is gone: no volume may name it any more.
    pub(crate) fn is_gone(&self, server: ServerId) -> bool {
        let record = self.list.servers.get(&server);
        record.is_some_and(|record| record.state == ServerState::Gone)
    }

    /// A dserver is drained no more: if it was leaving, it stays.
    pub(crate) fn stays(&mut self, server: ServerId, batch: &mut Batch) {
        let known = self.list.servers.get(&server);
        if let Some(record) = known.filter(|record| record.state == ServerState::Leaving) {
            let change = self.list.version + 1;
            self.put(with_state(record, ServerState::Member, change), batch);
        }
    }

    fn put(&mut self, record: ServerRecord, batch: &mut Batch) {
        batch.put(key_of(record.id), wire::encode(&record));
        let list = Arc::make_mut(&mut self.list);
        list.version = list.version.max(record.change);
        list.servers.insert(record.id, record);
    }

    /// Publishes what was applied, once it is visible in the keyspace.
    pub(crate) fn committed(&mut self) {
        self.published.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.list);
            *published = Arc::clone(&self.list);
            is_new
        });
    }
}

fn key_of(id: ServerId) -> Bytes {
    let mut key = vec![keys::SERVER];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

/// The first list. All of it is one change.
fn founded(list: &ServerList, servers: &[(ServerId, NewServer)]) -> Vec<ServerRecord> {
    if list.version > 0 {
        return Vec::new();
    }
    let first = |(id, server): &(ServerId, NewServer)| record_of(*id, server, 1);
    let member = |record: ServerRecord| with_state(&record, ServerState::Member, 1);
    servers.iter().map(first).map(member).collect()
}

fn record_of(id: ServerId, server: &NewServer, change: u64) -> ServerRecord {
    ServerRecord {
        id,
        name: server.name.clone(),
        role: server.role,
        address: server.address,
        zone: server.zone.clone(),
        state: ServerState::Joining,
        change,
    }
}

fn with_state(record: &ServerRecord, state: ServerState, change: u64) -> ServerRecord {
    ServerRecord {
        state,
        change,
        ..record.clone()
    }
}

/// The record a command is about, as it is after the command.
fn changed(
    list: &ServerList,
    command: &ServersCommand,
    upkeep: Upkeep<'_>,
) -> Result<ServerRecord, Refusal> {
    if list.version == 0 {
        let why = "the list of servers is not begun yet".to_owned();
        return Err(Refusal::Busy { why });
    }
    let change = list.version + 1;
    match command {
        ServersCommand::Found(_) => Err(Refusal::NotServed),
        ServersCommand::Join(server) => joined(list, server),
        ServersCommand::Arrived { server, change: at } => {
            let record = seen_at(list, *server, *at)?;
            Ok(match record.state {
                ServerState::Joining => with_state(record, ServerState::Member, change),
                _ => record.clone(),
            })
        }
        ServersCommand::Leave { name } => left(list, name, upkeep),
        ServersCommand::Replace { name } => replaced(list, name),
        ServersCommand::Forgotten { server, change: at } => {
            let record = seen_at(list, *server, *at)?;
            Ok(match record.state {
                ServerState::Lost => with_state(record, ServerState::Joining, change),
                _ => record.clone(),
            })
        }
        ServersCommand::Left { server, change: at } => {
            let record = seen_at(list, *server, *at)?;
            let may_go = record.state == ServerState::Leaving
                && upkeep.is_draining(*server)
                && upkeep.is_empty(*server);
            if may_go {
                return Ok(with_state(record, ServerState::Gone, change));
            }
            Err(in_the_way(record, "volumes still name it"))
        }
    }
}

/// The record if it is still the one that was seen.
fn seen_at(list: &ServerList, server: ServerId, change: u64) -> Result<&ServerRecord, Refusal> {
    let record = list.servers.get(&server);
    let record = record.filter(|record| record.change == change);
    record.ok_or_else(|| Refusal::Busy {
        why: format!("the record of server {server} has changed"),
    })
}

fn in_the_way(record: &ServerRecord, why: &str) -> Refusal {
    Refusal::ServerState {
        record: Box::new(record.clone()),
        why: why.to_owned(),
    }
}

/// The record of a dserver that is to go. One that never arrived keeps nothing.
fn left(list: &ServerList, name: &ServerName, upkeep: Upkeep<'_>) -> Result<ServerRecord, Refusal> {
    let name_of = || Refusal::NoSuchServer { name: name.clone() };
    let record = list.named(name.as_str()).ok_or_else(name_of)?;
    if record.role != Role::Dserver {
        return Err(in_the_way(
            record,
            "mservers cannot leave a running cluster",
        ));
    }
    let (id, change) = (record.id, list.version + 1);
    match record.state {
        ServerState::Joining if upkeep.is_empty(id) => {
            Ok(with_state(record, ServerState::Gone, change))
        }
        ServerState::Joining | ServerState::Member if upkeep.is_draining(id) => {
            Ok(with_state(record, ServerState::Leaving, change))
        }
        ServerState::Joining | ServerState::Member => {
            Err(in_the_way(record, "it is not being drained"))
        }
        ServerState::Leaving | ServerState::Gone | ServerState::Lost => Ok(record.clone()),
    }
}

/// The record of a mserver that lost its disk. One that is joining may lose it once more.
fn replaced(list: &ServerList, name: &ServerName) -> Result<ServerRecord, Refusal> {
    let name_of = || Refusal::NoSuchServer { name: name.clone() };
    let record = list.named(name.as_str()).ok_or_else(name_of)?;
    if record.role != Role::Mserver {
        let why = "only mservers are replaced; a dserver with an empty disk is filled by itself";
        return Err(in_the_way(record, why));
    }
    let knows_more = |other: &ServerRecord| {
        other.role == Role::Mserver && other.id != record.id && other.state == ServerState::Member
    };
    if !list.present().any(knows_more) {
        let why = "no other mserver keeps what it kept; put its disk back";
        return Err(in_the_way(record, why));
    }
    match record.state {
        ServerState::Member | ServerState::Joining => {
            Ok(with_state(record, ServerState::Lost, list.version + 1))
        }
        ServerState::Lost => Ok(record.clone()),
        ServerState::Leaving | ServerState::Gone => Err(in_the_way(record, "it does not stay")),
    }
}

/// The record of a server that joins.
fn joined(list: &ServerList, server: &NewServer) -> Result<ServerRecord, Refusal> {
    checked(server)?;
    let is_there =
        |record: &&ServerRecord| record.name == server.name || record.address == server.address;
    if let Some(record) = list.present().find(is_there) {
        let is_same = record.name == server.name
            && record.address == server.address
            && record.role == server.role
            && record.zone == server.zone
            && matches!(record.state, ServerState::Joining | ServerState::Member);
        if is_same {
            return Ok(record.clone());
        }
        let record = Box::new(record.clone());
        return Err(Refusal::ServerExists { record });
    }
    let last = list.servers.keys().next_back().map_or(0, |last| last.0);
    // Numbers are never given twice: old copies and old logs name the servers that had them.
    let id = last.checked_add(1).ok_or_else(|| Refusal::OutOfRange {
        what: "the number of servers there ever were".to_owned(),
        value: (u32::from(last) + 1).to_string(),
        allowed: format!("at most {}", u16::MAX),
    })?;
    Ok(record_of(ServerId(id), server, list.version + 1))
}

fn checked(server: &NewServer) -> Result<(), Refusal> {
    let refused = |what: &str, value: String, allowed: &str| {
        Err(Refusal::OutOfRange {
            what: what.to_owned(),
            value,
            allowed: allowed.to_owned(),
        })
    };
    for (what, text) in [
        ("the server's name", server.name.as_str()),
        ("its zone", &server.zone),
    ] {
        if !is_name(text) {
            return refused(what, format!("'{text}'"), NAMES_ALLOWED);
        }
    }
    if server.address.port() == 0 || server.address.ip().is_unspecified() {
        let allowed = "an address that others can dial";
        return refused("the server's address", server.address.to_string(), allowed);
    }
    if server.role != Role::Dserver {
        let allowed = "dserver: other servers cannot join a running cluster yet";
        return refused("the server's role", server.role.to_string(), allowed);
    }
    Ok(())
}
