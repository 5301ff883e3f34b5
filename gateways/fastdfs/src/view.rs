//! The cluster as a tracker tells it: made anew a few times a second from what the mserver knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sdfs_server_group::{AddressWidth, FastDfs, Mesh, PeerState, Role};
use sdfs_types::{MemberState, ServerId, VolumeId, VolumeMap};

use crate::group_name::GroupName;
use crate::name::is_nameable;
use crate::ports::{storage_address, tracker_address};

/// A dserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) id: ServerId,
    pub(crate) address: SocketAddr,
    /// Whether it is heard now.
    pub(crate) is_up: bool,
    /// Whether it has a copy in sync of a volume that takes files.
    pub(crate) is_writable: bool,
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
}

impl Storage {
    /// Whether uploads may go to it: how full it is it tells from its first second on.
    pub(crate) fn has_room(&self) -> bool {
        self.total_bytes == 0 || self.free_bytes > 0
    }
}

/// A mserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracker {
    pub(crate) address: SocketAddr,
    pub(crate) is_up: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) group: GroupName,
    pub(crate) addresses: AddressWidth,
    /// By number.
    pub(crate) storages: Vec<Storage>,
    /// By number; the first that is up is said to lead.
    pub(crate) trackers: Vec<Tracker>,
    /// Members in sync of each volume, as places in `storages`.
    pub(crate) in_sync: BTreeMap<VolumeId, Vec<usize>>,
    /// When this server was started, seconds since the Unix epoch.
    pub(crate) begun_s: u32,
    /// When this was made, seconds since the Unix epoch.
    pub(crate) now_s: u32,
}

impl View {
    /// What the mesh and the volume map say now.
    pub(crate) fn of(mesh: &Mesh, settings: &FastDfs, map: &VolumeMap, times: (u32, u32)) -> View {
        let config = mesh.config();
        let heard = heard(mesh);
        let is_up = |id: ServerId| heard.contains(&id);
        let servers = |role| mesh.all(role).into_iter().filter_map(|id| mesh.server(id));
        let mut storages: Vec<Storage> = servers(Role::Dserver)
            .map(|server| {
                let load = mesh.load(server.id).unwrap_or_default();
                Storage {
                    id: server.id,
                    address: storage_address(config, settings, &server),
                    is_up: is_up(server.id),
                    is_writable: false,
                    total_bytes: load.total_bytes,
                    free_bytes: load.free_bytes,
                }
            })
            .collect();
        let mut in_sync = BTreeMap::new();
        for volume in map.volumes.values() {
            let mut members = Vec::with_capacity(volume.members.len());
            for member in &volume.members {
                let place = storages.binary_search_by_key(&member.server, |one| one.id);
                if let Ok(place) = place
                    && member.state == MemberState::InSync
                {
                    members.push(place);
                    storages[place].is_writable |= volume.is_writable() && is_nameable(volume.id);
                }
            }
            in_sync.insert(volume.id, members);
        }
        let trackers = servers(Role::Mserver).map(|server| Tracker {
            address: tracker_address(config, settings, &server),
            is_up: is_up(server.id),
        });
        View {
            group: GroupName::of(&settings.group),
            addresses: settings.addresses,
            trackers: trackers.collect(),
            storages,
            in_sync,
            begun_s: times.0,
            now_s: times.1,
        }
    }

    /// Storages to upload to.
    pub(crate) fn writable(&self) -> impl Iterator<Item = &Storage> {
        self.storages
            .iter()
            .filter(|storage| storage.is_up && storage.is_writable)
    }
}

/// Servers that are connected and not silent; this one among them.
fn heard(mesh: &Mesh) -> Vec<ServerId> {
    let peers = mesh.snapshot().peers.into_iter();
    let up = peers.filter(|peer| peer.state == PeerState::Up);
    up.map(|peer| peer.id).chain([mesh.me()]).collect()
}

/// The text of an address as it stands in answers.
pub(crate) fn ip_text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}
