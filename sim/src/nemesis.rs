//! Whoever injects the faults of a run: which, when and to whom, all drawn from the seed.

use std::net::IpAddr;
use std::time::Duration;

use sdfs_log::{CrashLoss, Fault};
use sdfs_server_group::Role;
use tokio::time::Instant;

use crate::cluster::{Cluster, Crash};
use crate::faults::{Faults, Kind};
use crate::random::Random;
use crate::trace::Trace;

/// Changes, or syncs, of a disk within which an injected fault strikes.
const FAULT_WITHIN_CHANGES: u64 = 12;
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
    /// A space that has failed is closed for good; only a new start opens it again.
    Restart(usize),
    RightClock(usize),
}

/// Whoever injects the faults.
pub(crate) struct Nemesis {
    random: Random,
    trace: Trace,
    next: Instant,
    undos: Vec<(Instant, Undo)>,
    faults: Faults,
    /// Whose disk rots.
    rotting: usize,
    /// Who may be struck.
    victims: Vec<usize>,
    pause_ms_max: u64,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, cluster: &Cluster, trace: &Trace) -> Self {
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
            victims,
            random,
            trace: trace.clone(),
            undos: Vec::new(),
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
        if self.next <= now {
            self.next = now + self.while_ms(0..self.pause_ms_max);
            if let Some(kind) = self.faults.next(&mut self.random) {
                self.strike(cluster, kind);
            }
        }
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
        match kind {
            Kind::Killed => {
                let down_for = self.while_ms(50..6_000);
                cluster.crash(server, Crash::Killed, down_for);
            }
            Kind::PowerLost => self.lose_power(cluster, server),
            Kind::AllPowerLost => {
                self.trace.say("all machines lose power");
                for server in self.victims.clone() {
                    self.lose_power(cluster, server);
                }
            }
            Kind::CutOff => self.cut_off(cluster, server, (false, false)),
            Kind::CutOffOneWay => {
                let ways = *self.random.pick(&[(true, false), (false, true)]);
                self.cut_off(cluster, server, ways);
            }
            Kind::LinkCut => self.cut_link(cluster),
            Kind::LinkReset => self.reset_link(cluster),
            Kind::StandsStill => self.freeze(cluster, server),
            Kind::SlowNetwork => self.slow_network(cluster),
            Kind::DiskError => self.break_disk(cluster, server, Fault::Io),
            Kind::TornWrite => self.break_disk(cluster, server, Fault::Torn),
            Kind::SyncFails => self.fail_sync(cluster, server),
            Kind::DiskFull => self.fill_disk(cluster, server),
            Kind::SlowDisk => self.slow_disk(cluster, server),
            Kind::Rot => self.rot(cluster),
            Kind::ClockJumps => self.jump(cluster, server),
        }
    }

    fn lose_power(&mut self, cluster: &mut Cluster, server: usize) {
        let loss = match self.random.within(0..3) {
            0 => CrashLoss::Everything,
            1 => CrashLoss::Nothing,
            _ => CrashLoss::Some(self.random.draw()),
        };
        let down_for = self.while_ms(200..8_000);
        cluster.crash(server, Crash::PowerLost(loss), down_for);
    }

    fn cut_off(&mut self, cluster: &Cluster, server: usize, (hears, is_heard): (bool, bool)) {
        let ip = cluster.servers[server].ip();
        let name = &cluster.servers[server].config.name;
        self.trace.say(&format!(
            "{name} cut off: hears {hears}, is heard {is_heard}"
        ));
        let others = cluster.servers.iter().map(|s| s.ip()).filter(|o| *o != ip);
        let links = others.flat_map(|other| {
            let to = (!hears).then_some((other, ip));
            let from = (!is_heard).then_some((ip, other));
            to.into_iter().chain(from)
        });
        let links: Vec<_> = links.collect();
        self.cut(cluster, links);
    }

    fn pair(&mut self, cluster: &Cluster) -> (IpAddr, IpAddr) {
        let count = self.victims.len() as u64;
        let one = self.random.within(0..count);
        let other = (one + self.random.within(1..count)) % count;
        let ip = |number: u64| cluster.servers[self.victims[number as usize]].ip();
        (ip(one), ip(other))
    }

    fn cut_link(&mut self, cluster: &Cluster) {
        let (one, other) = self.pair(cluster);
        let mut links = vec![(one, other)];
        if self.random.percent(50) {
            links.push((other, one));
        }
        self.trace
            .say(&format!("{one} - {other} cut, {} ways", links.len()));
        self.cut(cluster, links);
    }

    fn reset_link(&mut self, cluster: &Cluster) {
        let (one, other) = self.pair(cluster);
        self.trace.say(&format!("{one} - {other} reset"));
        cluster.network.reset(one, other);
    }

    fn cut(&mut self, cluster: &Cluster, links: Vec<(IpAddr, IpAddr)>) {
        for (from, to) in &links {
            cluster.network.cut(*from, *to);
        }
        self.undo_within(200..9_000, Undo::Mend(links));
    }

    fn freeze(&mut self, cluster: &mut Cluster, server: usize) {
        let time = self.while_ms(100..6_000);
        if let Some(host) = cluster.servers[server].host() {
            self.trace
                .say(&format!("{} stands still {time:?}", host.name));
            host.freeze(Instant::now(), time);
        }
    }

    fn slow_network(&mut self, cluster: &Cluster) {
        let more = self.while_ms(5..250);
        self.trace.say(&format!("network slower by {more:?}"));
        cluster.network.slow(more);
        self.undo_within(300..5_000, Undo::FasterNetwork);
    }

    fn break_disk(&mut self, cluster: &Cluster, server: usize, fault: Fault) {
        let after = self.random.within(0..FAULT_WITHIN_CHANGES);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: {fault:?} after {after} changes",
            server_hit.config.name
        ));
        server_hit.disk().fail_soon(after, fault);
        self.undo_within(500..6_000, Undo::Restart(server));
    }

    fn fail_sync(&mut self, cluster: &Cluster, server: usize) {
        let after = self.random.within(0..FAULT_WITHIN_CHANGES);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: a sync fails after {after}",
            server_hit.config.name
        ));
        server_hit.disk().fail_sync(after);
        self.undo_within(500..6_000, Undo::Restart(server));
    }

    fn fill_disk(&mut self, cluster: &Cluster, server: usize) {
        let free = self.random.within(0..64 << 10);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk: {free} bytes left",
            server_hit.config.name
        ));
        server_hit.disk().fill(Some(free));
        self.undo_within(500..6_000, Undo::EmptierDisk(server));
    }

    fn slow_disk(&mut self, cluster: &Cluster, server: usize) {
        let more = self.while_ms(5..400);
        let server_hit = &cluster.servers[server];
        self.trace.say(&format!(
            "{} disk slower by {more:?}",
            server_hit.config.name
        ));
        server_hit.disk().slow(more);
        self.undo_within(300..6_000, Undo::FasterDisk(server));
    }

    fn rot(&mut self, cluster: &Cluster) {
        let server = &cluster.servers[self.rotting];
        let Some(space) = server.config.space.first() else {
            return;
        };
        for _ in 0..self.random.within(1..BITS_MAX + 1) {
            let hit = server.disk().rot(&space.join("log"), &mut self.random);
            let name = &server.config.name;
            self.trace.say(&format!("{name} disk: rot {hit:?}"));
        }
    }

    fn jump(&mut self, cluster: &mut Cluster, server: usize) {
        let jump_ms = self.random.within(1..2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64;
        let server_hit = &mut cluster.servers[server];
        self.trace.say(&format!(
            "{} clock jumps by {jump_ms} ms",
            server_hit.config.name
        ));
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
            Undo::FasterNetwork => cluster.network.slow(Duration::ZERO),
            Undo::FasterDisk(server) => cluster.servers[server].disk().slow(Duration::ZERO),
            Undo::EmptierDisk(server) => {
                cluster.servers[server].disk().fill(None);
                // It may have met the full disk in the middle of a write.
                self.lose_power(cluster, server);
            }
            Undo::Restart(server) => self.lose_power(cluster, server),
            Undo::RightClock(server) => cluster.servers[server].set_clock_ahead_ms(0),
        }
    }
}
