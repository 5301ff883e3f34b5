//! How calls, handshakes and starts fail.

use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::ServerId;
use crate::key::SecretError;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallError {
    /// The answer did not come in time; the call may have been done.
    #[error("no answer before the deadline")]
    Deadline,
    /// The connection ended, or the other end gave the call up, before an answer.
    #[error("the connection was lost before the answer came")]
    Lost {
        /// Whether the call may have been done: `false` means it surely was not.
        maybe_done: bool,
    },
    /// There is no connection to that server now; nothing was sent.
    #[error("not connected")]
    NotConnected,
    /// The other end does not take calls of this kind from this role.
    #[error("a call of kind {0:#06x} is not allowed here")]
    NotAllowed(u16),
    /// The other end has too many calls in hand; it was not done.
    #[error("too many calls in flight")]
    Full,
    /// The head or the payload is above the limit; nothing was sent, or the answer was refused.
    #[error("too large for one call")]
    TooLarge,
}

/// Why a connection was refused in the handshake. Travels to the other end.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The other end belongs to another cluster.
    #[error("this is cluster '{0}'")]
    OtherCluster(String),
    /// The other end speaks another protocol version.
    #[error("this end speaks protocol version {0}")]
    OtherVersion(u8),
    /// The proof does not fit: the secret, the user or the ticket is wrong.
    #[error("the proof is wrong: secret, user or ticket do not fit")]
    WrongProof,
    /// The ticket's time is over.
    #[error("the ticket has expired")]
    TicketExpired,
    /// No server of that number, name and role is in this cluster.
    #[error("no such server in this cluster")]
    UnknownServer,
    /// A live server already has this number.
    #[error("another live server has this number")]
    DuplicateServer,
    /// The server that answered is not the one that was dialed.
    #[error("server {0} was meant")]
    WrongServer(ServerId),
    /// Both ends dialed at once and the other connection is kept.
    #[error("both ends dialed at once; the other connection is kept")]
    SimultaneousDial,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    TooSlow,
    /// A packet of the handshake could not be understood.
    #[error("a packet of the handshake could not be understood")]
    Malformed,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The server does not know all users yet, or has lost touch with those that do: the proof
    /// may be right.
    #[error("the server cannot tell yet whether the proof is right")]
    NotReady,
}

impl RefusalReason {
    /// The names counters use, in the order of `index`.
    pub(crate) const NAMES: [&'static str; 12] = [
        "other_cluster",
        "other_version",
        "wrong_proof",
        "ticket_expired",
        "unknown_server",
        "duplicate_server",
        "wrong_server",
        "simultaneous_dial",
        "too_slow",
        "malformed",
        "stopping",
        "not_ready",
    ];

    pub(crate) fn index(&self) -> usize {
        match self {
            Self::OtherCluster(_) => 0,
            Self::OtherVersion(_) => 1,
            Self::WrongProof => 2,
            Self::TicketExpired => 3,
            Self::UnknownServer => 4,
            Self::DuplicateServer => 5,
            Self::WrongServer(_) => 6,
            Self::SimultaneousDial => 7,
            Self::TooSlow => 8,
            Self::Malformed => 9,
            Self::Stopping => 10,
            Self::NotReady => 11,
        }
    }
}

/// Why a peer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[non_exhaustive]
pub enum LostReason {
    /// Nothing was heard from it for the configured time.
    #[error("silent for too long")]
    Silent,
    /// It said goodbye: a clean stop.
    #[error("it left")]
    Goodbye,
    /// The connection was closed by the other end, or broke.
    #[error("connection closed")]
    Closed,
    /// It sent what is not a packet.
    #[error("it sent a bad packet")]
    BadPacket,
    /// It did not read what was sent to it.
    #[error("it did not read")]
    SlowReader,
    /// It connected anew; the older connection ended.
    #[error("replaced by a newer connection")]
    Replaced,
    /// It was removed from the cluster.
    #[error("removed from the cluster")]
    Removed,
    /// This server is stopping.
    #[error("this server is stopping")]
    Stopping,
}

/// Why a group did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has no server of this number.
    #[error("server {0} is not in the configuration")]
    UnknownServer(ServerId),
    /// The cluster's secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address of this server.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}
