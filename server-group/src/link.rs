//! One authenticated connection with many calls on it at once, both ways.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use sdfs_net_layer::{CloseReason, PacketReceiver, PacketSender, SendFault};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::errors::{CallError, LostReason};
use crate::keep_alive::KeepAlive;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::link_keeper;
use crate::link_reader::LinkReader;
use crate::link_state::{Call, LinkState};
use crate::observed::Load;
use crate::payload::Payload;
use crate::pending::CallId;
use crate::rtt::Rtt;
use crate::service::Service;
use crate::shared::{Shared, note};
use crate::trace::Trace;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyBody {
    /// The encoded answer.
    pub head: Bytes,
    /// The bulk bytes that came with it.
    pub payload: Payload,
    /// Whether the other end says that the logs tell of the operation it was asked for.
    pub is_told: bool,
}

/// One authenticated connection. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Link(Arc<Handle>);

/// Closes the connection when nobody can call on it any more. The tasks of the connection hold the
/// state below, so that they do not keep it open themselves.
#[derive(Debug)]
struct Handle(Arc<LinkState>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close(CloseReason::Ours);
    }
}

/// What a link is made of.
pub(crate) struct LinkParts {
    pub(crate) sender: PacketSender,
    pub(crate) receiver: PacketReceiver,
    pub(crate) remote: Caller,
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: Arc<dyn Service>,
}

/// How often a link without a peer actor pings, and the silence it bears.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepTimes {
    /// `None`: the other end does the pinging.
    pub(crate) ping_every: Option<Duration>,
    pub(crate) silence_max: Duration,
}

impl Link {
    /// Starts the tasks of a proven connection on the current runtime. Without `keep`, somebody
    /// else pings and judges the silence.
    pub(crate) fn start(parts: LinkParts, keep: Option<KeepTimes>) -> Self {
        let state = Arc::new(LinkState::new(
            parts.sender,
            parts.remote,
            parts.shared,
            parts.service,
        ));
        let reader = LinkReader::new(Arc::clone(&state), parts.receiver);
        tokio::spawn(reader.run());
        tokio::spawn(link_keeper::watch_deadlines(Arc::clone(&state)));
        if let Some(times) = keep {
            let ping_every = times.ping_every.unwrap_or(times.silence_max);
            let keep = KeepAlive::new(Instant::now(), ping_every, times.silence_max);
            let is_pinging = times.ping_every.is_some();
            tokio::spawn(link_keeper::keep_alive(
                Arc::clone(&state),
                keep,
                is_pinging,
            ));
        }
        Self(Arc::new(Handle(state)))
    }

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
        let state = &self.0.0;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        if deadline.is_over() {
            return Err(CallError::Deadline);
        }
        let id = state.pending.begin(deadline.instant())?;
        let mut waiting = Waiting {
            state,
            id,
            is_over: false,
            is_sent: false,
        };
        let asked = Call {
            kind,
            head: &head,
            payload: &payload,
            deadline,
            trace: Trace::current(),
        };
        loop {
            match state.send_request(id, &asked) {
                Ok(()) => break,
                Err(SendFault::Full) => {
                    let ended =
                        match select(pin!(state.sender.room()), pin!(waiting.answer())).await {
                            Either::Left(_) => None,
                            Either::Right((answer, _)) => Some(answer),
                        };
                    if let Some(answer) = ended {
                        return answer;
                    }
                }
                Err(SendFault::TooLarge) => return Err(CallError::TooLarge),
                Err(_) => return Err(CallError::NotConnected),
            }
        }
        // The memory of what was sent is the queue's affair from here.
        drop((head, payload));
        waiting.is_sent = true;
        let answer = waiting.answer().await;
        if answer.as_ref().is_ok_and(|body| body.is_told) {
            Trace::tell_current();
        }
        answer
    }

    /// The other end, as it proved itself.
    #[must_use]
    pub fn remote(&self) -> &Caller {
        &self.0.0.remote
    }

    /// Round-trip time, once measured.
    #[must_use]
    pub fn rtt(&self) -> Option<Rtt> {
        self.0.0.vitals().rtt
    }

    /// The load the other end told last.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        self.0.0.vitals().load
    }

    /// How long nothing has come from the other end.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.0.0.heard().elapsed()
    }

    /// Bytes queued towards the other end.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.0.0.sender.queued_bytes()
    }

    /// Calls of this end without an answer yet.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.0.0.pending.in_flight()
    }

    /// Whether the connection still stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.0.0.sender.is_closed()
    }

    /// Waits for the end of the connection.
    pub async fn lost(&self) -> LostReason {
        self.watch_end().await
    }

    /// The end of the connection, without holding it open.
    pub(crate) fn watch_end(&self) -> impl Future<Output = LostReason> + Send + use<> {
        let state = Arc::clone(&self.0.0);
        async move {
            let reason = state.sender.closed().await;
            state.lost_reason(reason)
        }
    }

    /// Says goodbye and closes; calls in flight end with `Lost`.
    pub fn close(&self) {
        self.0.0.close(CloseReason::Ours);
    }

    pub(crate) fn close_for(&self, reason: CloseReason) {
        self.0.0.close(reason);
    }

    /// Waits until what was queued at the close is written.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let sender = self.0.0.sender.clone();
        async move { sender.drained().await }
    }

    pub(crate) fn ping(&self) {
        self.0.0.ping();
    }

    pub(crate) fn heard(&self) -> Instant {
        self.0.0.heard()
    }
}

/// The wait for one answer; dropped early, the other end is told.
struct Waiting<'a> {
    state: &'a LinkState,
    id: CallId,
    is_over: bool,
    is_sent: bool,
}

impl Waiting<'_> {
    async fn answer(&mut self) -> Result<ReplyBody, CallError> {
        let answer = poll_fn(|context| self.state.pending.poll_answer(self.id, context)).await;
        self.is_over = true;
        match answer {
            Err(CallError::Lost { .. }) if !self.is_sent => Err(CallError::NotConnected),
            answer => answer,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over || !self.state.pending.abandon(self.id) || !self.is_sent {
            return;
        }
        note(&self.state.shared.calls.cancelled);
        self.state.cancel(self.id);
    }
}
