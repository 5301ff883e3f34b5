//! What is seen of the group: events, loads, snapshots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::board::Row;
use crate::call_times::CallTiming;
use crate::errors::LostReason;
use crate::ids::{Role, ServerId, ServerName};
use crate::link::Link;
use crate::rtt::Rtt;
use crate::slowest::SlowCall;

/// How loaded a server is, as its pongs tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Bytes free in its spaces.
    pub free_bytes: u64,
    /// Bytes of its spaces.
    pub total_bytes: u64,
    /// Requests waiting in it.
    pub queue: u32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How often it has done something for clients since it told its load before; nothing says that
    /// nobody notices what it does besides.
    pub client_calls: u32,
}

/// Where a peer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PeerState {
    /// Until the next dial.
    Waiting,
    /// The dial is on its way.
    Dialing,
    /// The handshake is going on.
    Proving,
    /// Established.
    Up,
    /// Established, but nothing was heard for half of the configured time.
    Silent,
}

/// What happens in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// A connection with this server now stands.
    Established(ServerId),
    /// The connection with this server ended.
    Lost(ServerId, LostReason),
    /// Every other server of the cluster is established.
    AllEstablished,
}

/// One peer, observed.
#[derive(Debug, Clone, Serialize)]
pub struct PeerSnapshot {
    /// Its number.
    pub id: ServerId,
    /// Its name.
    pub name: ServerName,
    /// Its role.
    pub role: Role,
    /// Where it listens.
    pub address: String,
    /// Its place.
    pub zone: String,
    /// Where it is in its life.
    pub state: PeerState,
    /// How often a connection was established.
    pub epoch: u64,
    /// Round-trip time, when it was measured.
    pub rtt: Option<Rtt>,
    /// Its load, when it told.
    pub load: Option<Load>,
    /// Bytes queued towards it.
    pub queued_bytes: u64,
    /// Calls of ours without an answer yet.
    pub calls_in_flight: u64,
}

/// The group as this server sees it.
#[derive(Debug, Clone, Serialize)]
pub struct GroupSnapshot {
    /// This server.
    pub me: ServerId,
    /// The other servers, by number.
    pub peers: Vec<PeerSnapshot>,
    /// Connected clients.
    pub clients: u64,
    /// Counted things by name: refusals and closes by reason, late answers, packets, bytes.
    pub counters: BTreeMap<String, u64>,
    /// How long calls of other ends took to be answered here, by kind.
    pub calls: Vec<CallTiming>,
    /// Those of late that took longest, the slowest first.
    pub slowest: Vec<SlowCall>,
}

impl PeerSnapshot {
    pub(crate) fn of(row: &Row) -> Self {
        let link = row.link.as_ref();
        Self {
            id: row.server.id,
            name: row.server.name.clone(),
            role: row.server.role,
            address: row.server.address.to_string(),
            zone: row.server.zone.clone(),
            state: row.state,
            epoch: row.epoch,
            rtt: link.and_then(Link::rtt),
            load: link.and_then(Link::load),
            queued_bytes: link.map_or(0, Link::queued_bytes) as u64,
            calls_in_flight: link.map_or(0, Link::calls_in_flight) as u64,
        }
    }
}
