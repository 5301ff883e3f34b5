//! What the root leader is told about volumes, and what it has done.

use std::sync::Arc;

use sdfs_types::calls::blocks::{PushVolumes, SyncVolume};
use sdfs_types::calls::maintenance::{Maintenance, SetHealRate};
use sdfs_types::calls::negotiation::{ReportSync, ReportTrouble};
use sdfs_types::{Epoch, ServerId, VolumeId, VolumeMap};

use super::super::command::{VolumeAnswer, VolumeCommand};
use super::dserver::DserverSeen;

/// What the leader is told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Every dserver, as the mesh shows it now. Comes with each change and every tick.
    Seen(Vec<DserverSeen>),
    /// A connection ended. `is_surely_gone` when it had been silent or said goodbye: then nobody
    /// waits for it to be back at once.
    Lost {
        server: ServerId,
        is_surely_gone: bool,
    },
    /// The volume map has changed.
    MapMoved(Arc<VolumeMap>),
    /// The orders for the volumes' upkeep have changed.
    OrdersMoved(Arc<Maintenance>),
    /// A dserver was told the heal rate of these orders over that connection, or not.
    RateTold {
        server: ServerId,
        connection: u64,
        version: Option<u64>,
    },
    /// A server saw trouble with a member.
    Troubled(ReportTrouble),
    /// A syncing member has verified that it has everything.
    Synced(ReportSync),
    /// A dserver answered a push over that connection.
    PushAnswered {
        server: ServerId,
        connection: u64,
        map_version: u64,
        lost: Vec<VolumeId>,
    },
    /// It did not.
    PushFailed { server: ServerId, connection: u64 },
    /// A dserver that was doubted answered, or not.
    Probed {
        server: ServerId,
        connection: u64,
        has_answered: bool,
    },
    /// A syncing member answered the asking of that epoch, or not.
    SyncAnswered {
        volume: VolumeId,
        epoch: Epoch,
        member: ServerId,
        answer: SyncAnswer,
    },
    /// A proposal about one volume, or about new ones, has ended.
    Proposed {
        volume: Option<VolumeId>,
        answer: Option<VolumeAnswer>,
    },
}

/// How a syncing member answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncAnswer {
    /// It is at work.
    Begun,
    /// It cannot: its disk has failed or has no room.
    Unable,
    /// No answer, or not now.
    Failed,
}

/// What the leader has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Propose to the root group; ends in [`Event::Proposed`].
    Propose {
        volume: Option<VolumeId>,
        command: VolumeCommand,
    },
    /// Tell a dserver of its volumes; ends in [`Event::PushAnswered`] or [`Event::PushFailed`].
    Push {
        server: ServerId,
        connection: u64,
        push: PushVolumes,
    },
    /// Tell a dserver how fast it may sync; ends in [`Event::RateTold`].
    SetRate {
        server: ServerId,
        connection: u64,
        version: u64,
        rate: SetHealRate,
    },
    /// See whether a dserver answers; ends in [`Event::Probed`].
    Probe { server: ServerId, connection: u64 },
    /// Tell a member to sync; ends in [`Event::SyncAnswered`].
    StartSync { member: ServerId, sync: SyncVolume },
    /// Tell people: the last copy in sync of a volume is gone.
    LastCopyLost { volume: VolumeId, member: ServerId },
}
