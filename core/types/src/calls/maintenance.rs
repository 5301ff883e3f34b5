//! What an operator orders of the volumes' upkeep: dservers to be emptied, healing to be held or
//! slowed, copies to be spread anew. Kept in the root group, so an order outlives every leader.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call;
use sdfs_server_group::ServerId;

/// Gives an order, or shows those that stand. Giving one twice is giving it once. Anybody may have
/// them shown; orders are for administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintain {
    /// The order.
    pub order: MaintenanceOrder,
}
call!(Maintain => Maintenance, Maintain);

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaintenanceOrder {
    /// Changes nothing; answered from what the asked mserver knows, also without a majority.
    Show,
    /// Takes every copy away from a dserver, each when another one has been made elsewhere; it
    /// gets no new ones.
    Drain {
        /// Which dserver.
        server: ServerId,
    },
    /// The dserver stays after all.
    StopDrain {
        /// Which dserver.
        server: ServerId,
    },
    /// No copy is made until [`MaintenanceOrder::StartHealing`].
    PauseHealing,
    /// Copies are made again.
    StartHealing,
    /// Bounds what each dserver reads and copies to bring volumes up to date.
    LimitHealing {
        /// Bytes a second; `None` for the usual bound.
        bytes_per_s: Option<u64>,
    },
    /// Moves copies from dservers with many volumes to those with few, until no move helps.
    Rebalance,
    /// Moves no more copies for that; those being made are finished.
    StopRebalance,
}

/// The orders that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Counts the changes.
    pub version: u64,
    /// Dservers that are being emptied, or are empty and get nothing.
    pub draining: BTreeMap<ServerId, Ordered>,
    /// While no copies are made.
    pub healing_paused: Option<Ordered>,
    /// The bound of each dserver, bytes a second.
    pub heal_bytes_per_s: Option<u64>,
    /// While copies are spread anew.
    pub rebalancing: Option<Ordered>,
}

/// Who gave an order, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The user's name.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Tells a dserver how fast it may bring its volumes up to date, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetHealRate {
    /// Bytes a second, read or copied; `None` for the usual bound, 0 to stand still.
    pub bytes_per_s: Option<u64>,
}
call!(SetHealRate => (), SetHealRate);
