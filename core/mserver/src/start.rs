//! Starting a mserver, and the handle to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

use actix::Actor;
use async_trait::async_trait;
use dashmap::DashMap;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use sdfs_log::Disk;
use sdfs_raft::{
    GroupId, GroupSpec, LogKept, MemberError, RaftGroups, RaftOptions, RaftStatus, RaftTimers,
    SnapshotError, StateMachine, StopReason,
};
use sdfs_server_group::{
    Deadline, IncomingCall, Mesh, Role, SecretError, ServerId, UserKey, UserKeys,
};
use sdfs_store::Store;
use sdfs_types::calls::servers::{GroupLed, ServersTold};
use sdfs_types::calls::status::GroupStatus;
use sdfs_types::{GrantKey, MetaGroup, ServerList, UserName, VolumeMap};

use crate::asker::Asker;
use crate::batch::Batcher;
use crate::cache::FixedHasher;
use crate::core::{Core, MainBatcher, MetaBatcher, ask, meta_batches, root_batches, together};
use crate::duties;
use crate::ids::FileIds;
use crate::layout::{Layout, raft_group};
use crate::limits::LOGIN_BARRIER_MAX;
use crate::membership;
use crate::meta::{GroupFreeList, MetaMachine, MetaView};
use crate::root::command::{decode_volume, encode_volume};
use crate::root::{RootMachine, RootView, ServerWatch, Users};
use crate::serve;
use crate::timelines::Timelines;
use crate::traced::TracedPaths;
use crate::volumes::{
    Acceptor, Listed, RaftRoot, RootGroup, Servers, Supervisor, VolumeRules, sweep,
};
use crate::voter::{AskReserved, NameReserved, Voter};
use crate::voters;

/// What a mserver starts from.
pub struct MserverOptions {
    /// The way to the other servers, and the configuration.
    pub mesh: Mesh,
    /// The door to the raft log's files.
    pub disk: Arc<dyn Disk>,
    /// Directory of the raft log; made when absent.
    pub raft_dir: PathBuf,
    /// Where the state of the groups lives.
    pub store: Store,
    /// What grants to clients are made with; dservers check them with the same.
    pub grants: GrantKey,
    /// How long a grant is good for, milliseconds: `GRANT_MS`, less in tests.
    pub grant_ms: u64,
    /// How much of the groups' log is kept: the default, less in a simulation.
    pub kept: LogKept,
}

/// Why a mserver did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Raft did not start.
    #[error(transparent)]
    Raft(#[from] sdfs_raft::StartError),
    /// The administrator's secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// This server is no mserver of the configuration.
    #[error("server {0} is no mserver of this configuration")]
    NotMserver(ServerId),
    /// The configuration names other mservers than the cluster was begun with.
    #[error(
        "raft group {group} was begun with the voters {stored}, the configuration now gives it \
         {configured}; mservers cannot be added or taken away yet: put the former list back"
    )]
    OtherMservers {
        /// Which group, 0 for the root.
        group: u8,
        /// Its voters as stored.
        stored: String,
        /// Its voters by the configuration.
        configured: String,
    },
}

/// A running mserver. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Mserver {
    core: Arc<Core>,
    duties: Arc<Vec<AbortHandle>>,
}

/// Starts a mserver on the present actix arbiter and returns at once: its groups find their
/// members by themselves, and calls are refused or wait until they have. Raft calls that arrive
/// before this returns may be dropped unanswered.
///
/// # Errors
/// See [`StartError`].
pub async fn start(options: MserverOptions) -> Result<Mserver, StartError> {
    let MserverOptions {
        mesh,
        disk,
        raft_dir,
        store,
        grants,
        grant_ms,
        kept,
    } = options;
    let me = mesh.me();
    let layout = Layout::new(mesh.all(Role::Mserver));
    if !layout.mservers().contains(&me) {
        return Err(StartError::NotMserver(me));
    }
    let config = Arc::clone(mesh.config());
    let admin_key = config.admin_key()?;
    let (root_machine, root) = RootMachine::new(Users::default());
    let (groups, metas) = specs(&layout, me, Box::new(root_machine));
    let voters: BTreeMap<GroupId, Vec<ServerId>> = groups
        .iter()
        .map(|spec| (spec.id, spec.voters.clone()))
        .collect();
    let timers = RaftTimers {
        heartbeat_ms: config.timers.heartbeat_ms,
        election_ms: config.timers.election_ms,
    };
    let raft = RaftOptions {
        mesh: mesh.clone(),
        disk,
        dir: raft_dir,
        store,
        timers,
        kept,
        groups,
    };
    let groups = RaftGroups::start(raft).await?;
    check_list(&root.servers(), &layout)?;
    check_voters(&groups, me, &voters, root.servers().version > 0)?;
    let core = Arc::new(core(
        mesh,
        groups,
        layout,
        (root, metas),
        (grants, grant_ms),
    ));
    let admin: UserName = config.admin.name.as_str().into();
    let duties = Arc::new(start_duties(&core, admin, admin_key));
    Ok(Mserver { core, duties })
}

/// The list says which mservers there are; a configuration with others would place the groups
/// differently.
fn check_list(list: &ServerList, layout: &Layout) -> Result<(), StartError> {
    let listed = list.present().filter(|one| one.role == Role::Mserver);
    let listed: Vec<ServerId> = listed.map(|one| one.id).collect();
    if list.version == 0 || listed == layout.mservers() {
        return Ok(());
    }
    Err(StartError::OtherMservers {
        group: GroupId::ROOT.0,
        stored: names_of(&listed),
        configured: names_of(layout.mservers()),
    })
}

/// Groups that are placed differently by the configuration than they are would lose members, and
/// with them what they keep.
fn check_voters(
    groups: &RaftGroups,
    me: ServerId,
    configured: &BTreeMap<GroupId, Vec<ServerId>>,
    is_listed: bool,
) -> Result<(), StartError> {
    for status in groups.status().groups {
        let voters = status.members.iter().filter(|member| member.is_voter);
        let mut stored: Vec<ServerId> = voters.map(|member| member.server).collect();
        let mut wanted = configured.get(&status.group).cloned().unwrap_or_default();
        stored.sort_unstable();
        wanted.sort_unstable();
        // A lost server is no voter until it is back, nor is this one when it is on its way.
        let may_lack = is_listed || !stored.contains(&me);
        let fits = stored == wanted || (may_lack && stored.iter().all(|one| wanted.contains(one)));
        // Before a group is begun nobody is a member.
        if !stored.is_empty() && !fits {
            return Err(StartError::OtherMservers {
                group: status.group.0,
                stored: names_of(&stored),
                configured: names_of(&wanted),
            });
        }
    }
    Ok(())
}

fn names_of(servers: &[ServerId]) -> String {
    let names: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    names.join(", ")
}

type Metas = BTreeMap<MetaGroup, Arc<MetaView>>;

/// Every group of the cluster as this server takes part in it.
fn specs(
    layout: &Layout,
    me: ServerId,
    root_machine: Box<dyn StateMachine>,
) -> (Vec<GroupSpec>, Metas) {
    let mut metas = Metas::new();
    let mut groups = vec![GroupSpec {
        id: GroupId::ROOT,
        voters: layout.root_voters().to_vec(),
        learners: layout.root_learners().to_vec(),
        preferred: layout.mservers().first().copied(),
        machine: Some(root_machine),
    }];
    for (group, members) in layout.groups() {
        let machine: Option<Box<dyn StateMachine>> = members.contains(&me).then(|| {
            let (machine, view) = MetaMachine::new();
            metas.insert(group, view);
            Box::new(machine) as Box<dyn StateMachine>
        });
        groups.push(GroupSpec {
            id: raft_group(group),
            preferred: members.first().copied(),
            voters: members,
            learners: Vec::new(),
            machine,
        });
    }
    (groups, metas)
}

fn core(
    mesh: Mesh,
    groups: RaftGroups,
    layout: Layout,
    (root, metas): (Arc<RootView>, Metas),
    (grants, grant_ms): (GrantKey, u64),
) -> Core {
    let me = mesh.me();
    let creating = Arc::new(AtomicU32::new(0));
    let root_batches = root_batches(&groups);
    let meta_batches: BTreeMap<MetaGroup, MetaBatcher> = layout
        .groups()
        .map(|(group, _)| (group, meta_batches(&groups, group)))
        .collect();
    let others = || {
        layout
            .mservers()
            .iter()
            .copied()
            .filter(|server| *server != me)
    };
    let servers = listed(&mesh, &root);
    Core {
        voter: Voter::new(Arc::clone(&root), Arc::clone(&creating)).start(),
        askers: others()
            .map(|to| (to, Asker::start(mesh.clone(), to)))
            .collect(),
        main_batches: others().map(|to| (to, main_batches(&mesh, to))).collect(),
        ids: FileIds::start(root_batches.clone()),
        acceptor: Acceptor::start(Arc::clone(&servers), root.volumes.clone()),
        supervisor: supervisor(&mesh, &groups, servers, &root),
        loads: DashMap::with_hasher(FixedHasher::default()),
        sequence: AtomicU64::new(0),
        calls: AtomicUsize::new(0),
        forgotten: watch::Sender::default(),
        traced: TracedPaths::default(),
        timelines: Timelines::default(),
        root_batches,
        meta_batches,
        creating,
        mesh,
        groups,
        layout,
        root,
        metas,
        grants,
        grant_ms,
    }
}

fn listed(mesh: &Mesh, root: &RootView) -> Arc<dyn Servers> {
    Arc::new(Listed {
        mesh: mesh.clone(),
        list: root.servers.clone(),
    })
}

fn main_batches(mesh: &Mesh, to: ServerId) -> MainBatcher {
    let mesh = mesh.clone();
    Batcher::start(move |items| {
        let mesh = mesh.clone();
        async move {
            let (files, deadline) = together(items);
            let call = sdfs_types::calls::negotiation::CreateMetaData { files };
            ask(&mesh, to, &call, deadline).await
        }
    })
}

fn supervisor(
    mesh: &Mesh,
    groups: &RaftGroups,
    servers: Arc<dyn Servers>,
    root: &RootView,
) -> Supervisor {
    let config = mesh.config();
    let byte = |count: u16| u8::try_from(count).unwrap_or(u8::MAX);
    let rules = VolumeRules {
        copies: byte(config.storage.copies),
        copies_min: byte(config.storage.copies_min),
        volumes_per_dserver: config.storage.volumes_per_dserver,
        silence_ms_max: config.timers.silence_ms_max,
        replace_after_s: config.storage.replace_after_s,
    };
    let watched = (root.volumes.clone(), root.orders.clone());
    Supervisor::start(rules, servers, root_group(groups), watched)
}

fn root_group(groups: &RaftGroups) -> Arc<dyn RootGroup> {
    let Some(raft_root) = RaftRoot::new(groups.clone(), encode_volume, decode_volume) else {
        unreachable!("every mserver takes part in the root group");
    };
    Arc::new(raft_root)
}

fn start_duties(core: &Arc<Core>, admin: UserName, key: UserKey) -> Vec<AbortHandle> {
    let mut duties = Vec::new();
    let servers = listed(&core.mesh, &core.root);
    for (group, view) in &core.metas {
        let view = Arc::clone(view);
        let list = GroupFreeList::new(core.groups.clone(), raft_group(*group), view);
        let sweeping = sweep(
            Arc::clone(&servers),
            root_group(&core.groups),
            core.root.volumes.clone(),
            Arc::new(list),
        );
        duties.push(tokio::spawn(sweeping).abort_handle());
        let removing = duties::remove_files(Arc::clone(core), *group);
        duties.push(tokio::spawn(removing).abort_handle());
    }
    duties.push(tokio::spawn(voters::tend(Arc::clone(core))).abort_handle());
    duties.push(tokio::spawn(membership::tend(Arc::clone(core))).abort_handle());
    duties.push(tokio::spawn(duties::sweep_directories(Arc::clone(core))).abort_handle());
    duties.push(tokio::spawn(duties::expire_trash(Arc::clone(core))).abort_handle());
    duties.push(tokio::spawn(duties::found_admin(Arc::clone(core), admin, key)).abort_handle());
    duties
}

impl Mserver {
    /// Takes one call: raft's (0x01xx), clients' (0x02xx) and servers' (0x03xx). Never blocks.
    pub fn serve(&self, call: IncomingCall) {
        serve::serve(&self.core, call);
    }

    /// Whether an end of this role may send calls of this kind to a mserver.
    #[must_use]
    pub fn is_allowed(kind: u16, role: Role) -> bool {
        serve::is_allowed(kind, role)
    }

    /// The raft groups as they are now, for a status.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupStatus> {
        let status = self.core.groups.status();
        let known = |index: Option<u64>| index.unwrap_or(0);
        status
            .groups
            .into_iter()
            .map(|group| GroupStatus {
                group: group.group.0,
                leader: group.leader,
                term: group.term,
                last_log: known(group.last_index),
                applied: known(group.applied_index),
                voters: group
                    .members
                    .iter()
                    .filter(|member| member.is_voter)
                    .map(|member| member.server)
                    .collect(),
            })
            .collect()
    }

    /// The raft groups and their log in full.
    #[must_use]
    pub fn raft(&self) -> RaftStatus {
        self.core.groups.status()
    }

    /// Asks another member to lead a group from now on; only its leader can.
    ///
    /// # Errors
    /// [`MemberError::NotLeader`] elsewhere.
    pub async fn transfer_leader(&self, group: u8, to: ServerId) -> Result<(), MemberError> {
        self.core.groups.transfer_leader(GroupId(group), to).await
    }

    /// Brings the state of every raft group to disk; the last entry each one holds.
    pub async fn snapshot(&self, deadline: Deadline) -> Vec<(u8, Result<u64, SnapshotError>)> {
        let made = self.core.groups.snapshot(deadline).await;
        let made = made.into_iter().map(|(group, made)| (group.0, made));
        made.collect()
    }

    /// The first `limit` names that are reserved here now, and how many there are; none when this
    /// mserver is stopping.
    pub async fn names_reserved(&self, limit: usize) -> (Vec<NameReserved>, usize) {
        let reserved = self.core.voter.send(AskReserved(limit)).await;
        reserved.unwrap_or_default()
    }

    /// The volume map as this mserver knows it.
    #[must_use]
    pub fn volumes(&self) -> Arc<VolumeMap> {
        self.core.root.volumes()
    }

    /// The list of servers as this mserver knows it, and every change of it.
    #[must_use]
    pub fn servers(&self) -> ServerWatch {
        self.core.root.servers.clone()
    }

    /// Adds to what this server tells of all servers what only a mserver knows.
    pub fn tell(&self, told: &mut ServersTold) {
        told.forgotten.clone_from(&self.core.forgotten.borrow());
        let groups = self.groups().into_iter();
        let led = groups.filter(|group| self.core.groups.is_leader(GroupId(group.group)));
        told.led = led
            .map(|group| GroupLed {
                group: group.group,
                voters: group.voters,
            })
            .collect();
    }

    /// Whether this mserver hears a majority of all.
    #[must_use]
    pub fn hears_majority(&self) -> bool {
        self.core.mesh.up(Role::Mserver).len() > self.core.layout.mservers().len() / 2
    }

    /// Calls being served now.
    #[must_use]
    pub fn calls_in_hand(&self) -> usize {
        self.core.calls.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until a group has stopped for good: this server must end then.
    pub async fn stopped(&self) -> StopReason {
        self.core.groups.stopped().await
    }

    /// Ends the duties and the groups, and brings what they hold to the disk.
    pub async fn stop(&self) {
        for duty in self.duties.iter() {
            duty.abort();
        }
        self.core.groups.stop().await;
    }
}

#[async_trait]
impl UserKeys for Mserver {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        self.core.root.users().key_of(user)
    }

    async fn caught_up(&self) -> bool {
        let deadline = Deadline::after(LOGIN_BARRIER_MAX);
        // Every cluster has its administrator, only a new one not yet.
        self.core.root_barrier(deadline).await.is_ok() && !self.core.root.users().is_empty()
    }
}
