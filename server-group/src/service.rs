//! What answers calls: the layer above.

use bytes::Bytes;

use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::ids::Role;
use crate::payload::Payload;
use crate::replier::Replier;

/// Answers the calls of the other ends of links.
pub trait Service: Send + Sync + 'static {
    /// Whether an end of this role may send calls of this kind. Unknown kinds are not allowed.
    fn is_allowed(&self, kind: u16, role: Role) -> bool;

    /// Takes one call. Runs on the task that reads the link, so it must not block: long work is
    /// handed on together with the replier.
    fn serve(&self, call: IncomingCall);
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
    /// Where the answer goes, once.
    pub reply: Replier,
}
