//! Calls about anonymous files: between dservers, and from a dserver to a mserver.

use serde::{Deserialize, Serialize};

use super::call;
use crate::ids::{BlockDescriptor, Epoch, VolumeId};
use crate::volume::VolumeMap;

/// Asks a mserver for stamps of the asking dserver. A lost answer only wastes stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStamps {
    /// The dserver's time, seconds since the Unix epoch.
    pub now_s: u32,
}
call!(LeaseStamps => StampsLeased, LeaseStamps);

/// All stamps of these seconds are the asker's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampsLeased {
    /// The first second, since the Unix epoch.
    pub from_s: u32,
    /// The second after the last.
    pub until_s: u32,
}

/// Asks a mserver for leave to read anonymous files for [`crate::limits::READ_LEASE_MS`], counted
/// from when it is sent, and for the volumes as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReads {
    /// The version of the map the dserver has from its last lease; 0 for none.
    pub known_version: u64,
}
call!(LeaseReads => Option<VolumeMap>, LeaseReads);

/// Has a member forget anonymous blocks for good. One that syncs also refuses copies of them that
/// are on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeAnonymous {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch the sender knows; at another one nothing is done.
    pub epoch: Epoch,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
}
call!(FreeAnonymous => u32, FreeAnonymous);
