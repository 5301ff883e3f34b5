//! What a server says of itself.

use serde::{Deserialize, Serialize};

use super::call;
use crate::ids::{Epoch, VolumeId};
use crate::volume::Volume;
use sdfs_server_group::{Role, ServerId};

/// Asks a server how it is. Always answered from what the server itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetStatus {}
call!(GetStatus => ServerStatus, GetStatus);

/// How a server is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Which one.
    pub server: ServerId,
    /// Its name in `config.conf`.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where it listens.
    pub address: String,
    /// Version of its program.
    pub program: String,
    /// Seconds since it was started.
    pub up_s: u64,
    /// The other servers as it sees them.
    pub peers: Vec<PeerStatus>,
    /// Its raft groups, for a mserver.
    pub groups: Vec<GroupStatus>,
    /// The volume map, for a mserver; the volumes it keeps, for a dserver.
    pub volumes: Vec<Volume>,
    /// Its disks.
    pub spaces: Vec<SpaceStatus>,
    /// What it keeps of each volume, for a dserver.
    pub kept: Vec<VolumeKept>,
    /// Whether it hears a majority of the mservers.
    pub hears_majority: bool,
}

/// Another server as one sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Which one.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where it listens.
    pub address: String,
    /// `Waiting`, `Dialing`, `Proving`, `Up` or `Silent`.
    pub state: String,
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: Option<u64>,
    /// Lowest round-trip time, microseconds.
    pub rtt_min_us: Option<u64>,
    /// Variation of the round-trip time, microseconds.
    pub jitter_us: Option<u64>,
    /// Free bytes it reports.
    pub free_bytes: Option<u64>,
    /// How often it was established.
    pub established: u64,
}

impl PeerStatus {
    /// Whether calls reach it.
    pub fn is_up(&self) -> bool {
        matches!(&*self.state, "Up" | "Silent")
    }
}

/// A raft group as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// 0 is the root group, `i` the meta group of the `i`-th mserver.
    pub group: u8,
    /// Who leads it.
    pub leader: Option<ServerId>,
    /// Its term.
    pub term: u64,
    /// Last log index here.
    pub last_log: u64,
    /// Last index applied here.
    pub applied: u64,
    /// Its members.
    pub voters: Vec<ServerId>,
}

/// A disk of a server. A mserver keeps no blocks on its own: those counts are 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceStatus {
    /// Where it is.
    pub path: String,
    /// Whether it is closed after a failure, and why.
    pub failed: Option<String>,
    /// Blocks kept.
    pub blocks: u64,
    /// Bytes of live blocks.
    pub live_bytes: u64,
    /// Bytes of its segments.
    pub segment_bytes: u64,
    /// Bytes free on the disk.
    pub free_bytes: u64,
    /// Bytes it still takes: what is free beyond the reserve.
    pub room_bytes: u64,
    /// Volumes kept here.
    pub volumes: Vec<VolumeId>,
    /// How far its scrub is.
    pub scrub: ScrubStatus,
}

/// How far the reading and verifying of everything on a disk is, since the server was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Whole passes over the disk.
    pub passes: u64,
    /// Bytes verified in the present pass.
    pub checked_bytes: u64,
    /// Whether the present pass was asked for and is read as fast as allowed; else one takes a
    /// week.
    pub is_hurried: bool,
    /// Blocks found damaged, by whatever read them.
    pub damaged: u64,
    /// Of those, blocks fetched from another copy and verified, or freed since.
    pub repaired: u64,
}

/// What a dserver keeps of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeKept {
    /// Which volume.
    pub volume: VolumeId,
    /// The epoch it was told.
    pub epoch: Epoch,
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How far it is brought up to date, while it is.
    pub sync: Option<SyncStatus>,
}

/// How far a volume is brought up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Milliseconds since it was begun.
    pub for_ms: u64,
    /// Bytes gone through: verified where they were present, copied where not.
    pub done_bytes: u64,
    /// Blocks copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Blocks found present and right.
    pub present: u64,
}

/// Asks a dserver to read and verify everything it keeps, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginScrub {}
call!(BeginScrub => (), BeginScrub);
