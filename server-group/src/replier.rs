//! Where the answer to one call goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sdfs_net_layer::{Flags, PacketKind, PacketParts, SendFault};
use tokio::time::Instant;

use crate::errors::CallError;
use crate::limits::{PAYLOAD_BYTES_MAX, WHOLE_PAYLOAD_BYTES_MAX};
use crate::link::ReplyBody;
use crate::link_state::LinkState;
use crate::payload::Payload;
use crate::pending::{CallId, Pending};
use crate::shared::note;
use crate::wire::CallRefusal;

/// Answers one call, once. Dropped unsent, the caller gets `Lost`.
#[derive(Debug)]
pub struct Replier(Option<To>);

#[derive(Debug)]
enum To {
    /// The other end of a link.
    Remote {
        state: Arc<LinkState>,
        id: u64,
        kind: u16,
        begun: Instant,
    },
    /// A call of this server to itself.
    Local { pending: Arc<Pending>, id: CallId },
}

impl Replier {
    pub(crate) fn remote(state: Arc<LinkState>, id: u64, kind: u16) -> Self {
        state.served.fetch_add(1, Ordering::Relaxed);
        Self(Some(To::Remote {
            state,
            id,
            kind,
            begun: Instant::now(),
        }))
    }

    pub(crate) fn local(pending: Arc<Pending>, id: CallId) -> Self {
        Self(Some(To::Local { pending, id }))
    }

    /// Sends the answer. Never waits: what the link cannot take now is kept until it can.
    pub fn send(mut self, head: Bytes, payload: Payload) {
        match self.0.take() {
            Some(To::Remote {
                state,
                id,
                kind,
                begun,
            }) => {
                state.served.fetch_sub(1, Ordering::Relaxed);
                state.shared.times.note(kind, begun.elapsed());
                if state.cancelled.contains(id) {
                    state.cancelled.forget(id);
                    return;
                }
                state.answer(id, &head, payload);
            }
            Some(To::Local { pending, id }) => {
                // False when the caller waits no more, which is the caller's choice.
                pending.complete(id, Ok(ReplyBody { head, payload }));
            }
            None => {}
        }
    }

    /// Waits until the link has room for more bulk bytes, so that a slow caller holds up the
    /// reading of its own answers and nothing else. Returns at once when the link has ended.
    pub async fn room(&self) {
        if let Some(To::Remote { state, .. }) = &self.0 {
            state.sender.room().await.unwrap_or(());
        }
    }

    /// Whether the caller has given the call up, so the answer would be dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match &self.0 {
            Some(To::Remote { state, id, .. }) => {
                state.sender.is_closed() || state.cancelled.contains(*id)
            }
            Some(To::Local { pending, id }) => !pending.is_waiting(*id),
            None => true,
        }
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        match self.0.take() {
            Some(To::Remote { state, id, .. }) => {
                state.served.fetch_sub(1, Ordering::Relaxed);
                state.cancelled.forget(id);
                note(&state.shared.calls.dropped);
                state.refuse(id, CallRefusal::Dropped);
            }
            Some(To::Local { pending, id }) => {
                pending.complete(id, Err(CallError::Lost { maybe_done: true }));
            }
            None => {}
        }
    }
}

impl LinkState {
    fn answer(&self, id: u64, head: &[u8], payload: Payload) {
        let mut parts = PacketParts {
            kind: PacketKind::Reply,
            flags: Flags::NONE,
            request_id: id,
            prefix: &[],
            head,
            payload: payload.pieces(),
        };
        let sent = if payload.len() <= WHOLE_PAYLOAD_BYTES_MAX {
            self.sender.force_send_parts(&parts)
        } else if payload.len() > PAYLOAD_BYTES_MAX {
            Err(SendFault::TooLarge)
        } else {
            let bytes = u32::try_from(payload.len()).expect("PAYLOAD_BYTES_MAX is below 4 GiB");
            let prefix = bytes.to_le_bytes();
            parts.flags = Flags::MORE;
            parts.prefix = &prefix;
            parts.payload = &[];
            self.sender
                .force_send_chunked(&parts, payload.pieces().to_vec(), Flags::OF_REPLY)
        };
        if sent == Err(SendFault::TooLarge) {
            self.refuse(id, CallRefusal::TooLarge);
        }
        // Closed: the caller learns of it from the end of the link.
    }

    /// Answers a call with a refusal.
    pub(crate) fn refuse(&self, id: u64, refusal: CallRefusal) {
        let parts = PacketParts {
            kind: PacketKind::Reply,
            flags: Flags::REFUSED,
            request_id: id,
            prefix: &[],
            head: &refusal.to_wire(),
            payload: &[],
        };
        // Refused only when the link has ended, which the caller learns anyway.
        self.sender.force_send_parts(&parts).unwrap_or(());
    }
}
