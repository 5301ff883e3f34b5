//! Who the members of a raft group are. A server's number is not enough: it outlives the server's
//! disk, and a server that lost its log is another member. So a group's configuration names each
//! member by its life too, and by the birth of the group, and every call of raft says whom it is
//! for. Pure.

use crate::ids::GroupId;
use crate::record::Life;
use crate::types::{Membership, node_of};
use sdfs_server_group::ServerId;
use serde::{Deserialize, Serialize};

/// Which of all beginnings of a group this is. Two groups of one number and different births are
/// different groups: neither takes the other's entries or votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Birth([u8; 16]);

/// A member as a group's configuration has it, beside its server's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) birth: Birth,
    pub(crate) life: Life,
}

/// Whom a call of raft is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) group: GroupId,
    pub(crate) to: Identity,
}

impl Birth {
    /// The birth of a group that servers in these lives begin: whoever of them begins it says the
    /// same, and with another life among them it is another. Lives are random, so is this.
    pub(crate) fn of(lives: impl Iterator<Item = Life>) -> Self {
        let mut birth = [0; 16];
        for life in lives {
            birth
                .iter_mut()
                .zip(life.0)
                .for_each(|(all, one)| *all ^= one);
        }
        Self(birth)
    }

    /// The birth of the group that has these members; `None` before it has any.
    pub(crate) fn of_members(members: &Membership) -> Option<Self> {
        members.nodes().next().map(|(_, one)| one.birth)
    }
}

/// The life in which `server` is a member.
pub(crate) fn life_in(members: &Membership, server: ServerId) -> Option<Life> {
    members.get_node(&node_of(server)).map(|one| one.life)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn another_life_makes_another_birth(
            lives in prop::collection::vec(any::<[u8; 16]>().prop_map(Life), 1..8),
            at in any::<prop::sample::Index>(),
            other in any::<[u8; 16]>().prop_map(Life),
        ) {
            let birth = Birth::of(lives.iter().copied());
            prop_assert_eq!(Birth::of(lives.iter().rev().copied()), birth);
            let mut changed = lives.clone();
            changed[at.index(lives.len())] = other;
            prop_assert_eq!(Birth::of(changed.iter().copied()) == birth, changed == lives);
        }
    }
}
