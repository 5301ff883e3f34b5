//! One run: the cluster starts, clients work while faults strike, the faults end, the cluster must
//! heal in time, and everything is read again.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{Config, Role};
use tokio::time::Instant;

use crate::auditor::Auditor;
use crate::clients::{Actor, connect};
use crate::cluster::{Cluster, client_ip, write_config};
use crate::copies::{Copies, Looker};
use crate::course::{Course, Phase};
use crate::deeds::Done;
use crate::faults::all_kinds;
use crate::history::History;
use crate::host::Host;
use crate::leaders::Leaders;
use crate::ledger::Ledger;
use crate::nemesis::Nemesis;
use crate::network::Network;
use crate::properties::{self, Judged, Violation};
use crate::random::Random;
use crate::repeater::Repeater;
use crate::script::Script;
use crate::setting::Setting;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::world;

/// The run goes on in steps of this: hosts take turns, and nothing a host sends in a step reaches
/// another in the same one.
pub(crate) const STEP: Duration = Duration::from_millis(1);
/// Looks at a step under way after which it is taken for one that never ends, and the time between
/// two: thousands of steps are done in so long. Looks are counted, because time passes also for a
/// process that stands still.
const LOOKS_MAX: u32 = 1_500;
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long a cluster may take to take its first writes.
const START_MAX: Duration = Duration::from_secs(60);
/// How long faults strike.
const FAULTS: Duration = Duration::from_secs(25);
/// How long a cluster without faults may take until everything is as it should be. A file system
/// check of a returning member is short here: few blocks.
pub(crate) const HEAL_MAX: Duration = Duration::from_secs(90);
/// How long a cluster that has healed may take until every client has had a put, a rename and a
/// delete done.
const PROVE_MAX: Duration = Duration::from_secs(30);
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
    /// How many faults of each kind took effect.
    pub struck: Vec<(String, u64)>,
    /// The faults, to be done again.
    pub script: Script,
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
            struck: Vec::new(),
            script: Script::new(seed, Vec::new()),
            violations: vec![Violation::new("every wait is a wait", what)],
            took,
        }
    }
}

/// A run under way.
pub(crate) struct Simulation {
    seed: u64,
    pub(crate) setting: Setting,
    pub(crate) config: Arc<Config>,
    pub(crate) cluster: Cluster,
    clients: Vec<Host>,
    pub(crate) trace: Trace,
    pub(crate) history: History,
    course: Rc<Course>,
    pub(crate) ledger: Ledger,
    leaders: Leaders,
    tally: Tally,
    /// What strikes instead of what the seed draws.
    script: Option<Script>,
    /// What has struck.
    done: Vec<Done>,
    /// Copies missed while faults struck.
    missed: Rc<RefCell<Vec<Copies>>>,
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
    start(seed, None)
}

/// Runs the seed of a script, with its faults instead of those the seed draws.
///
/// # Errors
/// As of [`run`].
pub fn replay(script: Script) -> io::Result<Outcome> {
    start(script.seed, Some(script))
}

fn start(seed: u64, script: Option<Script>) -> io::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let setting = Setting::draw(seed);
    let config = write_config(folder.path(), &setting)?;
    let thread = std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(16 << 20);
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let running = thread.spawn(move || {
        world::enter(seed);
        let mut simulation = Simulation::new(seed, setting, config, counted);
        simulation.script = script;
        simulation.run()
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
    fn new(seed: u64, setting: Setting, config: Arc<Config>, steps: Arc<AtomicU64>) -> Self {
        let trace = Trace::new();
        trace.say(&format!("{setting:?}"));
        let network = Network::new(seed);
        Self {
            seed,
            setting,
            cluster: Cluster::new(seed, &config, &network, &trace),
            config,
            clients: Vec::new(),
            trace,
            history: History::default(),
            course: Rc::new(Course::new()),
            ledger: Ledger::default(),
            leaders: Leaders::default(),
            tally: Tally::default(),
            script: None,
            done: Vec::new(),
            missed: Rc::default(),
            begin: Instant::now(),
            now: Duration::ZERO,
            steps,
        }
    }

    fn run(mut self) -> io::Result<Outcome> {
        for number in 0..self.cluster.servers.len() {
            self.cluster.start(number)?;
        }
        let mut violations = Vec::new();
        if !self.run_while(START_MAX, |run| !run.cluster.takes_writes())? {
            violations.push(Violation::new("liveness", "the cluster never took writes"));
        }
        self.work_under_faults()?;
        self.course.begin(Phase::Healing);
        let clients = self.setting.clients;
        self.run_while(HEAL_MAX, |run| {
            run.course.done() < clients || !run.is_whole()
        })?;
        violations.extend(properties::mesh_reforms(&self.cluster));
        let at_heal = self.look_at_copies()?;
        self.course.begin(Phase::Proving);
        self.run_while(PROVE_MAX, |run| run.course.done() < clients)?;
        self.scrub()?;
        violations.extend(properties::rot_is_repaired(&self.cluster));
        let read_from = self.history.all().len();
        let found = self.look(at_heal)?;
        violations.extend(self.compare_replicas()?);
        let history = self.history.all();
        let (missed, changed) = (self.missed.take(), self.ledger.changed());
        let repeats = self.history.repeats();
        let judged = Judged {
            clients,
            history: &history,
            last_reads: &history[read_from..],
            found: found.as_ref(),
            repeats: &repeats,
            missed: &missed,
            changed: &changed,
            leaders: &self.leaders,
            panics: &self.cluster.panics,
        };
        violations.extend(properties::judge(&judged));
        self.say_traffic();
        Ok(Outcome {
            seed: self.seed,
            trace: self.trace.lines(),
            operations: history.len(),
            acknowledged: history.iter().filter(|o| o.is_done()).count(),
            struck: self.struck(),
            script: Script::new(self.seed, self.done),
            violations,
            took: self.trace.took(),
        })
    }

    /// How many faults of each kind took effect.
    fn struck(&self) -> Vec<(String, u64)> {
        all_kinds()
            .map(|kind| (format!("{kind:?}"), self.tally.of(kind)))
            .collect()
    }

    /// Lets clients work and faults strike, and ends the faults.
    fn work_under_faults(&mut self) -> io::Result<()> {
        self.start_clients()?;
        // Before the auditor and the operator come, who are struck by nothing.
        let clients = self.clients.iter().map(|client| client.ip).collect();
        self.start_auditor()?;
        self.start_operator()?;
        let mut nemesis = Nemesis::new(
            self.seed,
            &self.cluster,
            clients,
            self.script.take(),
            (&self.trace, &self.tally),
        );
        let until = self.now + FAULTS;
        while self.now < until {
            nemesis.act(&mut self.cluster);
            self.step()?;
        }
        nemesis.heal(&mut self.cluster);
        self.done = nemesis.done();
        Ok(())
    }

    fn start_clients(&mut self) -> io::Result<()> {
        for number in 0..self.setting.clients {
            let (host, actor) = self.client(&format!("client-{number}"), number)?;
            self.serve(host, async move |client| actor.run(client).await);
        }
        Ok(())
    }

    /// Has a machine do something with a client of its own.
    pub(crate) fn serve(&mut self, host: Host, deed: impl AsyncFnOnce(Client) + 'static) {
        let (config, network) = (Arc::clone(&self.config), self.cluster.network.clone());
        let ip = host.ip;
        host.spawn(async move {
            let client = connect(&config, &network, ip).await;
            deed(client).await;
        });
        self.clients.push(host);
    }

    fn start_auditor(&mut self) -> io::Result<()> {
        let host = Host::new("auditor", client_ip(self.setting.clients + 2))?;
        let auditor = Auditor {
            random: Random::of(self.seed, "auditor"),
            course: Rc::clone(&self.course),
            dservers: self.cluster.slots(Role::Dserver),
            ledger: self.ledger.clone(),
        };
        let missed = Rc::clone(&self.missed);
        self.serve(host, async move |client| {
            let found = auditor.run(&client).await;
            missed.borrow_mut().extend(found);
        });
        Ok(())
    }

    fn start_operator(&mut self) -> io::Result<()> {
        let host = Host::new("administrator", client_ip(self.setting.clients + 4))?;
        let (orders, trace) = (self.cluster.orders.clone(), self.trace.clone());
        self.serve(host, async move |client| orders.run(&client, &trace).await);
        Ok(())
    }

    /// A machine for a client, and whoever notes what it does.
    pub(crate) fn client(&self, name: &str, number: usize) -> io::Result<(Host, Actor)> {
        let host = Host::new(name, client_ip(number))?;
        let actor = Actor {
            number,
            random: Random::of(self.seed, name),
            history: self.history.clone(),
            trace: self.trace.clone(),
            course: Rc::clone(&self.course),
            repeater: Repeater {
                network: self.cluster.network.clone(),
                host: host.ip,
                config: Arc::clone(&self.config),
            },
            tally: self.tally.clone(),
            is_sharing: self.setting.is_sharing,
        };
        Ok((host, actor))
    }

    /// Goes on while the condition holds; whether it ended before the time did.
    pub(crate) fn run_while(
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

    pub(crate) fn step(&mut self) -> io::Result<()> {
        self.cluster.tend()?;
        self.now += STEP;
        let moment = self.begin + self.now;
        self.cluster.run_until(moment);
        for client in &mut self.clients {
            client.run_until(moment);
            let panics = client.take_panics();
            self.cluster.note_panics(&client.name, panics);
        }
        world::set_now(self.now);
        let steps = self.steps.fetch_add(1, Ordering::Relaxed);
        if steps.is_multiple_of(LOOK_EVERY.into()) {
            self.note_leaders();
        }
        if steps.is_multiple_of(1_000) {
            self.say_traffic();
        }
        Ok(())
    }

    fn note_leaders(&mut self) {
        for server in &self.cluster.servers {
            if let Some(running) = server.running()
                && server.config.role == Role::Mserver
            {
                let groups = running.status().groups;
                self.leaders
                    .note((server.config.id, server.starts), &groups);
            }
        }
    }

    fn say_traffic(&self) {
        let (sum, bytes) = self.cluster.network.traffic();
        self.trace.say(&format!("traffic {bytes} bytes {sum:016x}"));
    }

    /// Whoever asks dservers what they keep, if one stands.
    pub(crate) fn looker(&self) -> Option<Looker> {
        let slots = self.cluster.slots(Role::Dserver);
        let standing = slots.iter().find_map(|slot| slot.borrow().clone())?;
        Some(Looker {
            mesh: standing.mesh().clone(),
            ledger: self.ledger.clone(),
        })
    }

    /// Whether nothing is left to heal.
    fn is_whole(&self) -> bool {
        properties::mesh_reforms(&self.cluster).is_empty()
    }
}
