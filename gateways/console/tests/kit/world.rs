//! Three and three servers inside this process whose links, disks and threads a test can break:
//! links slow or cut, a disk full or failed, a server that stands still.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix_rt::System;
use sdfs_log::{Disk, MemoryDisk, RealDisk};
use sdfs_net_layer::TcpTransport;
use sdfs_server::{
    ClusterOptions, LogKept, Outside, Running, make_missing_secrets, missing_of, write_config,
};
use sdfs_server_group::{Config, ServerConfig};
use sdfs_types::calls::status::ServerStatus;
use tempfile::TempDir;
use tokio::sync::{mpsc as orders, oneshot, watch};

use super::PATIENCE;
use super::wires::{Wires, Wiring};

/// Bytes of a disk in memory: what a server thinks there is, not what it takes.
pub const DISK_BYTES: u64 = 2 << 30;

/// The servers and what they stand on.
pub struct World {
    pub config: Arc<Config>,
    pub wires: watch::Sender<Wires>,
    /// The disk of `dserver-3`, which fails on demand.
    pub disk: MemoryDisk,
    hosts: BTreeMap<String, Host>,
    _folder: TempDir,
}

/// A server on a thread of its own.
struct Host {
    orders: orders::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Status(oneshot::Sender<ServerStatus>),
    /// Stand still until the other end is dropped.
    Freeze(mpsc::Receiver<()>),
}

/// A server that stands still; dropped, it goes on.
pub struct Frozen(#[expect(dead_code, reason = "kept for its end")] mpsc::Sender<()>);

impl World {
    /// All six, connected so, taking writes, their doors open.
    pub async fn start(wires: Wires) -> World {
        let folder = tempfile::tempdir().unwrap();
        let options = ClusterOptions {
            operator: true,
            ..ClusterOptions::default()
        };
        let file = write_config(folder.path(), &options).unwrap();
        let config = Arc::new(Config::load(&file).unwrap());
        make_missing_secrets(&config).unwrap();
        let mut world = World {
            wires: watch::Sender::new(wires),
            disk: MemoryDisk::new(DISK_BYTES),
            hosts: BTreeMap::new(),
            config,
            _folder: folder,
        };
        for server in world.config.servers.clone() {
            world.start_server(server.name.as_str()).await;
        }
        world.settled().await;
        world
    }

    /// Starts a server that does not run.
    pub async fn start_server(&mut self, name: &str) {
        let me = self.config.server_named(name).unwrap().clone();
        for space in &me.space {
            std::fs::create_dir_all(space).unwrap();
        }
        let disk: Arc<dyn Disk> = match name {
            "dserver-3" => Arc::new(self.disk.clone()),
            _ => Arc::new(RealDisk),
        };
        let outside = Outside {
            transport: Arc::new(Wiring {
                me: me.address,
                config: Arc::clone(&self.config),
                wires: self.wires.subscribe(),
                tcp: TcpTransport,
            }),
            disk,
            store: None,
            kept: LogKept::default(),
            log: None,
        };
        let host = Host::start(&self.config, me, outside).await;
        self.hosts.insert(name.to_owned(), host);
    }

    /// Ends a server at once; nobody is told.
    pub fn kill(&mut self, name: &str) {
        self.hosts.remove(name).unwrap();
    }

    /// Lets a server stand still, as SIGSTOP does: its sockets stay open.
    pub fn freeze(&self, name: &str) -> Frozen {
        let (thaw, frozen) = mpsc::channel();
        let host = &self.hosts[name];
        assert!(host.orders.send(Order::Freeze(frozen)).is_ok());
        Frozen(thaw)
    }

    /// Waits until every server is connected with every other and all volumes have all copies.
    pub async fn settled(&self) {
        let begun = Instant::now();
        loop {
            let mut told = Vec::new();
            for host in self.hosts.values() {
                told.push(host.status().await);
            }
            let broken = told.iter().flat_map(|status| &status.volumes);
            let mut broken = broken.filter(|volume| !volume.is_whole() || !volume.is_writable());
            let why = missing_of(&told).or_else(|| Some(format!("{:?}", broken.next()?)));
            let Some(why) = why else { return };
            assert!(begun.elapsed() < PATIENCE, "still {why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn http_of(&self, name: &str) -> SocketAddr {
        super::http_in(&self.config, name)
    }

    pub fn console_of(&self, name: &str) -> SocketAddr {
        super::console_in(&self.config, name)
    }
}

impl Host {
    async fn start(config: &Arc<Config>, me: ServerConfig, outside: Outside) -> Host {
        let (orders, due) = orders::unbounded_channel();
        let (started, starting) = oneshot::channel();
        let (config, name) = (Arc::clone(config), me.name.to_string());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let system = System::with_tokio_rt(move || runtime);
            system.block_on(async {
                let running = Host::stand(&config, &me, outside).await;
                // Nobody listens when the test has failed.
                started.send(()).unwrap_or(());
                Host::obey(running, due).await;
            });
        };
        let thread = thread::Builder::new().name(name).spawn(run).unwrap();
        starting.await.expect("it starts");
        Host {
            orders,
            thread: Some(thread),
        }
    }

    /// Threads of a former one that was killed hold its files for a moment.
    async fn stand(config: &Arc<Config>, me: &ServerConfig, outside: Outside) -> Running {
        let begun = Instant::now();
        loop {
            match Running::start(config, me, outside.clone()).await {
                Ok(running) => return running,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", me.name),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn obey(running: Running, mut due: orders::UnboundedReceiver<Order>) {
        while let Some(order) = due.recv().await {
            match order {
                Order::Status(told) => told.send(running.status()).unwrap_or(()),
                // The thread stands still, and all that runs on it.
                Order::Freeze(thaw) => assert!(thaw.recv().is_err()),
            }
        }
    }

    async fn status(&self) -> ServerStatus {
        let (told, telling) = oneshot::channel();
        assert!(self.orders.send(Order::Status(told)).is_ok());
        telling.await.expect("it runs")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let (none, _) = orders::unbounded_channel();
        self.orders = none;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            thread.join().unwrap_or(());
        }
    }
}
