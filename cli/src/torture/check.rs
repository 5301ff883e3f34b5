//! Whether a history of one name is linearizable: whether every operation can have happened at
//! one moment between its begin and its end, such that each outcome is what it had to be.
//!
//! Just-in-time linearization (Gavin Lowe, "Testing for linearizability", 2017): the events are
//! gone through in time, together with every way to explain them so far. Of a way only what
//! follows is kept: the state, and which of the operations under way have happened. An operation
//! of unknown outcome stays under way for ever, so of two ways that differ only in such ones, the
//! one that has used a subset of the other's can do all the other can: it alone is kept. That
//! keeps a history with hundreds of unknown writes small, where the usual search doubles with
//! each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::content::{is_hole, length};
use super::history::Value;
use super::model::{Act, State, Step};

/// Ways to explain a history that are followed at once, at most; a name of 64 clients at work
/// has some hundred.
const WAYS_MAX: usize = 200_000;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is an explanation.
    Explained,
    /// There is none, whatever follows, from the end of this step on.
    Broken {
        /// Its place among the steps.
        step: usize,
    },
    /// Too many ways to look at.
    Undecided,
}

/// One way to explain everything so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    state: State,
    /// Steps that have happened and whose end is still to come, in order.
    happened: Vec<usize>,
    /// Steps of unknown outcome that have happened, in order.
    used: Vec<usize>,
}

/// The ways, none of which can do less than another.
#[derive(Default)]
struct Ways {
    by_end: BTreeMap<(State, Vec<usize>), Vec<Vec<usize>>>,
    count: usize,
}

impl Ways {
    /// Whether it is a new one.
    fn insert(&mut self, way: &Way) -> bool {
        let key = (way.state, way.happened.clone());
        let used = self.by_end.entry(key).or_default();
        if used.iter().any(|less| is_subset(less, &way.used)) {
            return false;
        }
        let before = used.len();
        used.retain(|more| !is_subset(&way.used, more));
        used.push(way.used.clone());
        self.count = self.count + used.len() - before;
        true
    }

    fn into_all(self) -> impl Iterator<Item = Way> {
        self.by_end
            .into_iter()
            .flat_map(|((state, happened), all)| {
                all.into_iter().map(move |used| Way {
                    state,
                    happened: happened.clone(),
                    used,
                })
            })
    }
}

/// Of two lists in order.
fn is_subset(small: &[usize], large: &[usize]) -> bool {
    let mut rest = large.iter();
    small.iter().all(|one| rest.any(|other| other == one))
}

/// Checks the steps on one name, which are in any order.
pub(super) fn check(steps: &[Step], start: State) -> Verdict {
    let steps = alike(steps);
    let steps = steps.as_slice();
    let mut search = Search {
        steps,
        under_way: Vec::new(),
        ways: Ways::default(),
    };
    search.ways.insert(&Way {
        state: start,
        happened: Vec::new(),
        used: Vec::new(),
    });
    for (_, is_end, step) in events(steps) {
        if !is_end {
            search.begin(step);
            continue;
        }
        match search.end(step) {
            None => return Verdict::Undecided,
            Some(0) => return Verdict::Broken { step },
            Some(_) => {}
        }
    }
    Verdict::Explained
}

/// Gives unknown writes of values that nobody has seen one value, if they are alike for those who
/// look at sizes: then they are one to the search.
fn alike(steps: &[Step]) -> Vec<Step> {
    let seen = steps.iter().filter_map(|step| match step.act {
        Act::Is(value) | Act::Take(value) => Some(value),
        _ => None,
    });
    let seen: BTreeSet<Value> = seen.collect();
    let mut first = BTreeMap::new();
    let mut one_of = |value: Value| match seen.contains(&value) {
        true => value,
        false => *first
            .entry((is_hole(value), length(value)))
            .or_insert(value),
    };
    let unknown = steps.iter().map(|step| match (step.end_us, step.act) {
        (None, Act::Write(value)) => Act::Write(one_of(value)),
        (None, Act::WriteNew(value)) => Act::WriteNew(one_of(value)),
        (None, Act::Replace(value)) => Act::Replace(one_of(value)),
        (_, act) => act,
    });
    let acts = steps.iter().zip(unknown);
    acts.map(|(step, act)| Step { act, ..*step }).collect()
}

/// Begins and ends in order; at one moment begins come first, as then more is possible.
fn events(steps: &[Step]) -> Vec<(u64, bool, usize)> {
    let both = steps.iter().enumerate().flat_map(|(number, step)| {
        let begin = (step.begin_us, false, number);
        let end = step.end_us.map(|end_us| (end_us, true, number));
        [Some(begin), end]
    });
    let mut events: Vec<_> = both.flatten().collect();
    events.sort_unstable();
    events
}

struct Search<'a> {
    steps: &'a [Step],
    /// Steps that have begun and not ended, in order.
    under_way: Vec<usize>,
    ways: Ways,
}

impl Search<'_> {
    fn begin(&mut self, step: usize) {
        insert(&mut self.under_way, step);
        if self.steps[step].act.is_look() {
            let ways = std::mem::take(&mut self.ways);
            for way in ways.into_all() {
                let way = self.looked(way);
                self.ways.insert(&way);
            }
        }
    }

    /// Every way must have the step by now. Returns how many do.
    fn end(&mut self, step: usize) -> Option<usize> {
        let mut seen = Ways::default();
        let mut left = Ways::default();
        // The ways that use least come first: they make others needless.
        let mut work: VecDeque<Way> = std::mem::take(&mut self.ways).into_all().collect();
        while let Some(mut way) = work.pop_front() {
            if let Ok(place) = way.happened.binary_search(&step) {
                way.happened.remove(place);
                left.insert(&way);
                continue;
            }
            for next in self.nexts(&way) {
                if seen.insert(&next) {
                    work.push_back(next);
                }
            }
            if seen.count + left.count > WAYS_MAX {
                return None;
            }
        }
        self.under_way.retain(|one| *one != step);
        self.ways = left;
        Some(self.ways.count)
    }

    /// What may happen next. Of unknown steps that do the same one is enough, and one that
    /// makes nothing possible is left for later.
    fn nexts(&self, way: &Way) -> Vec<Way> {
        let is_open = |one: &usize| {
            way.happened.binary_search(one).is_err() && way.used.binary_search(one).is_err()
        };
        let open: Vec<usize> = self.under_way.iter().copied().filter(is_open).collect();
        let mut tried: Vec<Act> = Vec::new();
        let mut nexts = Vec::new();
        for one in &open {
            let step = self.steps[*one];
            let Some(state) = step.act.from(way.state) else {
                continue;
            };
            let mut next = Way {
                state,
                ..way.clone()
            };
            if step.end_us.is_some() {
                insert(&mut next.happened, *one);
            } else {
                let enables = |other: &usize| {
                    let act = self.steps[*other].act;
                    act.from(way.state).is_none() && act.from(state).is_some()
                };
                if tried.contains(&step.act) || !open.iter().any(enables) {
                    continue;
                }
                tried.push(step.act);
                insert(&mut next.used, *one);
            }
            nexts.push(self.looked(next));
        }
        nexts
    }

    /// A look that fits happens at once: nothing is lost by it, as it changes nothing.
    fn looked(&self, mut way: Way) -> Way {
        if way.state == State::Any {
            return way;
        }
        for one in &self.under_way {
            let act: Act = self.steps[*one].act;
            if act.is_look() && act.from(way.state) == Some(way.state) {
                insert(&mut way.happened, *one);
            }
        }
        way
    }
}

/// Keeps a list in order and without doubles.
fn insert(list: &mut Vec<usize>, one: usize) {
    if let Err(place) = list.binary_search(&one) {
        list.insert(place, one);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

    use super::*;
    use crate::torture::history::{Ask, Operation, Outcome};
    use crate::torture::model;

    fn step(act: Act, begin_us: u64, end_us: u64) -> Step {
        let end_us = Some(end_us);
        Step {
            act,
            begin_us,
            end_us,
        }
    }

    fn unknown(act: Act, begin_us: u64) -> Step {
        Step {
            act,
            begin_us,
            end_us: None,
        }
    }

    fn verdict(steps: &[Step]) -> Verdict {
        check(steps, State::Nothing)
    }

    #[test]
    fn bad_histories_are_refused() {
        let put = |value, begin, end| step(Act::Write(value), begin, end);
        let get = |value, begin, end| step(Act::Is(value), begin, end);
        let lost = |begin, end| step(Act::IsNothing, begin, end);
        let first = put(2, 0, 10);
        let table = [
            ("a lost write", vec![first, lost(20, 30)], Some(1)),
            ("a read while it is written", vec![first, lost(5, 30)], None),
            (
                "an old value",
                vec![first, put(4, 20, 30), get(2, 40, 50)],
                Some(2),
            ),
            (
                "an old value in time",
                vec![first, put(4, 20, 30), get(2, 25, 50)],
                None,
            ),
            (
                "a value that comes and goes",
                vec![first, put(4, 20, 60), get(4, 25, 30), get(2, 40, 50)],
                Some(3),
            ),
            (
                "two winners",
                vec![step(Act::WriteNew(2), 0, 10), step(Act::WriteNew(4), 5, 15)],
                Some(1),
            ),
            (
                "two winners with a removal between",
                vec![
                    step(Act::WriteNew(2), 0, 10),
                    step(Act::WriteNew(4), 5, 15),
                    step(Act::Remove, 1, 14),
                ],
                None,
            ),
            ("a value from nowhere", vec![first, get(6, 20, 30)], Some(1)),
            (
                "an unknown write happens late",
                vec![
                    first,
                    unknown(Act::Write(4), 2),
                    get(2, 20, 30),
                    get(4, 40, 50),
                ],
                None,
            ),
            (
                "an unknown write happens twice",
                vec![
                    first,
                    unknown(Act::Write(4), 2),
                    get(4, 20, 30),
                    put(6, 40, 50),
                    get(4, 60, 70),
                ],
                Some(4),
            ),
            (
                "an unknown removal is taken back",
                vec![
                    first,
                    unknown(Act::Remove, 12),
                    lost(20, 30),
                    get(2, 40, 50),
                ],
                Some(3),
            ),
        ];
        for (what, steps, expected) in table {
            let expected = expected.map_or(Verdict::Explained, |step| Verdict::Broken { step });
            assert_eq!(verdict(&steps), expected, "{what}");
        }
    }

    #[test]
    fn hundreds_of_unknown_writes_stay_small() {
        let mut steps = Vec::new();
        for round in 0..300 {
            let at = round * 100;
            steps.push(unknown(Act::Write(round * 4 + 2), at));
            steps.push(unknown(Act::Remove, at + 1));
            steps.push(step(Act::Write(round * 4 + 4), at + 10, at + 20));
            steps.push(step(Act::Is(round * 4 + 4), at + 30, at + 40));
        }
        assert_eq!(verdict(&steps), Verdict::Explained);
        let back = step(Act::Is(4), 40_000, 40_010);
        steps.push(back);
        assert_eq!(verdict(&steps), Verdict::Broken { step: 1_200 });
    }

    /// The same register for the other checker.
    #[derive(Clone)]
    struct Register(Option<u64>);

    impl SequentialSpec for Register {
        type Op = Ask;
        type Ret = Outcome;

        fn invoke(&mut self, ask: &Ask) -> Outcome {
            let before = self.0;
            match (*ask, before) {
                (Ask::Put(value), _) | (Ask::PutNew(value), None) => self.0 = Some(value),
                (Ask::PutNew(_), Some(_)) => return Outcome::Present,
                (Ask::Overwrite(_) | Ask::Delete | Ask::RenameAway | Ask::Get, None) => {
                    return Outcome::Absent;
                }
                (Ask::Overwrite(value), Some(_)) => self.0 = Some(value),
                (Ask::Delete, Some(_)) => self.0 = None,
                (Ask::RenameAway, Some(value)) => {
                    self.0 = None;
                    return Outcome::Saw(value);
                }
                (Ask::Get, Some(value)) => return Outcome::Saw(value),
                (other, _) => unreachable!("{other:?} is not drawn"),
            }
            Outcome::Done
        }
    }

    /// What four clients ask one after the other each, how long it takes, and what they are told.
    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let value = || (1u64..4).prop_map(|number| number * 2);
        let ask = prop_oneof![
            value().prop_map(Ask::Put),
            value().prop_map(Ask::PutNew),
            value().prop_map(Ask::Overwrite),
            Just(Ask::RenameAway),
            Just(Ask::Delete),
            Just(Ask::Get),
        ];
        let outcome = prop_oneof![
            3 => Just(Outcome::Done),
            1 => Just(Outcome::Present),
            2 => Just(Outcome::Absent),
            3 => value().prop_map(Outcome::Saw),
            1 => Just(Outcome::Unknown(String::new())),
        ];
        let one = (ask, outcome, 0u32..4, 1u64..6, 1u64..6);
        proptest::collection::vec(one, 1..9).prop_map(|all| {
            let mut free = [0u64; 4];
            let mut made = |(ask, mut outcome, client, wait, takes): (Ask, Outcome, u32, _, _)| {
                let is_look = matches!(ask, Ask::RenameAway | Ask::Get);
                if is_look && matches!(outcome, Outcome::Done | Outcome::Present) {
                    outcome = Outcome::Absent;
                }
                let at = &mut free[client as usize];
                // Odd and even moments: no begin is at the moment of an end.
                let begin_us = *at + wait * 2;
                *at = begin_us + takes * 2 + 1;
                let end_us = *at;
                *at += 1;
                Operation {
                    client,
                    name: "/a".to_owned(),
                    ask,
                    begin_us,
                    end_us,
                    outcome,
                }
            };
            all.into_iter().map(&mut made).collect()
        })
    }

    /// What stateright says. An unknown operation is one that is never answered, of a client that
    /// asks for nothing more.
    fn other_verdict(operations: &[Operation]) -> bool {
        let both = operations
            .iter()
            .enumerate()
            .flat_map(|(number, one)| [(one.begin_us, false, number), (one.end_us, true, number)]);
        let mut events: Vec<_> = both.collect();
        events.sort_unstable();
        let mut tester = LinearizabilityTester::new(Register(None));
        for (_, is_end, number) in events {
            let one = &operations[number];
            let is_unknown = one.outcome.is_unknown();
            if is_unknown && !one.ask.is_change() {
                continue;
            }
            let thread = if is_unknown {
                100 + number
            } else {
                one.client as usize
            };
            if !is_end {
                tester.on_invoke(thread, one.ask).expect("one at a time");
            } else if !is_unknown {
                tester
                    .on_return(thread, one.outcome.clone())
                    .expect("asked before");
            }
        }
        tester.is_consistent()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn stateright_says_the_same(operations in operations()) {
            let steps: Vec<_> = operations.iter().filter_map(model::step).collect();
            let said = verdict(&steps) == Verdict::Explained;
            prop_assert_eq!(said, other_verdict(&operations));
        }
    }
}
