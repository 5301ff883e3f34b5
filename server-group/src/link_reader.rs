//! The task that reads one link: answers go to their calls and requests to the service without
//! another hop.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use sdfs_net_layer::{CloseReason, Flags, Packet, PacketKind, PacketReceiver};
use tokio::time::Instant;

use crate::assembly::{Assemblies, AssemblyFault, Grown};
use crate::deadline::Deadline;
use crate::errors::CallError;
use crate::ids::Role;
use crate::limits::{PACKETS_PER_TURN, SERVED_MAX};
use crate::link::ReplyBody;
use crate::link_state::LinkState;
use crate::load_wire;
use crate::payload::Payload;
use crate::pending::CallId;
use crate::replier::Replier;
use crate::service::IncomingCall;
use crate::shared::note;
use crate::trace::Trace;
use crate::wire::{CallRefusal, RequestPrefix, take_payload_bytes};

pub(crate) struct LinkReader {
    state: Arc<LinkState>,
    receiver: PacketReceiver,
    requests: Assemblies<Request>,
    /// The head of a reply, and whether its operation is told.
    replies: Assemblies<(Bytes, bool)>,
    /// The stops of this process before the connection stood.
    stops: u64,
}

/// A request that waits for the rest of its payload.
#[derive(Debug)]
struct Request {
    id: u64,
    kind: u16,
    head: Bytes,
    deadline: Deadline,
    trace: Trace,
}

impl Drop for LinkReader {
    /// Also when the runtime ends that the tasks of the link run on: who waits for an answer on
    /// another one would wait for ever, for nobody watches deadlines any more.
    fn drop(&mut self) {
        self.state.end_calls();
    }
}

impl LinkReader {
    pub(crate) fn new(state: Arc<LinkState>, receiver: PacketReceiver) -> Self {
        Self {
            stops: state.shared.awake.stops(Instant::now()),
            state,
            receiver,
            requests: Assemblies::default(),
            replies: Assemblies::default(),
        }
    }

    /// Reads until the connection ends; the calls that wait for answers on it end with this.
    pub(crate) async fn run(mut self) {
        let reason = loop {
            if let Err(reason) = self.turn().await {
                break reason;
            }
        };
        tracing::debug!(remote = %self.state.remote.address, %reason, "link ended");
    }

    /// Handles what has arrived, then lets others run if it was much.
    async fn turn(&mut self) -> Result<(), CloseReason> {
        // A client that does not read its answers gets no further calls served; servers must be
        // heard always, for both ends answer each other.
        if self.is_choked() {
            // At the end of the connection the receiver says why.
            self.state.sender.room().await.unwrap_or(());
        }
        let first = self.receiver.next().await?;
        let now = Instant::now();
        self.check_awake(now)?;
        self.state.note_heard(now);
        self.handle(first, now)?;
        for _ in 1..PACKETS_PER_TURN {
            if self.is_choked() {
                return Ok(());
            }
            match self.receiver.next_ready()? {
                Some(packet) => self.handle(packet, now)?,
                None => return Ok(()),
            }
        }
        take_turn().await;
        Ok(())
    }

    fn is_choked(&self) -> bool {
        self.state.remote.role == Role::Client && !self.state.sender.has_room()
    }

    fn handle(&mut self, packet: Packet, now: Instant) -> Result<(), CloseReason> {
        match packet.kind {
            PacketKind::Request => return self.request(packet, now),
            PacketKind::Reply => return self.reply(packet),
            PacketKind::Chunk => return self.chunk(packet),
            PacketKind::Cancel => {
                if !self.requests.forget(packet.request_id) {
                    self.state.cancelled.note(packet.request_id);
                }
            }
            PacketKind::Ping => {
                let load = load_wire::to_wire(self.state.shared.load());
                self.state
                    .send_control(PacketKind::Pong, packet.request_id, &load);
            }
            PacketKind::Pong => {
                self.state
                    .note_pong(packet.request_id, load_wire::from_wire(&packet.head));
            }
            // The connection is read on: what was sent before the goodbye may still come.
            PacketKind::Goodbye => self.state.has_goodbye.store(true, Ordering::Relaxed),
            PacketKind::Hello | PacketKind::Proof | PacketKind::Refusal => {
                return Err(self.broken());
            }
        }
        Ok(())
    }

    /// The other end does not keep to the protocol.
    fn broken(&self) -> CloseReason {
        self.state.sender.close(CloseReason::Unexpected);
        CloseReason::Unexpected
    }

    fn request(&mut self, packet: Packet, now: Instant) -> Result<(), CloseReason> {
        let Packet {
            flags,
            request_id: id,
            mut head,
            payload,
            ..
        } = packet;
        let Some(prefix) = RequestPrefix::take(&mut head) else {
            return Err(self.broken());
        };
        let deadline = Deadline::at(now + Duration::from_millis(prefix.remaining_ms.into()));
        let kind = prefix.kind;
        if let Some(refusal) = self.refusal(kind) {
            self.state.refuse(id, refusal);
            return Ok(());
        }
        let request = Request {
            id,
            kind,
            head,
            deadline,
            trace: self.state.shared.traces.call(prefix.trace),
        };
        if !flags.contains(Flags::MORE) {
            return self.serve(request, Payload::from(payload));
        }
        match self
            .requests
            .begin(id, request, prefix.payload_bytes as usize)
        {
            Ok(()) => {}
            Err((AssemblyFault::TooLarge, _)) => self.state.refuse(id, CallRefusal::TooLarge),
            Err((AssemblyFault::Full, _)) => {
                note(&self.state.shared.calls.full);
                self.state.refuse(id, CallRefusal::Full);
            }
        }
        Ok(())
    }

    fn refusal(&self, kind: u16) -> Option<CallRefusal> {
        if !self.state.service.is_allowed(kind, self.state.remote.role) {
            note(&self.state.shared.calls.not_allowed);
            return Some(CallRefusal::NotAllowed(kind));
        }
        if self.state.served.load(Ordering::Relaxed) >= SERVED_MAX {
            note(&self.state.shared.calls.full);
            return Some(CallRefusal::Full);
        }
        None
    }

    /// Ends the connection when this process was stopped since it stands: nobody knows how long
    /// what is read now has been waiting, and its sender has given it up.
    fn check_awake(&self, now: Instant) -> Result<(), CloseReason> {
        if self.state.shared.awake.stops(now) == self.stops {
            return Ok(());
        }
        self.state.sender.close(CloseReason::Stopped);
        Err(CloseReason::Stopped)
    }

    fn serve(&self, request: Request, payload: Payload) -> Result<(), CloseReason> {
        self.check_awake(Instant::now())?;
        let (kind, trace) = (request.kind, request.trace);
        self.state.service.serve(IncomingCall {
            from: self.state.remote.clone(),
            kind,
            head: request.head,
            payload,
            deadline: request.deadline,
            trace,
            reply: Replier::remote(Arc::clone(&self.state), request.id, (kind, trace)),
        });
        Ok(())
    }

    fn reply(&mut self, packet: Packet) -> Result<(), CloseReason> {
        let Packet {
            flags,
            request_id: id,
            mut head,
            payload,
            ..
        } = packet;
        if flags.contains(Flags::REFUSED) {
            let Some(refusal) = CallRefusal::from_wire(&head) else {
                return Err(self.broken());
            };
            self.complete(id, Err(refusal.error()));
            return Ok(());
        }
        let is_told = flags.contains(Flags::TOLD);
        if !flags.contains(Flags::MORE) {
            let payload = Payload::from(payload);
            let body = ReplyBody {
                head,
                payload,
                is_told,
            };
            self.complete(id, Ok(body));
            return Ok(());
        }
        let Some(bytes) = take_payload_bytes(&mut head) else {
            return Err(self.broken());
        };
        if !self.state.pending.is_waiting(CallId(id)) {
            note(&self.state.shared.calls.late_answers);
            return Ok(());
        }
        if self
            .replies
            .begin(id, (head, is_told), bytes as usize)
            .is_err()
        {
            self.complete(id, Err(CallError::TooLarge));
            self.state.cancel(CallId(id));
        }
        Ok(())
    }

    fn chunk(&mut self, packet: Packet) -> Result<(), CloseReason> {
        let is_last = !packet.flags.contains(Flags::MORE);
        let id = packet.request_id;
        if packet.flags.contains(Flags::OF_REPLY) {
            match self.replies.grow(id, packet.payload, is_last) {
                Grown::Whole((head, is_told), payload) => {
                    let body = ReplyBody {
                        head,
                        payload,
                        is_told,
                    };
                    self.complete(id, Ok(body));
                }
                Grown::Partly if !self.state.pending.is_waiting(CallId(id)) => {
                    self.replies.forget(id);
                }
                Grown::Partly => {}
                Grown::Unknown => note(&self.state.shared.calls.late_chunks),
                Grown::Wrong => return Err(self.broken()),
            }
            return Ok(());
        }
        match self.requests.grow(id, packet.payload, is_last) {
            Grown::Whole(request, payload) => self.serve(request, payload)?,
            Grown::Partly => {}
            Grown::Unknown => note(&self.state.shared.calls.late_chunks),
            Grown::Wrong => return Err(self.broken()),
        }
        Ok(())
    }

    fn complete(&self, id: u64, answer: Result<ReplyBody, CallError>) {
        if !self.state.pending.complete(CallId(id), answer) {
            note(&self.state.shared.calls.late_answers);
        }
    }
}

/// Ready once, at the next poll after this one: lets other tasks of the thread run.
async fn take_turn() {
    let mut is_next = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_next, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
