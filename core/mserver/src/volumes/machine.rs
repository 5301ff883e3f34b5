//! The volume map as the root group agrees on it: which changes are allowed, how they are kept,
//! and the snapshot the rest of this server reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use sdfs_store::{Batch, KeyRange, Keyspace, StoreError};
use sdfs_types::calls::maintenance::Maintenance;
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{
    Epoch, MemberState, ServerId, Volume, VolumeId, VolumeMap, VolumeMember, VolumeStatus,
};

use super::command::{MaintenanceCommand, MemberChange, VolumeAnswer, VolumeCommand};
use super::maintenance::{self, MaintenanceWatch};
use crate::root::Upkeep;

/// Keys of the volume map begin with it; the key that is nothing else holds the map's version.
pub const KEY_PREFIX: u8 = b'v';

/// The present volume map, for everybody on this server.
pub type VolumeWatch = watch::Receiver<Arc<VolumeMap>>;

/// The part of the root group's state machine that holds the volume map.
pub struct VolumeTable {
    map: Arc<VolumeMap>,
    published: watch::Sender<Arc<VolumeMap>>,
    orders: Arc<Maintenance>,
    published_orders: watch::Sender<Arc<Maintenance>>,
}

impl VolumeTable {
    /// An empty map, and how others follow it.
    pub fn new() -> (VolumeTable, VolumeWatch) {
        let map = Arc::<VolumeMap>::default();
        let (published, watch) = watch::channel(Arc::clone(&map));
        let table = VolumeTable {
            map,
            published,
            orders: Arc::default(),
            published_orders: watch::channel(Arc::default()).0,
        };
        (table, watch)
    }

    /// How others follow the orders for the volumes' upkeep.
    pub fn follow_orders(&self) -> MaintenanceWatch {
        self.published_orders.subscribe()
    }

    /// Reads the map at start and after a snapshot replaced the keyspace, and publishes it.
    ///
    /// # Errors
    /// Whatever the store says; a record that does not decode is a fault of its files.
    pub fn load(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        let mut map = VolumeMap::default();
        for pair in keyspace.pairs(&KeyRange::prefix(&[KEY_PREFIX])) {
            let (key, value) = pair?;
            if key.len() == 1 {
                map.version = wire::decode(&value).map_err(unreadable)?;
            } else {
                let volume: Volume = wire::decode(&value).map_err(unreadable)?;
                map.volumes.insert(volume.id, volume);
            }
        }
        self.map = Arc::new(map);
        let orders = keyspace.get(&[maintenance::KEY])?;
        let orders = orders.map(|orders| wire::decode(&orders)).transpose();
        self.orders = Arc::new(orders.map_err(unreadable)?.unwrap_or_default());
        self.committed();
        Ok(())
    }

    /// The map with every command applied so far, published or not.
    pub fn map(&self) -> &Arc<VolumeMap> {
        &self.map
    }

    /// Applies one committed command.
    ///
    /// # Errors
    /// None at present; the root group's machine treats one as the end of this member.
    pub fn apply(
        &mut self,
        command: &VolumeCommand,
        batch: &mut Batch,
    ) -> Result<VolumeAnswer, StoreError> {
        let changed = match command {
            VolumeCommand::Add { first, volumes } => added(&self.map, *first, volumes),
            VolumeCommand::Change {
                volume,
                expected,
                change,
                copies_min,
            } => present(&self.map, *volume, *expected)
                .and_then(|volume| changed(volume, change, *copies_min))
                .map(|volume| vec![volume]),
            VolumeCommand::SetStatus {
                volume,
                expected,
                status,
                copies_min,
            } => present(&self.map, *volume, *expected)
                .map(|volume| vec![with_status(volume, *status, *copies_min)]),
            VolumeCommand::Maintain(command) => return Ok(self.order(command, batch)),
        };
        let changed = match changed {
            Ok(changed) => changed,
            Err(answer) => return Ok(answer),
        };
        let map = Arc::make_mut(&mut self.map);
        map.version += 1;
        batch.put(
            Bytes::from_static(&[KEY_PREFIX]),
            wire::encode(&map.version),
        );
        for volume in changed {
            batch.put(volume_key(volume.id), wire::encode(&volume));
            map.volumes.insert(volume.id, volume);
        }
        Ok(VolumeAnswer::Done {
            map_version: map.version,
        })
    }

    fn order(&mut self, command: &MaintenanceCommand, batch: &mut Batch) -> VolumeAnswer {
        match maintenance::ordered(&self.orders, command) {
            Ok(Some(next)) => {
                batch.put(Bytes::from_static(&[maintenance::KEY]), wire::encode(&next));
                self.orders = Arc::new(next);
            }
            Ok(None) => {}
            Err(answer) => return answer,
        }
        VolumeAnswer::Done {
            map_version: self.map.version,
        }
    }

    /// What decides whether a dserver may leave.
    pub(crate) fn upkeep(&self) -> Upkeep<'_> {
        Upkeep {
            map: &self.map,
            orders: &self.orders,
        }
    }

    /// Publishes what was applied, once it is visible in the keyspace.
    pub fn committed(&mut self) {
        self.published.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.map);
            *published = Arc::clone(&self.map);
            is_new
        });
        self.published_orders.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.orders);
            *published = Arc::clone(&self.orders);
            is_new
        });
    }
}

fn unreadable(fault: WireFault) -> StoreError {
    StoreError::Files(std::io::Error::new(std::io::ErrorKind::InvalidData, fault))
}

fn volume_key(id: VolumeId) -> Vec<u8> {
    let mut key = vec![KEY_PREFIX];
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// The lowest volume name never used; volumes are never taken away, so it follows the last.
pub(crate) fn next_volume_id(volumes: &BTreeMap<VolumeId, Volume>) -> VolumeId {
    VolumeId(volumes.keys().next_back().map_or(1, |last| last.0 + 1))
}

fn added(
    map: &VolumeMap,
    first: VolumeId,
    volumes: &[Vec<ServerId>],
) -> Result<Vec<Volume>, VolumeAnswer> {
    if first != next_volume_id(&map.volumes) {
        return Err(VolumeAnswer::Stale);
    }
    let syncing = |server: &ServerId| VolumeMember {
        server: *server,
        state: MemberState::Syncing,
    };
    let mut id = first;
    let mut added = Vec::with_capacity(volumes.len());
    for members in volumes {
        let mut distinct = members.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if members.is_empty() || distinct.len() != members.len() {
            return Err(VolumeAnswer::NotAllowed);
        }
        added.push(Volume {
            id,
            epoch: Epoch(1),
            members: members.iter().map(syncing).collect(),
            status: VolumeStatus::ReadOnly,
        });
        id = VolumeId(id.0 + 1);
    }
    Ok(added)
}

fn present(map: &VolumeMap, id: VolumeId, expected: Epoch) -> Result<&Volume, VolumeAnswer> {
    let volume = map.volumes.get(&id).ok_or(VolumeAnswer::NoSuchVolume)?;
    if volume.epoch == expected {
        Ok(volume)
    } else {
        Err(VolumeAnswer::Stale)
    }
}

fn changed(volume: &Volume, change: &MemberChange, copies_min: u8) -> Result<Volume, VolumeAnswer> {
    let mut next = volume.clone();
    let others_in_sync = |member: ServerId| volume.readable().filter(|s| *s != member).count();
    let needed = copies_needed(volume, copies_min);
    let state = |member: ServerId| volume.state_of(member);
    match change {
        MemberChange::Found { members } => {
            let is_new = volume.readable().next().is_none() && volume.epoch == Epoch(1);
            if !is_new || members.is_empty() {
                return Err(VolumeAnswer::NotAllowed);
            }
            for member in &mut next.members {
                let is_there = members.contains(&member.server);
                member.state = if is_there {
                    MemberState::InSync
                } else {
                    MemberState::Out
                };
            }
        }
        MemberChange::Fence { member } => match state(*member) {
            Some(MemberState::InSync) if others_in_sync(*member) >= needed => {
                set(&mut next, *member, MemberState::Out);
            }
            Some(MemberState::Syncing) if others_in_sync(*member) > 0 => {
                set(&mut next, *member, MemberState::Out);
            }
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Lose { member } => match state(*member) {
            Some(MemberState::InSync | MemberState::Syncing) if others_in_sync(*member) > 0 => {
                set(&mut next, *member, MemberState::Out);
            }
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Sync { member } => match state(*member) {
            Some(MemberState::Out) if others_in_sync(*member) > 0 => {
                set(&mut next, *member, MemberState::Syncing);
            }
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Admit { member } => match state(*member) {
            Some(MemberState::Syncing) if others_in_sync(*member) > 0 => {
                set(&mut next, *member, MemberState::InSync);
            }
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Replace { member, by } => match (state(*member), state(*by)) {
            (Some(MemberState::Out), None) if others_in_sync(*member) > 0 => {
                next.members.retain(|present| present.server != *member);
                next.members.push(VolumeMember {
                    server: *by,
                    state: MemberState::Syncing,
                });
            }
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Join { by } => match state(*by) {
            None if volume.readable().next().is_some() => next.members.push(VolumeMember {
                server: *by,
                state: MemberState::Syncing,
            }),
            _ => return Err(VolumeAnswer::NotAllowed),
        },
        MemberChange::Leave { member } => {
            let others = others_in_sync(*member);
            if state(*member).is_none() || others == 0 || others < needed {
                return Err(VolumeAnswer::NotAllowed);
            }
            next.members.retain(|present| present.server != *member);
        }
    }
    next.epoch = volume.epoch.next();
    next.status = status_of(&next, copies_min, volume.status);
    Ok(next)
}

fn set(volume: &mut Volume, server: ServerId, state: MemberState) {
    for member in volume
        .members
        .iter_mut()
        .filter(|member| member.server == server)
    {
        member.state = state;
    }
}

fn with_status(volume: &Volume, status: VolumeStatus, copies_min: u8) -> Volume {
    let mut next = volume.clone();
    next.status = match status {
        VolumeStatus::Writable | VolumeStatus::Degraded => {
            status_of(volume, copies_min, VolumeStatus::Writable)
        }
        VolumeStatus::ReadOnly | VolumeStatus::Full | VolumeStatus::Draining => status,
    };
    next
}

/// Copies that must be in sync for a write: never more than there are members.
pub(crate) fn copies_needed(volume: &Volume, copies_min: u8) -> usize {
    usize::from(copies_min).clamp(1, volume.members.len().max(1))
}

fn status_of(volume: &Volume, copies_min: u8, was: VolumeStatus) -> VolumeStatus {
    let in_sync = volume.readable().count();
    if was == VolumeStatus::Draining {
        VolumeStatus::Draining
    } else if in_sync < copies_needed(volume, copies_min) {
        VolumeStatus::ReadOnly
    } else if was == VolumeStatus::Full {
        VolumeStatus::Full
    } else if in_sync == volume.members.len() {
        VolumeStatus::Writable
    } else {
        VolumeStatus::Degraded
    }
}
