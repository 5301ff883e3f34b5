//! Members on real meshes over loopback, each on a thread of its own that can be dropped.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each user takes a part of the kit"
)]

use bytes::Bytes;
use sdfs_log::{OpenError, RealDisk};
use sdfs_net_layer::TcpTransport;
use sdfs_raft::{
    ApplyError, CALL_KINDS, GroupId, GroupSpec, LogKept, RaftGroups, RaftOptions, RaftTimers,
    StartError, StateMachine,
};
use sdfs_server_group::{
    Config, Deadline, GroupOptions, IncomingCall, Role, ServerId, Service, UserKey, UserKeys, start,
};
use sdfs_store::{Batch, Keyspace, Store, StoreError};
use std::fmt::Debug;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The groups every member has.
pub const GROUPS: [GroupId; 2] = [GroupId(0), GroupId(1)];

/// A map: the first 8 bytes are the key, the rest the value; answers with the key's former value.
pub struct Register;

impl StateMachine for Register {
    fn open(&mut self, _: &Keyspace) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&mut self, _: u64, command: &[u8], batch: &mut Batch) -> Result<Bytes, ApplyError> {
        let (key, value) = command.split_at(command.len().min(8));
        batch.put(key.to_vec(), value.to_vec());
        Ok(Bytes::new())
    }

    fn committed(&mut self, _: u64) {}
}

/// Hands raft's calls to the groups, once they have started.
#[derive(Default)]
struct Calls(RwLock<Option<RaftGroups>>);

impl Service for Calls {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        CALL_KINDS.contains(&kind) && role != Role::Client
    }

    fn serve(&self, call: IncomingCall) {
        if let Some(groups) = &*self.0.read().unwrap() {
            groups.serve(call);
        }
    }
}

struct Nobody;

impl UserKeys for Nobody {
    fn key_of(&self, _: &str) -> Option<UserKey> {
        None
    }
}

/// A member that runs on its thread until it is killed.
pub struct Running {
    pub groups: RaftGroups,
    /// The member's runtime: its groups are asked there.
    pub handle: Handle,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Drops the member's whole system at once: no goodbye, nothing flushed.
    pub fn kill(self) {
        let Self {
            groups,
            kill,
            thread,
            ..
        } = self;
        drop(groups);
        kill.send(()).unwrap();
        thread.join().unwrap();
    }
}

/// The configuration of `members` mservers on free ports, in `folder`.
pub fn plan(folder: &Path, members: u16) -> Arc<Config> {
    std::fs::write(folder.join("secret"), "a secret of the whole cluster").unwrap();
    // Below the ports the system gives to outgoing connections, so that none of these takes one
    // before its server does.
    let first = 12_000 + u16::try_from(std::process::id() * 7 % 18_000).unwrap();
    let taken = (first..).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let taken: Vec<_> = taken.take(usize::from(members)).collect();
    let mut servers = String::new();
    for (place, listener) in taken.iter().enumerate() {
        let address = listener.local_addr().unwrap();
        servers += &format!(
            "(name: \"m{place}\", role: Mserver, address: \"{address}\", space: [\"m{place}\"]),"
        );
    }
    let text = format!(
        "(cluster: \"test\", secret_file: \"secret\", \
          admin: (name: \"admin\", secret_file: \"secret\"), servers: [{servers}])"
    );
    Arc::new(Config::parse(&text, &folder.join("config.conf")).unwrap())
}

/// Starts the member `number` of `config` on a thread of its own.
pub fn member(config: &Arc<Config>, folder: &Path, number: u16) -> Running {
    let (ready, started) = std::sync::mpsc::channel();
    let (kill, killed) = oneshot::channel();
    let (config, dir) = (Arc::clone(config), folder.join(number.to_string()));
    let thread = std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let (groups, calls) = open(config, &dir, ServerId(number)).await;
            ready.send((groups, Handle::current())).unwrap();
            killed.await.unwrap();
            // Mesh and groups hold each other; a process that ends lets both go.
            calls.0.write().unwrap().take();
        });
    });
    let (groups, handle) = started.recv().unwrap();
    Running {
        groups,
        handle,
        kill,
        thread,
    }
}

async fn open(config: Arc<Config>, dir: &Path, me: ServerId) -> (RaftGroups, Arc<Calls>) {
    std::fs::create_dir_all(dir).unwrap();
    let voters: Vec<ServerId> = (1..=config.servers.len() as u16).map(ServerId).collect();
    let calls = Arc::new(Calls::default());
    let options = GroupOptions {
        config,
        me,
        transport: Arc::new(TcpTransport),
        service: Arc::clone(&calls) as Arc<dyn Service>,
        user_keys: Arc::new(Nobody),
    };
    let (_, mesh) = start(options).await.unwrap();
    let specs = || {
        GROUPS.into_iter().map(|id| GroupSpec {
            id,
            voters: voters.clone(),
            learners: Vec::new(),
            preferred: Some(voters[usize::from(id.0) % voters.len()]),
            machine: Some(Box::new(Register)),
        })
    };
    let store = once_free(
        async || Store::open(&dir.join("store")),
        |error| matches!(error, StoreError::Locked { .. }),
    );
    let store = store.await;
    let groups = once_free(
        async || {
            let options = RaftOptions {
                mesh: mesh.clone(),
                disk: Arc::new(RealDisk),
                dir: dir.join("raft"),
                store: store.clone(),
                timers: RaftTimers::default(),
                kept: LogKept::default(),
                groups: specs().collect(),
            };
            RaftGroups::start(options).await
        },
        |error| matches!(error, StartError::Log(OpenError::InUse { .. })),
    );
    let groups = groups.await;
    *calls.0.write().unwrap() = Some(groups.clone());
    (groups, calls)
}

/// Opens what a killed member may still hold: threads of the disk close its files, and they end
/// a moment after it where a process would take them along.
async fn once_free<T, E: Debug>(
    open: impl AsyncFn() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> T {
    let end = soon();
    loop {
        match open().await {
            Err(error) if is_held(&error) && !end.is_over() => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// A command that sets key `key` to so many bytes.
pub fn command(key: u64, bytes: usize) -> Bytes {
    let mut command = (key | 1 << 56).to_be_bytes().to_vec();
    command.resize(8 + bytes, 7);
    Bytes::from(command)
}
