//! One operation of a program: every call that is made for it bears its id, which servers log.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sdfs_server_group::Trace;

use crate::client::Client;

/// An operation of several calls: a put, a get, what is done with an open file. Clones are the
/// same one.
#[derive(Clone, Debug)]
pub(crate) struct Operation(Arc<AtomicU64>);

impl Operation {
    fn of(trace: Trace) -> Operation {
        Operation(Arc::new(AtomicU64::new(trace.to_wire())))
    }

    fn trace(&self) -> Trace {
        Trace::from_wire(self.0.load(Ordering::Relaxed))
    }

    /// A server says that its logs tell of the operation; others then do so too.
    fn turn_told(&self) {
        self.0
            .store(self.trace().told().to_wire(), Ordering::Relaxed);
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
    pub(crate) async fn within<F: Future>(&self, work: F) -> F::Output {
        let Some(operation) = &self.operation else {
            return self.fresh_trace().scope(work).await;
        };
        let noting = async {
            let outcome = work.await;
            if Trace::current().is_told() {
                operation.turn_told();
            }
            outcome
        };
        operation.trace().scope(noting).await
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
