//! Why a data-server could not start.

use std::path::PathBuf;

use sdfs_log::OpenError;
use thiserror::Error;

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
        source: OpenError,
    },
}
