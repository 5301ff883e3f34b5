//! What the roles hold of the cluster: calls to every server, who is up, how far, how loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::config::{Config, ServerConfig};
use crate::deadline::Deadline;
use crate::errors::{CallError, LostReason};
use crate::ids::{Role, ServerId, ServerName};
use crate::link::ReplyBody;
use crate::payload::Payload;

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
}

/// Round-trip time to a peer, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rtt {
    /// The last one measured.
    pub last_us: u64,
    /// Smoothed, each new one counting an eighth (RFC 6298).
    pub smoothed_us: u64,
    /// The least since the connection was established.
    pub min_us: u64,
    /// Smoothed deviation from the smoothed value.
    pub jitter_us: u64,
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
}

/// The cluster as one server sees it. Clones share it; usable from every thread.
#[derive(Debug, Clone)]
pub struct Mesh {}

impl Mesh {
    /// This server.
    #[must_use]
    pub fn me(&self) -> ServerId {
        todo!()
    }

    /// The configuration this server started with.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        todo!()
    }

    /// One server, this one included.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<Arc<ServerConfig>> {
        todo!("{id}")
    }

    /// A key for one purpose derived from the cluster's secret: the same on every server.
    #[must_use]
    pub fn derive_key(&self, label: &str) -> [u8; 32] {
        todo!("{label}")
    }

    /// Asks a server; a call to `me()` is served here without a socket.
    ///
    /// # Errors
    /// `NotConnected` at once when that server is not up; else as [`Link::call`](crate::Link).
    pub async fn call(
        &self,
        to: ServerId,
        kind: u16,
        head: Bytes,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<ReplyBody, CallError> {
        todo!("{to} {kind} {head:?} {payload:?} {deadline:?}")
    }

    /// Whether calls to this server can be sent now; always true for `me()`.
    #[must_use]
    pub fn is_up(&self, id: ServerId) -> bool {
        todo!("{id}")
    }

    /// The servers of a role that are up, by number, this one included.
    #[must_use]
    pub fn up(&self, role: Role) -> Vec<ServerId> {
        todo!("{role}")
    }

    /// All servers of a role, by number, this one included.
    #[must_use]
    pub fn all(&self, role: Role) -> Vec<ServerId> {
        todo!("{role}")
    }

    /// Round-trip time to a server, when it is up and was measured.
    #[must_use]
    pub fn rtt(&self, id: ServerId) -> Option<Rtt> {
        todo!("{id}")
    }

    /// The nearest server of a role that is up and not silent: this one if it has the role, else
    /// by smoothed round-trip time, kept until another is clearly nearer.
    #[must_use]
    pub fn nearest(&self, role: Role) -> Option<ServerId> {
        todo!("{role}")
    }

    /// The load a server told last.
    #[must_use]
    pub fn load(&self, id: ServerId) -> Option<Load> {
        todo!("{id}")
    }

    /// Sets the load this server's pongs carry.
    pub fn set_load(&self, load: Load) {
        todo!("{load:?}")
    }

    /// How often a connection with this server was established.
    #[must_use]
    pub fn epoch(&self, id: ServerId) -> u64 {
        todo!("{id}")
    }

    /// Events from now on. A subscriber that falls far behind is told so by the receiver and reads
    /// the present state from [`Mesh::up`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<GroupEvent> {
        todo!()
    }

    /// The group as it is now.
    #[must_use]
    pub fn snapshot(&self) -> GroupSnapshot {
        todo!()
    }
}
