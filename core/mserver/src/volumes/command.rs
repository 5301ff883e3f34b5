//! What the root group is asked to change in the volume map, and how it answers.

use serde::{Deserialize, Serialize};

use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::{Epoch, ServerId, VolumeId, VolumeStatus};

/// One change of the volume map. Every command names the state it was decided on, so applying it
/// twice, or after another change, does nothing and says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeCommand {
    /// Adds volumes, named in order from `first`. Their members begin syncing, and the volume takes
    /// nothing before [`MemberChange::Found`]: a dserver that is told it has a copy in sync, and
    /// has none, can therefore tell a lost copy from a new volume.
    Add {
        /// The name of the first one: the lowest never used, or the command is stale.
        first: VolumeId,
        /// The members of each.
        volumes: Vec<Vec<ServerId>>,
    },
    /// Changes the members of one volume and begins its next epoch.
    Change {
        /// Which volume.
        volume: VolumeId,
        /// The epoch the change was decided on; at another one the command is stale.
        expected: Epoch,
        /// What changes.
        change: MemberChange,
        /// Fewest copies in sync for a write; the status follows from it.
        copies_min: u8,
    },
    /// Sets what cannot be seen from the members. The epoch stays.
    SetStatus {
        /// Which volume.
        volume: VolumeId,
        /// The epoch the change was decided on; at another one the command is stale.
        expected: Epoch,
        /// [`VolumeStatus::Writable`] lifts an earlier status: what the members allow holds again.
        status: VolumeStatus,
        /// Fewest copies in sync for a write.
        copies_min: u8,
    },
    /// Gives an order for the upkeep of all volumes; the map stays.
    Maintain(MaintenanceCommand),
}

impl VolumeCommand {
    /// The dservers that are to keep copies by this command.
    pub(crate) fn newcomers(&self) -> Vec<ServerId> {
        match self {
            VolumeCommand::Add { volumes, .. } => volumes.concat(),
            VolumeCommand::Change {
                change: MemberChange::Replace { by, .. } | MemberChange::Join { by },
                ..
            } => vec![*by],
            _ => Vec::new(),
        }
    }

    /// The dserver that stays after all by this command.
    pub(crate) fn stops_drain(&self) -> Option<ServerId> {
        match self {
            VolumeCommand::Maintain(MaintenanceCommand {
                order: MaintenanceOrder::StopDrain { server },
                ..
            }) => Some(*server),
            _ => None,
        }
    }
}

/// An order, and what it is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceCommand {
    /// The order.
    pub order: MaintenanceOrder,
    /// Who gives it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The orders it was decided on, by their version; with others the command is stale.
    pub expected: Option<u64>,
    /// Dservers that are up: of them enough must stay.
    pub up: Vec<ServerId>,
    /// Copies there are to be: as many dservers must stay.
    pub copies: u8,
}

/// What happens to the members of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A new volume begins to be used: these members have registered it, the others are out.
    Found {
        /// Who has registered it.
        members: Vec<ServerId>,
    },
    /// A member that cannot be reached is out, so that writes go on without it. Refused when fewer
    /// than the copies a write needs would stay in sync: then nothing is won, and the member has
    /// still missed nothing.
    Fence {
        /// Which member.
        member: ServerId,
    },
    /// A member has lost its copy and is out. Refused for the last copy in sync: nothing could ever
    /// take its place.
    Lose {
        /// Which member.
        member: ServerId,
    },
    /// A member that was out gets every write from now on and copies what it missed.
    Sync {
        /// Which member.
        member: ServerId,
    },
    /// A syncing member has verified that it has everything.
    Admit {
        /// Which member.
        member: ServerId,
    },
    /// Another dserver takes the place of a member that is out for long, and begins syncing.
    Replace {
        /// Who leaves.
        member: ServerId,
        /// Who comes.
        by: ServerId,
    },
    /// Another dserver becomes a member beside those there are, and begins syncing.
    Join {
        /// Who comes.
        by: ServerId,
    },
    /// A member leaves that the others do without. Refused when fewer than the copies a write
    /// needs would stay in sync.
    Leave {
        /// Which member.
        member: ServerId,
    },
}

/// How the root group answers a [`VolumeCommand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeAnswer {
    /// The map has changed.
    Done {
        /// Its version now.
        map_version: u64,
    },
    /// Decided on a state that is gone; look at the map and decide again.
    Stale,
    /// No such volume.
    NoSuchVolume,
    /// The change makes no sense in this state of the members, or would give up the last copy.
    NotAllowed,
}
