//! What lets a client prove a user at every server without asking an mserver again.

use std::fmt;

use bytes::Bytes;

use crate::caller::UserName;
use crate::key::KeyBytes;

/// Given by an mserver to a user who proved the key; good at every server until it expires.
#[derive(Clone)]
pub struct Ticket {
    /// The user it stands for.
    pub user: UserName,
    /// When it ends, in milliseconds of Unix time by the servers' clocks.
    pub expires_ms: u64,
    /// What servers derive the session key from.
    pub body: Bytes,
    pub(crate) key: KeyBytes,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("user", &self.user)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}
