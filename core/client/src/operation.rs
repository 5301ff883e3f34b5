//! One operation of a program: every call that is made for it bears its id, which servers log.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sdfs_server_group::Trace;

use crate::client::Client;

/// An operation of several calls: a put, a get, what is done with an open file. Clones are the
/// same one.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    begun: Trace,
    is_told: Arc<AtomicBool>,
}

impl Operation {
    fn of(begun: Trace) -> Operation {
        Operation {
            begun,
            is_told: Arc::default(),
        }
    }

    fn trace(&self) -> Trace {
        if self.is_told.load(Ordering::Relaxed) {
            self.begun.told()
        } else {
            self.begun
        }
    }

    /// A server says that its logs tell of the operation; others then do so too.
    fn turn_told(&self) {
        self.is_told.store(true, Ordering::Relaxed);
    }
}

impl Client {
    /// This client for one operation: the one it is for already, or another.
    pub(crate) fn begin(&self) -> Client {
        let operation = match &self.operation {
            Some(operation) => operation.clone(),
            None => Operation::of(self.fresh_trace()),
        };
        Client {
            operation: Some(operation),
            ..self.clone()
        }
    }

    /// Works on something as part of the operation, or as one of its own.
    pub(crate) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        let operation = self.operation.as_ref();
        let trace = operation.map_or_else(|| self.fresh_trace(), Operation::trace);
        trace.scope(async move {
            let outcome = work.await;
            if let Some(operation) = operation.filter(|_| Trace::current().is_told()) {
                operation.turn_told();
            }
            outcome
        })
    }

    /// Whoever works on something already goes on under its id.
    fn fresh_trace(&self) -> Trace {
        let present = Trace::current();
        if present.is_none() {
            self.shared.traces.fresh()
        } else {
            present
        }
    }
}
