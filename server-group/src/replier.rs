//! Where the answer to one call goes.

use bytes::Bytes;

use crate::payload::Payload;

/// Answers one call, once. Dropped unsent, the caller gets `Lost`.
#[derive(Debug)]
pub struct Replier {}

impl Replier {
    /// Sends the answer. Never waits: what the link cannot take now is kept until it can.
    pub fn send(self, head: Bytes, payload: Payload) {
        todo!("{head:?} {payload:?}")
    }

    /// Waits until the link has room for more bulk bytes, so that a slow caller holds up the
    /// reading of its own answers and nothing else.
    pub async fn room(&self) {
        todo!()
    }

    /// Whether the caller has given the call up, so the answer would be dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        todo!()
    }
}
