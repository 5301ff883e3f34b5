//! The servers of a run: the shipped ones, on simulated machines that lose their power, stand
//! still and come back.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sdfs_log::CrashLoss;
use sdfs_server::{LogKept, Outside, Outsider, Running, ServerError, joining_config};
use sdfs_server_group::{Config, Role, ServerConfig, ServerId};
use sdfs_store::Store;
use sdfs_types::calls::servers::ServerOrder;
use sdfs_types::calls::status::GroupStatus;
use sdfs_types::{MemberState, Volume};
use tokio::time::Instant;

use crate::disk::SimDisk;
use crate::host::Host;
use crate::network::Network;
use crate::operator::Orders;
use crate::panics::Panic;
use crate::random::Random;
use crate::setting::Setting;
use crate::stream::SimTransport;
use crate::trace::Trace;
use crate::world;

/// Where servers listen.
const PORT: u16 = 7000;
/// Bytes of each disk: more than a run writes.
const DISK_BYTES: u64 = 1 << 30;
/// A server that ended by itself is started again after this, as its supervisor would.
const RESTART_AFTER: Duration = Duration::from_millis(1_000);

/// What mservers keep of their groups' logs: so little that many snapshots are made in a run, and
/// some are sent.
const KEPT: LogKept = LogKept {
    snapshot_entries: 40,
    keep_entries: 10,
    purge_entries: 5,
};

/// How a server goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Its process is killed: what it has written is with the kernel.
    Killed,
    /// Its machine loses power: what was not synced is lost, as far as chance wants it.
    PowerLost(CrashLoss),
    /// Its machine loses power and gets an empty disk.
    DiskLost,
}

/// The server as its host runs it; `None` before it stands and after it has ended.
pub(crate) type Slot = Rc<RefCell<Option<Rc<Running>>>>;

/// A server and its machine.
pub(crate) struct Server {
    /// What the configuration says of it.
    pub(crate) config: ServerConfig,
    disk: SimDisk,
    store: Store,
    host: Option<Host>,
    running: Slot,
    has_ended: Rc<RefCell<bool>>,
    /// How often it was started.
    pub(crate) starts: u32,
    restart_at: Option<Instant>,
    /// Set when it may be started that is being replaced.
    may_return: Option<Rc<Cell<bool>>>,
    /// By how much its wall clock is wrong.
    clock_ahead_ms: i64,
    /// It is in no configuration but its own and asks the others who they are.
    is_newcomer: bool,
    /// Whether it is to leave the cluster for good.
    pub(crate) is_leaving: Rc<Cell<bool>>,
    /// Whether it has.
    has_left: Rc<Cell<bool>>,
}

/// All servers.
pub(crate) struct Cluster {
    /// The configuration they share.
    pub(crate) config: Arc<Config>,
    /// What connects them.
    pub(crate) network: Network,
    /// By number, mservers first.
    pub(crate) servers: Vec<Server>,
    /// Panics of servers so far.
    pub(crate) panics: Vec<Panic>,
    /// What an operator is to order.
    pub(crate) orders: Orders,
    seed: u64,
    trace: Trace,
}

/// Writes the configuration and secrets of a run; the same bytes each time for a setting.
///
/// # Errors
/// When the folder cannot be written or the configuration is wrong.
pub(crate) fn write_config(folder: &Path, setting: &Setting) -> io::Result<Arc<Config>> {
    let path = folder.join("config.conf");
    std::fs::write(&path, setting.config())?;
    std::fs::write(folder.join("secret"), "the secret of the simulated cluster")?;
    std::fs::write(
        folder.join("admin.secret"),
        "the secret of its administrator",
    )?;
    Config::load(&path).map(Arc::new).map_err(io::Error::other)
}

impl Cluster {
    /// All servers, not started.
    #[must_use]
    pub(crate) fn new(seed: u64, config: &Arc<Config>, network: &Network, trace: &Trace) -> Self {
        let servers = config.servers.iter();
        Self {
            servers: servers.map(|one| Server::new(seed, one, false)).collect(),
            config: Arc::clone(config),
            network: network.clone(),
            panics: Vec::new(),
            orders: Orders::default(),
            seed,
            trace: trace.clone(),
        }
    }

    /// Has a dserver more; what the cluster is to expect then.
    pub(crate) fn add_dserver(&mut self) -> ServerOrder {
        let number = self.servers.len() + 1;
        let name = format!("dserver-{number}-new");
        let config = ServerConfig {
            id: ServerId(0),
            name: name.as_str().into(),
            role: Role::Dserver,
            address: (server_ip(number), PORT).into(),
            space: vec![PathBuf::from(format!("/{name}/1"))],
            zone: name,
        };
        let mut server = Server::new(self.seed, &config, true);
        server.restart_at = Some(Instant::now());
        self.servers.push(server);
        ServerOrder::Join {
            name: config.name,
            role: config.role,
            address: config.address,
            zone: config.zone,
        }
    }

    /// Starts a server that is down.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub(crate) fn start(&mut self, number: usize) -> io::Result<()> {
        let server = &mut self.servers[number];
        let me = server.config.clone();
        self.trace.say(&format!("{} starts", me.name));
        let host = Host::new(me.name.as_str(), me.address.ip())?;
        let transport = SimTransport {
            network: self.network.clone(),
            host: me.address.ip(),
        };
        let outside = Outside {
            transport: Arc::new(transport),
            disk: Arc::new(server.disk.clone()),
            store: Some(server.store.clone()),
            kept: KEPT,
            log: None,
        };
        server.has_ended = Rc::default();
        server.starts += 1;
        server.restart_at = None;
        let (slot, has_ended) = (Rc::clone(&server.running), Rc::clone(&server.has_ended));
        let (has_left, is_newcomer) = (Rc::clone(&server.has_left), server.is_newcomer);
        let (config, trace) = (Arc::clone(&self.config), self.trace.clone());
        host.spawn(async move {
            let started = match is_newcomer {
                true => start_newcomer(&config, &me, outside).await,
                false => Running::start(&config, &me, outside).await,
            };
            let why = match started {
                Ok(running) => {
                    let running = Rc::new(running);
                    *slot.borrow_mut() = Some(Rc::clone(&running));
                    trace.say(&format!("{} stands", me.name));
                    running.failed().await
                }
                Err(error) => error,
            };
            trace.say(&format!("{} ends: {why}", me.name));
            let is_gone = matches!(why, ServerError::Outsider(Outsider::Gone { .. }));
            has_left.set(has_left.get() || is_gone);
            *slot.borrow_mut() = None;
            *has_ended.borrow_mut() = true;
        });
        server.host = Some(host);
        Ok(())
    }

    /// Takes a server down, to be started again later.
    pub(crate) fn crash(&mut self, number: usize, crash: Crash, down_for: Duration) {
        let server = &mut self.servers[number];
        server.restart_at = Some(Instant::now() + down_for);
        let host = server.host.take();
        let name = &server.config.name;
        self.trace.say(&format!("{name} goes down: {crash:?}"));
        match crash {
            Crash::Killed => server.disk = server.disk.crash(CrashLoss::Nothing),
            Crash::PowerLost(loss) => {
                server.disk = server.disk.crash(loss);
                server.store = server.store.after_power_loss();
                self.network.vanish(server.config.address.ip());
            }
            Crash::DiskLost => {
                server.disk = server.disk.replaced();
                server.store = Store::memory();
                self.network.vanish(server.config.address.ip());
            }
        }
        server.running.borrow_mut().take();
        drop(host);
    }

    /// Takes the disk of a mserver, which is then started when an operator has had it replaced.
    pub(crate) fn take_mserver(&mut self, number: usize, down_for: Duration) -> Rc<Cell<bool>> {
        self.crash(number, Crash::DiskLost, down_for);
        let may_return: Rc<Cell<bool>> = Rc::default();
        self.servers[number].may_return = Some(Rc::clone(&may_return));
        may_return
    }

    /// Starts what is due to be started, and notices who ended by itself.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for number in 0..self.servers.len() {
            let ended = *self.servers[number].has_ended.borrow();
            if ended && self.servers[number].host.is_some() {
                self.crash(number, Crash::Killed, RESTART_AFTER);
            }
            let server = &mut self.servers[number];
            if server.may_return.as_ref().is_some_and(|may| may.get()) {
                server.may_return = None;
            }
            let may_start = server.may_return.is_none() && !server.has_left();
            if may_start && server.restart_at.is_some_and(|at| at <= now) {
                self.start(number)?;
            }
        }
        Ok(())
    }

    /// Lets every server run up to a moment. One that panics has ended with it, as the shipped
    /// program ends.
    pub(crate) fn run_until(&mut self, moment: Instant) {
        for number in 0..self.servers.len() {
            let server = &mut self.servers[number];
            let Some(host) = &mut server.host else {
                continue;
            };
            world::set_wall_ahead_ms(server.clock_ahead_ms);
            host.run_until(moment);
            let panics = host.take_panics();
            if !panics.is_empty() {
                let host = server.config.name.to_string();
                self.note_panics(&host, panics);
                self.crash(number, Crash::Killed, RESTART_AFTER);
            }
        }
        world::set_wall_ahead_ms(0);
    }

    /// Notes panics of a host's programs.
    pub(crate) fn note_panics(&mut self, host: &str, panics: Vec<String>) {
        for why in panics {
            self.trace.say(&format!("{host} panics at {why}"));
            let host = host.to_owned();
            self.panics.push(Panic { host, why });
        }
    }

    /// Whether all copies of everything are in sync, as every mserver that stands says, which are
    /// most of them.
    #[must_use]
    pub(crate) fn are_copies_in_sync(&self) -> bool {
        let mservers = self.of_role(Role::Mserver);
        let standing = mservers
            .iter()
            .filter_map(|number| self.servers[*number].running());
        let standing: Vec<_> = standing.collect();
        let is_whole = |volume: &Volume| {
            let mut members = volume.members.iter();
            members.all(|member| member.state == MemberState::InSync)
        };
        2 * standing.len() > mservers.len()
            && standing.iter().all(|running| {
                let volumes = running.status().volumes;
                !volumes.is_empty() && volumes.iter().all(is_whole)
            })
    }

    /// Where the servers of a role are found while they stand.
    #[must_use]
    pub(crate) fn slots(&self, role: Role) -> Vec<Slot> {
        let numbers = self.of_role(role).into_iter();
        numbers.map(|number| self.servers[number].slot()).collect()
    }

    /// Whether a client that comes now can put a file.
    pub(crate) fn takes_writes(&self) -> bool {
        let mut mservers = self.of_role(Role::Mserver).into_iter();
        mservers.all(|number| {
            self.servers[number].running().is_some_and(|running| {
                let status = running.status();
                let mut volumes = status.volumes.iter();
                let mut groups = status.groups.iter();
                let is_led = |group: &GroupStatus| {
                    group.leader.is_some() || !group.voters.contains(&status.server)
                };
                groups.all(is_led) && volumes.any(|volume| volume.is_writable())
            })
        })
    }

    /// Numbers of the servers of a role that have not left.
    #[must_use]
    pub(crate) fn of_role(&self, role: Role) -> Vec<usize> {
        let all = self.servers.iter().enumerate();
        all.filter(|(_, server)| server.config.role == role && !server.has_left())
            .map(|(number, _)| number)
            .collect()
    }
}

impl Server {
    fn new(seed: u64, config: &ServerConfig, is_newcomer: bool) -> Self {
        Self {
            disk: SimDisk::new(Random::of(seed, config.name.as_str()), DISK_BYTES),
            store: Store::memory(),
            host: None,
            running: Slot::default(),
            has_ended: Rc::default(),
            starts: 0,
            restart_at: None,
            may_return: None,
            clock_ahead_ms: 0,
            is_newcomer,
            is_leaving: Rc::default(),
            has_left: Rc::default(),
            config: config.clone(),
        }
    }

    /// Whether it has left the cluster for good.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.get()
    }

    /// Where the server is found while it stands.
    pub(crate) fn slot(&self) -> Slot {
        Rc::clone(&self.running)
    }

    /// The server, if it stands.
    #[must_use]
    pub(crate) fn running(&self) -> Option<Rc<Running>> {
        self.running.borrow().clone()
    }

    /// Its machine, if it has power.
    pub(crate) fn host(&mut self) -> Option<&mut Host> {
        self.host.as_mut()
    }

    /// Where its groups' states are.
    #[must_use]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Its disk.
    #[must_use]
    pub(crate) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Sets its wall clock wrong, or right with 0.
    pub(crate) fn set_clock_ahead_ms(&mut self, ahead_ms: i64) {
        self.clock_ahead_ms = ahead_ms;
    }

    /// Its address without the port.
    #[must_use]
    pub(crate) fn ip(&self) -> IpAddr {
        self.config.address.ip()
    }

    /// Starts it now if it was to be started later.
    pub(crate) fn hurry(&mut self) {
        if let Some(at) = &mut self.restart_at {
            *at = Instant::now();
        }
    }
}

/// Starts a server that asks the others who they are, as one does that was told to join.
async fn start_newcomer(
    config: &Arc<Config>,
    me: &ServerConfig,
    outside: Outside,
) -> Result<Running, ServerError> {
    let mservers = config.servers_of(Role::Mserver);
    let mservers: Vec<SocketAddr> = mservers.map(|server| server.address).collect();
    let own = Arc::new(Config {
        servers: vec![me.clone()],
        ..(**config).clone()
    });
    let transport = Arc::clone(&outside.transport);
    let config = joining_config(&own, me.name.as_str(), &mservers, transport).await?;
    let me = config.server_named(me.name.as_str()).unwrap_or(me);
    Running::start(&config, me, outside).await
}

/// The address of a server's machine, counted from 1.
fn server_ip(number: usize) -> IpAddr {
    let last = u8::try_from(number).unwrap_or(u8::MAX);
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

/// The address of a client's machine.
#[must_use]
pub(crate) fn client_ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(
        10,
        0,
        1,
        u8::try_from(number).unwrap_or(u8::MAX),
    ))
}
