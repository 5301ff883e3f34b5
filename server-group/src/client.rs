//! The connection of a client with one server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_net_layer::{CloseReason, ConnectionOptions, DialError, Transport, dial, open};
use thiserror::Error;
use tokio::time::timeout_at;

use crate::caller::{Caller, UserName};
use crate::deadline::Deadline;
use crate::errors::RefusalReason;
use crate::handshake::{self, Connection, Dialed, HandshakeFault};
use crate::hello::{Credential, Hello, fresh};
use crate::ids::{Role, ServerId, ServerName};
use crate::key::{ClusterSecret, KeyBytes, UserKey};
use crate::limits::{CLIENT_PING_EVERY, CLIENT_SILENCE_MAX};
use crate::link::{KeepTimes, Link, LinkParts};
use crate::service::{IncomingCall, Service};
use crate::shared::Shared;
use crate::ticket::Ticket;
use crate::trace::Traces;

/// What a client proves itself with.
#[derive(Debug, Clone)]
pub enum ClientCredentials {
    /// A user's key: good at mservers, which give a ticket in return.
    User {
        /// The user's name.
        name: UserName,
        /// The key of the user's secret.
        key: UserKey,
    },
    /// A ticket: good at every server.
    Ticket(Ticket),
    /// The cluster's secret: a guest of every server, as one is that is to join and does not know
    /// the others yet. It stands for no user.
    Cluster {
        /// The guest's name.
        name: ServerName,
        /// The secret.
        secret: ClusterSecret,
    },
}

/// A client's link and what the server said of itself.
#[derive(Debug, Clone)]
pub struct ClientLink {
    /// The link.
    pub link: Link,
    /// The server's number.
    pub server: ServerId,
    /// The server's name.
    pub name: ServerName,
    /// The server's role.
    pub role: Role,
    /// The cluster's id.
    pub cluster: Arc<str>,
    /// The ticket given for a user's key.
    pub ticket: Option<Ticket>,
    /// The time of one round trip, measured in the handshake; the link measures on.
    pub rtt: Duration,
}

/// Why a client is not connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// The address dialed.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("{0} did not answer in time")]
    Deadline(SocketAddr),
    /// The server refused.
    #[error("{address} refused: {reason}")]
    Refused {
        /// The address dialed.
        address: SocketAddr,
        /// Why.
        reason: RefusalReason,
    },
    /// The server could not prove that it knows the same key, or speaks another protocol.
    #[error("{address} is not accepted: {reason}")]
    NotAccepted {
        /// The address dialed.
        address: SocketAddr,
        /// Why.
        reason: RefusalReason,
    },
    /// The connection ended in the handshake.
    #[error("{address} ended the connection in the handshake: {reason}")]
    Closed {
        /// The address dialed.
        address: SocketAddr,
        /// How.
        reason: CloseReason,
    },
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Connects to one server and proves the credentials. Its tasks run on the current tokio runtime.
///
/// # Errors
/// When the server is unreachable, refuses, or cannot prove itself before the deadline.
pub async fn connect_client(
    transport: &dyn Transport,
    address: SocketAddr,
    credentials: &ClientCredentials,
    deadline: Deadline,
) -> Result<ClientLink, ConnectError> {
    let stream =
        dial(transport, address, deadline.instant())
            .await
            .map_err(|error| match error {
                DialError::Unreachable { address, source } => {
                    ConnectError::Unreachable { address, source }
                }
                _ => ConnectError::Deadline(address),
            })?;
    let (mine, key) = hello(credentials)?;
    let shared = Arc::new(Shared::new(Traces::new(mine.instance)));
    let options =
        ConnectionOptions::before_auth(Arc::clone(&shared.net), Arc::clone(&shared.buffers));
    let (sender, receiver) = open(stream, options);
    let mut connection = Connection { sender, receiver };
    let shaking = handshake::dial(&mut connection, &mine, key);
    let dialed = match timeout_at(deadline.instant(), shaking).await {
        Ok(Ok(dialed)) => dialed,
        Ok(Err(fault)) => return Err(connect_error(address, &connection, fault)),
        Err(_) => return Err(ConnectError::Deadline(address)),
    };
    Ok(client_link(
        connection,
        credentials,
        &mine,
        dialed,
        (shared, address),
    ))
}

fn hello(credentials: &ClientCredentials) -> Result<(Hello, &KeyBytes), ConnectError> {
    let (name, credential, key) = match credentials {
        ClientCredentials::User { name, key } => {
            let credential = Credential::User(name.as_str().to_owned());
            (name.as_str(), credential, &key.0)
        }
        ClientCredentials::Ticket(ticket) => (
            ticket.user.as_str(),
            Credential::Ticket(ticket.body.to_vec()),
            &ticket.key,
        ),
        ClientCredentials::Cluster { name, secret } => {
            (name.as_str(), Credential::Cluster, secret.bytes())
        }
    };
    let hello = Hello {
        cluster: String::new(),
        role: Role::Client,
        id: 0,
        name: name.to_owned(),
        instance: 0,
        nonce: fresh().map_err(ConnectError::Randomness)?,
        to: 0,
        credential,
    };
    Ok((hello, key))
}

fn connect_error(
    address: SocketAddr,
    connection: &Connection,
    fault: HandshakeFault,
) -> ConnectError {
    match fault {
        HandshakeFault::Theirs(reason) => ConnectError::Refused { address, reason },
        HandshakeFault::Ours(reason) => {
            connection.refuse(&reason);
            ConnectError::NotAccepted { address, reason }
        }
        HandshakeFault::Closed(reason) => ConnectError::Closed { address, reason },
        HandshakeFault::Randomness(error) => ConnectError::Randomness(error),
    }
}

fn client_link(
    connection: Connection,
    credentials: &ClientCredentials,
    mine: &Hello,
    dialed: Dialed,
    (shared, address): (Arc<Shared>, SocketAddr),
) -> ClientLink {
    let Dialed {
        theirs,
        grant,
        round_trip,
    } = dialed;
    let ticket = match (credentials, grant) {
        (ClientCredentials::User { key, .. }, Some(grant)) => {
            grant.open(key, (&mine.nonce, &theirs.nonce))
        }
        _ => None,
    };
    let server = ServerId(theirs.id);
    let remote = Caller {
        role: theirs.role,
        server: Some(server),
        user: None,
        address,
    };
    let link = Link::start(
        LinkParts {
            sender: connection.sender,
            receiver: connection.receiver,
            remote,
            shared,
            service: Arc::new(NoService),
        },
        Some(KeepTimes {
            ping_every: Some(CLIENT_PING_EVERY),
            silence_max: CLIENT_SILENCE_MAX,
        }),
    );
    ClientLink {
        link,
        server,
        name: ServerName::from(theirs.name.as_str()),
        role: theirs.role,
        cluster: Arc::from(theirs.cluster),
        ticket,
        rtt: round_trip,
    }
}

/// Clients serve nothing.
struct NoService;

impl Service for NoService {
    fn is_allowed(&self, _: u16, _: Role) -> bool {
        false
    }

    fn serve(&self, _: IncomingCall) {}
}
