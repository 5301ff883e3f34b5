//! Which fault comes when: decided from a seed, the time and whether the cluster is whole, done
//! elsewhere.
//!
//! Faults overlap within what the cluster promises to survive: one mserver and one dserver at a
//! time. A dserver is struck only when every volume has every copy in sync, or the last copy in
//! sync could be struck next.

use std::time::Duration;

use serde::Serialize;

use super::random::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// SIGKILL, and started again later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Freeze,
    /// No packet between it and any other server.
    Cut,
    /// No packet from it reaches another server.
    Mute,
    /// No packet of another server reaches it.
    Deaf,
    /// No packet from one server reaches one other.
    OneWay,
    /// Its disk is full.
    Full,
    /// SIGKILL of every server at once, and all started again later.
    Power,
}

impl Kind {
    /// Whether it lies between servers, none of which is struck itself.
    pub(super) fn is_cut(self) -> bool {
        matches!(self, Kind::Cut | Kind::Mute | Kind::Deaf | Kind::OneWay)
    }

    /// What a person calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Freeze => "freeze",
            Kind::Cut => "cut",
            Kind::Mute => "mute server",
            Kind::Deaf => "deaf server",
            Kind::OneWay => "one-way cut",
            Kind::Full => "full disk",
            Kind::Power => "kill of all",
        }
    }
}

/// A fault, by the places of its servers in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    /// What.
    pub(super) kind: Kind,
    /// Whom it strikes; the first of all for `Power`.
    pub(super) server: usize,
    /// Whom it no longer reaches, for `OneWay`.
    pub(super) towards: Option<usize>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Do harm.
    Begin(Fault),
    /// Mend it.
    End(Fault),
}

/// A server that may be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Whether it keeps blocks.
    pub(super) is_dserver: bool,
    /// Whether its disk can be filled.
    pub(super) can_be_full: bool,
}

/// How long a kind lasts, milliseconds. Short ones end before anybody has noticed.
fn lasts_ms(kind: Kind) -> std::ops::Range<u64> {
    match kind {
        Kind::Kill => 100..6_000,
        Kind::Freeze => 300..8_000,
        Kind::Cut | Kind::Mute | Kind::Deaf => 500..9_000,
        Kind::OneWay => 2_500..6_000,
        Kind::Full => 3_000..9_000,
        Kind::Power => 50..1_500,
    }
}

/// Between two faults, milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..4_000;
/// A server that was mended is left alone for so long, longer than it takes to be found missing, so
/// that what is told of its copies is true.
const SPARED: Duration = Duration::from_secs(3);
/// A kind that may not begin is waited for so long, or those that need everybody whole would
/// hardly ever come.
const AWAITED: Duration = Duration::from_secs(15);

/// The faults of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    kinds: Vec<Kind>,
    /// Kinds still to come before any comes again.
    bag: Vec<Kind>,
    targets: Vec<Target>,
    /// Every ordered pair, the next one last; filled again when empty.
    pairs: Vec<(usize, usize)>,
    under_way: Vec<(Fault, Duration)>,
    mended: Vec<(Fault, Duration)>,
    next_at: Duration,
    /// What was drawn and may not begin yet, and since when.
    awaited: Option<(Kind, Duration)>,
    begun: u64,
    rounds: Option<u64>,
    /// How long each fault lasts; what is usual when nothing is said.
    lasts: Option<Duration>,
}

impl Schedule {
    /// Faults of these kinds, `rounds` of them at most.
    pub(super) fn new(
        seed: u64,
        kinds: &[Kind],
        targets: Vec<Target>,
        rounds: Option<u64>,
    ) -> Schedule {
        let mut random = Random::of(seed, 1);
        let next_at = Duration::from_millis(random.within(500..2_000));
        Schedule {
            random,
            kinds: kinds.to_vec(),
            bag: Vec::new(),
            targets,
            pairs: Vec::new(),
            under_way: Vec::new(),
            mended: Vec::new(),
            next_at,
            awaited: None,
            begun: 0,
            rounds,
            lasts: None,
        }
    }

    /// Each fault lasts so long, if anything is said.
    pub(super) fn with_faults_of(self, lasts: Option<Duration>) -> Schedule {
        Schedule { lasts, ..self }
    }

    /// What is to be done now. `is_whole` says that every volume has every copy in sync.
    pub(super) fn look(&mut self, now: Duration, is_whole: bool) -> Vec<Effect> {
        let (due, under_way) = self.under_way.iter().partition(|(_, until)| *until <= now);
        self.under_way = under_way;
        let due: Vec<(Fault, Duration)> = due;
        self.mended
            .extend(due.iter().map(|(fault, _)| (*fault, now)));
        self.mended.retain(|(_, at)| *at + SPARED > now);
        let mut effects: Vec<_> = due.iter().map(|(fault, _)| Effect::End(*fault)).collect();
        let is_enough = self.rounds.is_some_and(|rounds| self.begun >= rounds);
        if now < self.next_at || is_enough {
            return effects;
        }
        let awaited = self
            .awaited
            .or_else(|| self.next_kind().map(|kind| (kind, now)));
        let Some((kind, since)) = awaited else {
            return effects;
        };
        let fault = self.choose(kind, is_whole);
        let is_awaited = fault.is_none() && now < since + AWAITED;
        self.awaited = is_awaited.then_some((kind, since));
        if let Some(fault) = fault {
            let usual = Duration::from_millis(self.random.within(lasts_ms(fault.kind)));
            let lasts = self.lasts.unwrap_or(usual);
            self.under_way.push((fault, now + lasts));
            self.begun += 1;
            let pause = self.random.within(PAUSE_MS);
            self.next_at = now + Duration::from_millis(pause);
            effects.push(Effect::Begin(fault));
        }
        effects
    }

    /// Mends everything; no fault comes after it.
    pub(super) fn finish(&mut self) -> Vec<Effect> {
        self.rounds = Some(0);
        let under_way = std::mem::take(&mut self.under_way);
        under_way
            .iter()
            .map(|(fault, _)| Effect::End(*fault))
            .collect()
    }

    /// Whether all rounds are done.
    pub(super) fn is_over(&self) -> bool {
        self.under_way.is_empty() && self.rounds.is_some_and(|rounds| self.begun >= rounds)
    }

    /// Faults begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Every kind as often as it was named before any comes again.
    fn next_kind(&mut self) -> Option<Kind> {
        if self.bag.is_empty() {
            self.bag.clone_from(&self.kinds);
        }
        let kind = self.random.pick(&self.bag).copied()?;
        let place = self.bag.iter().position(|one| *one == kind)?;
        Some(self.bag.swap_remove(place))
    }

    /// A fault of a kind that may begin now; none if what was drawn may not.
    fn choose(&mut self, kind: Kind, is_whole: bool) -> Option<Fault> {
        let fault = match kind {
            Kind::OneWay => {
                let (from, to) = self.next_pair()?;
                Fault {
                    kind,
                    server: from,
                    towards: Some(to),
                }
            }
            Kind::Power => Fault {
                kind,
                server: 0,
                towards: None,
            },
            _ => {
                let fits = |target: &Target| kind != Kind::Full || target.can_be_full;
                let servers: Vec<_> = (0..self.targets.len())
                    .filter(|server| fits(&self.targets[*server]))
                    .collect();
                Fault {
                    kind,
                    server: *self.random.pick(&servers)?,
                    towards: None,
                }
            }
        };
        if self.may_begin(&fault, is_whole) {
            self.pairs
                .retain(|pair| Some(pair.1) != fault.towards || pair.0 != fault.server);
            return Some(fault);
        }
        None
    }

    /// Every ordered pair once before any comes twice.
    fn next_pair(&mut self) -> Option<(usize, usize)> {
        if self.pairs.is_empty() {
            let servers = 0..self.targets.len();
            let pairs = servers
                .clone()
                .flat_map(|from| servers.clone().map(move |to| (from, to)));
            self.pairs = pairs.filter(|(from, to)| from != to).collect();
        }
        self.random.pick(&self.pairs).copied()
    }

    fn may_begin(&self, fault: &Fault, is_whole: bool) -> bool {
        let spared = self.under_way.iter().chain(&self.mended);
        let mut roles = spared.flat_map(|(other, _)| self.roles(other));
        let wanted = self.roles(fault);
        let is_free = !roles.any(|role| wanted.contains(&role));
        is_free && (is_whole || !wanted.contains(&true))
    }

    /// Of which roles a server is impaired: `true` for a dserver.
    fn roles(&self, fault: &Fault) -> Vec<bool> {
        if fault.kind == Kind::Power {
            return vec![false, true];
        }
        let servers = [Some(fault.server), fault.towards];
        let targets = servers
            .into_iter()
            .flatten()
            .map(|server| self.targets[server]);
        targets.map(|target| target.is_dserver).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 8] = [
        Kind::Kill,
        Kind::Freeze,
        Kind::Cut,
        Kind::Mute,
        Kind::Deaf,
        Kind::OneWay,
        Kind::Full,
        Kind::Power,
    ];

    fn targets() -> Vec<Target> {
        (0..6)
            .map(|place| Target {
                is_dserver: place >= 3,
                can_be_full: place == 5,
            })
            .collect()
    }

    /// All that is done in ten minutes, a look every 100 ms.
    fn run(seed: u64, kinds: &[Kind], rounds: Option<u64>, is_whole: bool) -> Vec<(u64, Effect)> {
        let mut schedule = Schedule::new(seed, kinds, targets(), rounds);
        let mut all = Vec::new();
        for tick in 0..6_000 {
            let now_ms = tick * 100;
            let effects = schedule.look(Duration::from_millis(now_ms), is_whole);
            all.extend(effects.into_iter().map(|effect| (now_ms, effect)));
        }
        all.extend(
            schedule
                .finish()
                .into_iter()
                .map(|effect| (600_000, effect)),
        );
        assert!(schedule.look(Duration::from_secs(700), true).is_empty());
        all
    }

    fn begins(all: &[(u64, Effect)]) -> Vec<Fault> {
        let begins = all.iter().filter_map(|(_, effect)| match effect {
            Effect::Begin(fault) => Some(*fault),
            Effect::End(_) => None,
        });
        begins.collect()
    }

    #[test]
    fn one_of_each_role_is_struck_at_a_time() {
        for seed in 0..20 {
            let all = run(seed, &ALL, None, true);
            let schedule = Schedule::new(seed, &ALL, targets(), None);
            let mut under_way: Vec<Fault> = Vec::new();
            let mut most = 0;
            for (_, effect) in &all {
                match effect {
                    Effect::Begin(fault) => {
                        let roles = schedule.roles(fault);
                        let mut others = under_way.iter().flat_map(|other| schedule.roles(other));
                        assert!(!others.any(|role| roles.contains(&role)), "{fault:?}");
                        under_way.push(*fault);
                        most = most.max(under_way.len());
                    }
                    Effect::End(fault) => {
                        let before = under_way.len();
                        under_way.retain(|other| other != fault);
                        assert_eq!(under_way.len() + 1, before, "{fault:?} had not begun");
                    }
                }
            }
            assert!(under_way.is_empty(), "everything is mended");
            assert_eq!(most, 2, "faults overlap");
            let faults = begins(&all);
            assert!(faults.len() > 60, "{}", faults.len());
            assert!(
                ALL.iter()
                    .all(|kind| faults.iter().any(|fault| fault.kind == *kind))
            );
            for round in faults.chunks_exact(ALL.len()) {
                let kinds: std::collections::BTreeSet<_> =
                    round.iter().map(|fault| fault.kind).collect();
                assert!(kinds.len() + 2 >= ALL.len(), "{kinds:?}");
            }
            let mut full = faults.iter().filter(|fault| fault.kind == Kind::Full);
            assert!(full.all(|fault| fault.server == 5));
        }
    }

    #[test]
    fn dservers_are_spared_until_copies_are_whole() {
        let faults = begins(&run(7, &ALL, None, false));
        assert!(faults.len() > 20);
        let is_dserver = |place: usize| place >= 3;
        for fault in faults {
            assert_ne!(fault.kind, Kind::Power);
            assert!(!is_dserver(fault.server) && !fault.towards.is_some_and(is_dserver));
        }
    }

    #[test]
    fn every_ordered_pair_comes() {
        let faults = begins(&run(3, &[Kind::OneWay], Some(30), true));
        let pairs: std::collections::BTreeSet<_> = faults
            .iter()
            .map(|fault| (fault.server, fault.towards))
            .collect();
        assert_eq!((faults.len(), pairs.len()), (30, 30));
    }

    #[test]
    fn seeds_repeat_and_rounds_end() {
        assert_eq!(run(5, &ALL, None, true), run(5, &ALL, None, true));
        assert_ne!(run(5, &ALL, None, true), run(6, &ALL, None, true));
        assert_eq!(begins(&run(5, &[Kind::Power], Some(4), true)).len(), 4);
    }
}
