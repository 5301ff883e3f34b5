//! A cluster in memory: dservers that do what a test tells them, and a root group of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{broadcast, watch};

use sdfs_raft::LeaderView;
use sdfs_server_group::{CallError, Deadline, GroupEvent, Load, LostReason, ServerId};
use sdfs_store::{Keyspace, Store};
use sdfs_types::calls::blocks::{AcceptFiles, FreeBlocks, PushVolumes, SyncVolume, VolumesKept};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{Refusal, Traced, VolumeId, wire};

use super::command::{VolumeAnswer, VolumeCommand};
use super::door::{DserverListed, RootFault, RootGroup, Servers};
use super::machine::{VolumeTable, VolumeWatch};
use super::maintenance::MaintenanceWatch;

/// How long a fake dserver takes for a call.
const CALL_TIME: Duration = Duration::from_millis(2);

/// What a fake server does with its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    pub(crate) is_silent: bool,
    pub(crate) refuses: BTreeSet<VolumeId>,
}

#[derive(Clone, Debug, Default)]
struct FakeServer {
    connection: Option<u64>,
    connections: u64,
    mood: Mood,
    calls: Vec<(CallKind, Bytes)>,
}

/// The servers of a fake cluster. The lock stands for the wire: it is held for single looks.
pub(crate) struct FakeServers {
    me: ServerId,
    servers: Mutex<BTreeMap<ServerId, FakeServer>>,
    dservers: u16,
    events: broadcast::Sender<GroupEvent>,
}

pub(crate) fn id(number: u16) -> ServerId {
    ServerId(number)
}

impl FakeServers {
    /// Mserver 100 is here and 101 elsewhere; dservers 1 to `dservers` are up, each in its zone.
    pub(crate) fn new(dservers: u16) -> Arc<FakeServers> {
        let up = FakeServer {
            connection: Some(1),
            connections: 1,
            ..FakeServer::default()
        };
        let servers = (1..=dservers)
            .chain([101])
            .map(|number| (id(number), up.clone()))
            .collect();
        let (events, _) = broadcast::channel(64);
        Arc::new(FakeServers {
            me: id(100),
            servers: Mutex::new(servers),
            dservers,
            events,
        })
    }

    fn at<T>(&self, server: ServerId, look: impl FnOnce(&mut FakeServer) -> T) -> Option<T> {
        self.servers.lock().unwrap().get_mut(&server).map(look)
    }

    pub(crate) fn set_mood(&self, number: u16, mood: Mood) {
        self.at(id(number), |server| server.mood = mood);
    }

    pub(crate) fn lose(&self, number: u16) {
        self.at(id(number), |server| server.connection = None);
        drop(
            self.events
                .send(GroupEvent::Lost(id(number), LostReason::Silent)),
        );
    }

    pub(crate) fn establish(&self, number: u16) {
        self.at(id(number), |server| {
            server.connections += 1;
            server.connection = Some(server.connections);
        });
        drop(self.events.send(GroupEvent::Established(id(number))));
    }

    /// The calls of one type a server was sent.
    pub(crate) fn calls<C: Call>(&self, number: u16) -> Vec<C> {
        let calls = self
            .at(id(number), |server| server.calls.clone())
            .unwrap_or_default();
        let of_type = calls.into_iter().filter(|(kind, _)| *kind == C::KIND);
        of_type
            .map(|(_, head)| wire::decode(&head).unwrap())
            .collect()
    }
}

fn answer(mood: &Mood, kind: CallKind, head: &[u8]) -> Bytes {
    match kind {
        CallKind::AcceptFiles => {
            let call: AcceptFiles = wire::decode(head).unwrap();
            let answers = call.asks.iter().map(|Traced { ask, .. }| {
                if mood.refuses.contains(&ask.volume) {
                    Err(Refusal::NoSuchVolume { volume: ask.volume })
                } else {
                    Ok(())
                }
            });
            wire::encode_answer::<<AcceptFiles as Call>::Reply>(&Ok(answers.collect()))
        }
        CallKind::PushVolumes => {
            wire::decode::<PushVolumes>(head).unwrap();
            wire::encode_answer(&Ok(VolumesKept { lost: Vec::new() }))
        }
        CallKind::SetHealRate => wire::encode_answer(&Ok(())),
        CallKind::SyncVolume => {
            wire::decode::<SyncVolume>(head).unwrap();
            wire::encode_answer(&Ok(()))
        }
        CallKind::FreeBlocks => {
            let call: FreeBlocks = wire::decode(head).unwrap();
            if mood.refuses.contains(&call.volume) {
                wire::encode_answer::<()>(&Err(Refusal::NoSuchVolume {
                    volume: call.volume,
                }))
            } else {
                wire::encode_answer(&Ok(()))
            }
        }
        CallKind::ReportTrouble | CallKind::ReportSync => wire::encode_answer(&Ok(())),
        _ => wire::encode_answer::<()>(&Err(Refusal::NotServed)),
    }
}

impl Servers for FakeServers {
    fn me(&self) -> ServerId {
        self.me
    }

    fn call(
        &self,
        to: ServerId,
        kind: u16,
        head: Bytes,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let kind = CallKind::from_wire(kind).unwrap();
        let state = self.at(to, |server| {
            server.calls.push((kind, head.clone()));
            (server.connection, server.mood.clone())
        });
        Box::pin(async move {
            let Some((Some(_), mood)) = state else {
                return Err(CallError::NotConnected);
            };
            if mood.is_silent {
                tokio::time::sleep_until(deadline.instant()).await;
                return Err(CallError::Deadline);
            }
            tokio::time::sleep(CALL_TIME).await;
            Ok(answer(&mood, kind, &head))
        })
    }

    fn connection(&self, server: ServerId) -> Option<u64> {
        self.at(server, |server| server.connection).flatten()
    }

    fn is_up(&self, server: ServerId) -> bool {
        self.connection(server).is_some()
    }

    fn load(&self, _: ServerId) -> Option<Load> {
        let (free_bytes, total_bytes) = (1 << 40, 2 << 40);
        Some(Load {
            free_bytes,
            total_bytes,
            queue: 0,
            memory_bytes: 0,
            client_calls: 0,
        })
    }

    fn dservers(&self) -> Vec<DserverListed> {
        let listed = |number: u16| DserverListed {
            server: id(number),
            zone: number.to_string(),
            group: None,
        };
        (1..=self.dservers).map(listed).collect()
    }

    fn subscribe(&self) -> broadcast::Receiver<GroupEvent> {
        self.events.subscribe()
    }
}

/// A root group of one member.
pub(crate) struct FakeRoot {
    table: Mutex<VolumeTable>,
    keyspace: Keyspace,
    leadership: watch::Sender<LeaderView>,
    /// Committed elsewhere, and known here with the next barrier.
    late: Mutex<Option<VolumeCommand>>,
}

impl FakeRoot {
    pub(crate) fn new(leader: ServerId) -> (Arc<FakeRoot>, VolumeWatch) {
        let (table, map) = VolumeTable::new();
        let keyspace = Store::memory().keyspace("root").unwrap();
        let (leadership, _) = watch::channel(view(leader));
        (
            Arc::new(FakeRoot {
                table: Mutex::new(table),
                keyspace,
                leadership,
                late: Mutex::default(),
            }),
            map,
        )
    }

    pub(crate) fn follow_orders(&self) -> MaintenanceWatch {
        self.table.lock().unwrap().follow_orders()
    }

    pub(crate) fn elect(&self, leader: ServerId) {
        self.leadership.send_replace(view(leader));
    }

    pub(crate) fn commit_elsewhere(&self, command: VolumeCommand) {
        *self.late.lock().unwrap() = Some(command);
    }

    pub(crate) fn apply(&self, command: &VolumeCommand) -> VolumeAnswer {
        let mut table = self.table.lock().unwrap();
        let mut batch = self.keyspace.batch();
        let answer = table.apply(command, &mut batch).unwrap();
        batch.commit().unwrap();
        table.committed();
        answer
    }
}

fn view(leader: ServerId) -> LeaderView {
    LeaderView {
        leader: Some(leader),
        term: 1,
        is_me: leader == id(100),
    }
}

impl RootGroup for FakeRoot {
    fn propose(
        &self,
        command: VolumeCommand,
        _: Deadline,
    ) -> BoxFuture<'static, Result<VolumeAnswer, RootFault>> {
        let answer = self.apply(&command);
        Box::pin(async move { Ok(answer) })
    }

    fn read_barrier(&self, _: Deadline) -> BoxFuture<'static, Result<(), RootFault>> {
        if let Some(command) = self.late.lock().unwrap().take() {
            self.apply(&command);
        }
        Box::pin(async { Ok(()) })
    }

    fn leadership(&self) -> watch::Receiver<LeaderView> {
        self.leadership.subscribe()
    }
}

/// Waits for a condition; a test that waits too long fails.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
