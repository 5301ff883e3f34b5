//! Starts the groups of a process from what its directory and its store hold.

use crate::applier::Applier;
use crate::barrier::{serve_barriers, serve_indexes};
use crate::ending::Ending;
use crate::errors::StartError;
use crate::forward::forward;
use crate::group::{Group, Member};
use crate::group_store::{GroupStoreError, GroupStores};
use crate::groups::Shared;
use crate::identity::Birth;
use crate::ids::GroupId;
use crate::join::join;
use crate::limits::{
    APPEND_ENTRIES_MAX, BARRIER_QUEUE_MAX, FORWARD_QUEUE_MAX, SEGMENT_BYTES, SNAPSHOT_PIECE_WAIT,
};
use crate::log_storage::GroupStorage;
use crate::network::Network;
use crate::options::{GroupSpec, LogKept, RaftTimers};
use crate::owner::{Owner, Said};
use crate::raft_log::RaftLog;
use crate::snapshot::persist;
use crate::status::LeaderView;
use crate::tend::{tend, tend_log, watch_leader};
use crate::types::{Raft, node_of};
use crate::wire::Wire;
use openraft::{Config, SnapshotPolicy};
use sdfs_log::Disk;
use sdfs_server_group::ServerId;
use sdfs_store::Store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// What groups start from, but for the wire.
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
    pub(crate) timers: RaftTimers,
    pub(crate) kept: LogKept,
    pub(crate) groups: Vec<GroupSpec>,
}

/// A task's queues, made before the task.
struct Queues {
    forwards: mpsc::Receiver<crate::forward::Forward>,
    barriers: mpsc::Receiver<tokio::sync::oneshot::Sender<()>>,
    indexes: mpsc::Receiver<tokio::sync::oneshot::Sender<u64>>,
}

/// Opens everything, then lets all groups run.
pub(crate) async fn start(wire: Arc<dyn Wire>, parts: Parts) -> Result<Arc<Shared>, StartError> {
    let config = Arc::new(config_of(parts.timers, parts.kept)?);
    let Parts {
        disk,
        dir,
        store,
        groups: specs,
        ..
    } = parts;
    let ids = specs
        .iter()
        .filter(|spec| spec.machine.is_some())
        .map(|spec| spec.id);
    let file = Owner::read(disk.as_ref(), &dir)?;
    let (log, log_owner) = RaftLog::open(Arc::clone(&disk), &dir.join("log"), ids, SEGMENT_BYTES)?;
    let stores = GroupStores::open(store)?;
    let said = Said {
        file,
        log: log_owner,
        store: None,
    };
    let owner = settle(wire.me(), (disk.as_ref(), &dir), &log, &stores, said).await?;

    let ending = Ending::not_yet();
    let named = specs
        .iter()
        .flat_map(|spec| spec.voters.iter().chain(&spec.learners));
    let is_other = |server: &&ServerId| **server != wire.me();
    let others = named.filter(is_other).copied().collect();
    let mut groups = BTreeMap::new();
    let mut all_queues = Vec::new();
    for spec in specs {
        let id = spec.id;
        let opener = Opener {
            wire: &wire,
            dir: &dir,
            log: &log,
            stores: &stores,
            config: &config,
            ending: &ending,
        };
        let (group, queues) = opener.open(spec).await?;
        all_queues.push((Arc::clone(&group), queues));
        if groups.insert(id, group).is_some() {
            return Err(StartError::DuplicateGroup(id));
        }
    }
    let tasks = Mutex::new(Vec::new());
    let shared = Arc::new(Shared {
        wire,
        life: owner.life,
        others,
        doubt: Notify::new(),
        groups,
        log,
        stores,
        ending,
        tasks,
    });
    for (group, queues) in all_queues {
        run(&shared, group, queues);
    }
    shared.spawn(join(Arc::clone(&shared)));
    shared.spawn(tend_log(Arc::clone(&shared)));
    Ok(shared)
}

/// Settles who this server is and writes it wherever it is not yet written.
async fn settle(
    me: ServerId,
    place: (&dyn Disk, &Path),
    log: &RaftLog,
    stores: &GroupStores,
    said: Said,
) -> Result<Owner, StartError> {
    let (disk, dir) = place;
    let failed = |source| StartError::LogFailed {
        dir: dir.to_owned(),
        source,
    };
    let store = stores.life_of(me)?;
    let owner = match Owner::settle(me, dir, Said { store, ..said })? {
        Some(owner) => owner,
        None => Owner::new(me)?,
    };
    // The log first: see `Owner::settle`.
    log.write_opened(me, owner.life).await.map_err(failed)?;
    if said.file.is_none() {
        owner.write(disk, dir)?;
    }
    stores
        .put_life(me, owner.life)
        .map_err(GroupStoreError::from)?;
    // What replay of the store's own journal brought back may not be on disk yet, and counts as
    // a snapshot from now on.
    persist(stores.store()).await.map_err(failed)?;
    Ok(owner)
}

/// What all groups are opened with.
struct Opener<'a> {
    wire: &'a Arc<dyn Wire>,
    dir: &'a Path,
    log: &'a RaftLog,
    stores: &'a GroupStores,
    config: &'a Arc<Config>,
    ending: &'a Ending,
}

impl Opener<'_> {
    async fn open(&self, spec: GroupSpec) -> Result<(Arc<Group>, Queues), StartError> {
        let GroupSpec {
            id,
            voters,
            learners,
            preferred,
            machine,
        } = spec;
        let (forwards, forwards_out) = mpsc::channel(FORWARD_QUEUE_MAX);
        let (barriers, barriers_out) = mpsc::channel(BARRIER_QUEUE_MAX);
        let (indexes, indexes_out) = mpsc::channel(BARRIER_QUEUE_MAX);
        let member = match machine {
            None => None,
            Some(machine) => {
                let applier = Applier::open(id, self.stores.clone(), machine, self.ending.clone())?;
                let (current, stage) = (applier.current(), applier.stage());
                let raft = self.raft(id, applier).await?;
                let birth = birth_of(id, &raft).await?;
                let receiving = Mutex::new(None);
                Some(Member {
                    raft,
                    birth,
                    told_other_birth: Once::new(),
                    current,
                    stage,
                    barriers,
                    indexes,
                    receiving,
                })
            }
        };
        let (view, _) = watch::channel(LeaderView::default());
        let wire = Arc::clone(self.wire);
        let group = Group {
            id,
            voters,
            learners,
            preferred,
            wire,
            view,
            forwards,
            member,
        };
        let queues = Queues {
            forwards: forwards_out,
            barriers: barriers_out,
            indexes: indexes_out,
        };
        Ok((Arc::new(group), queues))
    }

    async fn raft(&self, group: GroupId, applier: Applier) -> Result<Raft, StartError> {
        let purged = self.log.with(group, |log| log.state().purged);
        let applied = applier.last_applied().map_or(0, |last| last.index);
        if let Some(purged) = purged.filter(|purged| purged.index > applied) {
            let (purged, dir) = (purged.index, self.dir.to_owned());
            return Err(StartError::StoreLost {
                group,
                applied,
                purged,
                dir,
            });
        }
        let network = Network {
            group,
            wire: Arc::clone(self.wire),
        };
        let storage = GroupStorage::new(self.log.clone(), group);
        let me = node_of(self.wire.me());
        storage
            .give_leadership_up(me)
            .await
            .map_err(|source| StartError::Group {
                group,
                source: Box::new(source),
            })?;
        let raft = Raft::new(me, Arc::clone(self.config), network, storage, applier).await;
        raft.map_err(|fatal| StartError::Group {
            group,
            source: Box::new(fatal),
        })
    }
}

/// Which group this server is a member of, by what is on its disk.
async fn birth_of(group: GroupId, raft: &Raft) -> Result<OnceLock<Birth>, StartError> {
    let birth = raft
        .with_raft_state(|state| Birth::of_members(state.membership_state.effective().membership()))
        .await;
    let birth = birth.map_err(|fatal| StartError::Group {
        group,
        source: Box::new(fatal),
    })?;
    Ok(birth.map_or_else(OnceLock::new, OnceLock::from))
}

fn run(shared: &Arc<Shared>, group: Arc<Group>, queues: Queues) {
    shared.spawn(forward(Arc::clone(&group), queues.forwards));
    if group.member.is_some() {
        shared.spawn(serve_barriers(Arc::clone(&group), queues.barriers));
        shared.spawn(serve_indexes(Arc::clone(&group), queues.indexes));
        shared.spawn(watch_leader(Arc::clone(shared), Arc::clone(&group)));
        shared.spawn(tend(Arc::clone(shared), group));
    }
}

fn config_of(timers: RaftTimers, kept: LogKept) -> Result<Config, StartError> {
    let RaftTimers {
        heartbeat_ms,
        election_ms,
    } = timers;
    if heartbeat_ms == 0 || election_ms < heartbeat_ms.saturating_mul(3) {
        return Err(StartError::Timers);
    }
    crate::runtime::sleep_for(Duration::from_millis(heartbeat_ms));
    let config = Config {
        cluster_name: "sdfs".to_owned(),
        heartbeat_interval: heartbeat_ms,
        // A busy follower's answers are heartbeats enough.
        heartbeat_min_interval: Some(heartbeat_ms / 2),
        // Followers hold to a leader for the longest timeout and then wait a timeout: together
        // at most twice `election_ms`.
        election_timeout_min: election_ms * 6 / 10,
        election_timeout_max: election_ms,
        install_snapshot_timeout: SNAPSHOT_PIECE_WAIT.as_millis() as u64,
        max_payload_entries: APPEND_ENTRIES_MAX,
        // A member gets entries for as long as the log has them, however far behind it is.
        replication_lag_threshold: u64::MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(kept.snapshot_entries),
        max_in_snapshot_log_to_keep: kept.keep_entries,
        purge_batch_size: kept.purge_entries,
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().map_err(|_| StartError::Timers)
}
