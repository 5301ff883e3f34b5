//! Where the answer to one call goes.

use std::fmt;
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
use crate::service::Service;
use crate::shared::note;
use crate::trace::{Trace, tell_call};
use crate::wire::CallRefusal;

/// Answers one call, once. Dropped unsent, the caller gets `Lost`.
#[derive(Debug)]
pub struct Replier {
    to: Option<To>,
    kind: u16,
    trace: Trace,
    begun: Instant,
}

#[derive(Debug)]
enum To {
    /// The other end of a link.
    Remote { state: Arc<LinkState>, id: u64 },
    /// A call of this server to itself.
    Local {
        pending: Arc<Pending>,
        id: CallId,
        service: Arc<dyn Service>,
    },
}

impl Replier {
    pub(crate) fn remote(state: Arc<LinkState>, id: u64, asked: (u16, Trace)) -> Self {
        state.served.fetch_add(1, Ordering::Relaxed);
        Self::new(To::Remote { state, id }, asked)
    }

    pub(crate) fn local(
        (pending, id): (Arc<Pending>, CallId),
        service: Arc<dyn Service>,
        asked: (u16, Trace),
    ) -> Self {
        let to = To::Local {
            pending,
            id,
            service,
        };
        Self::new(to, asked)
    }

    fn new(to: To, (kind, trace): (u16, Trace)) -> Self {
        Self {
            to: Some(to),
            kind,
            trace,
            begun: Instant::now(),
        }
    }

    /// Sends the answer. Never waits: what the link cannot take now is kept until it can.
    pub fn send(mut self, head: Bytes, payload: Payload) {
        let Some(to) = self.to.take() else {
            return;
        };
        let trace = self.trace.as_now();
        self.log(trace, &to, Some(&head));
        let is_told = trace.is_told();
        match to {
            To::Remote { state, id } => {
                state.served.fetch_sub(1, Ordering::Relaxed);
                let now = Instant::now();
                let shared = &state.shared;
                shared.times.note(self.kind, now.duration_since(self.begun));
                let from = || state.remote.to_string();
                let times = (self.begun, now);
                shared.slowest.note((self.kind, trace), times, from);
                if state.cancelled.contains(id) {
                    state.cancelled.forget(id);
                    return;
                }
                let body = ReplyBody {
                    head,
                    payload,
                    is_told,
                };
                state.answer(id, &body);
            }
            To::Local { pending, id, .. } => {
                let body = ReplyBody {
                    head,
                    payload,
                    is_told,
                };
                // False when the caller waits no more, which is the caller's choice.
                pending.complete(id, Ok(body));
            }
        }
    }

    /// Waits until the link has room for more bulk bytes, so that a slow caller holds up the
    /// reading of its own answers and nothing else. Returns at once when the link has ended.
    pub async fn room(&self) {
        if let Some(To::Remote { state, .. }) = &self.to {
            state.sender.room().await.unwrap_or(());
        }
    }

    /// Whether the caller has given the call up, so the answer would be dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match &self.to {
            Some(To::Remote { state, id }) => {
                state.sender.is_closed() || state.cancelled.contains(*id)
            }
            Some(To::Local { pending, id, .. }) => !pending.is_waiting(*id),
            None => true,
        }
    }

    /// The line about an operation's call; without an answer it was dropped.
    fn log(&self, trace: Trace, to: &To, answer: Option<&[u8]>) {
        if !trace.is_logged() {
            return;
        }
        let (service, from): (_, &dyn fmt::Display) = match to {
            To::Remote { state, .. } => (&state.service, &state.remote),
            To::Local { service, .. } => (service, &"itself"),
        };
        let outcome = match answer {
            Some(answer) => service.outcome_of(self.kind, answer),
            None => "dropped".to_owned(),
        };
        let call = service.name_of(self.kind);
        tell_call(trace, (&call, from), self.begun, &outcome);
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        let Some(to) = self.to.take() else {
            return;
        };
        self.log(self.trace.as_now(), &to, None);
        match to {
            To::Remote { state, id } => {
                state.served.fetch_sub(1, Ordering::Relaxed);
                state.cancelled.forget(id);
                note(&state.shared.calls.dropped);
                state.refuse(id, CallRefusal::Dropped);
            }
            To::Local { pending, id, .. } => {
                pending.complete(id, Err(CallError::Lost { maybe_done: true }));
            }
        }
    }
}

impl LinkState {
    fn answer(&self, id: u64, body: &ReplyBody) {
        let payload = &body.payload;
        let flags = if body.is_told {
            Flags::TOLD
        } else {
            Flags::NONE
        };
        let mut parts = PacketParts {
            kind: PacketKind::Reply,
            flags,
            request_id: id,
            prefix: &[],
            head: &body.head,
            payload: payload.pieces(),
        };
        let sent = if payload.len() <= WHOLE_PAYLOAD_BYTES_MAX {
            self.sender.force_send_parts(&parts)
        } else if payload.len() > PAYLOAD_BYTES_MAX {
            Err(SendFault::TooLarge)
        } else {
            let bytes = u32::try_from(payload.len()).expect("PAYLOAD_BYTES_MAX is below 4 GiB");
            let prefix = bytes.to_le_bytes();
            parts.flags = flags.with(Flags::MORE);
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
