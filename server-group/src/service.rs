//! What answers calls: the layer above.

use std::fmt;

use bytes::Bytes;

use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::ids::Role;
use crate::payload::Payload;
use crate::replier::Replier;
use crate::trace::Trace;

/// Answers the calls of the other ends of links.
pub trait Service: Send + Sync + 'static {
    /// Whether an end of this role may send calls of this kind. Unknown kinds are not allowed.
    fn is_allowed(&self, kind: u16, role: Role) -> bool;

    /// Takes one call. Runs on the task that reads the link, so it must not block: long work is
    /// handed on together with the replier.
    fn serve(&self, call: IncomingCall);

    /// What the log calls a kind of call.
    fn name_of(&self, kind: u16) -> String {
        format!("{kind:#06x}")
    }

    /// What an answer to a call of this kind comes to, in a word for the log.
    fn outcome_of(&self, _kind: u16, _answer: &[u8]) -> String {
        "answered".to_owned()
    }
}

impl fmt::Debug for dyn Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

/// One call as it arrived.
#[derive(Debug)]
pub struct IncomingCall {
    /// Who calls.
    pub from: Caller,
    /// What is asked; its meaning is the layer above's.
    pub kind: u16,
    /// The encoded request.
    pub head: Bytes,
    /// The bulk bytes that came with it.
    pub payload: Payload,
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// What it is asked for: whatever answers it runs in its scope.
    pub trace: Trace,
    /// Where the answer goes, once.
    pub reply: Replier,
}
