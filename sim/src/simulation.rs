//! One run: the cluster starts, clients work while faults strike, the faults end, the cluster must
//! heal in time, and everything is read again.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{Config, Role};
use tokio::time::{Instant, sleep};

use crate::clients::{Actor, NAMES, connect};
use crate::cluster::{Cluster, client_ip, write_config};
use crate::copies::look_at_copies;
use crate::history::History;
use crate::host::Host;
use crate::intruder::intrude;
use crate::nemesis::Nemesis;
use crate::network::Network;
use crate::properties::{self, Found, Judged, Violation};
use crate::random::Random;
use crate::trace::Trace;
use crate::world;

/// The run goes on in steps of this: hosts take turns, and nothing a host sends in a step reaches
/// another in the same one.
const STEP: Duration = Duration::from_millis(1);
/// Looks at a step under way after which it is taken for one that never ends, and the time between
/// two: thousands of steps are done in so long. Looks are counted, because time passes also for a
/// process that stands still.
const LOOKS_MAX: u32 = 1_500;
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Clients of a run.
const CLIENTS: usize = 3;
/// How long a cluster may take to take its first writes.
const START_MAX: Duration = Duration::from_secs(60);
/// How long faults strike.
const FAULTS: Duration = Duration::from_secs(25);
/// How long a cluster without faults may take until everything is as it should be. A file system
/// check of a returning member is short here: few blocks.
pub(crate) const HEAL_MAX: Duration = Duration::from_secs(90);
/// How long it may take to read everything and to ask every member what it keeps.
const LOOK_MAX: Duration = Duration::from_secs(240);
/// How often the hosts are looked at between two looks at the whole.
const LOOK_EVERY: u32 = 100;

/// What a run was.
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub trace: Vec<String>,
    /// Operations of clients.
    pub operations: usize,
    /// Those of them that changed something and were acknowledged.
    pub acknowledged: usize,
    /// What should not have happened.
    pub violations: Vec<Violation>,
    /// Simulated time.
    pub took: Duration,
}

impl Outcome {
    /// Of a run in which a host is at work for ever without letting time pass.
    fn spinning(seed: u64, steps: u64) -> Self {
        let took = STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        let what = format!("a server never rests at {took:?}");
        Self {
            seed,
            trace: Vec::new(),
            operations: 0,
            acknowledged: 0,
            violations: vec![Violation::new("every wait is a wait", what)],
            took,
        }
    }
}

/// A run under way.
struct Simulation {
    cluster: Cluster,
    clients: Vec<Host>,
    trace: Trace,
    history: History,
    begin: Instant,
    now: Duration,
    /// Steps done, which the thread that waits looks at.
    steps: Arc<AtomicU64>,
}

/// Runs a seed on a thread of its own.
///
/// # Errors
/// When the system gives no thread or folder.
pub fn run(seed: u64) -> io::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let config = write_config(folder.path())?;
    let thread = std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(16 << 20);
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let running = thread.spawn(move || {
        world::enter(seed);
        Simulation::new(seed, &config, counted).run(seed, &config)
    })?;
    let (mut last, mut looks) = (0, 0);
    while !running.is_finished() {
        std::thread::sleep(LOOK_PAUSE);
        let now = steps.load(Ordering::Relaxed);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        if looks > LOOKS_MAX {
            // The thread cannot be ended; the process soon is.
            return Ok(Outcome::spinning(seed, now));
        }
    }
    match running.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Simulation {
    fn new(seed: u64, config: &Arc<Config>, steps: Arc<AtomicU64>) -> Self {
        let trace = Trace::new();
        let network = Network::new(seed);
        Self {
            cluster: Cluster::new(seed, config, &network, &trace),
            clients: Vec::new(),
            trace,
            history: History::default(),
            begin: Instant::now(),
            now: Duration::ZERO,
            steps,
        }
    }

    fn run(mut self, seed: u64, config: &Arc<Config>) -> io::Result<Outcome> {
        for number in 0..self.cluster.servers.len() {
            self.cluster.start(number)?;
        }
        let mut violations = Vec::new();
        if !self.run_while(START_MAX, |run| !run.takes_writes())? {
            violations.push(Violation::new("liveness", "the cluster never took writes"));
        }
        let is_over = Rc::new(Cell::new(false));
        let ended = Rc::new(Cell::new(0));
        self.start_clients(seed, config, (&is_over, &ended))?;
        let mut nemesis = Nemesis::new(seed, &self.cluster, &self.trace);
        let until = self.now + FAULTS;
        while self.now < until {
            nemesis.act(&mut self.cluster);
            self.step()?;
        }
        nemesis.heal(&mut self.cluster);
        is_over.set(true);
        self.run_while(HEAL_MAX, |run| ended.get() < CLIENTS || !run.is_whole())?;
        violations.extend(properties::mesh_reforms(&self.cluster));
        self.scrub(config)?;
        violations.extend(properties::rot_is_repaired(&self.cluster));
        let read_from = self.history.all().len();
        let found = self.look(seed, config)?;
        let history = self.history.all();
        let judged = Judged {
            history: &history,
            last_reads: &history[read_from..],
            found: found.as_ref(),
        };
        violations.extend(properties::judge(&judged));
        self.say_traffic();
        Ok(Outcome {
            seed,
            trace: self.trace.lines(),
            operations: history.len(),
            acknowledged: history.iter().filter(|o| o.is_done()).count(),
            violations,
            took: self.now,
        })
    }

    fn start_clients(
        &mut self,
        seed: u64,
        config: &Arc<Config>,
        (is_over, ended): (&Rc<Cell<bool>>, &Rc<Cell<usize>>),
    ) -> io::Result<()> {
        let last_value = Rc::new(Cell::new(0));
        for number in 0..CLIENTS {
            let host = Host::new(&format!("client-{number}"), client_ip(number))?;
            let actor = Actor {
                number,
                random: Random::of(seed, &host.name),
                history: self.history.clone(),
                trace: self.trace.clone(),
                last_value: Rc::clone(&last_value),
                is_over: Rc::clone(is_over),
                ended: Rc::clone(ended),
            };
            let (config, network) = (Arc::clone(config), self.cluster.network.clone());
            let ip = host.ip;
            host.spawn(async move {
                let client = connect(&config, &network, ip).await;
                actor.run(client).await;
            });
            self.clients.push(host);
        }
        Ok(())
    }

    /// Has every dserver read what it keeps, and waits until what is damaged is repaired.
    fn scrub(&mut self, config: &Arc<Config>) -> io::Result<()> {
        let host = Host::new("operator", client_ip(CLIENTS + 1))?;
        let (config, network) = (Arc::clone(config), self.cluster.network.clone());
        let ip = host.ip;
        host.spawn(async move {
            let client: Client = connect(&config, &network, ip).await;
            while client
                .scrub()
                .await
                .map_or(true, |begun| !begun.unreached.is_empty())
            {
                sleep(STEP).await;
            }
        });
        self.clients.push(host);
        self.run_while(HEAL_MAX, |run| {
            !properties::rot_is_repaired(&run.cluster).is_empty()
        })?;
        Ok(())
    }

    /// Reads every name twice, looks at the copies of what is found, and tries what nobody may.
    fn look(&mut self, seed: u64, config: &Arc<Config>) -> io::Result<Option<Found>> {
        let host = Host::new("checker", client_ip(CLIENTS))?;
        let found: Rc<RefCell<Option<Found>>> = Rc::default();
        let actor = Actor {
            number: CLIENTS,
            random: Random::of(seed, &host.name),
            history: self.history.clone(),
            trace: self.trace.clone(),
            last_value: Rc::default(),
            is_over: Rc::default(),
            ended: Rc::default(),
        };
        // Only a dserver may ask another what it keeps.
        let dservers = self.cluster.of_role(Role::Dserver);
        let mesh = dservers
            .iter()
            .find_map(|number| self.cluster.servers[*number].running())
            .map(|running| running.mesh().clone());
        let (config, network) = (Arc::clone(config), self.cluster.network.clone());
        let (ip, told) = (host.ip, Rc::clone(&found));
        host.spawn(async move {
            let client: Client = connect(&config, &network, ip).await;
            for name in NAMES.iter().cycle().take(2 * NAMES.len()) {
                actor.get(&client, name).await;
                sleep(STEP).await;
            }
            if let Some(mesh) = mesh {
                let copies = look_at_copies(&client, &mesh, &NAMES).await;
                let intrusions = intrude((&network, ip), &config, (&client, &NAMES)).await;
                *told.borrow_mut() = Some(Found { copies, intrusions });
            }
        });
        self.clients.push(host);
        self.run_while(LOOK_MAX, |_| found.borrow().is_none())?;
        Ok(found.take())
    }

    /// Goes on while the condition holds; whether it ended before the time did.
    fn run_while(
        &mut self,
        at_most: Duration,
        goes_on: impl Fn(&Self) -> bool,
    ) -> io::Result<bool> {
        let until = self.now + at_most;
        while goes_on(self) {
            if self.now >= until {
                return Ok(false);
            }
            for _ in 0..LOOK_EVERY {
                self.step()?;
            }
        }
        Ok(true)
    }

    fn step(&mut self) -> io::Result<()> {
        self.cluster.tend()?;
        self.now += STEP;
        let moment = self.begin + self.now;
        self.cluster.run_until(moment);
        for client in &mut self.clients {
            client.run_until(moment);
        }
        world::set_now(self.now);
        let steps = self.steps.fetch_add(1, Ordering::Relaxed);
        if steps.is_multiple_of(1_000) {
            self.say_traffic();
        }
        Ok(())
    }

    fn say_traffic(&self) {
        let (sum, bytes) = self.cluster.network.traffic();
        self.trace.say(&format!("traffic {bytes} bytes {sum:016x}"));
    }

    /// Whether a client that comes now can put a file.
    fn takes_writes(&self) -> bool {
        let mut mservers = self.cluster.of_role(Role::Mserver).into_iter();
        mservers.all(|number| {
            self.cluster.servers[number]
                .running()
                .is_some_and(|running| {
                    let status = running.status();
                    let mut volumes = status.volumes.iter();
                    status.groups.iter().all(|group| group.leader.is_some())
                        && volumes.any(|volume| volume.is_writable())
                })
        })
    }

    /// Whether nothing is left to heal.
    fn is_whole(&self) -> bool {
        properties::mesh_reforms(&self.cluster).is_empty()
    }
}
