//! A cluster of doubles in one process: real links and handshakes, a model in memory behind
//! them, and faults on demand. What a real cluster rarely does, this one does when told.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of the kit"
)]

mod dserver;
mod model;
mod mserver;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use sdfs_client::{Client, ClientOptions, Config, UserKey};
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    GroupOptions, IncomingCall, Payload, Role, ServerId, Service, Stop, UserKeys, start,
};
use sdfs_types::calls::CallKind;
use sdfs_types::{Refusal, wire};
use tokio::time::Instant;

pub use model::Model;

/// The administrator's secret.
pub const SECRET: &str = "a secret of the administrator";

/// What happens to one call instead of what should.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused, nothing is done.
    Refuse(Refusal),
    /// The answer is lost, nothing is done.
    Lose,
    /// It is done, the answer is lost.
    LoseAnswer,
    /// No answer ever comes, nothing is done.
    Silence,
    /// One bit of the answer's payload is flipped.
    Damage,
    /// It is done and answered so long after the slow one before it.
    Slow(Duration),
}

/// Faults to come, by who is asked what; each happens as often as its number says.
type Faults = BTreeMap<(ServerId, u16), Vec<(Fault, u32)>>;

struct Shared {
    model: Mutex<Model>,
    faults: Mutex<Faults>,
    served: Mutex<BTreeMap<(ServerId, u16), u32>>,
    kept: Mutex<Vec<IncomingCall>>,
    /// Logins before which no mserver knows its users.
    logins_too_early: AtomicU32,
    slow_until: Mutex<Instant>,
    to_stop: Mutex<Vec<ServerId>>,
    stopped: AtomicU32,
}

struct Double {
    me: ServerId,
    role: Role,
    shared: Arc<Shared>,
}

impl Service for Double {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        CallKind::from_wire(kind).is_some_and(|kind| kind.is_allowed(role))
    }

    fn serve(&self, call: IncomingCall) {
        let key = (self.me, call.kind);
        *self.shared.served.lock().unwrap().entry(key).or_default() += 1;
        let fault = self.shared.next_fault(key);
        match fault {
            Some(Fault::Refuse(refusal)) => {
                let head = wire::encode_answer::<()>(&Err(refusal));
                call.reply.send(head, Payload::new());
            }
            Some(Fault::Lose) => drop(call),
            Some(Fault::Silence) => self.shared.kept.lock().unwrap().push(call),
            Some(Fault::LoseAnswer) => drop(self.answer(&call)),
            Some(Fault::Damage) => {
                let (head, payload) = self.answer(&call);
                let mut bytes = payload.to_bytes().to_vec();
                if let Some(byte) = bytes.first_mut() {
                    *byte ^= 1;
                }
                call.reply.send(head, bytes.into());
            }
            Some(Fault::Slow(by)) => {
                let due = {
                    let mut due = self.shared.slow_until.lock().unwrap();
                    *due = (*due).max(Instant::now()) + by;
                    *due
                };
                let (head, payload) = self.answer(&call);
                tokio::spawn(async move {
                    tokio::time::sleep_until(due).await;
                    call.reply.send(head, payload);
                });
            }
            None => {
                let (head, payload) = self.answer(&call);
                call.reply.send(head, payload);
            }
        }
    }
}

impl Double {
    fn answer(&self, call: &IncomingCall) -> (Bytes, Payload) {
        let mut model = self.shared.model.lock().unwrap();
        let kind = CallKind::from_wire(call.kind).expect("allowed kinds only");
        match self.role {
            Role::Mserver => (
                mserver::answer(&mut model, self.me, kind, call),
                Payload::new(),
            ),
            _ => dserver::answer(&mut model, self.me, kind, call),
        }
    }
}

impl Shared {
    fn next_fault(&self, key: (ServerId, u16)) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let waiting = faults.get_mut(&key)?;
        let (fault, left) = waiting.first_mut()?;
        let fault = fault.clone();
        *left -= 1;
        if *left == 0 {
            waiting.remove(0);
        }
        Some(fault)
    }
}

struct Keys(Arc<Shared>);

#[async_trait::async_trait]
impl UserKeys for Keys {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        let is_known = self.0.logins_too_early.load(Ordering::SeqCst) == 0;
        let known = || self.0.model.lock().unwrap().users.get(user).cloned();
        is_known.then(known).flatten()
    }

    async fn caught_up(&self) -> bool {
        let fewer = |left: u32| left.checked_sub(1);
        let left = &self.0.logins_too_early;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
            .is_err()
    }
}

/// The doubles at work: 3 mservers (1 to 3), 3 dservers (4 to 6).
pub struct Kit {
    pub config: Arc<Config>,
    shared: Arc<Shared>,
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Kit {
    pub fn start() -> Kit {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let shared = Arc::new(Shared {
            model: Mutex::new(Model::new(&config)),
            faults: Mutex::default(),
            served: Mutex::default(),
            kept: Mutex::default(),
            logins_too_early: AtomicU32::new(0),
            slow_until: Mutex::new(Instant::now()),
            to_stop: Mutex::default(),
            stopped: AtomicU32::new(0),
        });
        let (stop, stopped) = std::sync::mpsc::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (config_there, shared_there) = (Arc::clone(&config), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let mut groups = Vec::new();
                for server in &config_there.servers {
                    let service = Double {
                        me: server.id,
                        role: server.role,
                        shared: shared_there.clone(),
                    };
                    let options = GroupOptions {
                        config: Arc::clone(&config_there),
                        me: server.id,
                        transport: Arc::new(TcpTransport),
                        service: Arc::new(service),
                        user_keys: Arc::new(Keys(Arc::clone(&shared_there))),
                    };
                    groups.push((server.id, start(options).await.unwrap().0));
                }
                ready.send(()).unwrap();
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let to_stop = std::mem::take(&mut *shared_there.to_stop.lock().unwrap());
                    for (_, group) in groups.iter().filter(|(id, _)| to_stop.contains(id)) {
                        group.send(Stop).await.unwrap();
                        shared_there.stopped.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        });
        is_ready.recv().unwrap();
        Kit {
            config,
            shared,
            stop: Some(stop),
            thread: Some(thread),
            folder,
        }
    }

    /// Ends one server; it does not come back.
    pub async fn stop(&self, server: u16) {
        let before = self.shared.stopped.load(Ordering::SeqCst);
        let to_stop = &self.shared.to_stop;
        to_stop.lock().unwrap().push(ServerId(server));
        let gone = async {
            while self.shared.stopped.load(Ordering::SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone)
            .await
            .expect("the server ends");
    }

    /// A client of the administrator.
    pub async fn client(&self) -> Client {
        Client::connect(self.options()).await.unwrap()
    }

    pub fn options(&self) -> ClientOptions {
        let options = ClientOptions::of_admin(Arc::clone(&self.config)).unwrap();
        ClientOptions {
            // Beyond what anything here takes, however busy the machine is.
            timeout: Duration::from_secs(30),
            ..options
        }
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.shared.model.lock().unwrap()
    }

    /// The users are not known anywhere until so many logins were tried.
    pub fn forget_users_for(&self, logins: u32) {
        self.shared.logins_too_early.store(logins, Ordering::SeqCst);
    }

    /// Lets time pass for the servers, from anywhere.
    pub fn clock(&self) -> impl Fn(u64) + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move |ms| shared.model.lock().unwrap().ahead_ms += ms
    }

    /// The next `times` calls of that kind at that server fail that way.
    pub fn fault(&self, server: u16, kind: CallKind, fault: Fault, times: u32) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults
            .entry((ServerId(server), kind.to_wire()))
            .or_default()
            .push((fault, times));
    }

    /// The next `times` calls of that kind at each mserver or dserver fail that way.
    pub fn fault_everywhere(&self, kind: CallKind, fault: &Fault, times: u32) {
        let servers = if kind.to_wire() >> 8 == 4 {
            4..=6
        } else {
            1..=3
        };
        servers.for_each(|server| self.fault(server, kind, fault.clone(), times));
    }

    pub fn no_more_faults(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// Waits until that many calls of that kind were served.
    pub async fn until_served(&self, kind: CallKind, count: u32) {
        let all = async {
            while self.served(kind) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .expect("calls are served");
    }

    /// How many calls of that kind were served by anybody.
    pub fn served(&self, kind: CallKind) -> u32 {
        let served = self.shared.served.lock().unwrap();
        served
            .iter()
            .filter(|((_, one), _)| *one == kind.to_wire())
            .map(|(_, count)| count)
            .sum()
    }

    /// The silent calls whose callers no longer wait, once there are as many as expected.
    pub async fn until_cancelled(&self, count: usize) {
        let cancelled = || {
            let kept = self.shared.kept.lock().unwrap();
            kept.iter().filter(|call| call.reply.is_cancelled()).count()
        };
        let all = async {
            while cancelled() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .expect("calls are cancelled");
    }

    /// Waits until that many calls are kept in silence.
    pub async fn until_kept(&self, count: usize) {
        let all = async {
            while self.shared.kept.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .expect("calls arrive");
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or(());
        }
    }
}

/// A port below those the system gives to outgoing connections, so that none takes it before its
/// server does, and never the same one twice.
fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::SeqCst);
    12_000 + (offset % 18_000) as u16
}

/// Ports nobody listens on.
pub fn free_ports() -> impl Iterator<Item = u16> {
    std::iter::repeat_with(next_port).filter(|port| {
        let address = (std::net::Ipv4Addr::LOCALHOST, *port);
        std::net::TcpListener::bind(address).is_ok()
    })
}

fn config(folder: &tempfile::TempDir) -> Arc<Config> {
    let names = [("Mserver", "mserver"), ("Dserver", "dserver")]
        .into_iter()
        .flat_map(|(role, name)| (1..=3).map(move |number| (role, format!("{name}-{number}"))));
    let servers: String = names
        .zip(free_ports())
        .map(|((role, name), port)| {
            format!(
                "(name: \"{name}\", role: {role}, address: \"127.0.0.1:{port}\", \
                 space: [\"{name}\"], zone: \"{name}\"),"
            )
        })
        .collect();
    let text = format!(
        "(cluster: \"doubles\", secret_file: \"secret\", \
         admin: (name: \"admin\", secret_file: \"admin.secret\"), servers: [{servers}])"
    );
    std::fs::write(
        folder.path().join("secret"),
        "a secret of the whole cluster",
    )
    .unwrap();
    std::fs::write(folder.path().join("admin.secret"), SECRET).unwrap();
    Arc::new(Config::parse(&text, &folder.path().join("config.conf")).unwrap())
}
