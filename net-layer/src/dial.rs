//! Connects with a deadline.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::transport::{Stream, Transport};

/// Why a dial failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nothing answered in time.
    #[error("{0} did not answer in time")]
    Deadline(SocketAddr),
    /// The address cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// The address dialed.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Connects to `address`, waiting until `deadline` at most.
///
/// # Errors
/// When the address cannot be reached, or not in time.
pub async fn dial(
    transport: &dyn Transport,
    address: SocketAddr,
    deadline: Instant,
) -> Result<Stream, DialError> {
    match timeout_at(deadline, transport.connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(DialError::Unreachable { address, source }),
        Err(_) => Err(DialError::Deadline(address)),
    }
}
