//! Whether this server may take part now. Its number may have been given to another life of it
//! while it was away, with its old disk or behind a partition; whoever lets the other life in
//! makes sure that all servers know it. So one that confirms this life is enough to go on, and
//! none is not: whatever it confirmed over a link that has ended since may have changed.

use crate::wire::Wire;
use sdfs_server_group::ServerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Who knows this life of this server. Read by every call of raft, written by those who tell it.
pub(crate) struct Standing {
    wire: Arc<dyn Wire>,
    others: BTreeSet<ServerId>,
    /// Over which link each has confirmed it.
    confirmed: watch::Sender<BTreeMap<ServerId, u64>>,
}

impl Standing {
    /// Nobody knows it yet. `named` are the servers of all groups.
    pub(crate) fn new(wire: Arc<dyn Wire>, named: impl Iterator<Item = ServerId>) -> Self {
        let me = wire.me();
        Self {
            wire,
            others: named.filter(|server| *server != me).collect(),
            confirmed: watch::Sender::default(),
        }
    }

    /// The other servers named for any group.
    pub(crate) fn others(&self) -> &BTreeSet<ServerId> {
        &self.others
    }

    /// A server knows this life and no other; it said so over that link.
    pub(crate) fn confirm(&self, server: ServerId, link: u64) {
        self.confirmed.send_modify(|confirmed| {
            confirmed.insert(server, link);
        });
    }

    /// Whether this server may vote, accept and lead: somebody who can be reached knows its life.
    pub(crate) fn may_take_part(&self) -> bool {
        let is_current = |(server, link): (&ServerId, &u64)| self.wire.link(*server) == Some(*link);
        self.others.is_empty() || self.confirmed.borrow().iter().any(is_current)
    }

    /// Servers that can be reached and have not confirmed it over the present link.
    pub(crate) fn untold(&self) -> BTreeSet<ServerId> {
        self.confirmed.send_if_modified(|confirmed| {
            let before = confirmed.len();
            confirmed.retain(|server, link| self.wire.link(*server) == Some(*link));
            confirmed.len() != before
        });
        let confirmed = self.confirmed.borrow();
        let is_untold =
            |server: &&ServerId| self.wire.is_up(**server) && !confirmed.contains_key(server);
        self.others.iter().filter(is_untold).copied().collect()
    }
}
