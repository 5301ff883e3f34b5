//! Whoever injects the faults of a run: which, when and to whom, all drawn from the seed.

use std::net::IpAddr;
use std::time::Duration;

use sdfs_log::{CrashLoss, Fault};
use sdfs_server_group::Role;
use tokio::time::Instant;

use crate::cluster::{Cluster, Crash};
use crate::faults::{Faults, Kind};
use crate::random::Random;
use crate::tally::{Strike, Tally};
use crate::trace::Trace;

/// Changes, or syncs, of a disk within which an injected fault strikes.
const FAULT_WITHIN_CHANGES: u64 = 12;
/// How often is looked whether a disk may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Bits that flip at a time, at most.
const BITS_MAX: u64 = 4;
/// How far a wall clock jumps, at most: far less than a grant or a ticket is good for.
const JUMP_MS_MAX: u64 = 60_000;

/// Takes a fault away again.
enum Undo {
    Mend(Vec<(IpAddr, IpAddr)>),
    FasterNetwork,
    FasterDisk(usize),
    EmptierDisk(usize),
    ReadableDisk(usize),
    /// A space that has failed is closed for good; only a new start opens it again.
    Restart(usize),
    RightClock(usize),
}

/// Whoever injects the faults.
pub(crate) struct Nemesis {
    tally: Tally,
    random: Random,
    trace: Trace,
    next: Instant,
    undos: Vec<(Instant, Undo)>,
    faults: Faults,
    /// Whose disk rots.
    rotting: usize,
    /// A disk that is to be lost as soon as it may be.
    loss: Option<Strike>,
    is_lost: bool,
    next_look: Instant,
    /// Who may be struck.
    victims: Vec<usize>,
    /// Addresses of the clients, whose links are struck too.
    clients: Vec<IpAddr>,
    pause_ms_max: u64,
}

impl Nemesis {
    pub(crate) fn new(
        seed: u64,
        cluster: &Cluster,
        clients: Vec<IpAddr>,
        (trace, tally): (&Trace, &Tally),
    ) -> Self {
        let mut random = Random::of(seed, "nemesis");
        let faults = Faults::draw(&mut random);
        let pause_ms_max = *random.pick(&[1_500, 4_000, 8_000]);
        let rotting = *random.pick(&cluster.of_role(Role::Dserver));
        let mut victims: Vec<usize> = (0..cluster.servers.len()).collect();
        if faults.has(Kind::Rot) {
            victims = cluster.of_role(Role::Mserver);
            victims.push(rotting);
        }
        trace.say(&format!("{faults:?} every {pause_ms_max} ms at most"));
        Self {
            next: Instant::now() + Duration::from_millis(random.within(0..pause_ms_max)),
            rotting,
            loss: None,
            is_lost: false,
            next_look: Instant::now(),
            victims,
            clients,
            random,
            trace: trace.clone(),
            undos: Vec::new(),
            tally: tally.clone(),
            faults,
            pause_ms_max,
        }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let due = |(at, _): &mut (Instant, Undo)| *at <= now;
        for (_, undo) in self.undos.extract_if(.., due).collect::<Vec<_>>() {
            self.undo(cluster, undo);
        }
        self.lose_disk(cluster);
        if self.next <= now {
            self.next = now + self.while_ms(0..self.pause_ms_max);
            if let Some(kind) = self.faults.next(&mut self.random) {
                self.strike(cluster, kind);
            }
        }
    }

    /// Whether servers may have been out of reach for others without being down.
    pub(crate) fn has_silence(&self) -> bool {
        self.faults.has_silence()
    }

    /// Takes every fault away for good.
    pub(crate) fn heal(&mut self, cluster: &mut Cluster) {
        self.trace.say("all faults end");
        for (_, undo) in std::mem::take(&mut self.undos) {
            self.undo(cluster, undo);
        }
        cluster.network.mend_all();
        for server in &mut cluster.servers {
            server.hurry();
            if let Some(host) = server.host() {
                host.thaw();
            }
        }
    }

    fn while_ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.within(range))
    }

    fn undo_within(&mut self, range: std::ops::Range<u64>, undo: Undo) {
        let at = Instant::now() + self.while_ms(range);
        self.undos.push((at, undo));
    }

    fn strike(&mut self, cluster: &mut Cluster, kind: Kind) {
        let server = *self.random.pick(&self.victims);
        let strike = self.tally.strike(kind);
        match kind {
            Kind::Killed | Kind::PowerLost | Kind::AllPowerLost | Kind::DiskLost => {
                self.take_down(cluster, server, &strike);
            }
            Kind::CutOff => self.cut_off(cluster, server, (false, false), &strike),
            Kind::CutOffOneWay => {
                let ways = *self.random.pick(&[(true, false), (false, true)]);
                self.cut_off(cluster, server, ways, &strike);
            }
            Kind::LinkCut => self.cut_link(cluster, &strike),
            Kind::LinkReset => self.reset_link(cluster, &strike),
            Kind::ClientCutOff => self.cut_client_off(cluster, &strike),
            Kind::StandsStill => self.freeze(cluster, server, &strike),
            Kind::SlowNetwork => self.slow_network(cluster, strike),
            Kind::DiskError => self.break_disk(cluster, server, Fault::Io, strike),
            Kind::TornWrite => self.break_disk(cluster, server, Fault::Torn, strike),
            Kind::SyncFails => self.fail_sync(cluster, server, strike),
            Kind::ReadsFail => self.fail_reads(cluster, strike),
            Kind::DiskFull => self.fill_disk(cluster, server, strike),
            Kind::SlowDisk => self.slow_disk(cluster, server, strike),
            Kind::Rot => self.rot(cluster, &strike),
            Kind::ClockJumps => self.jump(cluster, server, &strike),
            Kind::RequestTwice => self.trace.say("clients repeat by themselves"),
        }
    }

    fn take_down(&mut self, cluster: &mut Cluster, server: usize, strike: &Strike) {
        match strike.kind() {
            Kind::Killed => {
                let down_for = self.while_ms(50..6_000);
                self.crash(cluster, server, (Crash::Killed, down_for), Some(strike));
            }
            Kind::DiskLost => {
                // Once in a run, and in none with rot: two copies of a block would be gone.
                let may_be_lost = !self.is_lost && !self.faults.has(Kind::Rot);
                self.loss = may_be_lost.then(|| strike.clone());
                self.is_lost = true;
            }
            Kind::AllPowerLost => {
                self.trace.say("all machines lose power");
                for server in self.victims.clone() {
                    self.lose_power(cluster, server, Some(strike));
                }
            }
            _ => self.lose_power(cluster, server, Some(strike)),
        }
    }

    fn crash(
        &self,
        cluster: &mut Cluster,
        server: usize,
        (crash, down_for): (Crash, Duration),
        strike: Option<&Strike>,
    ) {
        if let (Some(strike), Some(_)) = (strike, cluster.servers[server].host()) {
            strike.took_effect();
        }
        cluster.crash(server, crash, down_for);
    }

    /// Takes a dserver's disk out as soon as every other copy of what is on it is in sync, so that
    /// nothing acknowledged goes with it.
    fn lose_disk(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        if self.loss.is_none() || now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        if !cluster.are_copies_in_sync() {
            return;
        }
        if let Some(strike) = self.loss.take() {
            let server = *self.random.pick(&cluster.of_role(Role::Dserver));
            let down_for = self.while_ms(200..8_000);
            self.crash(cluster, server, (Crash::DiskLost, down_for), Some(&strike));
        }
    }

    fn lose_power(&mut self, cluster: &mut Cluster, server: usize, strike: Option<&Strike>) {
        let loss = match self.random.within(0..3) {
            0 => CrashLoss::Everything,
            1 => CrashLoss::Nothing,
            _ => CrashLoss::Some(self.random.draw()),
        };
        let down_for = self.while_ms(200..8_000);
        self.crash(cluster, server, (Crash::PowerLost(loss), down_for), strike);
    }

    fn cut_off(
        &mut self,
        cluster: &Cluster,
        server: usize,
        (hears, is_heard): (bool, bool),
        strike: &Strike,
    ) {
        let ip = cluster.servers[server].ip();
        let name = &cluster.servers[server].config.name;
        self.trace.say(&format!(
            "{name} cut off: hears {hears}, is heard {is_heard}"
        ));
        let others = cluster.servers.iter().map(|s| s.ip()).filter(|o| *o != ip);
        let clients = if self.random.percent(50) {
            self.clients.as_slice()
        } else {
            &[]
        };
        let others = others.chain(clients.iter().copied());
        let links = others.flat_map(|other| {
            let to = (!hears).then_some((other, ip));
            let from = (!is_heard).then_some((ip, other));
            to.into_iter().chain(from)
        });
        let links: Vec<_> = links.collect();
        self.cut(cluster, links, strike);
    }

    /// Two ends of a link, in any order: two servers, or a server and a client.
    fn pair(&mut self, cluster: &Cluster) -> (IpAddr, IpAddr) {
        let count = self.victims.len() as u64;
        let one = self.random.within(0..count);
        let other = (one + self.random.within(1..count)) % count;
        let ip = |number: u64| cluster.servers[self.victims[number as usize]].ip();
        let (one, other) = (ip(one), ip(other));
        match self.random.within(0..5) {
            0 => (one, *self.random.pick(&self.clients)),
            1 => (*self.random.pick(&self.clients), one),
            _ => (one, other),
        }
    }

    fn cut_client_off(&mut self, cluster: &Cluster, strike: &Strike) {
        let client = *self.random.pick(&self.clients);
        let (hears, is_heard) =
            *self
                .random
                .pick(&[(false, false), (false, false), (true, false), (false, true)]);
        let mut links = Vec::new();
        for victim in &self.victims {
            let server = cluster.servers[*victim].ip();
            if self.random.percent(60) {
                links.extend((!hears).then_some((server, client)));
                links.extend((!is_heard).then_some((client, server)));
            }
        }
        self.trace.say(&format!(
            "client {client} cut off, {} ways: hears {hears}, is heard {is_heard}",
            links.len()
        ));
        self.cut(cluster, links, strike);
    }

    fn cut_link(&mut self, cluster: &Cluster, strike: &Strike) {
        let (one, other) = self.pair(cluster);
        let mut links = vec![(one, other)];
        if self.random.percent(50) {
            links.push((other, one));
        }
        self.trace
            .say(&format!("{one} - {other} cut, {} ways", links.len()));
        self.cut(cluster, links, strike);
    }

    fn reset_link(&mut self, cluster: &Cluster, strike: &Strike) {
        let (one, other) = self.pair(cluster);
        self.trace.say(&format!("{one} - {other} reset"));
        cluster.network.reset(one, other, strike);
    }

    fn cut(&mut self, cluster: &Cluster, links: Vec<(IpAddr, IpAddr)>, strike: &Strike) {
        for (from, to) in &links {
            cluster.network.cut(*from, *to, strike);
        }
        self.undo_within(200..9_000, Undo::Mend(links));
    }

    fn freeze(&mut self, cluster: &mut Cluster, server: usize, strike: &Strike) {
        let time = self.while_ms(100..6_000);
        if let Some(host) = cluster.servers[server].host() {
            self.trace
                .say(&format!("{} stands still {time:?}", host.name));
            host.freeze(Instant::now(), time);
            strike.took_effect();
        }
    }

    fn slow_network(&mut self, cluster: &Cluster, strike: Strike) {
        let more = self.while_ms(5..250);
        self.trace.say(&format!("network slower by {more:?}"));
        cluster.network.slow(Some((more, strike)));
        self.undo_within(300..5_000, Undo::FasterNetwork);
    }

    fn break_disk(&mut self, cluster: &Cluster, server: usize, fault: Fault, strike: Strike) {
        let after = self.random.within(0..FAULT_WITHIN_CHANGES);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: {fault:?} after {after} changes",
            server_hit.config.name
        ));
        server_hit.disk().fail_soon(after, fault, strike);
        self.undo_within(500..6_000, Undo::Restart(server));
    }

    fn fail_sync(&mut self, cluster: &Cluster, server: usize, strike: Strike) {
        let after = self.random.within(0..FAULT_WITHIN_CHANGES);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: a sync fails after {after}",
            server_hit.config.name
        ));
        server_hit.disk().fail_sync(after, strike);
        self.undo_within(500..6_000, Undo::Restart(server));
    }

    /// Strikes the dserver whose disk rots, for blocks that cannot be read are taken for rotten.
    fn fail_reads(&mut self, cluster: &Cluster, strike: Strike) {
        let server = self.rotting;
        let server_hit = &cluster.servers[server];
        self.trace
            .say(&format!("{} disk: reads fail", server_hit.config.name));
        server_hit.disk().fail_reads(Some(strike));
        self.undo_within(500..6_000, Undo::ReadableDisk(server));
    }

    fn fill_disk(&mut self, cluster: &Cluster, server: usize, strike: Strike) {
        let beyond = cluster.config.storage.reserve_bytes;
        let beyond = *self.random.pick(&[0, beyond]);
        let free = self.random.within(0..(64 << 10) + beyond);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: {free} bytes left",
            server_hit.config.name
        ));
        server_hit.disk().fill(Some((free, strike)));
        self.undo_within(500..6_000, Undo::EmptierDisk(server));
    }

    fn slow_disk(&mut self, cluster: &Cluster, server: usize, strike: Strike) {
        let more = self.while_ms(5..400);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk slower by {more:?}",
            server_hit.config.name
        ));
        server_hit.disk().slow(Some((more, strike)));
        self.undo_within(300..6_000, Undo::FasterDisk(server));
    }

    fn rot(&mut self, cluster: &Cluster, strike: &Strike) {
        let server = &cluster.servers[self.rotting];
        let space = self.random.pick(&server.config.space);
        for _ in 0..self.random.within(1..BITS_MAX + 1) {
            let hit = server.disk().rot(&space.join("log"), &mut self.random);
            if hit.is_some() {
                strike.took_effect();
            }
            let name = &server.config.name;
            self.trace.say(&format!("{name} disk: rot {hit:?}"));
        }
    }

    fn jump(&mut self, cluster: &mut Cluster, server: usize, strike: &Strike) {
        let jump_ms = self.random.within(1..2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64;
        let server_hit = &mut cluster.servers[server];
        self.trace.say(&format!(
            "{} clock jumps by {jump_ms} ms",
            server_hit.config.name
        ));
        if server_hit.host().is_some() {
            strike.took_effect();
        }
        server_hit.set_clock_ahead_ms(jump_ms);
        self.undo_within(300..20_000, Undo::RightClock(server));
    }

    fn undo(&mut self, cluster: &mut Cluster, undo: Undo) {
        match undo {
            Undo::Mend(links) => {
                self.trace.say(&format!("{} links mended", links.len()));
                for (from, to) in links {
                    cluster.network.mend(from, to);
                }
            }
            Undo::FasterNetwork => cluster.network.slow(None),
            Undo::FasterDisk(server) => cluster.servers[server].disk().slow(None),
            Undo::EmptierDisk(server) => {
                cluster.servers[server].disk().fill(None);
                if self.random.percent(30) {
                    // It may have met the full disk in the middle of a write.
                    self.lose_power(cluster, server, None);
                }
            }
            Undo::ReadableDisk(server) => {
                cluster.servers[server].disk().fail_reads(None);
                self.lose_power(cluster, server, None);
            }
            Undo::Restart(server) => self.lose_power(cluster, server, None),
            Undo::RightClock(server) => cluster.servers[server].set_clock_ahead_ms(0),
        }
    }
}
