//! What a history proves: whether each name's part of it can be explained, and if not, by which
//! operations.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::{Verdict, check};
use super::history::Operation;
use super::model::{self, State, Step};
use super::shrink::shortest;

/// Something that must not be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Violation {
    /// In a sentence.
    pub(super) what: String,
    /// The operations that contradict each other, if it is in a history.
    pub(super) operations: Vec<Operation>,
}

/// What was found in a history.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Judgement {
    /// Names looked at.
    pub(super) names: usize,
    /// What must not be.
    pub(super) violations: Vec<Violation>,
    /// Names whose history has too many explanations to look at all.
    pub(super) undecided: Vec<String>,
}

/// Judges a whole history, name by name.
pub(super) fn judge(operations: &[Operation]) -> Judgement {
    let mut by_name: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        by_name.entry(&operation.name).or_default().push(operation);
    }
    let mut judgement = Judgement {
        names: by_name.len(),
        ..Judgement::default()
    };
    for (name, all) in by_name {
        let told = all
            .into_iter()
            .filter_map(|operation| Some((operation, model::step(operation)?)));
        let (all, steps): (Vec<&Operation>, Vec<Step>) = told.unzip();
        match check(&steps, State::Nothing) {
            Verdict::Explained => {}
            Verdict::Undecided => judgement.undecided.push(name.to_owned()),
            Verdict::Broken { step } => {
                let part = shortest(&steps);
                let last = all[step];
                let what = format!(
                    "{name}: the {} of client {} that ended after {:.3} s ({}) cannot be explained",
                    last.ask.word(),
                    last.client,
                    last.end_us as f64 / 1e6,
                    last.outcome.sentence(),
                );
                judgement.violations.push(Violation {
                    what,
                    operations: part.into_iter().map(|place| all[place].clone()).collect(),
                });
            }
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::{Ask, Outcome};

    fn operation(name: &str, ask: Ask, span: (u64, u64), outcome: Outcome) -> Operation {
        Operation {
            client: 1,
            name: name.to_owned(),
            ask,
            begin_us: span.0,
            end_us: span.1,
            outcome,
        }
    }

    #[test]
    fn names_are_judged_by_themselves() {
        let mut all = vec![
            operation("/a", Ask::Put(2), (0, 10), Outcome::Done),
            operation("/b", Ask::Get, (20, 30), Outcome::Absent),
            operation("/a", Ask::Get, (20, 30), Outcome::Saw(2)),
        ];
        let judgement = judge(&all);
        assert_eq!((judgement.names, judgement.violations.len()), (2, 0));
        all.push(operation("/b", Ask::Get, (40, 50), Outcome::Saw(2)));
        let judgement = judge(&all);
        assert_eq!(judgement.violations.len(), 1);
        let violation = &judgement.violations[0];
        assert!(
            violation.what.starts_with("/b: the get"),
            "{}",
            violation.what
        );
        assert_eq!(violation.operations.last(), all.last());
    }

    #[test]
    fn a_good_history_is_bad_when_one_outcome_is_changed() {
        // Three clients, one after the other, on one name.
        let mut all = Vec::new();
        for round in 0..60 {
            let (at, value) = (round * 100, round * 2 + 2);
            all.push(operation(
                "/a",
                Ask::Put(value),
                (at, at + 30),
                Outcome::Done,
            ));
            all.push(operation(
                "/a",
                Ask::Get,
                (at + 40, at + 60),
                Outcome::Saw(value),
            ));
            if round % 5 == 4 {
                all.push(operation(
                    "/a",
                    Ask::Delete,
                    (at + 65, at + 70),
                    Outcome::Done,
                ));
                all.push(operation(
                    "/a",
                    Ask::Get,
                    (at + 75, at + 80),
                    Outcome::Absent,
                ));
            }
        }
        assert!(judge(&all).violations.is_empty());
        for place in 0..all.len() {
            let mut changed = all.clone();
            changed[place].outcome = match changed[place].outcome {
                Outcome::Saw(value) => Outcome::Saw(value + 2),
                Outcome::Absent => Outcome::Saw(2),
                // Acknowledged, and then not there: as if it had failed.
                _ => Outcome::Failed("nothing was changed".to_owned()),
            };
            let judgement = judge(&changed);
            assert_eq!(judgement.violations.len(), 1, "{:?}", changed[place]);
            assert!(!judgement.violations[0].operations.is_empty());
        }
    }
}
