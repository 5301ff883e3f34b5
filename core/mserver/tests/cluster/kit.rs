//! Three mservers and three make-believe dservers in one thread, over real sockets.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix::Addr;
use async_trait::async_trait;
use bytes::Bytes;
use sdfs_log::MemoryDisk;
use sdfs_mserver::{LogKept, Mserver, MserverOptions};
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    ClientCredentials, Config, Deadline, Group, GroupOptions, IncomingCall, Link, Load, Payload,
    Role, ServerId, Service, Stop, UserKey, UserKeys, connect_client,
};
use sdfs_store::Store;
use sdfs_types::calls::blocks::{AcceptFiles, PushVolumes, VolumesKept};
use sdfs_types::calls::names::{CreateFile, FileCreated, FileOptions};
use sdfs_types::calls::negotiation::{CreateMetaData, MetaDataWanted};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::limits::GRANT_MS;
use sdfs_types::wire;
use sdfs_types::{FilePath, GrantKey, Refusal, RequestId};
use tempfile::TempDir;

pub(crate) const ADMIN_SECRET: &str = "the administrator's secret";
/// Far beyond what anything here takes, so that a slow machine fails no test.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

/// Runs a test on an actix system of its own.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    actix::System::new().block_on(async {
        tokio::time::timeout(3 * PATIENCE, test)
            .await
            .expect("the test ends in time");
    });
}

/// What the tests do to the calls between servers.
#[derive(Default)]
pub(crate) struct Between {
    crash: Mutex<Option<Crash>>,
    /// Calls that make records with attributes, while they are held up.
    held: Mutex<Option<Vec<(Mserver, IncomingCall)>>>,
}

/// A server that is heard and hears until so many calls of its own have arrived.
struct Crash {
    server: ServerId,
    calls_left: u32,
}

impl Between {
    /// From now on the server ends with its call of that number, counted from 0.
    pub(crate) fn crash_after(&self, server: u16, calls_left: u32) {
        let server = ServerId(server);
        *self.crash.lock().unwrap() = Some(Crash { server, calls_left });
    }

    pub(crate) fn has_crashed(&self) -> bool {
        let crash = self.crash.lock().unwrap();
        crash.as_ref().is_some_and(|crash| crash.calls_left == 0)
    }

    fn passes(&self, me: ServerId, call: &IncomingCall) -> bool {
        let mut crash = self.crash.lock().unwrap();
        let Some(crash) = crash.as_mut() else {
            return true;
        };
        let is_alive = crash.calls_left > 0;
        if me == crash.server {
            return is_alive;
        }
        if call.from.server != Some(crash.server) {
            return true;
        }
        crash.calls_left = crash.calls_left.saturating_sub(1);
        is_alive
    }

    /// Calls that make records with attributes wait from now on. Records that are made for a
    /// reader have none.
    pub(crate) fn hold_records(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    /// The records that wait to be made.
    pub(crate) fn held(&self) -> Vec<MetaDataWanted> {
        let held = self.held.lock().unwrap();
        let calls = held.iter().flatten();
        calls.flat_map(|(_, call)| records(call)).collect()
    }

    pub(crate) fn release_records(&self) {
        let held = self.held.lock().unwrap().take();
        for (mserver, call) in held.into_iter().flatten() {
            mserver.serve(call);
        }
    }

    fn serve(&self, mserver: &Mserver, call: IncomingCall) {
        if call.kind == CallKind::CreateMetaData.to_wire()
            && let Some(held) = &mut *self.held.lock().unwrap()
            && records(&call).any(|record| !record.attributes.is_empty())
        {
            held.push((mserver.clone(), call));
            return;
        }
        mserver.serve(call);
    }
}

fn records(call: &IncomingCall) -> impl Iterator<Item = MetaDataWanted> + use<> {
    let call: CreateMetaData = wire::decode(&call.head).unwrap();
    call.files.into_iter().map(|file| file.ask)
}

/// Hands calls to a mserver once it stands.
#[derive(Clone)]
struct Front {
    me: ServerId,
    between: Arc<Between>,
    mserver: Arc<OnceLock<Mserver>>,
}

impl Service for Front {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        Mserver::is_allowed(kind, role)
    }

    fn serve(&self, call: IncomingCall) {
        if let Some(mserver) = self.mserver.get()
            && self.between.passes(self.me, &call)
        {
            self.between.serve(mserver, call);
        }
    }
}

#[async_trait]
impl UserKeys for Front {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        self.mserver.get().and_then(|mserver| mserver.key_of(user))
    }

    async fn caught_up(&self) -> bool {
        match self.mserver.get() {
            Some(mserver) => mserver.caught_up().await,
            None => false,
        }
    }
}

/// Accepts everything, or nothing.
struct Dserver {
    me: ServerId,
    between: Arc<Between>,
    refuses: Arc<AtomicBool>,
}

impl Service for Dserver {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        CallKind::from_wire(kind).is_some_and(|kind| kind.is_allowed(role))
    }

    fn serve(&self, call: IncomingCall) {
        if !self.between.passes(self.me, &call) {
            return;
        }
        let answer = match CallKind::from_wire(call.kind) {
            Some(CallKind::AcceptFiles) => {
                let asked: AcceptFiles = wire::decode(&call.head).unwrap();
                let refused = Refusal::NoSpace {
                    server: ServerId(0),
                    free_bytes: 0,
                };
                let refuses = self.refuses.load(Ordering::SeqCst);
                let one = || {
                    if refuses {
                        Err(refused.clone())
                    } else {
                        Ok(())
                    }
                };
                wire::encode_answer(&Ok(asked.asks.iter().map(|_| one()).collect::<Vec<_>>()))
            }
            Some(CallKind::PushVolumes) => {
                let _: PushVolumes = wire::decode(&call.head).unwrap();
                wire::encode_answer(&Ok(VolumesKept { lost: Vec::new() }))
            }
            _ => wire::encode_answer(&Ok(())),
        };
        call.reply.send(answer, Payload::default());
    }
}

impl UserKeys for Dserver {
    fn key_of(&self, _: &str) -> Option<UserKey> {
        None
    }
}

pub(crate) struct Member {
    pub(crate) group: Addr<Group>,
    pub(crate) mserver: Option<Mserver>,
}

pub(crate) struct Cluster {
    pub(crate) config: Arc<Config>,
    pub(crate) members: Vec<Member>,
    /// Whether dservers refuse every file.
    pub(crate) refuses: Arc<AtomicBool>,
    pub(crate) between: Arc<Between>,
    grant_ms: u64,
    _space: TempDir,
}

impl Cluster {
    /// A cluster in which names can be created.
    pub(crate) async fn start() -> Cluster {
        Cluster::with_grants(GRANT_MS).await
    }

    /// The same, with grants that last that long.
    pub(crate) async fn with_grants(grant_ms: u64) -> Cluster {
        let cluster = Cluster::start_some(6, grant_ms, "").await;
        cluster.wait_ready().await;
        cluster
    }

    /// The same, with this part in its configuration.
    pub(crate) async fn with_storage(storage: &str) -> Cluster {
        let cluster = Cluster::start_some(6, GRANT_MS, storage).await;
        cluster.wait_ready().await;
        cluster
    }

    /// The first servers of the same cluster.
    pub(crate) async fn start_first(servers: u16) -> Cluster {
        Cluster::start_some(servers, GRANT_MS, "").await
    }

    async fn start_some(servers: u16, grant_ms: u64, storage: &str) -> Cluster {
        let space = tempfile::tempdir().unwrap();
        let config = Arc::new(config(space.path(), storage));
        let mut cluster = Cluster {
            members: Vec::new(),
            refuses: Arc::new(AtomicBool::new(false)),
            between: Arc::default(),
            grant_ms,
            _space: space,
            config,
        };
        for id in 1..=servers {
            let member = cluster.start_member(ServerId(id)).await;
            cluster.members.push(member);
        }
        cluster
    }

    async fn start_member(&self, me: ServerId) -> Member {
        let is_mserver = self.config.server(me).unwrap().role == Role::Mserver;
        let front = Front {
            me,
            between: Arc::clone(&self.between),
            mserver: Arc::default(),
        };
        let dserver = Arc::new(Dserver {
            me,
            between: Arc::clone(&self.between),
            refuses: Arc::clone(&self.refuses),
        });
        let (service, user_keys): (Arc<dyn Service>, Arc<dyn UserKeys>) = if is_mserver {
            (Arc::new(front.clone()), Arc::new(front.clone()))
        } else {
            (Arc::clone(&dserver) as _, dserver)
        };
        let (group, mesh) = sdfs_server_group::start(GroupOptions {
            config: Arc::clone(&self.config),
            me,
            transport: Arc::new(TcpTransport),
            service,
            user_keys,
        })
        .await
        .unwrap();
        let bytes = 1 << 40;
        mesh.set_load(Load {
            free_bytes: bytes,
            total_bytes: bytes,
            ..Load::default()
        });
        let mut mserver = None;
        if is_mserver {
            let started = sdfs_mserver::start(MserverOptions {
                mesh: mesh.clone(),
                disk: Arc::new(MemoryDisk::new(4 << 30)),
                raft_dir: "/raft".into(),
                store: Store::memory(),
                grants: GrantKey::derive(b"grants"),
                grant_ms: self.grant_ms,
                kept: LogKept::default(),
            })
            .await
            .unwrap();
            front
                .mserver
                .set(started.clone())
                .unwrap_or_else(|_| panic!("started twice"));
            mserver = Some(started);
        }
        Member { group, mserver }
    }

    async fn wait_ready(&self) {
        let begun = tokio::time::Instant::now();
        loop {
            let tried = async {
                for mserver in [3, 2] {
                    self.client(mserver).await?;
                }
                let client = self.client(1).await?;
                client
                    .create("/ready")
                    .await
                    .map_err(|refusal| refusal.to_string())
            };
            match tried.await {
                Ok(_) => return,
                Err(reason) if reason.contains("exists already") => return,
                Err(reason) => assert!(begun.elapsed() < PATIENCE, "not ready: {reason}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The administrator at the mserver of this number.
    pub(crate) async fn client(&self, mserver: u16) -> Result<Client, String> {
        self.client_as(mserver, "admin", ADMIN_SECRET).await
    }

    pub(crate) async fn admin(&self, mserver: u16) -> Client {
        self.client(mserver).await.unwrap()
    }

    /// The administrator at each mserver.
    pub(crate) async fn admins(&self) -> [Client; 3] {
        [
            self.admin(1).await,
            self.admin(2).await,
            self.admin(3).await,
        ]
    }

    pub(crate) async fn client_as(
        &self,
        mserver: u16,
        name: &str,
        secret: &str,
    ) -> Result<Client, String> {
        static CLIENTS: AtomicU64 = AtomicU64::new(1);
        let address = self.config.server(ServerId(mserver)).unwrap().address;
        let credentials = ClientCredentials::User {
            name: name.into(),
            key: UserKey::of_secret(secret),
        };
        let deadline = Deadline::after(PATIENCE);
        let connected = connect_client(&TcpTransport, address, &credentials, deadline).await;
        let link = connected.map_err(|fault| fault.to_string())?.link;
        let client = CLIENTS.fetch_add(1, Ordering::SeqCst);
        Ok(Client {
            link,
            client,
            next: AtomicU64::new(1),
        })
    }

    /// Ends one server.
    pub(crate) async fn stop(&self, server: u16) {
        let member = &self.members[usize::from(server) - 1];
        if let Some(mserver) = &member.mserver {
            mserver.stop().await;
        }
        member.group.send(Stop).await.unwrap();
    }
}

/// A port below those the system gives to outgoing connections, so that none takes it before its
/// server does, and never the same one twice.
fn free_port() -> TcpListener {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let offset = u64::from(std::process::id()) * 97 + NEXT.fetch_add(1, Ordering::SeqCst);
        let port = u16::try_from(12_000 + offset % 18_000).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
}

fn config(space: &Path, storage: &str) -> Config {
    std::fs::write(space.join("secret"), "the secret of the whole cluster").unwrap();
    std::fs::write(space.join("admin.secret"), ADMIN_SECRET).unwrap();
    let ports: Vec<TcpListener> = (0..6).map(|_| free_port()).collect();
    let mut servers = String::new();
    for (index, port) in ports.iter().enumerate() {
        let (role, name) = if index < 3 {
            ("Mserver", "m")
        } else {
            ("Dserver", "d")
        };
        let address = port.local_addr().unwrap();
        servers += &format!(
            "(name: \"{name}{index}\", role: {role}, address: \"{address}\", \
             space: [\"{name}{index}\"], zone: \"z{index}\"),"
        );
    }
    let text = format!(
        "(cluster: \"test\", secret_file: \"secret\", \
         admin: (name: \"admin\", secret_file: \"admin.secret\"), servers: [{servers}], {storage})"
    );
    Config::parse(&text, &space.join("config.conf")).unwrap()
}

/// One client of one mserver.
pub(crate) struct Client {
    link: Link,
    client: u64,
    next: AtomicU64,
}

impl Client {
    pub(crate) fn request(&self) -> RequestId {
        RequestId {
            client: self.client,
            sequence: self.next.fetch_add(1, Ordering::SeqCst),
        }
    }

    pub(crate) async fn call<C: Call>(&self, call: &C) -> Result<C::Reply, Refusal> {
        self.call_by_hand::<C>(wire::encode(call)).await
    }

    /// The call of that kind, in these bytes.
    pub(crate) async fn call_by_hand<C: Call>(&self, head: Bytes) -> Result<C::Reply, Refusal> {
        let deadline = Deadline::after(PATIENCE);
        let kind = C::KIND.to_wire();
        match self
            .link
            .call(kind, head, Payload::default(), deadline)
            .await
        {
            Ok(reply) => wire::decode_answer(&reply.head).unwrap(),
            Err(fault) => Err(Refusal::Unknown {
                why: fault.to_string(),
            }),
        }
    }

    pub(crate) fn creation(&self, at: &str) -> CreateFile {
        CreateFile {
            request: self.request(),
            path: path(at),
            size_bytes: 0,
            options: FileOptions::default(),
            explain: false,
        }
    }

    pub(crate) async fn create(&self, at: &str) -> Result<FileCreated, Refusal> {
        self.call(&self.creation(at)).await
    }
}
