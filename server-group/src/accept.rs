//! What becomes of one accepted connection: proven in time it is a peer's or a client's, else it
//! is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Addr;
use sdfs_net_layer::{Accepted, CloseReason, ConnectionOptions, open};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::caller::Caller;
use crate::errors::RefusalReason;
use crate::group::{Group, OfferTo};
use crate::handshake::{Acceptance, Claim, Connection, HandshakeFault};
use crate::hello::Hello;
use crate::ids::{Role, ServerId};
use crate::key::UserKeys;
use crate::limits::SERVER_SILENCE_MAX;
use crate::link::{KeepTimes, Link, LinkParts};
use crate::mesh::Mesh;
use crate::peer::Candidate;

/// What every accepted connection is received with.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) mesh: Mesh,
    pub(crate) hello: Hello,
    pub(crate) user_keys: Arc<dyn UserKeys>,
    pub(crate) group: Addr<Group>,
    /// True once this server stops; whoever holds a receiver is waited for.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Reception {
    /// Receives one connection, to its end when it is a client's.
    pub(crate) async fn receive(self, accepted: Accepted) {
        let Accepted {
            stream,
            peer: address,
            place,
        } = accepted;
        let state = self.mesh.state();
        let options = ConnectionOptions::before_auth(
            Arc::clone(&state.shared.net),
            Arc::clone(&state.shared.buffers),
        );
        let (sender, receiver) = open(stream, options);
        let mut connection = Connection { sender, receiver };
        let wait = Duration::from_millis(state.config.timers.handshake_ms_max);
        let claim = match timeout(wait, self.prove(&mut connection)).await {
            Ok(Ok(claim)) => claim,
            Ok(Err(fault)) => return self.reject(&connection, fault, address),
            Err(_) => {
                state.shared.note_refused(&RefusalReason::TooSlow);
                connection.refuse(&RefusalReason::TooSlow);
                return;
            }
        };
        if claim.theirs.role == Role::Client {
            drop(place);
            self.serve_client(connection, claim, address).await;
            return;
        }
        let id = ServerId(claim.theirs.id);
        let candidate = Candidate {
            connection,
            instance: claim.theirs.instance,
            address,
            proof: Some(claim.proof),
        };
        // A group that is gone stops; the message closes the connection.
        self.group.send(OfferTo(id, candidate)).await.unwrap_or(());
    }

    async fn prove(&self, connection: &mut Connection) -> Result<Claim, HandshakeFault> {
        if *self.stopping.borrow() {
            return Err(RefusalReason::Stopping.into());
        }
        let state = self.mesh.state();
        let is_member = |theirs: &Hello| {
            state.board.row(ServerId(theirs.id)).is_some_and(|row| {
                row.server.role == theirs.role && row.server.name.as_str() == theirs.name
            })
        };
        let acceptance = Acceptance {
            mine: &self.hello,
            secret: &state.secret,
            user_keys: &self.user_keys,
            is_member: &is_member,
        };
        acceptance.accept(connection).await
    }

    fn reject(&self, connection: &Connection, fault: HandshakeFault, address: SocketAddr) {
        match fault {
            HandshakeFault::Ours(reason) => {
                tracing::info!(%address, %reason, "refused");
                self.mesh.state().shared.note_refused(&reason);
                connection.refuse(&reason);
            }
            HandshakeFault::Randomness(error) => {
                tracing::error!(%error, "no randomness for a handshake");
                connection.sender.close(CloseReason::Refused);
            }
            HandshakeFault::Theirs(_) | HandshakeFault::Closed(_) => {
                connection.sender.close(CloseReason::Refused);
            }
        }
    }

    async fn serve_client(mut self, connection: Connection, claim: Claim, address: SocketAddr) {
        if connection.admit(&claim.proof).is_err() {
            return;
        }
        let state = self.mesh.state();
        let remote = Caller {
            role: Role::Client,
            server: None,
            user: claim.user,
            address,
        };
        let parts = LinkParts {
            sender: connection.sender,
            receiver: connection.receiver,
            remote,
            shared: Arc::clone(&state.shared),
            service: Arc::clone(&state.service),
        };
        let keep = KeepTimes {
            ping_every: None,
            silence_max: SERVER_SILENCE_MAX,
        };
        let link = Link::start(parts, Some(keep));
        state.shared.clients.fetch_add(1, Ordering::Relaxed);
        let is_lost = tokio::select! {
            _ = link.lost() => true,
            // An error means that the group is gone, which stops as well.
            _ = self.stopping.wait_for(|is_stopping| *is_stopping) => false,
        };
        if !is_lost {
            link.close();
            link.drained().await;
        }
        state.shared.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
