//! What the callers and the tasks of one connection share: its queue, its calls, its signs of life.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdfs_net_layer::{CloseReason, Flags, PacketKind, PacketParts, PacketSender, SendFault};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::cancelled::Cancelled;
use crate::deadline::Deadline;
use crate::errors::{CallError, LostReason};
use crate::limits::WHOLE_PAYLOAD_BYTES_MAX;
use crate::observed::Load;
use crate::payload::Payload;
use crate::pending::{CallId, Pending};
use crate::rtt::Rtt;
use crate::service::Service;
use crate::shared::Shared;
use crate::trace::Trace;
use crate::wire::RequestPrefix;

/// What is asked of the other end.
pub(crate) struct Call<'a> {
    pub(crate) kind: u16,
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a Payload,
    pub(crate) deadline: Deadline,
    pub(crate) trace: Trace,
}

/// What the callers and the tasks of one connection share.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) sender: PacketSender,
    pub(crate) pending: Pending,
    pub(crate) remote: Caller,
    pub(crate) shared: Arc<Shared>,
    /// Who answers the calls of the other end.
    pub(crate) service: Arc<dyn Service>,
    /// Calls of the other end being served.
    pub(crate) served: AtomicUsize,
    pub(crate) cancelled: Cancelled,
    /// The other end said that it closes in order.
    pub(crate) has_goodbye: AtomicBool,
    opened: Instant,
    /// When the other end was last heard, in microseconds since `opened`.
    heard_us: AtomicU64,
    /// Two records between the reading task and whoever observes; a leaf.
    vitals: Mutex<Vitals>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Vitals {
    pub(crate) rtt: Option<Rtt>,
    pub(crate) load: Option<Load>,
}

impl LinkState {
    pub(crate) fn new(
        sender: PacketSender,
        remote: Caller,
        shared: Arc<Shared>,
        service: Arc<dyn Service>,
    ) -> Self {
        Self {
            sender,
            pending: Pending::default(),
            remote,
            shared,
            service,
            served: AtomicUsize::new(0),
            cancelled: Cancelled::default(),
            has_goodbye: AtomicBool::new(false),
            opened: Instant::now(),
            heard_us: AtomicU64::new(0),
            vitals: Mutex::default(),
        }
    }

    pub(crate) fn send_request(&self, id: CallId, call: &Call<'_>) -> Result<(), SendFault> {
        let Call {
            kind,
            head,
            payload,
            deadline,
            trace,
        } = *call;
        let prefix = RequestPrefix {
            kind,
            remaining_ms: deadline.remaining_ms(),
            payload_bytes: u32::try_from(payload.len()).map_err(|_| SendFault::TooLarge)?,
            trace,
        }
        .to_wire();
        let mut parts = PacketParts {
            kind: PacketKind::Request,
            flags: Flags::NONE,
            request_id: id.0,
            prefix: &prefix,
            head,
            payload: payload.pieces(),
        };
        if payload.len() <= WHOLE_PAYLOAD_BYTES_MAX {
            return self.sender.try_send_parts(&parts);
        }
        parts.flags = Flags::MORE;
        parts.payload = &[];
        self.sender
            .try_send_chunked(&parts, payload.pieces().to_vec(), Flags::NONE)
    }

    /// Sends a packet without payload that must not wait.
    pub(crate) fn send_control(&self, kind: PacketKind, request_id: u64, head: &[u8]) {
        let parts = PacketParts {
            kind,
            flags: Flags::NONE,
            request_id,
            prefix: &[],
            head,
            payload: &[],
        };
        // Refused only when the connection has ended, which its reader tells everybody.
        self.sender.force_send_parts(&parts).unwrap_or(());
    }

    /// Asks for a sign of life. The request id is the moment, so the pong needs no memory here.
    pub(crate) fn ping(&self) {
        let sent_us = self.since_opened(Instant::now());
        self.send_control(PacketKind::Ping, sent_us, &[]);
    }

    /// Takes a pong for the ping sent at `sent_us`.
    pub(crate) fn note_pong(&self, sent_us: u64, load: Option<Load>) {
        let now_us = self.since_opened(Instant::now());
        let Some(round_us) = now_us.checked_sub(sent_us) else {
            return;
        };
        let measured = Duration::from_micros(round_us);
        let mut vitals = self.lock_vitals();
        vitals.rtt = Some(
            vitals
                .rtt
                .map_or(Rtt::first(measured), |rtt| rtt.then(measured)),
        );
        vitals.load = load.or(vitals.load);
    }

    pub(crate) fn note_heard(&self, now: Instant) {
        self.heard_us
            .store(self.since_opened(now), Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> Instant {
        self.opened + Duration::from_micros(self.heard_us.load(Ordering::Relaxed))
    }

    fn since_opened(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.opened);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn lock_vitals(&self) -> MutexGuard<'_, Vitals> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn vitals(&self) -> Vitals {
        *self.lock_vitals()
    }

    /// Closes, saying goodbye unless the other end is at fault, and ends the calls in flight.
    pub(crate) fn close(&self, reason: CloseReason) {
        if matches!(reason, CloseReason::Ours) && !self.sender.is_closed() {
            self.send_control(PacketKind::Goodbye, 0, &[]);
        }
        self.sender.close(reason);
        self.end_calls();
    }

    /// Ends the calls in flight: their answers cannot come any more.
    pub(crate) fn end_calls(&self) {
        self.pending.end(CallError::Lost { maybe_done: true });
    }

    pub(crate) fn lost_reason(&self, reason: CloseReason) -> LostReason {
        match reason {
            _ if self.has_goodbye.load(Ordering::Relaxed) => LostReason::Goodbye,
            CloseReason::Silent => LostReason::Silent,
            CloseReason::Replaced => LostReason::Replaced,
            CloseReason::BadPacket(_) | CloseReason::Unexpected | CloseReason::PacketTooSlow => {
                LostReason::BadPacket
            }
            CloseReason::WriteStalled | CloseReason::Overflow => LostReason::SlowReader,
            _ => LostReason::Closed,
        }
    }

    /// Tells the other end that nobody waits for this call any more.
    pub(crate) fn cancel(&self, id: CallId) {
        self.sender.withdraw(PacketKind::Request, id.0);
        self.send_control(PacketKind::Cancel, id.0, &[]);
    }
}
