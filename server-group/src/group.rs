//! The actor of the group: who belongs to it, and what becomes of accepted connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use sdfs_net_layer::{Accepted, Listener, StopListening, Transport};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accept::Reception;
use crate::config::{Config, ServerConfig};
use crate::errors::{LostReason, RefusalReason, StartError};
use crate::hello::{Credential, Hello};
use crate::ids::ServerId;
use crate::key::UserKeys;
use crate::limits::AWAKE_BEAT;
use crate::mesh::Mesh;
use crate::peer::{Candidate, Leave, Offer, Peer};
use crate::service::Service;
use crate::trace::Traces;

/// What a group starts from.
pub struct GroupOptions {
    /// The cluster.
    pub config: Arc<Config>,
    /// Which of its servers this is.
    pub me: ServerId,
    /// The door to sockets.
    pub transport: Arc<dyn Transport>,
    /// What answers calls.
    pub service: Arc<dyn Service>,
    /// The keys of users.
    pub user_keys: Arc<dyn UserKeys>,
}

/// The group's actor.
pub struct Group {
    mesh: Mesh,
    transport: Arc<dyn Transport>,
    hello: Hello,
    user_keys: Arc<dyn UserKeys>,
    peers: BTreeMap<ServerId, Addr<Peer>>,
    listener: Option<Addr<Listener>>,
    stopping: watch::Sender<bool>,
}

/// Stops: refuses what is new, sends what is queued, says goodbye to everybody.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// A server joins, or is known by another address or zone from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddServer(pub ServerConfig);

/// A server leaves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RemoveServer(pub ServerId);

/// A proven connection of a peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OfferTo(pub(crate) ServerId, pub(crate) Candidate);

#[derive(Message)]
#[rtype(result = "()")]
struct Listening(Addr<Listener>);

/// Listens, dials every other server, and gives the mesh. Runs on the current actix arbiter.
///
/// # Errors
/// When this server is not in the configuration, its secret cannot be read or its address is
/// taken.
pub async fn start(options: GroupOptions) -> Result<(Addr<Group>, Mesh), StartError> {
    let GroupOptions {
        config,
        me,
        transport,
        service,
        user_keys,
    } = options;
    let server = config
        .server(me)
        .cloned()
        .ok_or(StartError::UnknownServer(me))?;
    let secret = config.cluster_secret()?;
    let address = server.address;
    let acceptor = transport
        .bind(address)
        .await
        .map_err(|source| StartError::Bind { address, source })?;
    let hello = Hello {
        cluster: config.cluster.clone(),
        role: server.role,
        id: me.0,
        name: server.name.to_string(),
        instance: getrandom::u64().map_err(StartError::Randomness)?,
        nonce: [0; 32],
        to: 0,
        credential: Credential::Cluster,
    };
    let mesh = Mesh::new(
        Arc::clone(&config),
        Arc::new(server),
        secret,
        service,
        Traces::new(hello.instance),
    );
    // All peers are known before the first is established, or the first would be all.
    let others: Vec<_> = config
        .servers
        .iter()
        .filter(|other| other.id != me)
        .cloned()
        .map(Arc::new)
        .collect();
    for other in &others {
        mesh.state().board.add(Arc::clone(other));
    }
    let mut group = Group {
        mesh: mesh.clone(),
        transport,
        hello,
        user_keys,
        peers: BTreeMap::new(),
        listener: None,
        stopping: watch::Sender::new(false),
    };
    for other in others {
        group.start_peer(other);
    }
    let counters = Arc::clone(&mesh.state().shared.net);
    let group = group.start();
    let listener = Listener::start(acceptor, group.clone().recipient(), counters);
    // The actor was started a line ago and ends only when told to.
    group.send(Listening(listener)).await.unwrap_or(());
    Ok((group, mesh))
}

impl Group {
    fn start_peer(&mut self, server: Arc<ServerConfig>) {
        let id = server.id;
        let peer = Peer::start(
            server,
            self.mesh.clone(),
            Arc::clone(&self.transport),
            self.hello.clone(),
        );
        self.peers.insert(id, peer);
    }

    /// Ends a peer; it is gone from the table when the future is.
    fn leave(&mut self, id: ServerId) -> impl Future<Output = ()> + use<> {
        let peer = self.peers.remove(&id);
        let mesh = self.mesh.clone();
        async move {
            if let Some(peer) = peer {
                // An actor that is gone has left already.
                peer.send(Leave(LostReason::Removed)).await.unwrap_or(());
                mesh.state().board.remove(id);
            }
        }
    }
}

/// Whether a connection with `known` is one with `server`.
fn is_reached_as(known: &ServerConfig, server: &ServerConfig) -> bool {
    known.name == server.name && known.role == server.role && known.address == server.address
}

impl Actor for Group {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.mesh.state().shared.awake.beat(Instant::now());
        context.run_interval(AWAKE_BEAT, |group, _| {
            let (shared, now) = (&group.mesh.state().shared, Instant::now());
            shared.awake.beat(now);
            shared.slowest.turn(now);
        });
    }
}

impl Handler<Listening> for Group {
    type Result = ();

    fn handle(&mut self, Listening(listener): Listening, _: &mut Self::Context) {
        self.listener = Some(listener);
    }
}

impl Handler<Accepted> for Group {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, context: &mut Self::Context) {
        let reception = Reception {
            mesh: self.mesh.clone(),
            hello: self.hello.clone(),
            user_keys: Arc::clone(&self.user_keys),
            group: context.address(),
            stopping: self.stopping.subscribe(),
        };
        tokio::spawn(reception.receive(accepted));
    }
}

impl Handler<OfferTo> for Group {
    type Result = ();

    fn handle(&mut self, OfferTo(id, candidate): OfferTo, context: &mut Self::Context) {
        let reason = match self.peers.get(&id) {
            _ if *self.stopping.borrow() => RefusalReason::Stopping,
            None => RefusalReason::UnknownServer,
            Some(peer) => {
                // An actor that is gone left the cluster; the message closes the connection.
                let offer = peer.send(Offer(candidate)).into_actor(self);
                context.spawn(offer.map(|_, _, _| ()));
                return;
            }
        };
        self.mesh.state().shared.note_refused(&reason);
        candidate.connection.refuse(&reason);
    }
}

impl Handler<AddServer> for Group {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, AddServer(server): AddServer, _: &mut Self::Context) -> Self::Result {
        let is_known = self
            .mesh
            .server(server.id)
            .is_some_and(|known| is_reached_as(&known, &server));
        let is_to_add = server.id != self.mesh.me() && !is_known;
        if is_known {
            self.mesh.state().board.describe(&server);
        }
        // Known by another address: the old one's connection ends first.
        let left = is_to_add.then(|| self.leave(server.id));
        let left = async move {
            if let Some(left) = left {
                left.await;
            }
        };
        Box::pin(left.into_actor(self).map(move |(), group, _| {
            if is_to_add && !*group.stopping.borrow() {
                let server = Arc::new(server);
                group.mesh.state().board.add(Arc::clone(&server));
                group.start_peer(server);
            }
        }))
    }
}

impl Handler<RemoveServer> for Group {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, RemoveServer(id): RemoveServer, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.leave(id))
    }
}

impl Handler<Stop> for Group {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.stopping.send_replace(true);
        let listener = self.listener.take();
        let peers = std::mem::take(&mut self.peers);
        let stopping = self.stopping.clone();
        let stop = async move {
            if let Some(listener) = listener {
                // An actor that is gone listens no more.
                listener.send(StopListening).await.unwrap_or(());
            }
            let leaving = peers
                .values()
                .map(|peer| peer.send(Leave(LostReason::Stopping)));
            futures::future::join_all(leaving).await;
            // Everybody who still serves a client holds a receiver.
            stopping.closed().await;
        };
        Box::pin(
            stop.into_actor(self)
                .map(|(), group, context: &mut Context<Self>| {
                    group
                        .mesh
                        .state()
                        .local
                        .end(crate::errors::CallError::NotConnected);
                    context.stop();
                }),
        )
    }
}
