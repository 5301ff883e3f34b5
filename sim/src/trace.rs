//! What happened in a run, line by line: two runs of one seed must have the same lines.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// The lines of a run. Clones are the same trace.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Rc<RefCell<Vec<String>>>,
    ended: Rc<Cell<Option<Duration>>>,
    begin: Instant,
}

impl Trace {
    /// An empty trace that begins now.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            lines: Rc::default(),
            ended: Rc::default(),
            begin: Instant::now(),
        }
    }

    /// Time since the beginning, by the clock of the host that asks.
    #[must_use]
    pub(crate) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.begin)
    }

    /// Adds a line.
    pub(crate) fn say(&self, line: &str) {
        let now_ms = self.now().as_millis();
        tracing::info!(now_ms, "{line}");
        if self.ended.get().is_none() {
            self.lines.borrow_mut().push(format!("{now_ms:>7} {line}"));
        }
    }

    /// Takes no more lines: what comes is not the same in two runs.
    pub(crate) fn end(&self) {
        self.ended.set(Some(self.now()));
    }

    /// How long the part of the run took that is the same in two.
    pub(crate) fn took(&self) -> Duration {
        self.ended.get().unwrap_or_else(|| self.now())
    }

    /// The lines so far.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
