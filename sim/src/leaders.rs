//! Whom each server followed in which raft group, one after the other.

use std::collections::BTreeMap;

use sdfs_server_group::ServerId;
use sdfs_types::calls::status::GroupStatus;

/// Leaders seen so far.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    /// Term and leader that a server saw last in a group, by the server, how often it was started,
    /// and the group.
    last: BTreeMap<(ServerId, u32, u8), (u64, ServerId)>,
    back: Vec<String>,
}

impl Leaders {
    /// Notes what a server says of the groups it is in; of others it knows what it was told.
    /// What it knew before its last start, it may have forgotten if nobody relied on it.
    pub(crate) fn note(&mut self, (server, start): (ServerId, u32), groups: &[GroupStatus]) {
        for group in groups.iter().filter(|group| group.voters.contains(&server)) {
            let Some(leader) = group.leader else {
                continue;
            };
            let now = (group.term, leader);
            let last = self.last.entry((server, start, group.group)).or_insert(now);
            if now < *last {
                let number = group.group;
                let what = format!("{server} in group {number}: {now:?} after {last:?}");
                self.back.push(what);
            }
            *last = now;
        }
    }

    /// Who went back to an earlier one.
    #[must_use]
    pub(crate) fn back(&self) -> &[String] {
        &self.back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(term: u64, leader: u16) -> [GroupStatus; 1] {
        [GroupStatus {
            group: 0,
            leader: Some(ServerId(leader)),
            term,
            last_log: 0,
            applied: 0,
            voters: vec![ServerId(1), ServerId(2)],
        }]
    }

    #[test]
    fn a_leader_that_is_back_is_found() {
        let (one, stranger) = ((ServerId(1), 1), (ServerId(3), 1));
        let mut leaders = Leaders::default();
        leaders.note(one, &led(2, 1));
        leaders.note(one, &led(2, 2));
        leaders.note(one, &led(3, 1));
        leaders.note((ServerId(1), 2), &led(2, 2));
        leaders.note(stranger, &led(2, 2));
        leaders.note(stranger, &led(2, 1));
        assert!(leaders.back().is_empty());
        leaders.note(one, &led(2, 2));
        leaders.note((ServerId(1), 2), &led(2, 1));
        assert_eq!(leaders.back().len(), 2);
    }
}
