//! What the two names of a rename say of one another. Each name's history is judged by itself, so
//! that a rename whose outcome nobody was told would explain a file that is gone from one name and
//! has never come to the other. One of its names is always a client's alone: what was read there
//! tells whether the rename was done, and so what it has done to the other one.

use super::history::{Ask, Operation, Outcome, Value};

/// A rename between a name of all and one that nobody else uses, of unknown outcome, or of a file
/// that could not be read after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    /// Which client did it.
    pub(super) client: u32,
    /// From which name.
    pub(super) from: String,
    /// To which.
    pub(super) to: String,
    /// What was renamed, when it came from the client's own name; else that is what it took away.
    pub(super) value: Option<Value>,
    /// When it was asked for, microseconds since the run began.
    pub(super) begin_us: u64,
}

/// What the reads of a client's own name say of a rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Evidence {
    /// It had not happened before this.
    not_before_us: Option<u64>,
    /// It had happened by then, and this was at the name it gave, or nothing at the one it took.
    done: Option<(u64, Option<Value>)>,
}

impl Rename {
    /// The name nobody else uses.
    pub(super) fn own(&self) -> &str {
        match self.value {
            Some(_) => &self.from,
            None => &self.to,
        }
    }

    /// The name of all.
    fn shared(&self) -> &str {
        match self.value {
            Some(_) => &self.to,
            None => &self.from,
        }
    }

    fn evidence(&self, operations: &[Operation]) -> Evidence {
        let mut evidence = Evidence::default();
        let is_read = |one: &&Operation| {
            one.ask == Ask::Get && one.name == self.own() && one.begin_us >= self.begin_us
        };
        for read in operations.iter().filter(is_read) {
            let held = match read.outcome {
                Outcome::Saw(value) => Some(value),
                Outcome::Absent => None,
                _ => continue,
            };
            // From its own name the file goes, to its own name it comes.
            if held.is_some() == self.value.is_some() {
                let not_before_us = evidence.not_before_us.max(Some(read.begin_us));
                evidence.not_before_us = not_before_us;
            } else if evidence
                .done
                .is_none_or(|(done_us, _)| read.end_us < done_us)
            {
                evidence.done = Some((read.end_us, held));
            }
        }
        evidence
    }
}

/// The operations with what is known of these renames by both their names.
pub(super) fn settled(operations: &[Operation], renames: &[Rename]) -> Vec<Operation> {
    let mut settled = operations.to_vec();
    for rename in renames {
        let evidence = rename.evidence(operations);
        let is_it = |one: &&mut Operation| {
            one.client == rename.client
                && one.begin_us == rename.begin_us
                && one.name == rename.shared()
                && matches!(
                    one.ask,
                    Ask::RenameAway | Ask::RenameTo(_) | Ask::RenameOver(_)
                )
        };
        let Some(at_shared) = settled.iter_mut().find(is_it) else {
            continue;
        };
        let arrived = settle(at_shared, rename, evidence);
        settled.extend(arrived);
    }
    settled
}

/// Adds what is known to the operation on the name of all; gives that on the client's own name
/// when the file came there, or was said to.
fn settle(at_shared: &mut Operation, rename: &Rename, evidence: Evidence) -> Option<Operation> {
    let is_told = !at_shared.outcome.is_unknown();
    if let Some((done_us, held)) = evidence.done {
        at_shared.outcome = held.map_or(Outcome::Shown, Outcome::Saw);
        if !is_told {
            at_shared.end_us = done_us;
        }
    }
    if !is_told {
        at_shared.begin_us = evidence.not_before_us.unwrap_or(0).max(at_shared.begin_us);
        at_shared.end_us = at_shared.end_us.max(at_shared.begin_us);
    }
    if rename.value.is_some() {
        return None;
    }
    let value = match evidence.done {
        Some((_, held)) => held?,
        // It was said to be done, and nothing is there: nothing explains that.
        None if is_told && evidence.not_before_us.is_some() => 0,
        None => return None,
    };
    Some(Operation {
        name: rename.to.clone(),
        ask: Ask::RenameTo(value),
        outcome: Outcome::Shown,
        ..at_shared.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::torture::judge::judge;

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

    fn unknown() -> Outcome {
        Outcome::Unknown("too late".to_owned())
    }

    fn rename(from: &str, to: &str, value: Option<Value>) -> Rename {
        Rename {
            client: 1,
            from: from.to_owned(),
            to: to.to_owned(),
            value,
            begin_us: 40,
        }
    }

    fn violations(operations: &[Operation], renames: &[Rename]) -> usize {
        judge(&settled(operations, renames)).violations.len()
    }

    /// `/own` held 2 and `/all` held 4 when `/own` was renamed to `/all`; nobody knows the outcome.
    fn renamed_to(after: &[(&str, Ask, (u64, u64), Outcome)]) -> usize {
        let mut all = vec![
            operation("/own", Ask::PutNew(2), (0, 10), Outcome::Done),
            operation("/all", Ask::Put(4), (20, 30), Outcome::Done),
            operation("/own", Ask::RenameAway, (40, 50), unknown()),
            operation("/all", Ask::RenameOver(2), (40, 50), unknown()),
        ];
        let after = after.iter().cloned();
        all.extend(after.map(|(name, ask, span, outcome)| operation(name, ask, span, outcome)));
        assert_eq!(judge(&all).violations.len(), 0, "by each name alone");
        violations(&all, &[rename("/own", "/all", Some(2))])
    }

    #[test]
    fn a_file_that_is_at_neither_name_is_missed() {
        let gone = ("/own", Ask::Get, (60, 70), Outcome::Absent);
        let there = ("/own", Ask::Get, (60, 70), Outcome::Saw(2));
        let get = |outcome| ("/all", Ask::Get, (80, 90), outcome);
        let put = |span| ("/all", Ask::Put(6), span, Outcome::Done);
        assert_eq!(renamed_to(&[gone.clone(), get(Outcome::Saw(4))]), 1, "lost");
        assert_eq!(renamed_to(&[gone.clone(), get(Outcome::Saw(2))]), 0, "done");
        let over = [gone.clone(), put((72, 78)), get(Outcome::Saw(6))];
        assert_eq!(renamed_to(&over), 0, "written over since");
        let under = [gone.clone(), put((32, 60)), get(Outcome::Saw(6))];
        assert_eq!(renamed_to(&under), 0, "perhaps written over");
        let deleted = ("/all", Ask::Delete, (72, 78), unknown());
        assert_eq!(renamed_to(&[gone, deleted, get(Outcome::Absent)]), 0);
        assert_eq!(renamed_to(&[there.clone(), get(Outcome::Saw(4))]), 0);
        // It may be done between the two looks.
        assert_eq!(renamed_to(&[there.clone(), get(Outcome::Saw(2))]), 0);
        let early = ("/all", Ask::Get, (52, 58), Outcome::Saw(2));
        assert_eq!(renamed_to(&[early, there]), 1, "at both names");
    }

    /// `/all` held 4 when it was renamed to `/own`.
    fn renamed_away(outcome: Outcome, after: &[(&str, (u64, u64), Outcome)]) -> usize {
        let mut all = vec![
            operation("/all", Ask::Put(4), (20, 30), Outcome::Done),
            operation("/all", Ask::RenameAway, (40, 50), outcome),
        ];
        let after = after.iter().cloned();
        all.extend(after.map(|(name, span, outcome)| operation(name, Ask::Get, span, outcome)));
        violations(&all, &[rename("/all", "/own", None)])
    }

    #[test]
    fn a_file_that_was_taken_away_arrives() {
        let all = |outcome| ("/all", (60, 70), outcome);
        let own = |outcome| ("/own", (80, 90), outcome);
        let (saw, absent) = (Outcome::Saw, Outcome::Absent);
        assert_eq!(
            renamed_away(unknown(), &[all(absent.clone()), own(saw(4))]),
            0
        );
        assert_eq!(
            renamed_away(unknown(), &[all(saw(4)), own(absent.clone())]),
            0
        );
        assert_eq!(
            renamed_away(unknown(), &[all(saw(4)), own(saw(4))]),
            0,
            "in between"
        );
        let lost = [all(absent.clone()), own(absent.clone())];
        assert_eq!(renamed_away(unknown(), &lost), 1, "at neither name");
        assert_eq!(
            renamed_away(unknown(), &[all(absent.clone()), own(saw(6))]),
            1,
            "another"
        );
        assert_eq!(renamed_away(Outcome::Done, &lost), 1, "said to be done");
        assert_eq!(renamed_away(Outcome::Done, &[all(absent), own(saw(4))]), 0);
    }

    /// An operation that is to be done at a moment, or never.
    #[derive(Clone, Debug)]
    struct Planned {
        client: u32,
        what: What,
        begin_us: u64,
        end_us: u64,
        at_us: Option<u64>,
        is_told: bool,
    }

    #[derive(Clone, Debug)]
    enum What {
        Ask(String, Ask),
        Rename(Rename, bool),
    }

    /// Where a client is with its work.
    struct Clock {
        client: u32,
        now_us: u64,
    }

    impl Clock {
        fn plan(&mut self, what: What, (takes, at, fate): (u64, u64, u64)) -> Planned {
            let begin_us = self.now_us + 1;
            let end_us = begin_us + 2 + takes * 10;
            self.now_us = end_us;
            // One of three that change two names is not told; of these one is never done, and
            // others long after.
            let is_told = fate % 3 != 0 || matches!(what, What::Ask(..));
            let late_us = [0, 40, 400, 4_000][(fate / 3 % 4) as usize];
            let within_us = begin_us + at % (end_us - begin_us + late_us * u64::from(!is_told));
            Planned {
                client: self.client,
                what,
                begin_us,
                end_us,
                at_us: (is_told || fate % 5 != 0).then_some(within_us),
                is_told,
            }
        }
    }

    type Drawn = (u64, u64, u64, (u64, u64, u64), (u64, u64, u64));

    /// What clients do to `/a` and `/b` and names of their own, and the reads of the end.
    fn plan(drawn: &[Drawn]) -> Vec<Planned> {
        let mut clocks: Vec<Clock> = (0..3).map(|client| Clock { client, now_us: 0 }).collect();
        let mut all = Vec::new();
        let mut private = Vec::new();
        for (number, (client, place, what, times, more)) in (1..).zip(drawn) {
            let clock = &mut clocks[*client as usize % 3];
            let shared = ["/a", "/b"][*place as usize % 2].to_owned();
            let value = number * 2;
            let (own, is_over) = (format!("/own-{number}"), more.0 % 2 == 0);
            let mut rename = Rename {
                client: clock.client,
                from: own.clone(),
                to: shared.clone(),
                value: Some(value),
                begin_us: 0,
            };
            match what % 6 {
                0 => all.push(clock.plan(What::Ask(shared, Ask::Put(value)), *times)),
                1 => all.push(clock.plan(What::Ask(shared, Ask::Delete), *times)),
                2 => all.push(clock.plan(What::Ask(shared, Ask::Get), *times)),
                3 => {
                    (rename.from, rename.to, rename.value) = (shared, own.clone(), None);
                    all.push(clock.plan(What::Rename(rename, false), *times));
                }
                _ => {
                    let put = What::Ask(own.clone(), Ask::PutNew(value));
                    all.push(clock.plan(put, (1, 1, 1)));
                    all.push(clock.plan(What::Rename(rename, is_over), *times));
                }
            }
            if what % 6 > 2 {
                for _ in 0..more.1 % 3 {
                    all.push(clock.plan(What::Ask(own.clone(), Ask::Get), *more));
                }
                private.push((own, what % 6 == 3));
            }
        }
        let mut end = Clock {
            client: 9,
            now_us: clocks.iter().map(|clock| clock.now_us).max().unwrap_or(0),
        };
        let from = private.iter().filter(|(_, is_taken)| !is_taken);
        let to = private.iter().filter(|(_, is_taken)| *is_taken);
        let names = from.chain(to).map(|(name, _)| name.as_str());
        let from_count = private.iter().filter(|(_, is_taken)| !is_taken).count();
        let mut names: Vec<&str> = names.collect();
        names.splice(from_count..from_count, ["/a", "/b"]);
        for name in names {
            all.push(end.plan(What::Ask(name.to_owned(), Ask::Get), (1, 1, 1)));
        }
        all
    }

    /// Does what is planned, moment by moment; what clients write down of it.
    fn done(mut plan: Vec<Planned>) -> (Vec<Operation>, Vec<Rename>) {
        plan.sort_by_key(|one| (one.at_us, one.begin_us));
        let mut held: BTreeMap<String, Value> = BTreeMap::new();
        let (mut operations, mut renames) = (Vec::new(), Vec::new());
        for one in &plan {
            let span = (one.begin_us, one.end_us);
            let mut note = |name: &str, ask, outcome| {
                let told = operation(name, ask, span, outcome);
                let client = one.client;
                operations.push(Operation { client, ..told });
            };
            match &one.what {
                What::Ask(name, ask) => {
                    let before = held.get(name).copied();
                    let outcome = match (ask, before) {
                        (Ask::Get, Some(value)) => Outcome::Saw(value),
                        (Ask::Get | Ask::Delete, None) => Outcome::Absent,
                        _ => Outcome::Done,
                    };
                    if let Some(value) = ask.value() {
                        held.insert(name.clone(), value);
                    } else if *ask == Ask::Delete {
                        held.remove(name);
                    }
                    note(name, *ask, outcome);
                }
                What::Rename(rename, is_over) => {
                    let mut rename = rename.clone();
                    rename.begin_us = one.begin_us;
                    let is_free = *is_over || !held.contains_key(&rename.to);
                    let mut moved = None;
                    let mut outcome = Outcome::Present;
                    if one.at_us.is_some() && is_free {
                        moved = held.remove(&rename.from);
                        outcome = moved.map_or(Outcome::Absent, |_| Outcome::Done);
                        held.extend(moved.map(|value| (rename.to.clone(), value)));
                    }
                    if !one.is_told {
                        outcome = unknown();
                        renames.push(rename.clone());
                    }
                    let taken = match (&outcome, moved) {
                        (Outcome::Done, Some(value)) => Outcome::Saw(value),
                        _ => outcome.clone(),
                    };
                    note(&rename.from, Ask::RenameAway, taken);
                    let gives = |value| match *is_over {
                        true => Ask::RenameOver(value),
                        false => Ask::RenameTo(value),
                    };
                    match (rename.value, moved) {
                        (Some(value), _) if outcome != Outcome::Absent => {
                            note(&rename.to, gives(value), outcome);
                        }
                        (None, Some(value)) if outcome == Outcome::Done => {
                            note(&rename.to, gives(value), outcome);
                        }
                        _ => {}
                    }
                }
            }
        }
        (operations, renames)
    }

    fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
        let times = || (0u64..9, 0u64..5_000, 0u64..60);
        let one = (0u64..3, 0u64..2, 0u64..6, times(), times());
        proptest::collection::vec(one, 1..24)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn what_really_happened_is_explained(drawn in drawn()) {
            let (operations, renames) = done(plan(&drawn));
            let judgement = judge(&settled(&operations, &renames));
            prop_assert!(judgement.violations.is_empty(), "{:#?}", judgement.violations);
            prop_assert!(judgement.undecided.is_empty());
        }
    }
}
