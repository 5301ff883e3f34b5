//! Does what the schedule decides, writes down when it did, and starts again who ended by itself.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sdfs_client::Client;
use sdfs_server_group::Config;
use sdfs_types::ServerId;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::limits::{LOOK_EVERY, WHOLE_EVERY, WHOLE_WITHIN};
use super::plan;
use super::schedule::{Effect, Fault, Kind, Schedule};
use super::stage::Stage;
use super::worker::Work;
use crate::commands::heal;
use crate::failure::Outcome;
use crate::view;

/// A fault that was done, for the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Harm {
    /// What.
    pub(super) kind: Kind,
    /// To whom.
    pub(super) servers: Vec<String>,
    /// Whom it no longer reached.
    pub(super) towards: Option<String>,
    /// When it was done, microseconds since the run began.
    pub(super) begin_us: u64,
    /// When it was mended.
    pub(super) end_us: u64,
    /// Whether another server lost its peer by it; nothing for what is no cut.
    pub(super) is_felt: Option<bool>,
}

/// Everything that was done, and what servers did by themselves.
#[derive(Debug, Default)]
pub(super) struct Harmed {
    /// In the order of the ends.
    pub(super) harms: Vec<Harm>,
    /// Servers that ended without being told to.
    pub(super) ended: Vec<String>,
}

/// What the schedule and whoever shows progress are told.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether every volume has every copy in sync, as far as is known.
    pub(super) is_whole: Cell<bool>,
    /// Faults under way, as a person says it.
    pub(super) under_way: RefCell<Vec<String>>,
    /// The same, with whether another server has lost its peer by it.
    felt: RefCell<BTreeMap<Fault, bool>>,
    /// Faults begun.
    pub(super) begun: Cell<u64>,
}

/// Harms the servers until `lasts` is over or the schedule is, then mends everything and tells the
/// clients.
pub(super) async fn run(
    stage: &mut Stage,
    mut schedule: Schedule,
    seen: &Rc<Seen>,
    (work, lasts): (&Rc<Work>, Duration),
) -> Outcome<Harmed> {
    let mut nemesis = Nemesis {
        began: work.began,
        seen: Rc::clone(seen),
        under_way: Vec::new(),
        harmed: Harmed::default(),
    };
    while work.began.elapsed() < lasts && !schedule.is_over() && !work.is_over.get() {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {
                let effects = schedule.look(work.began.elapsed(), seen.is_whole.get());
                nemesis.perform(stage, effects).await?;
                seen.begun.set(schedule.begun());
            }
            ended = stage.next_ended() => nemesis.harmed.ended.push(ended?.to_string()),
        }
    }
    nemesis.perform(stage, schedule.finish()).await?;
    work.is_over.set(true);
    Ok(nemesis.harmed)
}

struct Nemesis {
    began: Instant,
    seen: Rc<Seen>,
    under_way: Vec<(Fault, u64)>,
    harmed: Harmed,
}

impl Nemesis {
    async fn perform(&mut self, stage: &mut Stage, effects: Vec<Effect>) -> Outcome {
        for effect in effects {
            match effect {
                Effect::Begin(fault) => {
                    self.under_way.push((fault, self.now_us()));
                    self.seen.felt.borrow_mut().insert(fault, false);
                    stage.harm(fault).await?;
                }
                Effect::End(fault) => {
                    stage.mend(fault).await?;
                    let place = self.under_way.iter().position(|(other, _)| *other == fault);
                    if let Some(place) = place {
                        let (fault, begin_us) = self.under_way.swap_remove(place);
                        let harm = self.harm(stage.config(), fault, begin_us);
                        self.harmed.harms.push(harm);
                    }
                    self.seen.felt.borrow_mut().remove(&fault);
                }
            }
            let told = self
                .under_way
                .iter()
                .map(|(fault, begin_us)| self.harm(stage.config(), *fault, *begin_us).sentence());
            *self.seen.under_way.borrow_mut() = told.collect();
        }
        Ok(())
    }

    fn harm(&self, config: &Config, fault: Fault, begin_us: u64) -> Harm {
        let name = |server: usize| config.servers[server].name.to_string();
        let servers = match fault.kind {
            Kind::Power => (0..config.servers.len()).map(name).collect(),
            _ => vec![name(fault.server)],
        };
        Harm {
            kind: fault.kind,
            servers,
            towards: fault.towards.map(name),
            begin_us,
            end_us: self.now_us(),
            is_felt: fault
                .kind
                .is_cut()
                .then(|| self.seen.felt.borrow().get(&fault) == Some(&true)),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Harm {
    /// What a person calls it.
    pub(super) fn sentence(&self) -> String {
        let one = self.servers.first().map_or("", String::as_str);
        match self.kind {
            Kind::Kill => format!("{one} killed"),
            Kind::Freeze => format!("{one} frozen"),
            Kind::Cut => format!("{one} cut off"),
            Kind::Mute => format!("{one} mute"),
            Kind::Deaf => format!("{one} deaf"),
            Kind::OneWay => {
                format!(
                    "{one} does not reach {}",
                    self.towards.as_deref().unwrap_or("")
                )
            }
            Kind::Full => format!("{one}'s disk full"),
            Kind::Power => "all killed at once".to_owned(),
        }
    }
}

/// Looks again and again whether every copy is in sync, and who misses whom, until the clients are
/// told to end.
pub(super) async fn watch(client: &Client, config: &Config, seen: &Rc<Seen>, work: &Rc<Work>) {
    while !work.is_over.get() {
        let looking = heal::looked(client, config, WHOLE_WITHIN);
        match timeout(WHOLE_WITHIN * 2, looking).await {
            Ok((told, is_whole)) => {
                seen.is_whole.set(is_whole);
                seen.feel(&lost(config, &told));
            }
            Err(_) => seen.is_whole.set(false),
        }
        sleep(WHOLE_EVERY).await;
    }
}

/// Who says of whom that he does not hear him, by their places in the configuration.
fn lost(config: &Config, told: &view::Seen<'_>) -> BTreeSet<(usize, usize)> {
    let place = |id: ServerId| config.servers.iter().position(|server| server.id == id);
    let missed = told.known().flat_map(|status| {
        let missing = status.peers.iter().filter(|peer| peer.state != "Up");
        missing.filter_map(move |peer| Some((place(status.server)?, place(peer.server)?)))
    });
    missed.collect()
}

impl Seen {
    /// Notes which cuts have parted servers.
    fn feel(&self, lost: &BTreeSet<(usize, usize)>) {
        let mut felt = self.felt.borrow_mut();
        let all: Vec<Fault> = felt.keys().copied().collect();
        for (fault, is_felt) in felt.iter_mut().filter(|(fault, _)| fault.kind.is_cut()) {
            let others: Vec<Fault> = all.iter().copied().filter(|one| one != fault).collect();
            *is_felt |= plan::is_felt(*fault, &others, lost);
        }
    }
}

/// Whether every server answers and hears every other, and every volume has every copy in sync; no
/// if nobody says so in time.
pub(super) async fn is_whole(client: &Client, config: &Config) -> bool {
    let looking = heal::looked(client, config, WHOLE_WITHIN);
    let looked = timeout(WHOLE_WITHIN * 2, looking).await;
    looked.is_ok_and(|(seen, is_whole)| {
        is_whole && seen.silent().next().is_none() && lost(config, &seen).is_empty()
    })
}
