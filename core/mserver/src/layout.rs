//! Which mservers keep which meta group.

use sdfs_raft::GroupId;
use sdfs_types::{Locate, MetaGroup, ServerId};

/// Members of a meta group beside its main, while there are as many mservers.
const SLAVES: usize = 2;

/// Mservers that vote in the root group; more get everything and vote never.
const ROOT_VOTERS_MAX: usize = 7;

/// All groups of the cluster. Group `i` has the `i`-th mserver as its main and the next two as
/// slaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    mservers: Vec<ServerId>,
}

impl Layout {
    /// The layout of these mservers, in the order of their numbers. Groups are counted by a byte:
    /// those beyond 255 keep no file-meta-data.
    #[must_use]
    pub fn new(mut mservers: Vec<ServerId>) -> Layout {
        mservers.sort_unstable();
        Layout { mservers }
    }

    /// All mservers.
    #[must_use]
    pub fn mservers(&self) -> &[ServerId] {
        &self.mservers
    }

    /// Whether every mserver is a member of every meta group.
    #[must_use]
    pub fn all_keep_everything(&self) -> bool {
        self.mservers.len() <= 1 + SLAVES
    }

    /// Who votes in the root group.
    #[must_use]
    pub fn root_voters(&self) -> &[ServerId] {
        &self.mservers[..self.mservers.len().min(ROOT_VOTERS_MAX)]
    }

    /// Who only listens to the root group.
    #[must_use]
    pub fn root_learners(&self) -> &[ServerId] {
        &self.mservers[self.mservers.len().min(ROOT_VOTERS_MAX)..]
    }

    /// Every meta group with its members, the main first.
    pub fn groups(&self) -> impl Iterator<Item = (MetaGroup, Vec<ServerId>)> {
        (1..=u8::MAX)
            .zip(0..self.mservers.len())
            .map(|(group, at)| {
                let around = self.mservers.iter().cycle().skip(at);
                let members = around
                    .take(self.mservers.len().min(1 + SLAVES))
                    .copied()
                    .collect();
                (MetaGroup(group), members)
            })
    }

    /// The members of a group, the main first; none of an unknown one.
    #[must_use]
    pub fn members(&self, group: MetaGroup) -> Vec<ServerId> {
        self.groups()
            .find(|(known, _)| *known == group)
            .map_or_else(Vec::new, |(_, all)| all)
    }

    /// The members a raft group is to have, and whether each votes.
    pub(crate) fn members_of(&self, group: GroupId) -> Vec<(ServerId, bool)> {
        if group != GroupId::ROOT {
            let members = self.members(MetaGroup(group.0));
            return members.into_iter().map(|member| (member, true)).collect();
        }
        let voters = self.root_voters().iter().map(|voter| (*voter, true));
        let learners = self.root_learners().iter().map(|learner| (*learner, false));
        voters.chain(learners).collect()
    }

    /// The raft groups in which a server is to vote.
    pub(crate) fn groups_of_voter(&self, server: ServerId) -> impl Iterator<Item = GroupId> {
        let root = self
            .root_voters()
            .contains(&server)
            .then_some(GroupId::ROOT);
        let metas = self
            .groups()
            .filter(move |(_, members)| members.contains(&server));
        root.into_iter()
            .chain(metas.map(|(group, _)| raft_group(group)))
    }

    /// Where file-meta-data goes whose main is to be `main`.
    #[must_use]
    pub fn locate(&self, main: ServerId) -> Option<Locate> {
        self.groups()
            .find(|(_, members)| members.first() == Some(&main))
            .map(|(group, members)| Locate {
                group,
                main,
                slaves: members.into_iter().skip(1).collect(),
            })
    }
}

/// The raft group of a meta group.
#[must_use]
pub fn raft_group(group: MetaGroup) -> GroupId {
    GroupId(group.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(mservers: u16) -> Layout {
        Layout::new((1..=mservers).rev().map(ServerId).collect())
    }

    #[test]
    fn three_mservers_keep_everything() {
        let all = layout(3);
        for (group, members) in all.groups() {
            assert_eq!(members[0], ServerId(u16::from(group.0)));
            assert_eq!(members.len(), 3);
        }
        assert_eq!(
            all.members(MetaGroup(3)),
            [ServerId(3), ServerId(1), ServerId(2)]
        );
        assert_eq!(all.members(MetaGroup(4)), []);
    }

    #[test]
    fn a_lone_mserver_is_its_own_main() {
        let locate = layout(1).locate(ServerId(1));
        assert_eq!(
            locate,
            Some(Locate {
                group: MetaGroup(1),
                main: ServerId(1),
                slaves: Vec::new()
            })
        );
    }

    #[test]
    fn the_eighth_mserver_votes_never() {
        assert_eq!(layout(9).root_voters().len(), 7);
        assert_eq!(layout(9).root_learners(), [ServerId(8), ServerId(9)]);
    }
}
