//! An acknowledged write survives, and a read sees it: each name is a register that holds a value
//! or nothing.
//!
//! A read may bring any value whose write had begun, unless another write must have come after
//! that one and before the read. It is the part of linearizability that needs no search: a write
//! has happened when it was acknowledged, or, if earlier, when somebody has read it.

use std::time::Duration;

use super::{Judged, Violation};
use crate::history::{Operation, Outcome, Value, What};

const PROPERTY: &str = "a read sees what was acknowledged";

/// A write of a register: of a value, or of nothing.
struct Write {
    value: Option<Value>,
    begin: Duration,
    /// By when it has happened, if that is known.
    end: Option<Duration>,
    /// It was said to have changed nothing.
    has_failed: bool,
}

/// What a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A value, or nothing.
    Held(Option<Value>),
    /// Some value.
    Something,
}

/// What somebody saw who did not write.
struct Read {
    seen: Seen,
    begin: Duration,
    end: Duration,
}

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let mut names: Vec<&str> = judged.history.iter().map(|o| o.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let garbled = judged.history.iter().filter_map(|o| match &o.end {
        Some((_, Outcome::Garbled(how))) => {
            Some(Violation::new(PROPERTY, format!("{} held {how}", o.name)))
        }
        _ => None,
    });
    let mut violations: Vec<_> = garbled.collect();
    for name in names {
        let of_name = |o: &&Operation| o.name == name;
        let operations: Vec<&Operation> = judged.history.iter().filter(of_name).collect();
        violations.extend(check_name(name, &operations));
    }
    violations.extend(check_last(judged));
    violations
}

fn check_name(name: &str, operations: &[&Operation]) -> Vec<Violation> {
    let reads: Vec<Read> = operations.iter().filter_map(|o| read(o)).collect();
    let mut writes: Vec<Write> = operations.iter().filter_map(|o| write(o)).collect();
    for write in &mut writes {
        // Only a value tells whose it is; nothing is written by many.
        let seen = reads
            .iter()
            .filter(|r| write.value.is_some() && r.seen == Seen::Held(write.value));
        write.end = seen.map(|r| r.end).chain(write.end).min();
    }
    writes.push(Write {
        value: None,
        begin: Duration::ZERO,
        end: Some(Duration::ZERO),
        has_failed: false,
    });
    let wrong = reads.iter().filter(|read| !may_bring(read, &writes));
    wrong
        .map(|read| {
            let (begin, end) = (read.begin.as_millis(), read.end.as_millis());
            let what = match read.seen {
                Seen::Held(value) => format!("{name} held {value:?} from {begin} to {end} ms"),
                Seen::Something => format!("{name} was there from {begin} to {end} ms"),
            };
            Violation::new(PROPERTY, what)
        })
        .collect()
}

fn may_bring(read: &Read, writes: &[Write]) -> bool {
    let mut sources = writes.iter().filter(|w| match read.seen {
        Seen::Held(value) => w.value == value,
        Seen::Something => w.value.is_some(),
    });
    sources.any(|source| {
        let begun = source.begin <= read.end && !source.has_failed;
        let is_over = |end: Duration| {
            writes.iter().any(|other| {
                other.value != source.value
                    && other.begin > end
                    && other.end.is_some_and(|end| end < read.begin)
            })
        };
        begun && !source.end.is_some_and(is_over)
    })
}

fn read(operation: &Operation) -> Option<Read> {
    let (end, outcome) = operation.end.as_ref()?;
    let seen = match (outcome, operation.what) {
        (Outcome::Read(value), _) => Seen::Held(Some(*value)),
        // A rename whose source is not there says nothing of its target.
        (Outcome::Absent, What::Get | What::Look | What::Delete | What::RenameAway) => {
            Seen::Held(None)
        }
        (Outcome::Present, What::Look | What::PutNew(_) | What::RenameTo(_)) => Seen::Something,
        _ => return None,
    };
    Some(Read {
        seen,
        begin: operation.begin,
        end: *end,
    })
}

fn write(operation: &Operation) -> Option<Write> {
    let value = match operation.what {
        What::Get | What::Look => return None,
        What::Delete | What::RenameAway => None,
        _ => operation.value(),
    };
    // A delete that changed nothing is no write; a value that was not stored must not be read.
    if value.is_none() && !operation.is_done() && !operation.is_unknown() {
        return None;
    }
    let end = operation.end.as_ref().filter(|_| operation.is_done());
    Some(Write {
        value,
        begin: operation.begin,
        end: end.map(|(end, _)| *end),
        has_failed: !operation.is_done() && !operation.is_unknown(),
    })
}

/// After everything has ended a name is read twice, and must be readable, and hold the same.
fn check_last(judged: &Judged<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if judged.last_reads.is_empty() {
        violations.push(Violation::new(PROPERTY, "nothing could be read in the end"));
    }
    for read in judged.last_reads {
        let outcome = read.end.as_ref().map(|(_, outcome)| outcome);
        if !matches!(
            outcome,
            Some(Outcome::Read(_) | Outcome::Present | Outcome::Absent)
        ) {
            let what = format!("{} cannot be read in the end: {outcome:?}", read.name);
            violations.push(Violation::new(PROPERTY, what));
        }
        let other = judged
            .last_reads
            .iter()
            .find(|other| other.name == read.name);
        let first = other
            .and_then(|other| other.end.as_ref())
            .map(|(_, outcome)| outcome);
        if first != outcome {
            let what = format!("{} held {first:?}, then {outcome:?}", read.name);
            violations.push(Violation::new(PROPERTY, what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(what: What, (begin, end): (u64, u64), outcome: Outcome) -> Operation {
        Operation {
            client: 0,
            what,
            name: "/a".to_owned(),
            begin: Duration::from_millis(begin),
            end: Some((Duration::from_millis(end), outcome)),
            ends: 1,
            retries: 0,
            due: Duration::from_secs(100),
        }
    }

    fn wrong(operations: &[Operation]) -> usize {
        let all: Vec<&Operation> = operations.iter().collect();
        check_name("/a", &all).len()
    }

    fn put(value: Value, span: (u64, u64)) -> Operation {
        operation(What::Put(value), span, Outcome::Done(None))
    }

    fn get(value: Value, span: (u64, u64)) -> Operation {
        operation(What::Get, span, Outcome::Read(value))
    }

    fn lost(span: (u64, u64)) -> Operation {
        operation(What::Get, span, Outcome::Absent)
    }

    #[test]
    fn a_lost_put_is_found() {
        assert_eq!(wrong(&[put(1, (0, 10)), get(1, (20, 30))]), 0);
        assert_eq!(wrong(&[put(1, (1, 10)), lost((20, 30))]), 1);
        assert_eq!(wrong(&[put(1, (1, 10)), lost((5, 30))]), 0);
    }

    #[test]
    fn an_old_value_is_found() {
        let puts = [put(1, (1, 10)), put(2, (20, 30))];
        let read = |read| wrong(&[puts[0].clone(), puts[1].clone(), read]);
        assert_eq!(read(get(2, (40, 50))), 0);
        assert_eq!(read(get(1, (40, 50))), 1);
        assert_eq!(read(get(1, (25, 50))), 0);
    }

    #[test]
    fn an_unknown_put_may_be_seen_or_not() {
        let unknown = operation(What::Put(2), (20, 30), Outcome::Unknown(String::new()));
        let first = put(1, (1, 10));
        assert_eq!(
            wrong(&[first.clone(), unknown.clone(), get(1, (40, 50))]),
            0
        );
        assert_eq!(
            wrong(&[first.clone(), unknown.clone(), get(2, (40, 50))]),
            0
        );
        let back = [first, unknown, get(2, (40, 50)), get(1, (60, 70))];
        assert_eq!(wrong(&back), 1);
    }

    #[test]
    fn a_name_that_is_said_to_be_there_is() {
        let look = |outcome, span| operation(What::Look, span, outcome);
        let gone = |span| operation(What::Delete, span, Outcome::Done(None));
        let put = put(1, (1, 10));
        let wrong = |look| wrong(&[put.clone(), gone((20, 30)), look]);
        assert_eq!(wrong(look(Outcome::Present, (25, 50))), 0);
        assert_eq!(wrong(look(Outcome::Present, (40, 50))), 1);
        assert_eq!(wrong(look(Outcome::Absent, (40, 50))), 0);
        assert_eq!(wrong(look(Outcome::Absent, (12, 15))), 1);
        let taken = |span| operation(What::PutNew(2), span, Outcome::Present);
        assert_eq!(wrong(taken((12, 50))), 0);
        assert_eq!(wrong(taken((40, 50))), 1);
    }

    #[test]
    fn what_is_renamed_is_there_and_goes() {
        let away = |span, outcome| operation(What::RenameAway, span, outcome);
        let put = put(1, (1, 10));
        let done = away((20, 30), Outcome::Done(None));
        assert_eq!(wrong(&[put.clone(), done.clone(), lost((40, 50))]), 0);
        assert_eq!(wrong(&[put.clone(), done, get(1, (40, 50))]), 1);
        assert_eq!(wrong(&[put, away((20, 30), Outcome::Absent)]), 1);
    }

    #[test]
    fn a_failed_put_is_never_seen() {
        let failed = operation(What::Put(2), (20, 30), Outcome::Failed(String::new()));
        assert_eq!(wrong(&[failed, get(2, (40, 50))]), 1);
    }
}
