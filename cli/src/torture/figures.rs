//! What a run was like in numbers: operations by kind and outcome, second by second, and the
//! longest time nothing was answered.

use std::collections::BTreeMap;

use serde::Serialize;

use super::history::{Operation, Outcome};
use super::limits::CAUSES_SHOWN_MAX;

/// Operations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Done, or read.
    pub(super) done: u64,
    /// Refused for a cause that is right: the name is taken, or is not.
    pub(super) refused: u64,
    /// Nobody knows whether it was done.
    pub(super) unknown: u64,
    /// Nothing was changed, or nothing could be read.
    pub(super) failed: u64,
    /// Median of the answered, microseconds.
    pub(super) p50_us: u64,
    /// The 99th of a hundred of the answered.
    pub(super) p99_us: u64,
    /// The longest of all.
    pub(super) max_us: u64,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Second {
    /// Operations answered in it.
    pub(super) answered: u64,
    /// Operations that ended in it without an answer.
    pub(super) unanswered: u64,
    /// Median of the answered, microseconds.
    pub(super) p50_us: u64,
    /// The 99th of a hundred.
    pub(super) p99_us: u64,
}

/// A time in which nothing was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    /// When the last answer before it came, microseconds since the run began.
    pub(super) begin_us: u64,
    /// When the next one came.
    pub(super) end_us: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Operations, a listing and a rename counted once for each name.
    pub(super) operations: u64,
    /// By kind.
    pub(super) kinds: BTreeMap<&'static str, Counts>,
    /// Second by second.
    pub(super) seconds: Vec<Second>,
    /// The longest time in which no change was answered.
    pub(super) changes_gap: Gap,
    /// The longest time in which no read was.
    pub(super) reads_gap: Gap,
    /// Why operations failed or are unknown, the most frequent first.
    pub(super) causes: Vec<(String, u64)>,
}

impl Gap {
    /// How long it is, microseconds.
    pub(super) fn us(self) -> u64 {
        self.end_us.saturating_sub(self.begin_us)
    }
}

/// Reckons with the operations that ended by `until_us`.
pub(super) fn figures(operations: &[Operation], until_us: u64) -> Figures {
    let mut by_end: Vec<&Operation> = operations.iter().collect();
    by_end.retain(|operation| operation.end_us <= until_us);
    by_end.sort_by_key(|operation| operation.end_us);
    Figures {
        operations: by_end.len() as u64,
        kinds: kinds(&by_end),
        seconds: seconds(&by_end, until_us),
        changes_gap: gap(&by_end, until_us, true),
        reads_gap: gap(&by_end, until_us, false),
        causes: causes(&by_end),
    }
}

fn took_us(operation: &Operation) -> u64 {
    operation.end_us.saturating_sub(operation.begin_us)
}

/// Of times in order.
fn share(sorted: &[u64], of_hundred: usize) -> u64 {
    let place = sorted.len().saturating_sub(1) * of_hundred / 100;
    sorted.get(place).copied().unwrap_or(0)
}

fn kinds(all: &[&Operation]) -> BTreeMap<&'static str, Counts> {
    let mut times: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    let mut kinds: BTreeMap<&'static str, Counts> = BTreeMap::new();
    for operation in all {
        let word = operation.ask.word();
        let counts = kinds.entry(word).or_default();
        counts.max_us = counts.max_us.max(took_us(operation));
        *match operation.outcome {
            Outcome::Present if !operation.ask.is_change() => &mut counts.done,
            Outcome::Absent | Outcome::Present => &mut counts.refused,
            Outcome::Unknown(_) => &mut counts.unknown,
            Outcome::Failed(_) => &mut counts.failed,
            _ => &mut counts.done,
        } += 1;
        if operation.outcome.is_answer() {
            times.entry(word).or_default().push(took_us(operation));
        }
    }
    for (word, mut times) in times {
        times.sort_unstable();
        let counts = kinds.entry(word).or_default();
        (counts.p50_us, counts.p99_us) = (share(&times, 50), share(&times, 99));
    }
    kinds
}

fn seconds(all: &[&Operation], until_us: u64) -> Vec<Second> {
    let count = usize::try_from(until_us / 1_000_000 + 1).unwrap_or(0);
    let mut seconds = vec![Second::default(); count];
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); count];
    for operation in all {
        let place = usize::try_from(operation.end_us / 1_000_000).unwrap_or(usize::MAX);
        let (Some(second), Some(times)) = (seconds.get_mut(place), times.get_mut(place)) else {
            continue;
        };
        if operation.outcome.is_answer() {
            second.answered += 1;
            times.push(took_us(operation));
        } else {
            second.unanswered += 1;
        }
    }
    for (second, mut times) in seconds.iter_mut().zip(times) {
        times.sort_unstable();
        (second.p50_us, second.p99_us) = (share(&times, 50), share(&times, 99));
    }
    seconds
}

fn gap(by_end: &[&Operation], until_us: u64, of_changes: bool) -> Gap {
    let mut longest = Gap::default();
    let mut begin_us = 0;
    let answers = by_end
        .iter()
        .filter(|one| one.ask.is_change() == of_changes && one.outcome.is_answer())
        .map(|one| one.end_us);
    for end_us in answers.chain([until_us]) {
        let gap = Gap { begin_us, end_us };
        if gap.us() > longest.us() {
            longest = gap;
        }
        begin_us = end_us;
    }
    longest
}

fn causes(all: &[&Operation]) -> Vec<(String, u64)> {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for operation in all {
        if let Outcome::Unknown(why) | Outcome::Failed(why) = &operation.outcome {
            *counted.entry(alike(why)).or_default() += 1;
        }
    }
    let mut causes: Vec<_> = counted.into_iter().collect();
    causes.sort_by_key(|(why, count)| (std::cmp::Reverse(*count), why.clone()));
    causes.truncate(CAUSES_SHOWN_MAX);
    causes
}

/// A sentence without what differs from one time to the next: words with digits in them.
fn alike(sentence: &str) -> String {
    let words = sentence.split(' ').map(|word| {
        if word.contains(|letter: char| letter.is_ascii_digit()) {
            "…"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::Ask;

    fn operation(ask: Ask, begin_us: u64, end_us: u64, outcome: Outcome) -> Operation {
        Operation {
            client: 0,
            name: "/a".to_owned(),
            ask,
            begin_us,
            end_us,
            outcome,
        }
    }

    #[test]
    fn operations_are_counted_where_they_end() {
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let all = [
            operation(Ask::Put(2), 0, 500_000, Outcome::Done),
            operation(Ask::Get, 600_000, 700_000, Outcome::Saw(2)),
            operation(Ask::Get, 800_000, 2_300_000, failed("request 17 was lost")),
            operation(Ask::Get, 800_000, 2_400_000, failed("request 18 was lost")),
            operation(
                Ask::Put(4),
                2_500_000,
                3_200_000,
                Outcome::Unknown("?".to_owned()),
            ),
            operation(Ask::List, 3_200_000, 3_300_000, Outcome::Present),
            operation(Ask::Delete, 3_300_000, 3_500_000, Outcome::Absent),
            operation(Ask::Get, 3_900_000, 9_000_000, Outcome::Absent),
        ];
        let figures = figures(&all, 4_000_000);
        assert_eq!(figures.operations, 7);
        assert_eq!(figures.kinds["list"].done, 1);
        let counts = figures.kinds["get"];
        assert_eq!((counts.done, counts.failed, counts.p50_us), (1, 2, 100_000));
        assert_eq!(figures.kinds["put"].unknown, 1);
        assert_eq!(figures.kinds["delete"].refused, 1);
        let answered: Vec<_> = figures
            .seconds
            .iter()
            .map(|second| second.answered)
            .collect();
        assert_eq!(answered, [2, 0, 0, 2, 0]);
        assert_eq!(figures.seconds[2].unanswered, 2);
        assert_eq!(figures.changes_gap.us(), 3_000_000);
        assert_eq!(figures.reads_gap.us(), 2_600_000);
        assert_eq!(figures.causes[0], ("request … was lost".to_owned(), 2));
    }
}
