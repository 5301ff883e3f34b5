//! Who a call is from, as proven in the handshake.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Role, ServerId};

/// The name of a user, proven by the key or by a ticket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserName(pub Arc<str>);

impl UserName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for UserName {
    fn from(name: &str) -> Self {
        Self(Arc::from(name))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What the other end is for.
    pub role: Role,
    /// Its number, when it is a server.
    pub server: Option<ServerId>,
    /// Its user, when it is a client.
    pub user: Option<UserName>,
    /// Where its connection comes from.
    pub address: SocketAddr,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.server, &self.user) {
            (Some(server), _) => write!(f, "{} {server}", self.role),
            (None, Some(user)) => write!(f, "{user} at {}", self.address),
            (None, None) => write!(f, "{} at {}", self.role, self.address),
        }
    }
}
