//! Users and what they may do below which path.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::path::FilePath;

/// A user's name.
pub type UserName = Arc<str>;

/// Who comes in with the cluster's secret instead of a user's: somebody at a server of it, when no
/// mserver can judge a user. No user is called so.
pub const CLUSTER_USER: &str = "@cluster";

/// What a right allows; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Read files and list directories.
    Read,
    /// Create, write, rename and delete as well.
    Write,
    /// Set quotas, change users and the cluster as well.
    Admin,
}

/// A right on a path and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRight {
    /// Where it holds.
    pub path: FilePath,
    /// What it allows.
    pub access: Access,
}

/// Somebody who may use the cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The access key.
    pub name: UserName,
    /// SHA-256 of the secret: what both sides of a handshake prove they know.
    pub key: [u8; 32],
    /// What the user may do where.
    pub rights: Vec<PathRight>,
}

impl User {
    /// Whether the user may do `access` at `path`.
    pub fn may(&self, access: Access, path: &FilePath) -> bool {
        self.rights
            .iter()
            .any(|right| right.access >= access && path.is_within(&right.path))
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}
