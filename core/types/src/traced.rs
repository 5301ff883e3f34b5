//! Something that travels with others in one call, beside the operation it is for.

use sdfs_server_group::Trace;
use serde::{Deserialize, Serialize};

/// One of several asks that were gathered into a call, and what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced<T> {
    /// The operation.
    pub trace: Trace,
    /// What is asked.
    pub ask: T,
}

impl<T> Traced<T> {
    /// For what the present task works on.
    pub fn now(ask: T) -> Traced<T> {
        Traced {
            trace: Trace::current(),
            ask,
        }
    }
}
