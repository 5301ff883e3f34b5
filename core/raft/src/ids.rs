//! What groups are called.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A raft group: 0 is the root group, `i` the meta group of mserver `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u8);

impl GroupId {
    /// The group of all mservers, which holds the names.
    pub const ROOT: Self = Self(0);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
