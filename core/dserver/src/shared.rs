//! What everybody in the data-server holds: spaces, the volumes pushed here, and the ways out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use sdfs_log::Disk;
use sdfs_server_group::{Caller, Role, ServerId};
use sdfs_types::calls::negotiation::{ReportTrouble, Trouble};
use sdfs_types::calls::status::SyncStatus;
use sdfs_types::{
    Epoch, FileDescriptor, Grant, GrantKey, GrantRights, MemberState, Refusal, Volume, VolumeId,
    clock,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::anonymous::Target;
use crate::peers::Peers;
use crate::read_lease::ReadLease;
use crate::space::{Space, SpaceFault};
use crate::stamps::Stamps;
use crate::sync_pace::SyncPace;
use crate::worker::Worker;

/// A configured space.
pub(crate) enum SpaceSlot {
    Open {
        space: Arc<Space>,
        worker: Worker,
    },
    /// It could not be opened.
    Faulty {
        path: PathBuf,
        fault: SpaceFault,
    },
}

impl SpaceSlot {
    /// The space, if it was opened; it may have failed since.
    pub(crate) fn space(&self) -> Option<&Arc<Space>> {
        match self {
            SpaceSlot::Open { space, .. } => Some(space),
            SpaceSlot::Faulty { .. } => None,
        }
    }

    /// The space and its thread, unless it has failed.
    pub(crate) fn working(&self) -> Option<(&Arc<Space>, &Worker)> {
        match self {
            SpaceSlot::Open { space, worker } if space.is_open() => Some((space, worker)),
            SpaceSlot::Open { .. } | SpaceSlot::Faulty { .. } => None,
        }
    }
}

/// A volume as last pushed.
pub(crate) struct VolumeHere {
    pub(crate) volume: Volume,
    pub(crate) copies_min: u8,
    /// Where its blocks are kept; nothing when they are not (any more).
    pub(crate) space: Option<Arc<Space>>,
    /// From when on no member that this epoch lacks may read anonymous files any more.
    pub(crate) settled: Instant,
}

/// What everybody in the data-server holds.
pub(crate) struct Shared {
    pub(crate) me: ServerId,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) grants: GrantKey,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) spaces: Vec<SpaceSlot>,
    /// Written by the keeper alone. A concurrent map, because reads and writes of blocks are
    /// served on whatever thread their link runs on and must not wait for the keeper.
    pub(crate) volumes: DashMap<VolumeId, Arc<VolumeHere>>,
    pub(crate) reports: mpsc::Sender<ReportTrouble>,
    /// How far each sync under way is: written by the sync, read by whoever asks.
    pub(crate) syncs: DashMap<VolumeId, SyncStatus>,
    pub(crate) pace: SyncPace,
    /// How often something was done for clients since the load was told.
    pub(crate) client_calls: AtomicU32,
    /// What may be given out of stamps: taken by whoever stores an anonymous file, in a moment.
    pub(crate) stamps: Mutex<Stamps>,
    /// Whether stamps are being asked for.
    pub(crate) is_leasing: AtomicBool,
    /// Until when anonymous files may be read: noted by whoever asked for it, read in a moment.
    pub(crate) reads: Mutex<ReadLease>,
    /// Whether it is being asked for.
    pub(crate) is_asking_reads: AtomicBool,
    /// The volume anonymous files go to.
    pub(crate) target: Mutex<Target>,
    /// When this server was started.
    pub(crate) begun: Instant,
    pub(crate) is_stopping: AtomicBool,
}

impl Shared {
    /// A volume as last pushed.
    pub(crate) fn volume(&self, id: VolumeId) -> Result<Arc<VolumeHere>, Refusal> {
        let here = self.volumes.get(&id).map(|here| Arc::clone(&here));
        here.ok_or(Refusal::NoSuchVolume { volume: id })
    }

    /// The space that keeps a volume. Known without any push, so that reads need none.
    pub(crate) fn space_of(&self, volume: VolumeId) -> Option<&Arc<Space>> {
        let spaces = self.spaces.iter().filter_map(SpaceSlot::space);
        let since = spaces.filter_map(|space| Some((space, space.kept_since(volume)?)));
        // A volume is in two when one of them had failed. When it works again the later one is
        // right; as long as it does not, that is said by whatever is tried there.
        let best = since.max_by_key(|(space, since)| (space.is_open(), *since));
        best.map(|(space, _)| space)
    }

    /// Whether a space keeps a volume whose home is another one now.
    pub(crate) fn is_double(&self, space: &Arc<Space>, volume: VolumeId) -> bool {
        let here = self.volumes.get(&volume);
        let home = here.as_ref().and_then(|here| here.space.as_ref());
        home.is_some_and(|home| !Arc::ptr_eq(home, space) && home.is_open())
    }

    /// Counts something that is done for a client.
    pub(crate) fn note_client(&self) {
        self.client_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets syncs be slower while clients are served, here or where is copied from.
    pub(crate) fn make_way(&self) {
        let serves = |server| {
            let load = self.peers.load(server);
            load.is_some_and(|load| load.client_calls > 0)
        };
        let syncing: Vec<VolumeId> = self.syncs.iter().map(|sync| *sync.key()).collect();
        let sources_serve = |volume: &VolumeId| {
            let here = self.volumes.get(volume);
            here.is_some_and(|here| here.volume.readable().any(serves))
        };
        if serves(self.me) || syncing.iter().any(sources_serve) {
            self.pace.make_way();
        }
    }

    /// Whether a caller may do that with a file's blocks: servers may, clients by their grant.
    pub(crate) fn check_grant(
        &self,
        from: &Caller,
        grant: Option<&Grant>,
        file: FileDescriptor,
        rights: GrantRights,
    ) -> Result<(), Refusal> {
        let is_allowed = from.role != Role::Client
            || grant.is_some_and(|grant| self.grants.allows(grant, file, rights, clock::now_ms()));
        if !is_allowed {
            return Err(Refusal::NotGranted);
        }
        if from.role == Role::Client {
            self.note_client();
        }
        Ok(())
    }

    /// Tells the root leader of a member in trouble. What the queue has no room for is dropped: it
    /// is full of the same.
    pub(crate) fn report(
        &self,
        volume: VolumeId,
        epoch: Epoch,
        (member, trouble): (ServerId, Trouble),
    ) {
        let report = ReportTrouble {
            volume,
            epoch,
            member,
            trouble,
        };
        if self.reports.try_send(report).is_err() {
            tracing::debug!(?report, "a report is dropped, many wait");
        }
    }

    /// The error of a failed disk, as others are told.
    pub(crate) fn disk_failed(&self) -> Refusal {
        Refusal::DiskFailed { server: self.me }
    }
}

impl VolumeHere {
    /// What this server is to the volume.
    pub(crate) fn my_state(&self, me: ServerId) -> Option<MemberState> {
        self.volume.state_of(me)
    }
}
