//! The cluster as a tracker tells it: made anew a few times a second from what the mserver knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sdfs_server_group::{
    AddressWidth, Advertised, FastDfs, Mesh, Network, PeerState, Role, ServerConfig,
};
use sdfs_types::{MemberState, ServerId, Volume, VolumeId, VolumeMap, VolumeStatus};

use crate::group_name::{GroupName, group_of};
use crate::limits::QUEUE_HALVING;
use crate::name::{Names, is_nameable};

/// A dserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) id: ServerId,
    pub(crate) address: SocketAddr,
    /// Whether it is heard now.
    pub(crate) is_up: bool,
    /// Whether it has a copy in sync of a volume that takes files of its group.
    pub(crate) is_writable: bool,
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
    /// Requests that wait in it.
    pub(crate) queue: u32,
}

impl Storage {
    /// Whether uploads may go to it: how full it is it tells from its first second on.
    fn has_room(&self) -> bool {
        self.total_bytes == 0 || self.free_bytes > 0
    }

    /// Its share of the uploads: as it has room, and less while requests wait in it.
    pub(crate) fn upload_share(&self) -> u64 {
        self.lightened(self.free_bytes >> 20)
    }

    /// Its share of the readers of files that others have too.
    pub(crate) fn reader_share(&self) -> u64 {
        self.lightened(1 << 20)
    }

    fn lightened(&self, share: u64) -> u64 {
        let halving = u64::from(QUEUE_HALVING);
        (share * halving / (halving + u64::from(self.queue))).max(1)
    }
}

/// Dservers that keep copies of each other's files only.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) name: GroupName,
    /// The names of its files.
    pub(crate) names: Names,
    /// By number.
    pub(crate) storages: Vec<Storage>,
    /// Whether all volumes that take, or took, files of it are full, if it has any.
    pub(crate) is_full: Option<bool>,
}

impl Group {
    /// Storages to upload to.
    pub(crate) fn writable(&self) -> impl Iterator<Item = &Storage> {
        self.storages
            .iter()
            .filter(|storage| storage.is_up && storage.is_writable)
    }

    /// Those of them that have room.
    pub(crate) fn with_room(&self) -> impl Iterator<Item = &Storage> {
        self.writable().filter(|storage| storage.has_room())
    }

    /// One of its storages.
    pub(crate) fn storage(&self, id: ServerId) -> Option<&Storage> {
        let place = self.storages.binary_search_by_key(&id, |one| one.id);
        place.ok().map(|place| &self.storages[place])
    }
}

/// A mserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracker {
    pub(crate) address: SocketAddr,
    pub(crate) is_up: bool,
}

/// All of it.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) addresses: AddressWidth,
    /// By name; one at least.
    pub(crate) groups: Vec<Group>,
    /// By number; the first that is up is said to lead.
    pub(crate) trackers: Vec<Tracker>,
    /// Members in sync of each volume.
    pub(crate) in_sync: BTreeMap<VolumeId, Vec<ServerId>>,
    /// When this server was started, seconds since the Unix epoch.
    pub(crate) begun_s: u32,
    /// When this was made, seconds since the Unix epoch.
    pub(crate) now_s: u32,
}

/// What a view is made from, beside what changes.
pub(crate) struct Told<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) settings: &'a FastDfs,
    /// All groups there are, by name.
    pub(crate) groups: &'a [(String, Names)],
}

/// The cluster as the clients of each network are told of it.
pub(crate) struct Views {
    advertised: Vec<(Network, View)>,
    /// To all others.
    usual: View,
}

impl Views {
    /// What the mesh and the volume map say now.
    pub(crate) fn of(told: &Told<'_>, map: &VolumeMap, times: (u32, u32)) -> Views {
        let networks = told.settings.advertise.iter();
        let advertised = networks.map(|to| (to.to, View::of(told, Some(to), map, times)));
        Views {
            advertised: advertised.collect(),
            usual: View::of(told, None, map, times),
        }
    }

    /// As a client is told of it.
    pub(crate) fn to(&self, client: IpAddr) -> &View {
        let mut advertised = self.advertised.iter();
        let its = advertised.find(|(network, _)| network.contains(client));
        its.map_or(&self.usual, |(_, view)| view)
    }
}

impl View {
    fn of(told: &Told<'_>, to: Option<&Advertised>, map: &VolumeMap, times: (u32, u32)) -> View {
        let Told {
            mesh,
            settings,
            groups,
        } = told;
        let config = mesh.config();
        let heard = heard(mesh);
        let is_up = |id: ServerId| heard.contains(&id);
        let seen = |server: &ServerConfig, own: SocketAddr| match to {
            Some(to) => SocketAddr::new(to.ip_of(server), own.port()),
            None => own,
        };
        let servers = |role| mesh.all(role).into_iter().filter_map(|id| mesh.server(id));
        let empty = |(name, names): &(String, Names)| Group {
            name: GroupName::of(name),
            names: names.clone(),
            storages: Vec::new(),
            is_full: None,
        };
        let mut all: Vec<Group> = groups.iter().map(empty).collect();
        for server in servers(Role::Dserver) {
            let group = group_of(config, settings, &server);
            let Some(place) = groups.iter().position(|(name, _)| Some(&**name) == group) else {
                continue;
            };
            let load = mesh.load(server.id).unwrap_or_default();
            all[place].storages.push(Storage {
                id: server.id,
                address: seen(&server, settings.storage_address(config, &server)),
                is_up: is_up(server.id),
                is_writable: false,
                total_bytes: load.total_bytes,
                free_bytes: load.free_bytes,
                queue: load.queue,
            });
        }
        let trackers = servers(Role::Mserver).map(|server| Tracker {
            address: seen(&server, settings.tracker_address(config, &server)),
            is_up: is_up(server.id),
        });
        let mut view = View {
            addresses: settings.addresses,
            groups: all,
            trackers: trackers.collect(),
            in_sync: BTreeMap::new(),
            begun_s: times.0,
            now_s: times.1,
        };
        map.volumes.values().for_each(|volume| view.take(volume));
        view
    }

    /// Takes a volume in.
    fn take(&mut self, volume: &Volume) {
        let in_sync = volume.members.iter();
        let in_sync = in_sync.filter(|member| member.state == MemberState::InSync);
        let in_sync: Vec<ServerId> = in_sync.map(|member| member.server).collect();
        let is_full = volume.status == VolumeStatus::Full;
        if is_nameable(volume.id) {
            let has_member = |group: &&mut Group| {
                let mut members = volume.members.iter();
                members.any(|member| group.storage(member.server).is_some())
            };
            let mut homes = self.groups.iter_mut().filter(has_member);
            // One that lies in several groups was made before there were any: it is read only.
            if let (Some(home), None) = (homes.next(), homes.next()) {
                home.is_full = Some(home.is_full.unwrap_or(true) && is_full);
                for storage in &mut home.storages {
                    storage.is_writable |= volume.is_writable() && in_sync.contains(&storage.id);
                }
            }
        }
        self.in_sync.insert(volume.id, in_sync);
    }

    /// All storages.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.groups.iter().flat_map(|group| &group.storages)
    }

    /// Storages to upload to.
    pub(crate) fn writable(&self) -> impl Iterator<Item = &Storage> {
        self.groups.iter().flat_map(Group::writable)
    }
}

/// Servers that are connected and not silent; this one among them.
pub(crate) fn heard(mesh: &Mesh) -> Vec<ServerId> {
    let peers = mesh.snapshot().peers.into_iter();
    let up = peers.filter(|peer| peer.state == PeerState::Up);
    up.map(|peer| peer.id).chain([mesh.me()]).collect()
}

/// The text of an address as it stands in answers.
pub(crate) fn ip_text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{Epoch, VolumeMember};

    fn view() -> View {
        let storage = |id: &u16| Storage {
            id: ServerId(*id),
            address: ([10, 0, 0, 1], 23_000 + id).into(),
            is_up: true,
            is_writable: false,
            total_bytes: 1 << 30,
            free_bytes: 1 << 29,
            queue: 0,
        };
        let group = |(name, storages): (&str, &[u16])| Group {
            name: GroupName::of(name),
            names: Names::new([1; 32]),
            storages: storages.iter().map(storage).collect(),
            is_full: None,
        };
        View {
            addresses: AddressWidth::IPv4,
            groups: [("a", &[1, 2, 5][..]), ("b", &[3, 4])].map(group).into(),
            trackers: vec![],
            in_sync: BTreeMap::new(),
            begun_s: 0,
            now_s: 0,
        }
    }

    #[test]
    fn volumes_of_one_group_make_it_writable() {
        use MemberState::{InSync, Out};
        // Members with their state, and who can be written to then.
        type Members = &'static [(u16, MemberState)];
        let table: &[(Members, &[u16])] = &[
            (&[(1, InSync), (2, InSync)], &[1, 2]),
            (&[(3, InSync), (4, Out)], &[3]),
            // It lies in both groups: files of either would leave it.
            (&[(1, InSync), (3, InSync)], &[]),
            (&[(1, InSync), (3, Out)], &[]),
            // Somebody who is listed no more.
            (&[(5, InSync), (9, Out)], &[5]),
        ];
        for (members, expected) in table {
            let member = |(server, state): &(u16, MemberState)| VolumeMember {
                server: ServerId(*server),
                state: *state,
            };
            let volume = Volume {
                id: VolumeId(1),
                epoch: Epoch(2),
                members: members.iter().map(member).collect(),
                status: VolumeStatus::Writable,
            };
            let mut view = view();
            view.take(&volume);
            let writable: Vec<u16> = view.writable().map(|storage| storage.id.0).collect();
            assert_eq!(writable, *expected, "{members:?}");
            let closed = Volume {
                status: VolumeStatus::Full,
                ..volume
            };
            let mut view = self::view();
            view.take(&closed);
            assert_eq!(view.writable().count(), 0, "{members:?}");
            let full = view
                .groups
                .iter()
                .filter(|group| group.is_full == Some(true));
            assert_eq!(full.count() > 0, !expected.is_empty(), "{members:?}");
            // Another one may take files again.
            let read_only = Volume {
                id: VolumeId(2),
                status: VolumeStatus::ReadOnly,
                ..closed
            };
            view.take(&read_only);
            assert!(view.groups.iter().all(|group| group.is_full != Some(true)));
        }
    }
}
