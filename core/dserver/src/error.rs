//! Why a data-server could not start.

use std::path::PathBuf;

use thiserror::Error;

use crate::space::SpaceFault;

/// Why a data-server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// No space is configured.
    #[error("a dserver needs at least one space")]
    NoSpaces,
    /// Not one of the spaces could be opened; the first one's fault.
    #[error("no space could be opened; {path}: {source}")]
    Spaces {
        /// The first space.
        path: PathBuf,
        /// What was wrong with it.
        source: SpaceFault,
    },
    /// A space is another server's.
    #[error(transparent)]
    OtherOwner(SpaceFault),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Opening the spaces ended in a panic, which is a fault of this program.
    #[error("opening the spaces ended unexpectedly")]
    Panicked,
}
