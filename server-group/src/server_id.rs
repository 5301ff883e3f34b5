//! Who a server is: its number, its role, its load.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A server's number, unique in its cluster for ever; 1 to 65,535.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ServerId(pub u16);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Agrees on names.
    Mserver,
    /// Keeps blocks.
    Dserver,
    /// Uses the cluster.
    Client,
}

/// How busy a server is; travels with every pong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Bytes free on its disks, above the reserve.
    pub free_bytes: u64,
    /// Bytes of its disks.
    pub total_bytes: u64,
    /// Requests under way.
    pub queue: u32,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
}
