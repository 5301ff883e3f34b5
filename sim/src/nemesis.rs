//! Whoever injects the faults of a run: which, when and to whom, all drawn from the seed; or as a
//! script says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use sdfs_server_group::{Role, ServerId};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::limits::HEAL_BYTES_PER_S_MIN;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::deeds::{Deed, Done, Hand, Lost};
use crate::faults::{Faults, Kind};
use crate::random::Random;
use crate::script::Script;
use crate::tally::Tally;
use crate::trace::Trace;

/// Changes, or syncs, of a disk within which an injected fault strikes.
const FAULT_WITHIN_CHANGES: u64 = 12;
/// Bits that flip at a time, at most.
const BITS_MAX: u64 = 4;
/// Dservers that join in a run, at most.
const JOINS_MAX: u32 = 2;
/// How far a wall clock jumps, at most: far less than a grant or a ticket is good for.
const JUMP_MS_MAX: u64 = 60_000;

/// A fault: its number, and of which kind it is.
type Strike = (u32, Kind);

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
    Ordered(MaintenanceOrder),
}

/// Whoever injects the faults.
pub(crate) struct Nemesis {
    hand: Hand,
    /// What is done instead of what is drawn.
    script: Option<Script>,
    random: Random,
    trace: Trace,
    next: Instant,
    undos: Vec<(Instant, Strike, Undo)>,
    faults: Faults,
    /// How many have struck.
    count: u32,
    /// Whose disk rots.
    rotting: usize,
    /// Who may be struck.
    victims: Vec<usize>,
    /// Dservers that were drained or are to leave: staying after all would end the other.
    moved: BTreeSet<ServerId>,
    /// Dservers that have joined.
    joined: u32,
    /// Addresses of the clients, whose links are struck too.
    clients: Vec<IpAddr>,
    pause_ms_max: u64,
}

impl Nemesis {
    pub(crate) fn new(
        seed: u64,
        cluster: &Cluster,
        clients: Vec<IpAddr>,
        script: Option<Script>,
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
            victims,
            moved: BTreeSet::new(),
            joined: 0,
            clients,
            random,
            trace: trace.clone(),
            undos: Vec::new(),
            hand: Hand::new(trace, tally),
            script,
            count: 0,
            faults,
            pause_ms_max,
        }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let now_ms = u64::try_from(self.trace.now().as_millis()).unwrap_or(u64::MAX);
        if self.script.is_some() {
            self.follow(cluster, now_ms);
            self.hand.do_waiting(cluster);
            return;
        }
        let due = |(at, ..): &mut (Instant, Strike, Undo)| *at <= now;
        for (_, strike, undo) in self.undos.extract_if(.., due).collect::<Vec<_>>() {
            self.undo(cluster, strike, undo);
        }
        self.hand.do_waiting(cluster);
        if self.next <= now {
            self.next = now + self.while_ms(0..self.pause_ms_max);
            if let Some(kind) = self.faults.next(&mut self.random) {
                self.count += 1;
                self.strike(cluster, (self.count, kind));
            }
        }
    }

    /// Does what the script says until now.
    fn follow(&mut self, cluster: &mut Cluster, now_ms: u64) {
        while let Some(mut done) = self.script.as_mut().and_then(|script| script.due(now_ms)) {
            let strike = (done.strike, done.kind);
            self.hand.act(cluster, strike, &mut done.deed);
        }
    }

    /// Takes every fault away for good.
    pub(crate) fn heal(&mut self, cluster: &mut Cluster) {
        self.trace.say("all faults end");
        for (_, strike, undo) in std::mem::take(&mut self.undos) {
            self.undo(cluster, strike, undo);
        }
        // What a script says of the time after was done now.
        self.follow(cluster, u64::MAX);
        cluster.network.mend_all();
        for server in &mut cluster.servers {
            server.hurry();
            if let Some(host) = server.host() {
                host.thaw();
            }
        }
    }

    /// What was done.
    pub(crate) fn done(self) -> Vec<Done> {
        self.hand.done()
    }

    fn while_ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.within(range))
    }

    fn undo_within(&mut self, range: std::ops::Range<u64>, strike: Strike, undo: Undo) {
        let at = Instant::now() + self.while_ms(range);
        self.undos.push((at, strike, undo));
    }

    fn strike(&mut self, cluster: &mut Cluster, strike: Strike) {
        let server = *self.random.pick(&self.victims);
        match strike.1 {
            Kind::Killed | Kind::PowerLost | Kind::AllPowerLost | Kind::DiskLost => {
                self.take_down(cluster, server, strike);
            }
            Kind::CutOff => self.cut_off(cluster, server, (false, false), strike),
            Kind::CutInTwo => self.cut_in_two(cluster, strike),
            Kind::CutOffOneWay => {
                let ways = *self.random.pick(&[(true, false), (false, true)]);
                self.cut_off(cluster, server, ways, strike);
            }
            Kind::LinkCut => {
                let (one, other) = self.pair(cluster);
                let mut links = vec![(one, other)];
                if self.random.percent(50) {
                    links.push((other, one));
                }
                self.cut(cluster, links, strike);
            }
            Kind::LinkReset => {
                let (one, other) = self.pair(cluster);
                self.hand.act(cluster, strike, &mut Deed::Reset(one, other));
            }
            Kind::ClientCutOff => self.cut_client_off(cluster, strike),
            Kind::StandsStill => {
                let for_ms = self.random.within(100..6_000);
                let mut freeze = Deed::Freeze { server, for_ms };
                self.hand.act(cluster, strike, &mut freeze);
            }
            Kind::SlowNetwork => {
                let by_ms = self.random.within(5..250);
                self.hand
                    .act(cluster, strike, &mut Deed::SlowNetwork { by_ms });
                self.undo_within(300..5_000, strike, Undo::FasterNetwork);
            }
            Kind::ClockJumps => {
                let ahead_ms = self.random.within(1..2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64;
                let mut jump = Deed::SetClock { server, ahead_ms };
                self.hand.act(cluster, strike, &mut jump);
                self.undo_within(300..20_000, strike, Undo::RightClock(server));
            }
            Kind::ServerJoins | Kind::ServerLeaves | Kind::MserverReplaced => {
                self.change_servers(cluster, strike);
            }
            Kind::Ordered => self.order(cluster, strike),
            Kind::RequestTwice => self.trace.say("clients repeat by themselves"),
            _ => self.strike_disk(cluster, server, strike),
        }
    }

    fn change_servers(&mut self, cluster: &mut Cluster, strike: Strike) {
        let dservers = cluster.of_role(Role::Dserver);
        if strike.1 != Kind::ServerJoins || self.joined + 1 == JOINS_MAX {
            self.faults.retire(strike.1);
        }
        let mut deed = match strike.1 {
            Kind::ServerJoins => {
                self.joined += 1;
                if !self.faults.has(Kind::Rot) {
                    self.victims.push(cluster.servers.len());
                }
                Deed::Join
            }
            // One with rot may have the only whole copy of something.
            Kind::ServerLeaves if !self.faults.has(Kind::Rot) => {
                let server = *self.random.pick(&dservers);
                if !self.moved.insert(cluster.servers[server].config.id) {
                    return;
                }
                Deed::Leave { server }
            }
            Kind::MserverReplaced => {
                let server = *self.random.pick(&cluster.of_role(Role::Mserver));
                let down_ms = self.random.within(200..4_000);
                Deed::Replace { server, down_ms }
            }
            _ => return,
        };
        self.hand.act(cluster, strike, &mut deed);
    }

    fn order(&mut self, cluster: &mut Cluster, strike: Strike) {
        use MaintenanceOrder::{
            Drain, LimitHealing, PauseHealing, Rebalance, StartHealing, StopDrain, StopRebalance,
        };
        let dservers: Vec<_> = cluster.config.servers_of(Role::Dserver).collect();
        let server = self.random.pick(&dservers).id;
        let bytes_per_s = Some(self.random.within(HEAL_BYTES_PER_S_MIN..4 << 20));
        let usual = LimitHealing { bytes_per_s: None };
        let (order, taken_back) = *self.random.pick(&[
            (Drain { server }, StopDrain { server }),
            (PauseHealing, StartHealing),
            (LimitHealing { bytes_per_s }, usual),
            (Rebalance, StopRebalance),
        ]);
        if order == (Drain { server }) && !self.moved.insert(server) {
            return;
        }
        self.hand.act(cluster, strike, &mut Deed::Order(order));
        self.undo_within(500..8_000, strike, Undo::Ordered(taken_back));
    }

    fn take_down(&mut self, cluster: &mut Cluster, server: usize, strike: Strike) {
        match strike.1 {
            Kind::Killed => {
                let down_ms = self.random.within(50..6_000);
                self.hand
                    .act(cluster, strike, &mut Deed::Kill { server, down_ms });
            }
            Kind::DiskLost => {
                // Once in a run, and in none with rot: two copies of a block would be gone.
                self.faults.retire(Kind::DiskLost);
                if !self.faults.has(Kind::Rot) {
                    let server = *self.random.pick(&cluster.of_role(Role::Dserver));
                    let down_ms = self.random.within(200..8_000);
                    self.hand
                        .act(cluster, strike, &mut Deed::LoseDisk { server, down_ms });
                }
            }
            Kind::AllPowerLost => {
                for server in self.victims.clone() {
                    self.lose_power(cluster, server, strike);
                }
            }
            _ => self.lose_power(cluster, server, strike),
        }
    }

    fn lose_power(&mut self, cluster: &mut Cluster, server: usize, strike: Strike) {
        let lost = match self.random.within(0..3) {
            0 => Lost::Everything,
            1 => Lost::Nothing,
            _ => Lost::Some(self.random.draw()),
        };
        let down_ms = self.random.within(200..8_000);
        let mut power = Deed::LosePower {
            server,
            lost,
            down_ms,
        };
        self.hand.act(cluster, strike, &mut power);
    }

    fn cut_in_two(&mut self, cluster: &mut Cluster, strike: Strike) {
        let mut part = Vec::new();
        for victim in self.victims.clone() {
            if self.random.percent(50) {
                part.push(cluster.servers[victim].ip());
            }
        }
        let servers = cluster.servers.iter().map(|server| server.ip());
        let (mut part, mut rest): (Vec<_>, Vec<_>) = servers.partition(|ip| part.contains(ip));
        for client in self.clients.clone() {
            match self.random.within(0..3) {
                0 => part.push(client),
                1 => rest.push(client),
                _ => {}
            }
        }
        let across = part
            .iter()
            .flat_map(|one| rest.iter().map(|other| (*one, *other)));
        let links = across.flat_map(|(one, other)| [(one, other), (other, one)]);
        self.cut(cluster, links.collect(), strike);
    }

    fn cut_off(
        &mut self,
        cluster: &mut Cluster,
        server: usize,
        (hears, is_heard): (bool, bool),
        strike: Strike,
    ) {
        let ip = cluster.servers[server].ip();
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

    fn cut_client_off(&mut self, cluster: &mut Cluster, strike: Strike) {
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
        self.cut(cluster, links, strike);
    }

    fn cut(&mut self, cluster: &mut Cluster, links: Vec<(IpAddr, IpAddr)>, strike: Strike) {
        self.hand
            .act(cluster, strike, &mut Deed::Cut(links.clone()));
        self.undo_within(200..9_000, strike, Undo::Mend(links));
    }

    fn strike_disk(&mut self, cluster: &mut Cluster, server: usize, strike: Strike) {
        let (mut deed, (ends, undo)) = match strike.1 {
            Kind::DiskError | Kind::TornWrite => {
                let after = self.random.within(0..FAULT_WITHIN_CHANGES);
                let torn = strike.1 == Kind::TornWrite;
                let deed = Deed::BreakDisk {
                    server,
                    torn,
                    after,
                };
                (deed, (500..6_000, Undo::Restart(server)))
            }
            Kind::SyncFails => {
                let after = self.random.within(0..FAULT_WITHIN_CHANGES);
                let deed = Deed::FailSync { server, after };
                (deed, (500..6_000, Undo::Restart(server)))
            }
            // The dserver whose disk rots, for blocks that cannot be read are taken for rotten.
            Kind::ReadsFail => {
                let server = self.rotting;
                let deed = Deed::FailReads { server };
                (deed, (500..6_000, Undo::ReadableDisk(server)))
            }
            Kind::DiskFull => {
                let beyond = cluster.config.storage.reserve_bytes;
                let beyond = *self.random.pick(&[0, beyond]);
                let free_bytes = self.random.within(0..(64 << 10) + beyond);
                let deed = Deed::Fill { server, free_bytes };
                (deed, (500..6_000, Undo::EmptierDisk(server)))
            }
            Kind::SlowDisk => {
                let by_ms = self.random.within(5..400);
                let deed = Deed::SlowDisk { server, by_ms };
                (deed, (300..6_000, Undo::FasterDisk(server)))
            }
            _ => return self.rot(cluster, strike),
        };
        self.hand.act(cluster, strike, &mut deed);
        self.undo_within(ends, strike, undo);
    }

    fn rot(&mut self, cluster: &mut Cluster, strike: Strike) {
        let server = self.rotting;
        let space = self.random.pick(&cluster.servers[server].config.space);
        let folder = space.join("log");
        let bits = self.random.within(1..BITS_MAX + 1);
        let mut rot = Deed::Rot {
            server,
            folder,
            bits,
            random: self.random.clone(),
        };
        self.hand.act(cluster, strike, &mut rot);
        if let Deed::Rot { random, .. } = rot {
            self.random = random;
        }
    }

    fn undo(&mut self, cluster: &mut Cluster, strike: Strike, undo: Undo) {
        let (mut deed, stops) = match undo {
            Undo::Mend(links) => (Deed::Mend(links), None),
            Undo::FasterNetwork => (Deed::FasterNetwork, None),
            Undo::FasterDisk(server) => (Deed::FasterDisk { server }, None),
            Undo::EmptierDisk(server) => {
                // It may have met the full disk in the middle of a write.
                let stops = self.random.percent(30).then_some(server);
                (Deed::Empty { server }, stops)
            }
            Undo::ReadableDisk(server) => (Deed::ReadAgain { server }, Some(server)),
            Undo::Restart(server) => return self.lose_power(cluster, server, strike),
            Undo::RightClock(server) => {
                let ahead_ms = 0;
                (Deed::SetClock { server, ahead_ms }, None)
            }
            Undo::Ordered(order) => (Deed::Order(order), None),
        };
        self.hand.act(cluster, strike, &mut deed);
        if let Some(server) = stops {
            self.lose_power(cluster, server, strike);
        }
    }
}
