//! Volumes: the unit of placement, and the map of all of them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ids::{Epoch, VolumeId};
use sdfs_server_group::ServerId;

/// What a member of a volume is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// Has every acknowledged block: is read from, must acknowledge writes.
    InSync,
    /// Is being brought up to date: must acknowledge writes, is not read from.
    Syncing,
    /// Was fenced off: neither read from nor written to.
    Out,
}

/// One copy of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMember {
    /// The dserver that keeps it.
    pub server: ServerId,
    /// What it is good for.
    pub state: MemberState,
}

/// Whether a volume takes new blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeStatus {
    /// All copies in sync.
    Writable,
    /// Copies are missing, yet enough are in sync to take new blocks.
    Degraded,
    /// Too few copies in sync to take new blocks.
    ReadOnly,
    /// No room left.
    Full,
    /// Being emptied: takes no new blocks.
    Draining,
}

/// Many blocks, kept by the same members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub id: VolumeId,
    /// Counts its memberships.
    pub epoch: Epoch,
    /// Its copies.
    pub members: Vec<VolumeMember>,
    /// Whether it takes new blocks.
    pub status: VolumeStatus,
}

impl Volume {
    /// Members a reader may ask.
    pub fn readable(&self) -> impl Iterator<Item = ServerId> {
        self.in_state(|state| state == MemberState::InSync)
    }

    /// Members that must acknowledge a write.
    pub fn acknowledging(&self) -> impl Iterator<Item = ServerId> {
        self.in_state(|state| state != MemberState::Out)
    }

    /// Whether the volume takes new blocks.
    pub fn is_writable(&self) -> bool {
        matches!(self.status, VolumeStatus::Writable | VolumeStatus::Degraded)
    }

    /// The state of `server` in this volume, when it is a member.
    pub fn state_of(&self, server: ServerId) -> Option<MemberState> {
        self.members
            .iter()
            .find(|member| member.server == server)
            .map(|member| member.state)
    }

    fn in_state(&self, wanted: impl Fn(MemberState) -> bool) -> impl Iterator<Item = ServerId> {
        self.members
            .iter()
            .filter(move |member| wanted(member.state))
            .map(|member| member.server)
    }
}

/// Every volume, as of one version of the map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMap {
    /// Grows with each change.
    pub version: u64,
    /// The volumes by name.
    pub volumes: BTreeMap<VolumeId, Volume>,
}
