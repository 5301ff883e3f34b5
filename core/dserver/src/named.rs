//! Which volumes mservers name this server a member of. Pushes and orders to sync may pass each
//! other on their way, and what was said before must not undo what was said after. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sdfs_types::{Epoch, VolumeId};

/// The volumes of the newest push.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Version of the map it was of; nothing before the first one.
    version: Option<u64>,
    /// Each with the epoch it was told in.
    volumes: BTreeMap<VolumeId, Epoch>,
    /// Volumes that were named and are no more, each with the last epoch it was named in.
    left: BTreeMap<VolumeId, Epoch>,
}

impl Named {
    /// Takes a push in; `false` when a newer one came before it.
    pub(crate) fn push(&mut self, version: u64, volumes: BTreeMap<VolumeId, Epoch>) -> bool {
        if self.version.is_some_and(|newest| version < newest) {
            return false;
        }
        self.version = Some(version);
        for (id, epoch) in std::mem::replace(&mut self.volumes, volumes) {
            if !self.volumes.contains_key(&id) {
                self.left.insert(id, epoch);
            }
        }
        self.left.retain(|id, _| !self.volumes.contains_key(id));
        true
    }

    /// Takes an order to sync in, which may arrive before the push that names the volume; `false`
    /// when it is from before this server left the volume.
    pub(crate) fn sync(&mut self, id: VolumeId, epoch: Epoch) -> bool {
        if self.left.get(&id).is_some_and(|left| epoch <= *left) {
            return false;
        }
        if self.version.is_some() {
            self.left.remove(&id);
            let known = self.volumes.entry(id).or_default();
            *known = epoch.max(*known);
        }
        true
    }

    /// Whether the newest push names the volume; before the first one nothing is known.
    pub(crate) fn is_named(&self, id: VolumeId) -> bool {
        self.version.is_none() || self.volumes.contains_key(&id)
    }

    /// Those of the volumes that are named no more.
    pub(crate) fn left_behind(&self, kept: &BTreeSet<VolumeId>) -> Vec<VolumeId> {
        let is_left = |id: &&VolumeId| !self.is_named(**id);
        kept.iter().filter(is_left).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: VolumeId = VolumeId(7);

    fn at(epoch: u32) -> BTreeMap<VolumeId, Epoch> {
        BTreeMap::from([(V, Epoch(epoch))])
    }

    #[test]
    fn an_older_push_changes_nothing() {
        let mut named = Named::default();
        assert!(named.is_named(V));
        assert!(named.push(3, at(5)));
        assert!(!named.push(2, BTreeMap::new()));
        assert!(named.is_named(V));
        assert!(named.push(4, BTreeMap::new()));
        assert!(!named.push(3, at(5)));
        assert_eq!(named.left_behind(&BTreeSet::from([V])), [V]);
    }

    #[test]
    fn an_order_from_before_is_refused() {
        let mut named = Named::default();
        assert!(named.sync(V, Epoch(4)), "nothing is known yet");
        named.push(3, at(5));
        assert!(named.sync(V, Epoch(6)), "before its push");
        named.push(4, BTreeMap::new());
        assert!(!named.sync(V, Epoch(6)));
        assert!(!named.is_named(V));
        assert!(named.sync(V, Epoch(8)), "it was named again");
        assert!(named.is_named(V));
    }
}
