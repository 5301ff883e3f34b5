//! What is done to a cluster, with nothing left to chance: the faults of a run can be written
//! down, done again, and left out one by one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use sdfs_log::{CrashLoss, Fault};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::calls::servers::ServerOrder;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cluster::{Cluster, Crash};
use crate::faults::Kind;
use crate::operator::{Given, Order};
use crate::random::Random;
use crate::tally::{Strike, Tally};
use crate::trace::Trace;

/// How often is looked whether a disk may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Something done to a cluster. Servers are numbered as in its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Deed {
    Kill {
        server: usize,
        down_ms: u64,
    },
    LosePower {
        server: usize,
        lost: Lost,
        down_ms: u64,
    },
    /// Done as soon as every other copy of what is on it is in sync, so that nothing acknowledged
    /// goes with it.
    LoseDisk {
        server: usize,
        down_ms: u64,
    },
    Cut(Vec<(IpAddr, IpAddr)>),
    Mend(Vec<(IpAddr, IpAddr)>),
    Reset(IpAddr, IpAddr),
    Freeze {
        server: usize,
        for_ms: u64,
    },
    SlowNetwork {
        by_ms: u64,
    },
    FasterNetwork,
    /// A change of the disk fails with EIO, or tears and stops the machine.
    BreakDisk {
        server: usize,
        torn: bool,
        after: u64,
    },
    FailSync {
        server: usize,
        after: u64,
    },
    FailReads {
        server: usize,
    },
    ReadAgain {
        server: usize,
    },
    Fill {
        server: usize,
        free_bytes: u64,
    },
    Empty {
        server: usize,
    },
    SlowDisk {
        server: usize,
        by_ms: u64,
    },
    FasterDisk {
        server: usize,
    },
    /// Bits flip in a folder, chosen by the generator in this state.
    Rot {
        server: usize,
        folder: PathBuf,
        bits: u64,
        random: Random,
    },
    SetClock {
        server: usize,
        ahead_ms: i64,
    },
    /// A dserver more.
    Join,
    /// A server leaves for good.
    Leave {
        server: usize,
    },
    /// A mserver's disk is lost and it comes back with an empty one, as soon as every mserver is
    /// there: a majority of each group has to be left.
    Replace {
        server: usize,
        down_ms: u64,
    },
    /// An administrator's order.
    Order(MaintenanceOrder),
}

impl Deed {
    /// The server it is done to.
    fn server(&self) -> Option<usize> {
        match self {
            Deed::Kill { server, .. }
            | Deed::LosePower { server, .. }
            | Deed::LoseDisk { server, .. }
            | Deed::Freeze { server, .. }
            | Deed::BreakDisk { server, .. }
            | Deed::FailSync { server, .. }
            | Deed::FailReads { server }
            | Deed::ReadAgain { server }
            | Deed::Fill { server, .. }
            | Deed::Empty { server }
            | Deed::SlowDisk { server, .. }
            | Deed::FasterDisk { server }
            | Deed::Rot { server, .. }
            | Deed::SetClock { server, .. }
            | Deed::Leave { server }
            | Deed::Replace { server, .. } => Some(*server),
            Deed::Cut(_)
            | Deed::Mend(_)
            | Deed::Reset(..)
            | Deed::SlowNetwork { .. }
            | Deed::FasterNetwork
            | Deed::Join
            | Deed::Order(_) => None,
        }
    }

    /// Whether it may be done now, or has to wait until the cluster is whole.
    fn may_be_done(&self, cluster: &Cluster) -> bool {
        match self {
            Deed::LoseDisk { .. } => cluster.are_copies_in_sync(),
            Deed::Replace { .. } => cluster.takes_writes(),
            _ => true,
        }
    }
}

/// What a machine loses with its power of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lost {
    Everything,
    Nothing,
    /// Any part of it, by this seed.
    Some(u64),
}

/// A deed of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// When, since the run began.
    pub(crate) at_ms: u64,
    /// The fault it belongs to, counted from 1; what takes a fault away has its number too.
    pub(crate) strike: u32,
    /// That fault's kind.
    pub(crate) kind: Kind,
    /// What.
    pub(crate) deed: Deed,
}

/// Whoever does them.
pub(crate) struct Hand {
    tally: Tally,
    trace: Trace,
    strikes: BTreeMap<u32, Strike>,
    done: Vec<Done>,
    /// What is to be done when it may be.
    waiting: Vec<Done>,
    next_look: Instant,
}

impl Hand {
    pub(crate) fn new(trace: &Trace, tally: &Tally) -> Self {
        Self {
            tally: tally.clone(),
            trace: trace.clone(),
            strikes: BTreeMap::new(),
            done: Vec::new(),
            waiting: Vec::new(),
            next_look: Instant::now(),
        }
    }

    /// What was done so far.
    pub(crate) fn done(self) -> Vec<Done> {
        self.done
    }

    /// Does something now. What chance it needs is drawn from the deed.
    pub(crate) fn act(
        &mut self,
        cluster: &mut Cluster,
        (strike, kind): (u32, Kind),
        deed: &mut Deed,
    ) {
        let at_ms = u64::try_from(self.trace.now().as_millis()).unwrap_or(u64::MAX);
        let done = Done {
            at_ms,
            strike,
            kind,
            deed: deed.clone(),
        };
        if matches!(deed, Deed::LoseDisk { .. } | Deed::Replace { .. }) {
            self.waiting.push(done);
            self.next_look = Instant::now();
            return;
        }
        self.done.push(done);
        let tally = &self.tally;
        let strike = self
            .strikes
            .entry(strike)
            .or_insert_with(|| tally.strike(kind))
            .clone();
        self.perform(cluster, deed, strike);
    }

    /// Does what waits until it may be done.
    pub(crate) fn do_waiting(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        if self.waiting.is_empty() || now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        // One at a time: the first may be why the second has to wait.
        let mut waiting = self.waiting.iter();
        let Some(next) = waiting.position(|done| done.deed.may_be_done(cluster)) else {
            return;
        };
        let mut done = self.waiting.remove(next);
        let strike = self.tally.strike(done.kind);
        self.done.push(done.clone());
        self.perform(cluster, &mut done.deed, strike);
    }

    fn perform(&self, cluster: &mut Cluster, deed: &mut Deed, strike: Strike) {
        // In a script without the join of a server nothing is done to that one.
        if deed
            .server()
            .is_some_and(|server| server >= cluster.servers.len())
        {
            return;
        }
        self.trace.say(&format!("fault: {deed:?}"));
        match deed {
            Deed::Kill { server, down_ms } => {
                crash(cluster, *server, (Crash::Killed, *down_ms), &strike);
            }
            Deed::LosePower {
                server,
                lost,
                down_ms,
            } => {
                let lost = Crash::PowerLost(lost.into());
                crash(cluster, *server, (lost, *down_ms), &strike);
            }
            Deed::LoseDisk { server, down_ms } => {
                crash(cluster, *server, (Crash::DiskLost, *down_ms), &strike);
            }
            Deed::Replace { server, down_ms } => {
                let may_return = cluster.take_mserver(*server, ms(*down_ms));
                let name = cluster.servers[*server].config.name.clone();
                let order = Order::Servers(ServerOrder::Replace { name });
                give(cluster, order, strike, may_return);
            }
            Deed::Join => {
                let order = Order::Servers(cluster.add_dserver());
                give(cluster, order, strike, Rc::default());
            }
            Deed::Leave { server } => {
                let server = &cluster.servers[*server];
                let name = server.config.name.clone();
                let order = Order::Servers(ServerOrder::Leave { name });
                give(cluster, order, strike, Rc::clone(&server.is_leaving));
            }
            Deed::Order(order) => give(cluster, Order::Copies(*order), strike, Rc::default()),
            Deed::Cut(links) => {
                for (from, to) in links {
                    cluster.network.cut(*from, *to, &strike);
                }
            }
            Deed::Mend(links) => {
                for (from, to) in links {
                    cluster.network.mend(*from, *to);
                }
            }
            Deed::Reset(one, other) => cluster.network.reset(*one, *other, &strike),
            Deed::SlowNetwork { by_ms } => cluster.network.slow(Some((ms(*by_ms), strike))),
            Deed::FasterNetwork => cluster.network.slow(None),
            Deed::Freeze { server, for_ms } => {
                if let Some(host) = cluster.servers[*server].host() {
                    host.freeze(Instant::now(), ms(*for_ms));
                    strike.took_effect();
                }
            }
            Deed::SetClock { server, ahead_ms } => {
                let server = &mut cluster.servers[*server];
                if server.host().is_some() {
                    strike.took_effect();
                }
                server.set_clock_ahead_ms(*ahead_ms);
            }
            of_a_disk => strike_disk(cluster, of_a_disk, strike),
        }
    }
}

fn strike_disk(cluster: &Cluster, deed: &mut Deed, strike: Strike) {
    let disk = |server: &usize| cluster.servers[*server].disk();
    match deed {
        Deed::BreakDisk {
            server,
            torn,
            after,
        } => {
            let fault = if *torn { Fault::Torn } else { Fault::Io };
            disk(server).fail_soon(*after, fault, strike);
        }
        Deed::FailSync { server, after } => disk(server).fail_sync(*after, strike),
        Deed::FailReads { server } => disk(server).fail_reads(Some(strike)),
        Deed::ReadAgain { server } => disk(server).fail_reads(None),
        Deed::Fill { server, free_bytes } => disk(server).fill(Some((*free_bytes, strike))),
        Deed::Empty { server } => disk(server).fill(None),
        Deed::SlowDisk { server, by_ms } => disk(server).slow(Some((ms(*by_ms), strike))),
        Deed::FasterDisk { server } => disk(server).slow(None),
        Deed::Rot {
            server,
            folder,
            bits,
            random,
        } => {
            for _ in 0..*bits {
                if disk(server).rot(folder, random).is_some() {
                    strike.took_effect();
                }
            }
        }
        _ => {}
    }
}

fn give(cluster: &Cluster, order: Order, strike: Strike, is_taken: Rc<Cell<bool>>) {
    cluster.orders.give(Given {
        order,
        strike,
        is_taken,
    });
}

/// A server that is down already is not struck; it stays down longer.
fn crash(cluster: &mut Cluster, server: usize, (crash, down_ms): (Crash, u64), strike: &Strike) {
    if cluster.servers[server].host().is_some() {
        strike.took_effect();
    }
    cluster.crash(server, crash, ms(down_ms));
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl From<&mut Lost> for CrashLoss {
    fn from(lost: &mut Lost) -> Self {
        match lost {
            Lost::Everything => CrashLoss::Everything,
            Lost::Nothing => CrashLoss::Nothing,
            Lost::Some(seed) => CrashLoss::Some(*seed),
        }
    }
}
