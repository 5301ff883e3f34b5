//! `torture`: a cluster of real processes under load while servers are killed, frozen and cut off,
//! and a proof that all it said was true: every outcome of every operation must fit one order of
//! them, everything acknowledged must read back, every copy must be the same.
//!
//! What is decided is apart from what is done: the faults (`schedule`), the model of a name
//! (`model`), the search for an explanation (`check`) and for the shortest contradiction
//! (`shrink`) are pure.

mod apart;
mod check;
mod content;
mod disk;
mod figures;
mod history;
mod judge;
mod last;
mod limits;
mod load;
mod model;
mod nemesis;
mod network;
mod page;
mod plan;
mod random;
mod rename;
mod schedule;
mod shrink;
mod stage;
mod timeline;
mod told;
mod worker;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdfs_client::{Client, ClientOptions};
use sdfs_server_group::Config;
use sdfs_types::FilePath;
use tokio::time::sleep;

use crate::args::{FaultsArg, Global, TortureArgs};
use crate::commands::serve::Stops;
use crate::commands::{heal, scrub};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session;
use crate::verify::{self, Compared};
use crate::view::{self, server_name};
use limits::{DISKS_READ_WITHIN, DISKS_TELL_WITHIN, HEALED_WITHIN, READABLE_WITHIN, WHOLE_EVERY};
use load::Load;
use nemesis::{Harmed, Seen};
use schedule::{Kind, Schedule};
use stage::Stage;
use told::Told;

/// Said when only signals can be sent.
const ONLY_SIGNALS: &str =
    "cuts and full disks are left out: they need root, unshare, iproute2 and loop devices";

/// Runs `torture`.
pub(crate) async fn run(global: &Global, args: &TortureArgs, out: Output) -> Outcome {
    let seed = match args.seed {
        Some(seed) => seed,
        None => new_seed()?,
    };
    let torture = Torture { args, seed, out };
    if global.is_config_named {
        return torture.on_given(global).await;
    }
    if !args.apart && apart::is_possible() {
        return Err(apart::go());
    }
    if args.faults == FaultsArg::OneWay && !args.apart {
        return Err(Failure::new(Code::Local, ONLY_SIGNALS));
    }
    torture.on_stage().await
}

/// A run as the command line asks for it.
struct Torture<'a> {
    args: &'a TortureArgs,
    seed: u64,
    out: Output,
}

impl Torture<'_> {
    /// On a cluster of this run's own, which is harmed.
    async fn on_stage(&self) -> Outcome {
        let mut stops = Stops::listen()?;
        self.out.say(&format!("seed {}", self.seed));
        let mut stage = tokio::select! {
            stage = Stage::set(self.args.apart) => stage?,
            () = stops.next() => return Err(interrupted()),
        };
        let told = self.torture(&mut stage, &mut stops).await;
        let is_kept = match &told {
            Ok(told) => self.args.keep || told.is_broken(),
            Err(failure) => failure.code != Code::Interrupted,
        };
        let struck = stage.strike(is_kept).await;
        let mut told = match (told, &struck) {
            (Err(failure), Ok(Some(kept))) => {
                let advice = format!("The servers' folder is {}", kept.display());
                return Err(failure.advise(advice));
            }
            (told, _) => told?,
        };
        match struck {
            Ok(kept) => told.kept = kept,
            Err(failure) => told.violate(format!("a server did not stop: {failure}")),
        }
        self.finish(&told)
    }

    async fn torture(&self, stage: &mut Stage, stops: &mut Stops) -> Outcome<Told> {
        let config = Arc::clone(stage.config());
        let options = ClientOptions::of_admin(Arc::clone(&config))?;
        let load = Load::prepare(&options, &config, self.seed, self.args.clients).await?;
        let schedule = self.schedule(stage);
        let harmed = self.harm(stage, &load, schedule, stops).await?;
        let seconds = load.work.began.elapsed().as_secs_f64();
        let mut told = self.told(&config, &load, seconds);
        told.left_out = (!self.args.apart).then_some(ONLY_SIGNALS);
        told.faults = plan::planned(&self.kinds(stage), &harmed.harms);
        told.harms = harmed.harms;
        if self.has_time_for_all(seconds) {
            for never in plan::without_effect(&told.faults) {
                told.violate(never);
            }
        }
        for ended in harmed.ended {
            told.violate(format!("without being told to, {ended}"));
        }
        let judged = async {
            self.heal(stage, &load.watcher, &mut told).await?;
            self.read_disks(&load, &mut told).await?;
            let everything = (&FilePath::root(), READABLE_WITHIN);
            self.last(&load, everything, &mut told).await?;
            for copy in told.not_compared() {
                told.violate(format!("{copy} is not there to be compared in the end"));
            }
            Ok::<(), Failure>(())
        };
        tokio::select! {
            judged = judged => judged?,
            () = stops.next() => return Err(interrupted()),
        }
        for panic in stage.panics() {
            told.violate(panic);
        }
        Ok(told)
    }

    /// Load and faults until it is time, or somebody does not want to wait so long.
    async fn harm(
        &self,
        stage: &mut Stage,
        load: &Load,
        schedule: Schedule,
        stops: &mut Stops,
    ) -> Outcome<Harmed> {
        let (seen, work) = (Rc::new(Seen::default()), &load.work);
        let config = Arc::clone(stage.config());
        let harms = async {
            let harmed = nemesis::run(stage, schedule, &seen, (work, self.lasts())).await;
            work.is_over.set(true);
            harmed
        };
        let all = async {
            let watch = nemesis::watch(&load.watcher, &config, &seen, work);
            let show = load.show(&seen, self.lasts(), self.out);
            tokio::join!(harms, load.run(), watch, show).0
        };
        tokio::pin!(all);
        tokio::select! {
            harmed = &mut all => return harmed,
            () = stops.next() => work.is_over.set(true),
        }
        all.await
    }

    /// On the cluster of a configuration, which is not harmed.
    async fn on_given(&self, global: &Global) -> Outcome {
        let mut stops = Stops::listen()?;
        let config = session::config(global)?;
        let options = session::client_options(global, &config)?;
        let load = Load::prepare(&options, &config, self.seed, self.args.clients).await?;
        let seen = Rc::new(Seen::default());
        // Nothing is harmed here, so there are no rounds that could end it.
        let given = Duration::from_secs_f64(self.args.minutes.unwrap_or(1.0).max(0.0) * 60.0);
        let end = async {
            tokio::select! {
                () = sleep(given) => {}
                () = stops.next() => {}
            }
            load.work.is_over.set(true);
        };
        tokio::join!(end, load.run(), load.show(&seen, given, self.out));
        let seconds = load.work.began.elapsed().as_secs_f64();
        let mut told = self.told(&config, &load, seconds);
        let root = session::path(&load.work.root)?;
        let judged = self.last(&load, (&root, Duration::ZERO), &mut told).await;
        if !self.args.keep && !told.is_broken() {
            load.watcher.delete_all_now(&load.work.root).await?;
        }
        judged?;
        self.finish(&told)
    }

    /// What is told before anything was judged.
    fn told(&self, config: &Config, load: &Load, seconds: f64) -> Told {
        let until_us = u64::try_from(load.work.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let names = config.servers.iter().map(|server| server.name.to_string());
        Told {
            seed: self.seed,
            clients: self.args.clients,
            seconds,
            healed_s: None,
            servers: names.collect(),
            faults: Vec::new(),
            harms: Vec::new(),
            left_out: None,
            figures: figures::figures(&load.work.operations.borrow(), until_us),
            judgement: judge::Judgement::default(),
            compared: None,
            read_back: 0,
            kept: None,
            command: self.command(),
        }
    }

    /// Waits until every server hears every other and every copy is in sync, as it must be when
    /// nothing is broken any more.
    async fn heal(&self, stage: &mut Stage, client: &Client, told: &mut Told) -> Outcome {
        let begin = Instant::now();
        let config = Arc::clone(stage.config());
        loop {
            tokio::select! {
                ended = stage.next_ended() => {
                    told.violate(format!("without being told to, {}", ended?));
                }
                is_whole = nemesis::is_whole(client, &config) => {
                    if is_whole {
                        told.healed_s = Some(begin.elapsed().as_secs_f64());
                        return Ok(());
                    }
                    sleep(WHOLE_EVERY).await;
                }
            }
            if begin.elapsed() > HEALED_WITHIN {
                told.violate(format!(
                    "after {HEALED_WITHIN:?} without a fault a server or a copy is still missing"
                ));
                return Ok(());
            }
        }
    }

    /// Reads everything back, compares the copies and judges the whole history. Copies that are
    /// not there are waited for as long as `patience`.
    async fn last(
        &self,
        load: &Load,
        (below, patience): (&FilePath, Duration),
        told: &mut Told,
    ) -> Outcome {
        let (read_back, unreadable) = last::read_all(load).await?;
        told.read_back = read_back;
        for (name, why) in unreadable {
            told.violate(format!("{name} cannot be read in the end: {why}"));
        }
        let compared = self.compared(load, (below, patience)).await?;
        if compared.broken > 0 {
            told.violate(format!("copies differ: {}", compared.sentences.join("; ")));
        }
        told.compared = Some(compared);
        let judgement = judge::judge(&load.work.settled());
        told.judgement.names = judgement.names;
        told.judgement.undecided = judgement.undecided;
        told.judgement.violations.extend(judgement.violations);
        Ok(())
    }

    async fn compared(
        &self,
        load: &Load,
        (below, patience): (&FilePath, Duration),
    ) -> Outcome<Compared> {
        let begin = Instant::now();
        loop {
            let client = load.watcher.clone();
            let compared = verify::compare(client, &load.config, below, self.out).await?;
            if compared.not_compared.is_empty() || begin.elapsed() >= patience {
                return Ok(compared);
            }
            sleep(WHOLE_EVERY).await;
        }
    }

    /// Has every dserver read and verify all it keeps: comparing copies looks at their indexes.
    async fn read_disks(&self, load: &Load, told: &mut Told) -> Outcome {
        let (client, config) = (&load.watcher, &load.config);
        let before = seen_all(client, config).await;
        let begun = client.scrub().await?;
        for server in &begun.unreached {
            let name = server_name(config, *server);
            told.violate(format!("{name} does not answer in the end"));
        }
        let wait = async {
            let within = (&**config, DISKS_TELL_WITHIN);
            let (_, missing) = scrub::wait(client, within, &before, self.out).await;
            (seen_all(client, config).await, missing)
        };
        let Ok((after, missing)) = tokio::time::timeout(DISKS_READ_WITHIN, wait).await else {
            told.violate(format!(
                "after {DISKS_READ_WITHIN:?} not every disk was read"
            ));
            return Ok(());
        };
        for disk in missing {
            told.violate(format!("not read to its end: {disk}"));
        }
        for server in before.silent().chain(after.silent()) {
            told.violate(format!("{} does not answer in the end", server.name));
        }
        let (found, _) = heal::damage(&after);
        if found > 0 {
            told.violate(format!("the disks hold {found} blocks that are damaged"));
        }
        Ok(())
    }

    fn finish(&self, told: &Told) -> Outcome {
        let path = self.report();
        std::fs::write(&path, page::page(told))
            .map_err(|error| Failure::local("write", &path, &error))?;
        self.out.say(&format!("report: {}", path.display()));
        told.finish(self.out)
    }

    fn report(&self) -> PathBuf {
        let usual = || PathBuf::from(format!("torture-{}.html", self.seed));
        self.args.report.clone().unwrap_or_else(usual)
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.args.minutes().max(0.0) * 60.0)
    }

    fn kinds(&self, stage: &Stage) -> Vec<Kind> {
        match self.args.faults {
            FaultsArg::Mixed => stage.kinds(),
            FaultsArg::OneWay => vec![Kind::OneWay],
            FaultsArg::Power => vec![Kind::Power],
            FaultsArg::None => Vec::new(),
        }
    }

    fn schedule(&self, stage: &Stage) -> Schedule {
        let kinds = self.kinds(stage);
        Schedule::new(self.seed, &kinds, stage.targets(), self.args.rounds)
            .with_faults_of(self.args.lasts)
    }

    /// Whether every kind of fault must have come, and been felt, in a run that took so long.
    fn has_time_for_all(&self, seconds: f64) -> bool {
        let is_usual = self.args.rounds.is_none() && self.args.lasts.is_none();
        is_usual && seconds >= plan::ALL_KINDS_WITHIN.as_secs_f64()
    }

    /// The words that repeat this run.
    fn command(&self) -> String {
        let args = self.args;
        let faults = match args.faults {
            FaultsArg::Mixed => "",
            FaultsArg::OneWay => " --faults one-way",
            FaultsArg::Power => " --faults power",
            FaultsArg::None => " --faults none",
        };
        let rounds = args
            .rounds
            .map_or(String::new(), |n| format!(" --rounds {n}"));
        let lasts = args.lasts.map_or(String::new(), |time| {
            format!(" --lasts {}ms", time.as_millis())
        });
        let minutes = match (args.minutes, args.rounds) {
            (None, Some(_)) => String::new(),
            _ => format!(" --minutes {}", args.minutes()),
        };
        format!(
            "sdfs torture{minutes} --clients {}{faults}{rounds}{lasts} --seed {}",
            args.clients, self.seed
        )
    }
}

/// What all servers tell. Whoever stays silent has been asked for as long as it may take to heal:
/// one late answer of a busy machine is none of a server that is gone.
async fn seen_all<'a>(client: &Client, config: &'a Config) -> view::Seen<'a> {
    let begin = Instant::now();
    loop {
        let seen = view::seen(client, config, DISKS_TELL_WITHIN).await;
        if seen.silent().next().is_none() || begin.elapsed() > HEALED_WITHIN {
            return seen;
        }
        sleep(WHOLE_EVERY).await;
    }
}

fn interrupted() -> Failure {
    Failure::new(Code::Interrupted, "interrupted")
}

/// Short enough to be typed.
fn new_seed() -> Outcome<u64> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Code::Local, format!("no randomness: {error}")))?;
    Ok(u64::from(u32::from_le_bytes(random)))
}
