//! A cluster of servers in one process, on free ports of the loopback interface.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of the kit"
)]

pub mod proxy;
pub mod stranger;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use sdfs_net_layer::{TcpTransport, Transport};
use sdfs_server_group::{
    ClientCredentials, Config, Deadline, Group, GroupOptions, IncomingCall, Mesh, Payload, Role,
    ServerId, Service, Trace, UserKey, UserKeys, UserName, start,
};

pub const SECRET: &str = "a secret of the whole cluster";
pub const USER: &str = "ann";
pub const USER_SECRET: &str = "a secret of ann alone";

/// Sends head and payload back.
pub const ECHO: u16 = 1;
/// As echo, for servers only.
pub const SERVERS_ONLY: u16 = 2;
/// Is dropped unanswered.
pub const DROP: u16 = 3;
/// Is kept and never answered.
pub const KEEP: u16 = 4;
/// Answers with as many bytes as the head asks for (u32, little-endian).
pub const BYTES: u16 = 5;
/// Says who calls.
pub const WHO: u16 = 6;
/// Says the operation it is called for, which it turns told when the head is not empty, and sends
/// the payload back.
pub const TRACE: u16 = 7;

/// Serves the kinds above.
#[derive(Default)]
pub struct Echo {
    pub served: AtomicU64,
    pub kept: std::sync::Mutex<Vec<IncomingCall>>,
}

impl Service for Echo {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        match kind {
            ECHO | DROP | KEEP | BYTES | WHO | TRACE => true,
            SERVERS_ONLY => role != Role::Client,
            _ => false,
        }
    }

    fn serve(&self, call: IncomingCall) {
        self.served.fetch_add(1, Ordering::Relaxed);
        match call.kind {
            DROP => {}
            KEEP => self.kept.lock().unwrap().push(call),
            BYTES if call.head.len() < 4 => call.reply.send(Bytes::new(), Payload::new()),
            BYTES => {
                let bytes = u32::from_le_bytes(call.head[..4].try_into().unwrap());
                let payload = Payload::from(vec![7; bytes as usize]);
                call.reply.send(Bytes::new(), payload);
            }
            WHO => {
                let who = format!(
                    "{:?} {:?} {:?}",
                    call.from.role, call.from.server, call.from.user
                );
                call.reply.send(who.into(), Payload::new());
            }
            TRACE => {
                tokio::spawn(call.trace.scope(async move {
                    if !call.head.is_empty() {
                        Trace::tell_current();
                    }
                    let said = call.trace.to_wire().0.to_le_bytes().to_vec();
                    call.reply.send(said.into(), call.payload);
                }));
            }
            _ => call.reply.send(call.head, call.payload),
        }
    }
}

/// One user.
pub struct Ann;

impl UserKeys for Ann {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        (user == USER).then(|| UserKey::of_secret(USER_SECRET))
    }
}

/// The same user, heard of only when somebody waits for the news, and only if there are any.
#[derive(Default)]
pub struct LateAnn {
    pub is_apart: AtomicBool,
    has_heard: AtomicBool,
}

#[async_trait::async_trait]
impl UserKeys for LateAnn {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        let has_heard = self.has_heard.load(Ordering::SeqCst);
        has_heard.then(|| Ann.key_of(user)).flatten()
    }

    async fn caught_up(&self) -> bool {
        let is_apart = self.is_apart.load(Ordering::SeqCst);
        self.has_heard.store(!is_apart, Ordering::SeqCst);
        !is_apart
    }
}

pub fn ann() -> ClientCredentials {
    ClientCredentials::User {
        name: UserName::from(USER),
        key: UserKey::of_secret(USER_SECRET),
    }
}

/// Addresses nobody listens on: below those the system gives to outgoing connections, so that none
/// of these takes one before its server does, and never the same one twice.
pub fn free_addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let free = std::iter::repeat_with(|| {
        let offset = u64::from(std::process::id()) * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from(([127, 0, 0, 1], 12_000 + (offset % 18_000) as u16))
    });
    free.filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect()
}

/// A cluster's configuration and the folder its secrets are in.
pub struct Plan {
    pub folder: tempfile::TempDir,
    pub config: Arc<Config>,
}

impl Plan {
    /// `mservers` mservers, then `dservers` dservers.
    pub fn new(mservers: usize, dservers: usize) -> Self {
        Self::with(
            mservers,
            dservers,
            // A busy machine may stop this process for a second; no test is to take that for the
            // silence of a peer. Those about silence set their own times.
            "ping_every_ms: 50, silence_ms_max: 30000, dial_ms_max: 5000, handshake_ms_max: 30000",
        )
    }

    pub fn with(mservers: usize, dservers: usize, timers: &str) -> Self {
        Self::at(&free_addresses(mservers + dservers), mservers, timers)
    }

    pub fn at(addresses: &[SocketAddr], mservers: usize, timers: &str) -> Self {
        let numbers: Vec<_> = (1..).take(addresses.len()).collect();
        Self::numbered(addresses, &numbers, mservers, timers)
    }

    /// With these numbers of the servers.
    pub fn numbered(
        addresses: &[SocketAddr],
        numbers: &[u16],
        mservers: usize,
        timers: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let mut servers = String::new();
        for (place, (address, id)) in addresses.iter().zip(numbers).enumerate() {
            let role = if place < mservers {
                "Mserver"
            } else {
                "Dserver"
            };
            servers += &format!("(name: \"s{place}\", id: {id}, role: {role}, ");
            servers += &format!("address: \"{address}\", ");
            servers += &format!("space: [\"d{place}\"]),\n");
        }
        let text = format!(
            "(cluster: \"test\", secret_file: \"secret\",\n\
             admin: (name: \"admin\", secret_file: \"admin.secret\"),\n\
             servers: [\n{servers}],\ntimers: ({timers}))"
        );
        let config = Config::parse(&text, &folder.path().join("config.conf")).unwrap();
        Self {
            folder,
            config: Arc::new(config),
        }
    }

    /// The same cluster as a server with this other secret sees it.
    pub fn with_secret(&self, secret: &str) -> Arc<Config> {
        let secret_file: PathBuf = self.folder.path().join("other-secret");
        std::fs::write(&secret_file, secret).unwrap();
        Arc::new(Config {
            secret_file,
            ..(*self.config).clone()
        })
    }

    pub fn address(&self, id: u16) -> SocketAddr {
        self.config.server(ServerId(id)).unwrap().address
    }

    pub async fn start(&self, id: u16) -> Server {
        Server::start(Arc::clone(&self.config), id, Arc::new(TcpTransport)).await
    }

    pub async fn start_all(&self) -> Vec<Server> {
        let mut servers = Vec::new();
        for server in &self.config.servers {
            servers.push(self.start(server.id.0).await);
        }
        for server in &servers {
            server.until_all_up().await;
        }
        servers
    }
}

/// One server of the process.
pub struct Server {
    pub group: Addr<Group>,
    pub mesh: Mesh,
    pub echo: Arc<Echo>,
}

impl Server {
    pub async fn start(config: Arc<Config>, id: u16, transport: Arc<dyn Transport>) -> Self {
        let echo = Arc::new(Echo::default());
        let service = Arc::clone(&echo) as Arc<dyn Service>;
        let (group, mesh) = start_with(config, id, transport, service).await;
        Self { group, mesh, echo }
    }

    pub async fn until_all_up(&self) {
        let others = self.mesh.config().servers.len() - 1;
        let mesh = &self.mesh;
        until("all servers are up", || {
            mesh.snapshot()
                .peers
                .iter()
                .filter(|peer| mesh.is_up(peer.id))
                .count()
                == others
        })
        .await;
    }

    pub fn count(&self, name: &str) -> u64 {
        self.mesh.snapshot().counters[name]
    }
}

pub async fn start_with(
    config: Arc<Config>,
    id: u16,
    transport: Arc<dyn Transport>,
    service: Arc<dyn Service>,
) -> (Addr<Group>, Mesh) {
    let me = ServerId(id);
    let user_keys = Arc::new(Ann);
    start(GroupOptions {
        config,
        me,
        transport,
        service,
        user_keys,
    })
    .await
    .unwrap()
}

/// A server that asks `user_keys` for its users.
pub async fn start_with_users(plan: &Plan, id: u16, user_keys: Arc<dyn UserKeys>) -> Addr<Group> {
    let options = GroupOptions {
        config: Arc::clone(&plan.config),
        me: ServerId(id),
        transport: Arc::new(TcpTransport),
        service: Arc::new(Echo::default()),
        user_keys,
    };
    start(options).await.unwrap().0
}

/// How long anything is waited for that is sure to come: only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Runs on an actix system of its own.
pub fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}
