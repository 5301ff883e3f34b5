//! A server's word on itself, put together from what its parts tell.

use sdfs_server_group::{Mesh, PeerSnapshot, Role, ServerConfig};
use sdfs_types::calls::servers::{GetServers, ServersTold};
use sdfs_types::calls::status::{PeerStatus, ServerStatus};
use tokio::time::Instant;

use crate::follow::ListWatch;

/// What every server knows of itself and the others, whatever its role.
#[derive(Clone)]
pub(crate) struct Known {
    /// The others.
    pub(crate) mesh: Mesh,
    /// Itself.
    pub(crate) me: ServerConfig,
    /// When it was started.
    pub(crate) begun: Instant,
    /// Who the servers are.
    pub(crate) list: ListWatch,
}

impl Known {
    /// What every server tells; a role adds groups, volumes and spaces.
    pub(crate) fn status(&self) -> ServerStatus {
        let peers = self.mesh.snapshot().peers.iter().map(peer_status).collect();
        ServerStatus {
            server: self.me.id,
            name: self.me.name.to_string(),
            role: self.me.role,
            address: self.me.address.to_string(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            up_s: self.begun.elapsed().as_secs(),
            peers,
            groups: Vec::new(),
            volumes: Vec::new(),
            spaces: Vec::new(),
            kept: Vec::new(),
            hears_majority: hears_majority(&self.mesh),
        }
    }
}

impl Known {
    /// What this server knows of all servers.
    pub(crate) fn servers(&self, asked: &GetServers) -> ServersTold {
        let list = self.list.borrow();
        let is_news = list.version > asked.known_version;
        let up = [Role::Mserver, Role::Dserver].map(|role| self.mesh.up(role));
        ServersTold {
            list: is_news.then(|| (**list).clone()),
            up: up.concat(),
            forgotten: Vec::new(),
            led: Vec::new(),
        }
    }
}

fn peer_status(peer: &PeerSnapshot) -> PeerStatus {
    PeerStatus {
        server: peer.id,
        name: peer.name.to_string(),
        role: peer.role,
        address: peer.address.clone(),
        state: format!("{:?}", peer.state),
        rtt_us: peer.rtt.map(|rtt| rtt.smoothed_us),
        rtt_min_us: peer.rtt.map(|rtt| rtt.min_us),
        jitter_us: peer.rtt.map(|rtt| rtt.jitter_us),
        free_bytes: peer.load.map(|load| load.free_bytes),
        established: peer.epoch,
    }
}

fn hears_majority(mesh: &Mesh) -> bool {
    mesh.up(Role::Mserver).len() * 2 > mesh.all(Role::Mserver).len()
}
