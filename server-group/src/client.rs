//! The connection of a client with one server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_net_layer::Transport;
use thiserror::Error;

use crate::caller::UserName;
use crate::deadline::Deadline;
use crate::errors::RefusalReason;
use crate::ids::{Role, ServerId, ServerName};
use crate::key::UserKey;
use crate::link::Link;
use crate::ticket::Ticket;

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
    /// The time of one round trip, measured in the handshake.
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
    /// The server could not prove that it knows the same key.
    #[error("{0} could not prove that it belongs to this cluster")]
    WrongServer(SocketAddr),
    /// The connection ended in the handshake.
    #[error("{0} closed the connection in the handshake")]
    Closed(SocketAddr),
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
    drop(transport.connect(address));
    todo!("{credentials:?} {deadline:?}")
}
