//! What a name is: a register that holds a value or nothing. What an operation's outcome says of
//! it, and which outcomes are possible in which state.

use super::content::{is_hole, length};
use super::history::{Ask, Operation, Outcome, Value};

/// What a name holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nothing.
    Nothing,
    /// A value.
    Holds(Value),
    /// Whatever: the beginning of a history whose beginning is left out.
    Any,
}

/// What an operation has done to a name or found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It holds this now.
    Write(Value),
    /// It held nothing, and holds this now.
    WriteNew(Value),
    /// It held something, and holds this now.
    Replace(Value),
    /// It held something, and holds nothing now.
    Remove,
    /// It held this, and holds nothing now.
    Take(Value),
    /// It held nothing.
    IsNothing,
    /// It held something.
    IsSomething,
    /// It held this.
    Is(Value),
    /// It held something that reads as zeros.
    IsZeros,
    /// It held something of so many bytes.
    IsSized(u64),
    /// Nothing explains the outcome.
    Impossible,
}

/// An act with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What.
    pub(super) act: Act,
    /// It has not happened before.
    pub(super) begin_us: u64,
    /// It has happened by then; `None` if it may happen later or never.
    pub(super) end_us: Option<u64>,
}

/// What an operation says of its name; `None` when it says nothing, as a read that failed.
pub(super) fn step(operation: &Operation) -> Option<Step> {
    let is_unknown = operation.outcome.is_unknown();
    Some(Step {
        act: act(operation.ask, &operation.outcome)?,
        begin_us: operation.begin_us,
        end_us: (!is_unknown).then_some(operation.end_us),
    })
}

fn act(ask: Ask, outcome: &Outcome) -> Option<Act> {
    if matches!(outcome, Outcome::Failed(_)) {
        return None;
    }
    let may_be_done = matches!(
        outcome,
        Outcome::Done | Outcome::Shown | Outcome::Unknown(_)
    );
    if ask.is_change() && may_be_done {
        return Some(match ask {
            Ask::Put(value) | Ask::RenameOver(value) => Act::Write(value),
            Ask::PutNew(value) | Ask::Create(value) | Ask::RenameTo(value) => Act::WriteNew(value),
            Ask::Overwrite(value) => Act::Replace(value),
            _ => Act::Remove,
        });
    }
    Some(match (ask, outcome) {
        (Ask::PutNew(_) | Ask::Create(_) | Ask::RenameTo(_), Outcome::Present) => Act::IsSomething,
        (Ask::RenameAway | Ask::Delete | Ask::Overwrite(_), Outcome::Absent) => Act::IsNothing,
        (Ask::RenameAway, Outcome::Saw(value)) => Act::Take(*value),
        // The other name is taken: of this one it says nothing.
        (Ask::RenameAway, Outcome::Present) => return None,
        (_, Outcome::Unknown(_)) => return None,
        (ask, _) if ask.is_change() => Act::Impossible,
        (_, Outcome::Saw(value)) => Act::Is(*value),
        (_, Outcome::SawZeros) => Act::IsZeros,
        (_, Outcome::Sized(bytes)) => Act::IsSized(*bytes),
        (_, Outcome::Present) => Act::IsSomething,
        (_, Outcome::Absent) => Act::IsNothing,
        _ => Act::Impossible,
    })
}

impl Act {
    /// The state after it; `None` when it cannot happen in this one.
    pub(super) fn from(self, state: State) -> Option<State> {
        let held = match state {
            State::Holds(value) => Some(value),
            _ => None,
        };
        let (is_something, is_nothing) = (state != State::Nothing, held.is_none());
        let may = |value: Value| state == State::Any || held == Some(value);
        match self {
            Act::Write(value) => Some(State::Holds(value)),
            Act::WriteNew(value) => is_nothing.then_some(State::Holds(value)),
            Act::Replace(value) => is_something.then_some(State::Holds(value)),
            Act::Remove => is_something.then_some(State::Nothing),
            Act::Take(value) => may(value).then_some(State::Nothing),
            Act::IsNothing => is_nothing.then_some(State::Nothing),
            Act::IsSomething => is_something.then_some(state),
            Act::Is(value) => may(value).then_some(State::Holds(value)),
            Act::IsZeros => (is_something && held.is_none_or(is_hole)).then_some(state),
            Act::IsSized(bytes) => {
                let fits = |value| length(value) == bytes;
                (is_something && held.is_none_or(fits)).then_some(state)
            }
            Act::Impossible => None,
        }
    }

    /// Whether it leaves the name as it is.
    pub(super) fn is_look(self) -> bool {
        matches!(
            self,
            Act::IsNothing | Act::IsSomething | Act::Is(_) | Act::IsZeros | Act::IsSized(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::content;

    #[test]
    fn acts_fit_their_states() {
        let (data, hole) = (content::value(1, 1, None), content::hole(1, 1));
        let (nothing, holds) = (State::Nothing, State::Holds);
        let table = [
            (Act::Write(2), nothing, Some(holds(2))),
            (Act::Write(2), holds(4), Some(holds(2))),
            (Act::WriteNew(2), nothing, Some(holds(2))),
            (Act::WriteNew(2), holds(4), None),
            (Act::Replace(2), nothing, None),
            (Act::Replace(2), holds(4), Some(holds(2))),
            (Act::Remove, nothing, None),
            (Act::Remove, holds(4), Some(nothing)),
            (Act::Take(2), holds(4), None),
            (Act::Take(4), holds(4), Some(nothing)),
            (Act::IsNothing, nothing, Some(nothing)),
            (Act::IsNothing, holds(4), None),
            (Act::IsSomething, nothing, None),
            (Act::IsSomething, holds(4), Some(holds(4))),
            (Act::Is(2), holds(4), None),
            (Act::Is(4), holds(4), Some(holds(4))),
            (Act::Is(4), State::Any, Some(holds(4))),
            (Act::IsZeros, holds(data), None),
            (Act::IsZeros, holds(hole), Some(holds(hole))),
            (Act::IsSized(length(data)), holds(data), Some(holds(data))),
            (Act::IsSized(length(data) + 1), holds(data), None),
            (Act::Impossible, State::Any, None),
        ];
        for (act, before, after) in table {
            assert_eq!(act.from(before), after, "{act:?} on {before:?}");
        }
    }

    #[test]
    fn outcomes_say_what_they_prove() {
        let unknown = Outcome::Unknown(String::new());
        let table = [
            (Ask::Put(2), Outcome::Done, Some(Act::Write(2))),
            (Ask::Put(2), unknown.clone(), Some(Act::Write(2))),
            (Ask::Put(2), Outcome::Present, Some(Act::Impossible)),
            (Ask::PutNew(2), Outcome::Present, Some(Act::IsSomething)),
            (Ask::Create(3), Outcome::Done, Some(Act::WriteNew(3))),
            (Ask::RenameTo(2), Outcome::Absent, Some(Act::Impossible)),
            (Ask::RenameAway, Outcome::Saw(2), Some(Act::Take(2))),
            (Ask::RenameAway, unknown.clone(), Some(Act::Remove)),
            (Ask::RenameAway, Outcome::Present, None),
            (Ask::Delete, Outcome::Absent, Some(Act::IsNothing)),
            (Ask::Delete, Outcome::Failed(String::new()), None),
            (Ask::Get, Outcome::Saw(2), Some(Act::Is(2))),
            (
                Ask::Get,
                Outcome::Garbled(String::new()),
                Some(Act::Impossible),
            ),
            (Ask::Get, unknown, None),
            (Ask::List, Outcome::Absent, Some(Act::IsNothing)),
        ];
        for (ask, outcome, expected) in table {
            assert_eq!(act(ask, &outcome), expected, "{ask:?} {outcome:?}");
        }
    }
}
