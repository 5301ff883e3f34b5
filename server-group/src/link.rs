//! One authenticated connection with many calls on it at once, both ways.

use bytes::Bytes;

use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::errors::{CallError, LostReason};
use crate::payload::Payload;

/// An answer.
#[derive(Debug, Clone)]
pub struct ReplyBody {
    /// The encoded answer.
    pub head: Bytes,
    /// The bulk bytes that came with it.
    pub payload: Payload,
}

/// One authenticated connection. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Link {}

impl Link {
    /// Asks the other end and waits for the answer, from any thread of any tokio runtime. Ends
    /// exactly once; dropping the future tells the other end that nobody waits any more.
    ///
    /// # Errors
    /// See [`CallError`]: each says whether the call may have been done.
    pub async fn call(
        &self,
        kind: u16,
        head: Bytes,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<ReplyBody, CallError> {
        todo!("{kind} {head:?} {payload:?} {deadline:?}")
    }

    /// The other end, as it proved itself.
    #[must_use]
    pub fn remote(&self) -> &Caller {
        todo!()
    }

    /// Whether the connection still stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        todo!()
    }

    /// Waits for the end of the connection.
    pub async fn lost(&self) -> LostReason {
        todo!()
    }

    /// Says goodbye and closes; calls in flight end with `Lost`.
    pub fn close(&self) {
        todo!()
    }
}
