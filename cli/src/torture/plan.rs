//! What a run was to do to the servers and what came of it: a run whose faults never began, or
//! were felt by nobody, proves less than it seems to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::nemesis::Harm;
use super::schedule::{Fault, Kind};

/// A run as long as this has time for every kind of fault several times.
pub(super) const ALL_KINDS_WITHIN: Duration = Duration::from_secs(600);

/// A kind of fault that was to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Planned {
    /// Which.
    pub(super) kind: Kind,
    /// How often it began.
    pub(super) begun: u64,
    /// How often another server lost its peer by it; nothing for what is no cut.
    pub(super) felt: Option<u64>,
}

/// What came of each kind that was to come.
pub(super) fn planned(kinds: &[Kind], harms: &[Harm]) -> Vec<Planned> {
    let kinds: BTreeSet<Kind> = kinds.iter().copied().collect();
    let planned = kinds.into_iter().map(|kind| {
        let of_kind = || harms.iter().filter(|harm| harm.kind == kind);
        let felt = of_kind().filter(|harm| harm.is_felt == Some(true)).count() as u64;
        Planned {
            kind,
            begun: of_kind().count() as u64,
            felt: kind.is_cut().then_some(felt),
        }
    });
    planned.collect()
}

/// The faults that never took effect, in sentences.
pub(super) fn without_effect(planned: &[Planned]) -> Vec<String> {
    let missing = planned.iter().filter(|planned| planned.begun == 0);
    let mut sentences: Vec<String> = missing
        .map(|planned| {
            format!(
                "a fault that never took effect: {} never began",
                planned.kind.word()
            )
        })
        .collect();
    let cuts = || planned.iter().filter(|planned| planned.felt.is_some());
    let begun: u64 = cuts().map(|planned| planned.begun).sum();
    if begun > 0 && cuts().all(|planned| planned.felt == Some(0)) {
        sentences.push(format!(
            "a fault that never took effect: {begun} cuts, and no server lost a peer by any"
        ));
    }
    sentences
}

/// Whether two servers have lost one another with nothing but this cut between them. `lost` has
/// who misses whom, by their places in the configuration.
pub(super) fn is_felt(cut: Fault, others: &[Fault], lost: &BTreeSet<(usize, usize)>) -> bool {
    let is_struck = |server: usize| {
        let strikes = |other: &Fault| {
            other.kind == Kind::Power || other.server == server || other.towards == Some(server)
        };
        others.iter().any(strikes)
    };
    lost.iter().any(|(one, other)| {
        let is_between = match cut.towards {
            Some(towards) => {
                [(cut.server, towards), (towards, cut.server)].contains(&(*one, *other))
            }
            None => *one == cut.server || *other == cut.server,
        };
        is_between && !is_struck(*one) && !is_struck(*other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn harm(kind: Kind, is_felt: Option<bool>) -> Harm {
        Harm {
            kind,
            servers: vec!["mserver-1".to_owned()],
            towards: None,
            begin_us: 0,
            end_us: 1,
            is_felt,
        }
    }

    fn fault(kind: Kind, server: usize, towards: Option<usize>) -> Fault {
        Fault {
            kind,
            server,
            towards,
        }
    }

    #[test]
    fn what_never_began_is_told() {
        let kinds = [Kind::Kill, Kind::Kill, Kind::Full];
        let planned = planned(&kinds, &[harm(Kind::Kill, None)]);
        assert_eq!(planned.len(), 2);
        let told = without_effect(&planned);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("full disk never began"), "{told:?}");
    }

    #[test]
    fn cuts_nobody_felt_are_told() {
        let kinds = [Kind::Cut, Kind::Deaf];
        let unfelt = [
            harm(Kind::Cut, Some(false)),
            harm(Kind::Deaf, Some(false)),
            harm(Kind::Cut, Some(false)),
        ];
        let told = without_effect(&planned(&kinds, &unfelt));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("3 cuts"), "{told:?}");
        let one_felt = [harm(Kind::Cut, Some(false)), harm(Kind::Deaf, Some(true))];
        assert!(without_effect(&planned(&kinds, &one_felt)).is_empty());
    }

    #[test]
    fn a_cut_is_felt_by_those_it_is_between() {
        let cut = fault(Kind::Cut, 1, None);
        let one_way = fault(Kind::OneWay, 1, Some(2));
        let killed = [fault(Kind::Kill, 4, None)];
        let table = [
            (cut, vec![(0, 1)], true),
            (cut, vec![(1, 5)], true),
            (cut, vec![(0, 2)], false),
            // That one is missed for another reason.
            (cut, vec![(1, 4), (0, 4)], false),
            (one_way, vec![(2, 1)], true),
            (one_way, vec![(1, 2)], true),
            (one_way, vec![(1, 3)], false),
        ];
        for (cut, lost, expected) in table {
            let lost = lost.into_iter().collect();
            assert_eq!(is_felt(cut, &killed, &lost), expected, "{cut:?} {lost:?}");
        }
    }
}
