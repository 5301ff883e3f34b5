//! What the roles hold of the cluster: calls to every server, who is up, how far, how loaded.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::board::{Board, Row};
use crate::caller::Caller;
use crate::config::{Config, ServerConfig};
use crate::deadline::Deadline;
use crate::errors::CallError;
use crate::ids::{Role, ServerId};
use crate::key::ClusterSecret;
use crate::link::ReplyBody;
use crate::link_keeper;
use crate::observed::{GroupEvent, GroupSnapshot, Load, PeerSnapshot, PeerState};
use crate::payload::Payload;
use crate::pending::{CallId, Pending};
use crate::replier::Replier;
use crate::rtt::{Rtt, choose_nearest};
use crate::service::{IncomingCall, Service};
use crate::shared::Shared;
use crate::trace::{Trace, Traces};

/// The cluster as one server sees it. Clones share it; usable from every thread.
#[derive(Clone)]
pub struct Mesh(Arc<MeshState>);

/// What the mesh, the group and its peers share.
pub(crate) struct MeshState {
    pub(crate) me: Arc<ServerConfig>,
    pub(crate) config: Arc<Config>,
    pub(crate) secret: ClusterSecret,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) board: Board,
    /// Calls of this server to itself.
    pub(crate) local: Arc<Pending>,
    /// The nearest mserver and dserver chosen last, 0 for none: what hysteresis remembers.
    nearest: [AtomicU16; 2],
}

impl Mesh {
    pub(crate) fn new(
        config: Arc<Config>,
        me: Arc<ServerConfig>,
        secret: ClusterSecret,
        service: Arc<dyn Service>,
        traces: Traces,
    ) -> Self {
        let local = Arc::new(Pending::default());
        let watched = Arc::clone(&local);
        tokio::spawn(async move { link_keeper::watch(&watched, |_| {}).await });
        Self(Arc::new(MeshState {
            me,
            config,
            secret,
            service,
            shared: Arc::new(Shared::new(traces)),
            board: Board::new(),
            local,
            nearest: [const { AtomicU16::new(0) }; 2],
        }))
    }

    pub(crate) fn state(&self) -> &MeshState {
        &self.0
    }

    /// This server.
    #[must_use]
    pub fn me(&self) -> ServerId {
        self.0.me.id
    }

    /// The configuration this server started with.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// An id for an operation that begins at this server.
    #[must_use]
    pub fn fresh_trace(&self) -> Trace {
        self.0.shared.traces.fresh()
    }

    /// An operation's call that is served here, of an ask that came in one call with others.
    #[must_use]
    pub fn served(&self, asked: Trace) -> Trace {
        self.0.shared.traces.call(asked)
    }

    /// One server, this one included.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<Arc<ServerConfig>> {
        if id == self.me() {
            return Some(Arc::clone(&self.0.me));
        }
        self.0.board.row(id).map(|row| row.server)
    }

    /// A key for one purpose derived from the cluster's secret: the same on every server.
    #[must_use]
    pub fn derive_key(&self, label: &str) -> [u8; 32] {
        self.0.secret.derive(label)
    }

    /// Asks a server; a call to `me()` is served here without a socket.
    ///
    /// # Errors
    /// `NotConnected` at once when that server is not up; else as [`Link::call`](crate::Link).
    #[expect(
        clippy::too_many_arguments,
        reason = "a call is these five and the mesh"
    )]
    pub async fn call(
        &self,
        to: ServerId,
        kind: u16,
        head: Bytes,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<ReplyBody, CallError> {
        if to == self.me() {
            return self.call_me(kind, head, payload, deadline).await;
        }
        let link = self.0.board.link(to).ok_or(CallError::NotConnected)?;
        link.call(kind, head, payload, deadline).await
    }

    async fn call_me(
        &self,
        kind: u16,
        head: Bytes,
        payload: Payload,
        deadline: Deadline,
    ) -> Result<ReplyBody, CallError> {
        let me = &self.0.me;
        if !self.0.service.is_allowed(kind, me.role) {
            return Err(CallError::NotAllowed(kind));
        }
        let pending = &self.0.local;
        let waiting = LocalWait {
            pending,
            id: Some(pending.begin(deadline.instant())?),
        };
        if let Some(id) = waiting.id {
            let trace = self.0.shared.traces.call(Trace::current());
            let from = Caller {
                role: me.role,
                server: Some(me.id),
                user: None,
                address: me.address,
            };
            let service = Arc::clone(&self.0.service);
            let reply = Replier::local((Arc::clone(pending), id), service, (kind, trace));
            self.0.service.serve(IncomingCall {
                from,
                kind,
                head,
                payload,
                deadline,
                trace,
                reply,
            });
        }
        let answer = waiting.await;
        if answer.as_ref().is_ok_and(|body| body.is_told) {
            Trace::tell_current();
        }
        answer
    }

    /// Whether calls to this server can be sent now; always true for `me()`.
    #[must_use]
    pub fn is_up(&self, id: ServerId) -> bool {
        id == self.me() || self.0.board.link(id).is_some_and(|link| link.is_up())
    }

    /// The servers of a role that are up, by number, this one included.
    #[must_use]
    pub fn up(&self, role: Role) -> Vec<ServerId> {
        self.with_me(role, |row| row.link.is_some())
    }

    /// All servers of a role, by number, this one included.
    #[must_use]
    pub fn all(&self, role: Role) -> Vec<ServerId> {
        self.with_me(role, |_| true)
    }

    fn with_me(&self, role: Role, is_wanted: impl Fn(&Row) -> bool) -> Vec<ServerId> {
        let mut ids = self
            .0
            .board
            .collect(|row| (row.server.role == role && is_wanted(row)).then_some(row.server.id));
        if self.0.me.role == role {
            ids.push(self.me());
            ids.sort_unstable();
        }
        ids
    }

    /// Round-trip time to a server, when it is up and was measured.
    #[must_use]
    pub fn rtt(&self, id: ServerId) -> Option<Rtt> {
        self.0.board.link(id)?.rtt()
    }

    /// The nearest server of a role that is up and not silent: this one if it has the role, else
    /// by smoothed round-trip time, kept until another is clearly nearer.
    #[must_use]
    pub fn nearest(&self, role: Role) -> Option<ServerId> {
        if self.0.me.role == role {
            return Some(self.me());
        }
        let kept = match role {
            Role::Mserver => &self.0.nearest[0],
            Role::Dserver => &self.0.nearest[1],
            Role::Client => return None,
        };
        let candidates = self.0.board.collect(|row| {
            let link = row.link.as_ref()?;
            let is_wanted = row.server.role == role && row.state == PeerState::Up;
            let rtt_us = link
                .rtt()
                .map_or(u64::from(u32::MAX), |rtt| rtt.smoothed_us);
            is_wanted.then_some((row.server.id.0, rtt_us))
        });
        let present = kept.load(Ordering::Relaxed);
        let chosen = choose_nearest((present != 0).then_some(present), candidates)?;
        kept.store(chosen, Ordering::Relaxed);
        Some(ServerId(chosen))
    }

    /// The load a server told last; of this one, the load that was set.
    #[must_use]
    pub fn load(&self, id: ServerId) -> Option<Load> {
        if id == self.me() {
            return Some(self.0.shared.load());
        }
        self.0.board.link(id)?.load()
    }

    /// Sets the load this server's pongs carry.
    pub fn set_load(&self, load: Load) {
        self.0.shared.set_load(load);
    }

    /// How often a connection with this server was established.
    #[must_use]
    pub fn epoch(&self, id: ServerId) -> u64 {
        self.0.board.row(id).map_or(0, |row| row.epoch)
    }

    /// Events from now on. A subscriber that falls far behind is told so by the receiver and reads
    /// the present state from [`Mesh::up`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<GroupEvent> {
        self.0.board.subscribe()
    }

    /// The group as it is now.
    #[must_use]
    pub fn snapshot(&self) -> GroupSnapshot {
        GroupSnapshot {
            me: self.me(),
            peers: self.0.board.collect(|row| Some(PeerSnapshot::of(row))),
            clients: self.0.shared.clients.load(Ordering::Relaxed),
            counters: self.0.shared.by_name(),
            calls: self.0.shared.times.all(),
            slowest: self.0.shared.slowest.all(),
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("me", &self.0.me.name)
            .finish_non_exhaustive()
    }
}

/// The wait for an answer of this server to itself.
struct LocalWait<'a> {
    pending: &'a Pending,
    /// `None` once answered.
    id: Option<CallId>,
}

impl Future for LocalWait<'_> {
    type Output = Result<ReplyBody, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(id) = self.id else {
            return Poll::Pending;
        };
        let answer = self.pending.poll_answer(id, context);
        if answer.is_ready() {
            self.id = None;
        }
        answer
    }
}

impl Drop for LocalWait<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.pending.abandon(id);
        }
    }
}

impl Drop for MeshState {
    fn drop(&mut self) {
        // Ends the task that watches the deadlines of these calls.
        self.local.end(CallError::NotConnected);
    }
}
