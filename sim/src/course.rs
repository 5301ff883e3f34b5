//! How far a run is, as its clients see it.

use std::cell::Cell;

use crate::history::Value;

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults strike: work.
    Faults,
    /// The cluster heals: wait.
    Healing,
    /// It has healed: show that it works.
    Proving,
}

/// How far a run is.
#[derive(Debug)]
pub(crate) struct Course {
    phase: Cell<Phase>,
    done: Cell<usize>,
    last_value: Cell<Value>,
}

impl Course {
    /// The beginning.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Faults),
            done: Cell::new(0),
            last_value: Cell::new(0),
        }
    }

    /// What clients are to do now.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Begins a phase.
    pub(crate) fn begin(&self, phase: Phase) {
        self.phase.set(phase);
        self.done.set(0);
    }

    /// Notes that a client is done with what it had begun in the phase before, or in this one.
    pub(crate) fn note_done(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// Clients that are done since the phase began.
    #[must_use]
    pub(crate) fn done(&self) -> usize {
        self.done.get()
    }

    /// A value no put of the run has stored.
    pub(crate) fn next_value(&self) -> Value {
        self.last_value.set(self.last_value.get() + 1);
        self.last_value.get()
    }
}
