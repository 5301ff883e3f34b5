//! The actor of one peer: tells the machine what happens and does what it says.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use sdfs_net_layer::{CloseReason, ConnectionOptions, Transport, open};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::caller::Caller;
use crate::config::ServerConfig;
use crate::errors::{LostReason, RefusalReason};
use crate::handshake::{self, Connection, HandshakeFault};
use crate::hello::{Hello, Proof, fresh};
use crate::link::{Link, LinkParts};
use crate::mesh::Mesh;
use crate::observed::GroupEvent;
use crate::peer_life::{Attempt, Effect, Epoch, Event, LifeRules, PeerLife};

/// One peer.
pub(crate) struct Peer {
    server: Arc<ServerConfig>,
    mesh: Mesh,
    transport: Arc<dyn Transport>,
    /// This server's hello, but for its nonce and whom it is for.
    hello: Hello,
    life: PeerLife,
    link: Option<Link>,
    dialing: Option<AbortHandle>,
    timer: Option<SpawnHandle>,
    /// What the peer refused last for, so that a lasting refusal is logged once.
    refused: Option<RefusalReason>,
}

/// A proven connection that may become the peer's.
pub(crate) struct Candidate {
    pub(crate) connection: Connection,
    /// Which run of the peer it is with.
    pub(crate) instance: u64,
    pub(crate) address: std::net::SocketAddr,
    /// The proof that admits it, when the peer dialed.
    pub(crate) proof: Option<Proof>,
}

/// The peer dialed and proved itself.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Offer(pub(crate) Candidate);

/// The peer leaves, or this server stops. Answers when what was queued is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Leave(pub(crate) LostReason);

#[derive(Message)]
#[rtype(result = "()")]
struct DialConnected(Attempt);

#[derive(Message)]
#[rtype(result = "()")]
struct DialDone {
    attempt: Attempt,
    outcome: Result<Candidate, Option<RefusalReason>>,
}

impl Peer {
    pub(crate) fn start(
        server: Arc<ServerConfig>,
        mesh: Mesh,
        transport: Arc<dyn Transport>,
        hello: Hello,
    ) -> Addr<Self> {
        let timers = mesh.config().timers;
        let rules = LifeRules {
            me: mesh.me(),
            peer: server.id,
            ping_every: Duration::from_millis(timers.ping_every_ms),
            silence_max: Duration::from_millis(timers.silence_ms_max),
            seed: hello.instance ^ u64::from(server.id.0),
        };
        let life = PeerLife::new(rules, Instant::now());
        Actor::start(Self {
            server,
            mesh,
            transport,
            hello,
            life,
            link: None,
            dialing: None,
            timer: None,
            refused: None,
        })
    }

    fn on(&mut self, event: Event, candidate: Option<Candidate>, context: &mut Context<Self>) {
        let mut candidate = candidate;
        for effect in self.life.on(Instant::now(), event) {
            match effect {
                Effect::Dial(attempt) => self.dial(attempt, context),
                Effect::CancelDial => self.cancel_dial(),
                Effect::Establish(epoch) => {
                    if let Some(candidate) = candidate.take() {
                        self.establish(candidate, epoch, context);
                    }
                }
                Effect::Refuse(reason) => {
                    if let Some(candidate) = candidate.take() {
                        self.mesh.state().shared.note_refused(&reason);
                        candidate.connection.refuse(&reason);
                    }
                }
                Effect::Lose(reason) => self.lose(reason),
                Effect::Ping => {
                    if let Some(link) = &self.link {
                        link.ping();
                    }
                }
            }
        }
        self.mesh
            .state()
            .board
            .set_state(self.server.id, self.life.state());
        self.set_timer(context);
    }

    fn set_timer(&mut self, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        let Some(due) = self.life.due() else { return };
        let wait = due.saturating_duration_since(Instant::now());
        self.timer = Some(context.run_later(wait, |peer, context| {
            peer.timer = None;
            let heard = peer.link.as_ref().map(Link::heard);
            peer.on(Event::Due { heard }, None, context);
        }));
    }

    fn dial(&mut self, attempt: Attempt, context: &mut Context<Self>) {
        let task = DialTask {
            transport: Arc::clone(&self.transport),
            server: Arc::clone(&self.server),
            mesh: self.mesh.clone(),
            hello: Hello {
                to: self.server.id.0,
                ..self.hello.clone()
            },
            peer: context.address(),
            attempt,
        };
        self.dialing = Some(tokio::spawn(task.run()).abort_handle());
    }

    fn cancel_dial(&mut self) {
        if let Some(dialing) = self.dialing.take() {
            dialing.abort();
        }
    }

    fn establish(&mut self, candidate: Candidate, epoch: Epoch, context: &mut Context<Self>) {
        if let Some(proof) = &candidate.proof {
            // A connection that ended meanwhile is reported by the link made of it.
            candidate.connection.admit(proof).unwrap_or(());
        }
        let state = self.mesh.state();
        let remote = Caller {
            role: self.server.role,
            server: Some(self.server.id),
            user: None,
            address: candidate.address,
        };
        let parts = LinkParts {
            sender: candidate.connection.sender,
            receiver: candidate.connection.receiver,
            remote,
            shared: Arc::clone(&state.shared),
            service: Arc::clone(&state.service),
        };
        let link = Link::start(parts, None);
        let ended = link.watch_end().into_actor(self);
        context.spawn(ended.map(move |reason, peer, context| {
            peer.on(Event::Ended(epoch, reason), None, context);
        }));
        self.refused = None;
        self.link = Some(link.clone());
        state.board.establish(self.server.id, link, epoch.0);
        tracing::info!(peer = %self.server.name, epoch = epoch.0, "established");
    }

    fn lose(&mut self, reason: LostReason) {
        if let Some(link) = self.link.take() {
            link.close_for(match reason {
                LostReason::Silent => CloseReason::Silent,
                LostReason::Replaced => CloseReason::Replaced,
                _ => CloseReason::Ours,
            });
        }
        tracing::info!(peer = %self.server.name, %reason, "lost");
        let event = GroupEvent::Lost(self.server.id, reason);
        self.mesh.state().board.lose(self.server.id, event);
    }

    fn note_refusal(&mut self, refusal: Option<RefusalReason>) {
        match &refusal {
            None | Some(RefusalReason::SimultaneousDial | RefusalReason::Stopping) => {}
            Some(reason) if self.refused.as_ref() != Some(reason) => {
                tracing::warn!(peer = %self.server.name, %reason, "no connection");
                self.refused = refusal;
            }
            Some(_) => {}
        }
    }
}

impl Actor for Peer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.set_timer(context);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.cancel_dial();
    }
}

impl Handler<Offer> for Peer {
    type Result = ();

    fn handle(&mut self, Offer(candidate): Offer, context: &mut Self::Context) {
        self.on(Event::Offered(candidate.instance), Some(candidate), context);
    }
}

impl Handler<DialConnected> for Peer {
    type Result = ();

    fn handle(&mut self, DialConnected(attempt): DialConnected, context: &mut Self::Context) {
        self.on(Event::Connected(attempt), None, context);
    }
}

impl Handler<DialDone> for Peer {
    type Result = ();

    fn handle(&mut self, done: DialDone, context: &mut Self::Context) {
        match done.outcome {
            Ok(candidate) => {
                let event = Event::Proved(done.attempt, candidate.instance);
                self.on(event, Some(candidate), context);
            }
            Err(refusal) => {
                self.note_refusal(refusal);
                self.on(Event::Failed(done.attempt), None, context);
            }
        }
    }
}

impl Handler<Leave> for Peer {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Leave(reason): Leave, context: &mut Self::Context) -> Self::Result {
        let drained = self.link.as_ref().map(Link::drained);
        self.on(Event::Removed(reason), None, context);
        context.stop();
        Box::pin(async move {
            if let Some(drained) = drained {
                drained.await;
            }
        })
    }
}

/// One dial and its handshake.
struct DialTask {
    transport: Arc<dyn Transport>,
    server: Arc<ServerConfig>,
    mesh: Mesh,
    hello: Hello,
    peer: Addr<Peer>,
    attempt: Attempt,
}

impl DialTask {
    async fn run(self) {
        let outcome = self.candidate().await;
        let done = DialDone {
            attempt: self.attempt,
            outcome,
        };
        // An actor that is gone wants no connection; the message closes it.
        self.peer.send(done).await.unwrap_or(());
    }

    /// `Err` with the reason when one end refused, without when there was nobody.
    async fn candidate(&self) -> Result<Candidate, Option<RefusalReason>> {
        let timers = self.mesh.config().timers;
        let address = self.server.address;
        let dial_end = Instant::now() + Duration::from_millis(timers.dial_ms_max);
        let dialed = sdfs_net_layer::dial(self.transport.as_ref(), address, dial_end).await;
        let stream = dialed.map_err(|error| {
            tracing::debug!(peer = %self.server.name, %error, "dial failed");
            None
        })?;
        // Known before the hello is: from here on the peer may rely on this dial.
        self.peer
            .send(DialConnected(self.attempt))
            .await
            .map_err(|_| None)?;
        let state = self.mesh.state();
        let options = ConnectionOptions::before_auth(
            Arc::clone(&state.shared.net),
            Arc::clone(&state.shared.buffers),
        );
        let (sender, receiver) = open(stream, options);
        let mut connection = Connection { sender, receiver };
        let mine = Hello {
            nonce: fresh().map_err(|_| None)?,
            ..self.hello.clone()
        };
        let wait = Duration::from_millis(timers.handshake_ms_max);
        let shaking = handshake::dial(&mut connection, &mine, state.secret.bytes());
        let outcome = timeout(wait, shaking).await;
        match outcome {
            Ok(Ok(dialed)) => {
                let instance = dialed.theirs.instance;
                Ok(Candidate {
                    connection,
                    instance,
                    address,
                    proof: None,
                })
            }
            Ok(Err(HandshakeFault::Theirs(reason))) => Err(Some(reason)),
            Ok(Err(HandshakeFault::Ours(reason))) => {
                state.shared.note_refused(&reason);
                connection.refuse(&reason);
                Err(Some(reason))
            }
            Ok(Err(HandshakeFault::Closed(_) | HandshakeFault::Randomness(_))) => Err(None),
            Err(_) => {
                connection.sender.close(CloseReason::NotProven);
                Err(None)
            }
        }
    }
}
