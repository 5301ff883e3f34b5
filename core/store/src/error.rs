//! Why the store could not do what it was asked.

use std::path::PathBuf;

/// A failure of the store. After [`StoreError::Closed`] nothing is accepted any more: the server
/// stops and recovers by replaying its raft log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory is in use by another process.
    #[error("the store at {path} is in use by another process")]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// An earlier write or flush failed, so nothing more is accepted.
    #[error("the store is closed because an earlier write to disk failed")]
    Closed,
    /// The keyspace was removed while a handle to it was still in use.
    #[error("the keyspace {name} was removed")]
    KeyspaceRemoved {
        /// Name of the keyspace.
        name: String,
    },
    /// A keyspace name is empty or longer than 255 bytes.
    #[error("a keyspace name has 1 to 255 bytes, not {bytes}")]
    KeyspaceName {
        /// Length of the refused name.
        bytes: usize,
    },
    /// A key is empty or longer than 65,535 bytes.
    #[error("a key has 1 to 65535 bytes, not {bytes}")]
    KeyLength {
        /// Length of the refused key.
        bytes: usize,
    },
    /// The operating system refused an operation on a file.
    #[error("the store's files: {0}")]
    Files(#[source] std::io::Error),
    /// The files do not hold what the engine wrote, or the engine cannot read them.
    #[error("the store cannot be read: {0}")]
    Engine(#[source] fjall::Error),
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Poisoned => Self::Closed,
            fjall::Error::Io(cause) => Self::Files(cause),
            other => Self::Engine(other),
        }
    }
}
