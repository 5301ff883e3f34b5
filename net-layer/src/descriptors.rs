//! How many descriptors this process may have, and how many of them are kept for files: a disk's
//! log that cannot open its next segment is worse than a connection that is turned away.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{FILE_DESCRIPTORS_MAX, FILE_DESCRIPTORS_SHARE};

/// Raises this process's limit of descriptors as far as the system lets it; the limit it has then.
/// Call it before the first connection is accepted.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, limit = limit.current, "cannot raise the limit of open files");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Refuses a connection that would take one of the descriptors kept for files. The system gives out
/// the lowest free one, so a high number says that nearly all are taken.
pub(crate) fn leave_some_for_files(connection: &impl AsFd) -> io::Result<()> {
    static CONNECTIONS_BELOW: OnceLock<u64> = OnceLock::new();
    let below = *CONNECTIONS_BELOW.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        limit - (limit / FILE_DESCRIPTORS_SHARE).min(FILE_DESCRIPTORS_MAX)
    });
    let number = u64::try_from(connection.as_fd().as_raw_fd()).unwrap_or(0);
    if number < below {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{below} files and connections are open; the rest of the process's limit is kept for files"
    )))
}
