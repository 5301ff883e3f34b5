//! A cluster in one process: members on one runtime, joined by a wire that can be cut.

use crate::groups::RaftGroups;
use crate::ids::GroupId;
use crate::machine::{ApplyError, StateMachine};
use crate::options::{GroupSpec, LogKept, RaftTimers};
use crate::start::Parts;
use crate::wire::{Request, Wire};
use crate::{MemberError, StartError};
use bytes::Bytes;
use futures::future::BoxFuture;
use sdfs_log::{Disk, RealDisk};
use sdfs_server_group::{CallError, Deadline, ReplyBody, ServerId};
use sdfs_store::{Batch, Keyspace, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) const GROUP: GroupId = GroupId(0);

/// A map: `key=value` sets and answers the former value; `?key` answers the value.
#[derive(Default)]
pub(crate) struct Register;

impl StateMachine for Register {
    fn open(&mut self, _: &Keyspace) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&mut self, _: u64, command: &[u8], batch: &mut Batch) -> Result<Bytes, ApplyError> {
        let place = command.iter().position(|byte| *byte == b'=').unwrap();
        let (key, value) = (&command[..place], &command[place + 1..]);
        let former = batch.get(key)?;
        batch.put(key.to_vec(), value.to_vec());
        Ok(former.unwrap_or_default())
    }

    fn committed(&mut self, _: u64) {}
}

/// The same of a version before: a key that begins with `new` is not of its form.
pub(crate) struct OlderRegister;

impl StateMachine for OlderRegister {
    fn open(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        Register.open(keyspace)
    }

    fn apply(&mut self, at: u64, command: &[u8], batch: &mut Batch) -> Result<Bytes, ApplyError> {
        if command.starts_with(b"new") {
            return Err(ApplyError::NotUnderstood("a newer form".into()));
        }
        Register.apply(at, command, batch)
    }

    fn committed(&mut self, _: u64) {}
}

/// Who runs and who cannot reach whom.
#[derive(Default)]
struct Net {
    running: BTreeMap<ServerId, RaftGroups>,
    cut: BTreeSet<(ServerId, ServerId)>,
}

#[derive(Clone)]
pub(crate) struct TestWire {
    me: ServerId,
    net: Arc<Mutex<Net>>,
}

impl TestWire {
    fn reach(&self, to: ServerId) -> Option<RaftGroups> {
        let net = self.net.lock().unwrap();
        let is_cut = net.cut.contains(&(self.me, to)) || net.cut.contains(&(to, self.me));
        net.running.get(&to).filter(|_| !is_cut).cloned()
    }
}

impl Wire for TestWire {
    fn me(&self) -> ServerId {
        self.me
    }

    fn is_up(&self, server: ServerId) -> bool {
        server == self.me || self.reach(server).is_some()
    }

    fn call(
        &self,
        to: ServerId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        let wire = self.clone();
        Box::pin(async move {
            let groups = wire.reach(to).ok_or(CallError::NotConnected)?;
            let Request {
                kind,
                head,
                payload,
            } = request;
            let answered = tokio::spawn(async move {
                crate::answer::answer(groups.shared(), kind, head, payload).await
            });
            let answered = timeout_at(deadline.instant(), answered).await;
            let answered = answered.map_err(|_| CallError::Deadline)?;
            // A reply to or from a server that was cut off meanwhile does not arrive.
            wire.reach(to).ok_or(CallError::Lost { maybe_done: true })?;
            let (head, payload) = answered.map_err(|_| CallError::Lost { maybe_done: true })?;
            Ok(ReplyBody {
                head,
                payload,
                is_told: false,
            })
        })
    }
}

/// The cluster; dropped, its directories are gone.
pub(crate) struct Cluster {
    net: Arc<Mutex<Net>>,
    dir: TempDir,
    pub(crate) voters: Vec<ServerId>,
    pub(crate) learners: Vec<ServerId>,
    pub(crate) preferred: Option<ServerId>,
}

pub(crate) fn server(number: u16) -> ServerId {
    ServerId(number)
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

impl Cluster {
    pub(crate) fn new(voters: u16) -> Self {
        Self {
            net: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
            voters: (1..=voters).map(ServerId).collect(),
            learners: Vec::new(),
            preferred: None,
        }
    }

    /// A cluster of three that runs.
    pub(crate) async fn of_three() -> Self {
        let cluster = Self::new(3);
        for number in 1..=3 {
            cluster.start(server(number)).await.unwrap();
        }
        cluster
    }

    pub(crate) fn dir_of(&self, id: ServerId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) async fn start(&self, id: ServerId) -> Result<RaftGroups, StartError> {
        let is_member = self.voters.contains(&id) || self.learners.contains(&id);
        let mut spec = self.spec();
        spec.machine = spec.machine.filter(|_| is_member);
        self.start_with(id, spec).await
    }

    pub(crate) async fn start_with(
        &self,
        id: ServerId,
        spec: GroupSpec,
    ) -> Result<RaftGroups, StartError> {
        let dir = self.dir_of(id);
        std::fs::create_dir_all(&dir).unwrap();
        let store = open_store(&dir.join("store")).await;
        self.start_from(id, spec, Arc::new(RealDisk), store).await
    }

    /// Starts a member whose disk and store are the test's.
    pub(crate) async fn start_from(
        &self,
        id: ServerId,
        spec: GroupSpec,
        disk: Arc<dyn Disk>,
        store: Store,
    ) -> Result<RaftGroups, StartError> {
        let parts = Parts {
            disk,
            dir: self.dir_of(id).join("raft"),
            store,
            kept: LogKept::default(),
            timers: RaftTimers {
                heartbeat_ms: 100,
                election_ms: 600,
            },
            groups: vec![spec],
        };
        let wire = TestWire {
            me: id,
            net: Arc::clone(&self.net),
        };
        let groups = RaftGroups::start_on(Arc::new(wire), parts).await?;
        let mut net = self.net.lock().unwrap();
        net.running.insert(id, groups.clone());
        drop(net);
        Ok(groups)
    }

    /// The group as every member of the cluster starts it.
    pub(crate) fn spec(&self) -> GroupSpec {
        GroupSpec {
            id: GROUP,
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            preferred: self.preferred,
            machine: Some(Box::new(Register)),
        }
    }

    pub(crate) fn get(&self, id: ServerId) -> RaftGroups {
        self.net.lock().unwrap().running[&id].clone()
    }

    pub(crate) fn running(&self) -> Vec<(ServerId, RaftGroups)> {
        let net = self.net.lock().unwrap();
        net.running
            .iter()
            .map(|(id, groups)| (*id, groups.clone()))
            .collect()
    }

    /// Takes the member off the wire and stops it.
    pub(crate) async fn stop(&self, id: ServerId) {
        let groups = self.net.lock().unwrap().running.remove(&id);
        groups.unwrap().stop().await;
    }

    pub(crate) fn cut(&self, one: ServerId, other: ServerId) {
        let mut net = self.net.lock().unwrap();
        net.cut.insert((one, other));
    }

    pub(crate) fn heal(&self) {
        self.net.lock().unwrap().cut.clear();
    }

    /// Waits until every running member agrees on a leader, and gives it.
    pub(crate) async fn leader(&self) -> ServerId {
        let mut agreed = None;
        self.until("a leader everybody knows", || {
            let leaders: BTreeSet<_> = self
                .running()
                .iter()
                .map(|(_, groups)| groups.leader(GROUP))
                .collect();
            agreed = leaders.iter().next().copied().flatten();
            leaders.len() == 1
                && agreed
                    .is_some_and(|leader| self.get_if(leader).is_some_and(|g| g.is_leader(GROUP)))
        })
        .await;
        agreed.unwrap()
    }

    /// Does at the leader what only the leader does, wherever leadership moves meanwhile.
    pub(crate) async fn at_leader(
        &self,
        what: impl AsyncFn(&RaftGroups) -> Result<(), MemberError>,
    ) {
        loop {
            let running = self.running();
            let leader = running.iter().find(|(_, groups)| groups.is_leader(GROUP));
            let done = match leader {
                Some((_, groups)) => what(groups).await,
                None => Err(MemberError::NotLeader(None)),
            };
            match done {
                Err(MemberError::NotLeader(_) | MemberError::Busy) => {
                    sleep(Duration::from_millis(20)).await;
                }
                done => return done.unwrap(),
            }
        }
    }

    fn get_if(&self, id: ServerId) -> Option<RaftGroups> {
        self.net.lock().unwrap().running.get(&id).cloned()
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {:#?}",
                self.statuses()
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn statuses(&self) -> Vec<crate::RaftStatus> {
        self.running()
            .iter()
            .map(|(_, groups)| groups.status())
            .collect()
    }
}

/// Opens a store that calls still under way may hold for a moment after their server stopped.
async fn open_store(path: &Path) -> Store {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match Store::open(path) {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Sets `key` and gives the former value.
pub(crate) async fn set(groups: &RaftGroups, key: &str, value: &str) -> Bytes {
    let command = Bytes::from(format!("{key}={value}"));
    groups.propose(GROUP, command, soon()).await.unwrap()
}

/// Reads `key` linearizably at this member.
pub(crate) async fn read(groups: &RaftGroups, key: &str) -> Option<Bytes> {
    groups.read_barrier(GROUP, soon()).await.unwrap();
    groups.keyspace(GROUP).unwrap().get(key.as_bytes()).unwrap()
}
