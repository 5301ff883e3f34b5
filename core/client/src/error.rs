//! How an operation fails: causes a caller can name and act on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_net_layer::TlsError;
use sdfs_server_group::{CallError, ConnectError, RefusalReason, SecretError, ServerName};
use sdfs_types::wire::WireFault;
use sdfs_types::{BlockIndex, FileDescriptor, FilePath, PathFault, Refusal, RequestId};

/// Why an operation did not do what was asked.
///
/// Everything but [`Error::Unknown`] is definite: nothing was changed.
///
/// ```
/// use sdfs_client::{Error, Refusal};
///
/// fn is_there(outcome: Result<(), Error>) -> Result<bool, Error> {
///     match outcome {
///         Ok(()) => Ok(true),
///         Err(Error::Refused(Refusal::NotFound { .. })) => Ok(false),
///         Err(other) => Err(other),
///     }
/// }
/// assert!(is_there(Ok(())).is_ok_and(|there| there));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster refused; the refusal says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may have been done or not. The same operation with the same request id tells which.
    #[error("the outcome of request {request} is unknown: {why}; repeat it with the same id")]
    Unknown {
        /// The id to repeat it with.
        request: RequestId,
        /// What stood in the way of the answer.
        why: UnknownCause,
    },
    /// No answer in time to a question that changes nothing, or nothing was sent.
    #[error("no answer within {} ms", waited.as_millis())]
    Deadline {
        /// How long the client has waited.
        waited: Duration,
    },
    /// A transfer has made no progress for as long as one may. Nothing of it is seen by anybody.
    #[error("the transfer made no progress for {} ms", waited.as_millis())]
    Stalled {
        /// How long nothing was stored or read.
        waited: Duration,
    },
    /// No server that could do it can be reached.
    #[error("no server can be reached: {last}")]
    Unreachable {
        /// What the last one tried failed with.
        last: Arc<ConnectError>,
    },
    /// The connection was lost while a question was under way that changes nothing.
    #[error("the connection was lost and no other server answered: {last}")]
    Lost {
        /// What the last call failed with.
        last: CallError,
    },
    /// The servers do not accept this client.
    #[error("{address} does not accept the user: {reason}")]
    Login {
        /// Who said so.
        address: SocketAddr,
        /// Why.
        reason: RefusalReason,
    },
    /// This server could not prove that it belongs to the cluster, or no proof can be made.
    #[error("the server cannot be trusted: {0}")]
    Untrusted(Arc<ConnectError>),
    /// The call is not one a client may send, or too large for one.
    #[error("the call cannot be made: {0}")]
    Call(CallError),
    /// A server answered something that is no answer.
    #[error("a server's answer cannot be read: {0}")]
    Answer(Arc<WireFault>),
    /// There is no server of that name.
    #[error("there is no server {name} in this cluster")]
    UnknownServer {
        /// The name.
        name: ServerName,
    },
    /// Only a mserver can be the one that is talked to.
    #[error("{name} is no mserver")]
    NotMserver {
        /// The name.
        name: ServerName,
    },
    /// No address of a mserver was given.
    #[error("no mserver is configured")]
    NoMserver,
    /// The user's secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The files for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No copy of a block could be read.
    #[error("block {block} of {path}: no copy can be read ({last})")]
    NoCopy {
        /// The file.
        path: FilePath,
        /// The block.
        block: BlockIndex,
        /// What the last copy tried failed with.
        last: CopyCause,
    },
    /// The file was replaced or deleted while it was read.
    #[error("{path} was replaced while it was read (it was file {was})")]
    Replaced {
        /// The file.
        path: FilePath,
        /// What was read until then.
        was: FileDescriptor,
    },
    /// A range, a block or a size is outside of what a file can have.
    #[error("{what} is {value}; at most {max} is allowed")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// What it was.
        value: u64,
        /// The most it may be.
        max: u64,
    },
    /// Too many versions of a block are taken by writers that never committed.
    #[error("block {block} has no free version")]
    NoVersion {
        /// The block.
        block: BlockIndex,
    },
    /// What was to be stored could not be read.
    #[error("the source failed: {0}")]
    Source(io::Error),
    /// What was read could not be handed over.
    #[error("the destination failed: {0}")]
    Destination(io::Error),
    /// The writer has failed before; its earlier error says why.
    #[error("the writer has failed before")]
    WriterFailed,
}

/// Why an outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownCause {
    /// No answer before the deadline, or the connection was lost.
    #[error(transparent)]
    Call(CallError),
    /// The server itself does not know.
    #[error("{why}")]
    Server {
        /// What it said.
        why: String,
    },
    /// An attempt may have been done, and no later one found out.
    #[error("an attempt may have been done; the last one ended with: {last}")]
    Attempt {
        /// What the last attempt was refused with.
        last: Refusal,
    },
    /// An attempt may have been done, and no server could be reached after it.
    #[error("an attempt may have been done; no server could be reached after it")]
    Unreachable,
}

/// Why a copy of a block could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyCause {
    /// Its volume has no member to read from.
    #[error("its volume has no copy in sync")]
    NoMember,
    /// The server does not have it.
    #[error("the server does not keep it")]
    Missing,
    /// The bytes do not match their checksum.
    #[error("the bytes do not match their checksum")]
    Corrupt,
    /// The server refused.
    #[error(transparent)]
    Refused(Refusal),
    /// The server did not answer.
    #[error(transparent)]
    Call(CallError),
    /// The server cannot be reached.
    #[error("the server cannot be reached")]
    Unreachable,
}

impl Error {
    /// Whether the name looked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Refused(Refusal::NotFound { .. }))
    }

    /// Whether the name is taken.
    pub fn is_exists(&self) -> bool {
        matches!(self, Error::Refused(Refusal::Exists { .. }))
    }

    /// Whether the operation may have been done all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Error::Unknown { .. })
    }
}

impl From<PathFault> for Error {
    fn from(fault: PathFault) -> Error {
        Error::Refused(Refusal::Path(fault))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Source(source) | Error::Destination(source) => source.kind(),
            Error::Refused(Refusal::NotFound { .. } | Refusal::Gone { .. }) => {
                io::ErrorKind::NotFound
            }
            Error::Refused(Refusal::Exists { .. }) => io::ErrorKind::AlreadyExists,
            Error::Refused(Refusal::IsDirectory { .. }) => io::ErrorKind::IsADirectory,
            Error::Refused(Refusal::NotDirectory { .. }) => io::ErrorKind::NotADirectory,
            Error::Refused(Refusal::Denied { .. }) | Error::Login { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Error::Refused(Refusal::Quota { .. }) => io::ErrorKind::QuotaExceeded,
            Error::Refused(Refusal::NoSpace { .. } | Refusal::VolumesFull { .. }) => {
                io::ErrorKind::StorageFull
            }
            Error::Refused(Refusal::Path(_)) => io::ErrorKind::InvalidFilename,
            Error::OutOfRange { .. } => io::ErrorKind::InvalidInput,
            Error::Deadline { .. } | Error::Stalled { .. } | Error::Unknown { .. } => {
                io::ErrorKind::TimedOut
            }
            Error::Unreachable { .. } | Error::Lost { .. } => io::ErrorKind::NotConnected,
            Error::NoCopy {
                last: CopyCause::Corrupt,
                ..
            } => io::ErrorKind::InvalidData,
            Error::Replaced { .. } => io::ErrorKind::StaleNetworkFileHandle,
            _ => return io::Error::other(error),
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_keep_their_kind() {
        let path = FilePath::root();
        let missing = Error::Refused(Refusal::NotFound { path });
        assert!(missing.is_not_found() && !missing.is_unknown());
        assert_eq!(io::Error::from(missing).kind(), io::ErrorKind::NotFound);
        let source = Error::Source(io::ErrorKind::BrokenPipe.into());
        assert_eq!(io::Error::from(source).kind(), io::ErrorKind::BrokenPipe);
    }
}
