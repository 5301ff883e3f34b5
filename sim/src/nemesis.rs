//! The faults of a run: which, when and to whom, all drawn from the seed.

use std::net::IpAddr;
use std::time::Duration;

use sdfs_log::{CrashLoss, Fault};
use tokio::time::Instant;

use crate::cluster::{Cluster, Crash};
use crate::random::Random;
use crate::trace::Trace;

/// Changes of a disk within which an injected fault strikes.
const FAULT_WITHIN_CHANGES: u64 = 12;

/// Takes a fault away again.
enum Undo {
    Mend(Vec<(IpAddr, IpAddr)>),
    Faster,
}

/// Whoever injects the faults.
pub(crate) struct Nemesis {
    random: Random,
    trace: Trace,
    next: Instant,
    undos: Vec<(Instant, Undo)>,
    /// Servers whose disk was given a fault, and when their machine loses power because of it.
    broken: Vec<(Instant, usize)>,
    /// How often each kind of fault is chosen in this run.
    weights: [u64; 7],
    pause_ms_max: u64,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, trace: &Trace) -> Self {
        let mut random = Random::of(seed, "nemesis");
        // Not every kind in every run: some faults hide behind others.
        let weights = std::array::from_fn(|_| {
            if random.percent(60) {
                random.within(1..10)
            } else {
                0
            }
        });
        let pause_ms_max = *random.pick(&[1_500, 4_000, 8_000]);
        trace.say(&format!(
            "faults {weights:?} every {pause_ms_max} ms at most"
        ));
        Self {
            next: Instant::now() + Duration::from_millis(random.within(0..pause_ms_max)),
            random,
            trace: trace.clone(),
            undos: Vec::new(),
            broken: Vec::new(),
            weights,
            pause_ms_max,
        }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let due = |(at, _): &mut (Instant, Undo)| *at <= now;
        for (_, undo) in self.undos.extract_if(.., due).collect::<Vec<_>>() {
            self.undo(cluster, &undo);
        }
        let due = |(at, _): &mut (Instant, usize)| *at <= now;
        for (_, server) in self.broken.extract_if(.., due).collect::<Vec<_>>() {
            self.lose_power(cluster, server);
        }
        if self.next <= now {
            self.next = now + self.while_ms(0..self.pause_ms_max);
            self.strike(cluster);
        }
    }

    /// Takes every fault away for good.
    pub(crate) fn heal(&mut self, cluster: &mut Cluster) {
        self.trace.say("all faults end");
        self.undos.clear();
        cluster.network.mend_all();
        for (_, server) in std::mem::take(&mut self.broken) {
            self.lose_power(cluster, server);
        }
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

    fn strike(&mut self, cluster: &mut Cluster) {
        let all: u64 = self.weights.iter().sum();
        if all == 0 {
            return;
        }
        let mut drawn = self.random.within(0..all);
        let kind = self.weights.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        let server = self.random.within(0..cluster.servers.len() as u64) as usize;
        match kind {
            Some(0) => {
                let down_for = self.while_ms(50..6_000);
                cluster.crash(server, Crash::Killed, down_for);
            }
            Some(1) => self.lose_power(cluster, server),
            Some(2) => self.isolate(cluster, server),
            Some(3) => self.cut_some(cluster),
            Some(4) => self.freeze(cluster, server),
            Some(5) => self.slow(cluster),
            _ => self.break_disk(cluster, server),
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

    fn isolate(&mut self, cluster: &mut Cluster, server: usize) {
        let ip = cluster.servers[server].ip();
        let (hears, is_heard) = *self
            .random
            .pick(&[(false, false), (true, false), (false, true)]);
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

    fn cut_some(&mut self, cluster: &mut Cluster) {
        let count = cluster.servers.len() as u64;
        let one = cluster.servers[self.random.within(0..count) as usize].ip();
        let other = cluster.servers[self.random.within(0..count) as usize].ip();
        if self.random.percent(40) {
            self.trace.say(&format!("{one} - {other} reset"));
            cluster.network.reset(one, other);
            return;
        }
        self.trace.say(&format!("{one} - {other} cut"));
        let mut links = vec![(one, other)];
        if self.random.percent(60) {
            links.push((other, one));
        }
        self.cut(cluster, links);
    }

    fn cut(&mut self, cluster: &Cluster, links: Vec<(IpAddr, IpAddr)>) {
        for (from, to) in &links {
            cluster.network.cut(*from, *to);
        }
        let until = Instant::now() + self.while_ms(200..9_000);
        self.undos.push((until, Undo::Mend(links)));
    }

    fn freeze(&mut self, cluster: &mut Cluster, server: usize) {
        let time = self.while_ms(100..6_000);
        if let Some(host) = cluster.servers[server].host() {
            self.trace
                .say(&format!("{} stands still {time:?}", host.name));
            host.freeze(Instant::now(), time);
        }
    }

    fn slow(&mut self, cluster: &Cluster) {
        let more = self.while_ms(5..250);
        self.trace.say(&format!("network slower by {more:?}"));
        cluster.network.slow(more);
        let until = Instant::now() + self.while_ms(300..5_000);
        self.undos.push((until, Undo::Faster));
    }

    fn break_disk(&mut self, cluster: &Cluster, server: usize) {
        let fault = *self.random.pick(&[
            Fault::Io,
            Fault::Io,
            Fault::NoSpace,
            Fault::Torn,
            Fault::Crash,
        ]);
        let after = self.random.within(0..FAULT_WITHIN_CHANGES);
        let name = &cluster.servers[server].config.name;
        self.trace
            .say(&format!("{name} disk: {fault:?} after {after} changes"));
        cluster.servers[server].disk().fail_soon(after, fault);
        // A space that has failed is closed for good; only a new start opens it again.
        let until = Instant::now() + self.while_ms(500..6_000);
        self.broken.push((until, server));
    }

    fn undo(&mut self, cluster: &Cluster, undo: &Undo) {
        match undo {
            Undo::Mend(links) => {
                self.trace.say(&format!("{} links mended", links.len()));
                for (from, to) in links {
                    cluster.network.mend(*from, *to);
                }
            }
            Undo::Faster => cluster.network.slow(Duration::ZERO),
        }
    }
}
