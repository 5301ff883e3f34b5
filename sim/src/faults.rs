//! The kinds of faults, and how often a run has each.

use crate::random::Random;

/// A kind of fault.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) enum Kind {
    /// A server is killed and started again.
    Killed,
    /// A machine loses power, and with it what was not synced: nothing, all, or any part of it.
    PowerLost,
    /// All machines that may be struck lose power at once.
    AllPowerLost,
    /// A server is cut off from all others, both ways; from the clients too, or not.
    CutOff,
    /// The servers are cut in two, both ways; each client reaches one part, or both.
    CutInTwo,
    /// A server hears the others and is not heard, or the other way round.
    CutOffOneWay,
    /// The link of two servers, or of a server and a client, is cut, one way or both.
    LinkCut,
    /// The connections of two servers, or of a server and a client, are reset.
    LinkReset,
    /// A client reaches some servers only, or hears them only, or is only heard.
    ClientCutOff,
    /// A server stands still, its connections open.
    StandsStill,
    /// The network is slow.
    SlowNetwork,
    /// A write, sync or change of names soon to come gives EIO.
    DiskError,
    /// A sync soon to come fails; what it was to make durable never is.
    SyncFails,
    /// A write soon to come is torn, and the machine stops.
    TornWrite,
    /// Reads of a dserver give EIO for a while; always of the one whose disk would rot.
    ReadsFail,
    /// A dserver's disk is taken out and an empty one put in, once in a run, and only while every
    /// other copy of what was on it is there.
    DiskLost,
    /// The disk is full for a while, but for a few bytes or for what is left free for those who may
    /// use it. It gets room again with or without a restart.
    DiskFull,
    /// The disk is slow for a while.
    SlowDisk,
    /// A bit of a dserver's log flips. Always the same dserver's in a run, and no other dserver is
    /// struck then: with one copy out and another rotten the third may be the last in sync, and
    /// what it loses takes an operator to get back.
    Rot,
    /// A server's wall clock jumps, and back again later.
    ClockJumps,
    /// A dserver more joins, at most twice in a run.
    ServerJoins,
    /// A dserver leaves for good, once in a run and in none with rot, if as many as there are to be
    /// copies stay.
    ServerLeaves,
    /// A mserver's disk is lost and it is replaced by itself with an empty one, once in a run, and
    /// only while every mserver is there.
    MserverReplaced,
    /// An administrator empties a dserver, holds or slows healing, or has copies spread anew, and
    /// takes it back later.
    Ordered,
    /// A client asks for a change twice, at two mservers. Done by clients, in every run.
    RequestTwice,
}

/// Each kind with the chance in a hundred that a run has it at all, and how often it is chosen
/// then, at most, against the others: not every kind in every run, for some faults hide behind
/// others.
pub(crate) const RATES: [(Kind, u64, u64); 24] = [
    (Kind::Killed, 60, 10),
    (Kind::PowerLost, 60, 10),
    (Kind::AllPowerLost, 40, 3),
    (Kind::CutOff, 40, 8),
    (Kind::CutInTwo, 40, 8),
    (Kind::CutOffOneWay, 50, 8),
    (Kind::LinkCut, 50, 10),
    (Kind::LinkReset, 40, 10),
    (Kind::ClientCutOff, 40, 8),
    (Kind::StandsStill, 60, 10),
    (Kind::SlowNetwork, 50, 6),
    (Kind::DiskError, 40, 6),
    (Kind::SyncFails, 50, 8),
    (Kind::TornWrite, 50, 8),
    (Kind::ReadsFail, 40, 8),
    (Kind::DiskLost, 40, 5),
    (Kind::DiskFull, 40, 6),
    (Kind::SlowDisk, 40, 6),
    (Kind::Rot, 40, 10),
    (Kind::ClockJumps, 40, 6),
    (Kind::ServerJoins, 40, 10),
    (Kind::ServerLeaves, 40, 10),
    (Kind::MserverReplaced, 30, 8),
    (Kind::Ordered, 40, 8),
];

/// All kinds, also those of the clients.
pub(crate) fn all_kinds() -> impl Iterator<Item = Kind> {
    let drawn = RATES.iter().map(|(kind, ..)| *kind);
    drawn.chain([Kind::RequestTwice])
}

/// The kinds of one run.
#[derive(Debug)]
pub(crate) struct Faults {
    weights: Vec<(Kind, u64)>,
}

impl Faults {
    /// Those a seed draws.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut weights = Vec::new();
        for (kind, runs_percent, weight_max) in RATES {
            let weight = random.within(1..weight_max + 1);
            if random.percent(runs_percent) {
                weights.push((kind, weight));
            }
        }
        Self { weights }
    }

    /// Whether the run has a kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.weights.iter().any(|(of, _)| *of == kind)
    }

    /// Has a kind strike no more: what a run has a few of must not take the turns of others.
    pub(crate) fn retire(&mut self, kind: Kind) {
        self.weights.retain(|(of, _)| *of != kind);
    }

    /// The next to strike, if the run has any.
    pub(crate) fn next(&self, random: &mut Random) -> Option<Kind> {
        let all: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = random.within(0..all.max(1));
        let struck = self.weights.iter().find(|(_, weight)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        struck.map(|(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_strikes_in_some_run() {
        let mut struck = Vec::new();
        for seed in 0..100 {
            let mut random = Random::of(seed, "faults");
            let faults = Faults::draw(&mut random);
            struck.extend((0..20).filter_map(|_| faults.next(&mut random)));
        }
        for (kind, ..) in RATES {
            assert!(struck.contains(&kind), "{kind:?}");
        }
    }
}
