//! Groups of dservers: those that keep copies of each other's files and of nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::ServerName;

/// The group of each dserver, as `group: ".."` says it in the list of servers. Empty when no
/// dserver has one: then all of them keep copies of each other's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<ServerName, Arc<str>>);

impl Groups {
    /// Whether no dserver has a group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The group of a dserver; `None` also for one that is not in this configuration.
    #[must_use]
    pub fn of(&self, server: &ServerName) -> Option<&Arc<str>> {
        self.0.get(server)
    }

    /// The names of all groups.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&Arc<str>> {
        self.0.values().collect()
    }
}

impl FromIterator<(ServerName, Arc<str>)> for Groups {
    fn from_iter<I: IntoIterator<Item = (ServerName, Arc<str>)>>(groups: I) -> Self {
        Self(groups.into_iter().collect())
    }
}
