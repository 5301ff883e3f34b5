//! Groups of dservers, as far as volumes are concerned: a volume lies within one group. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdfs_types::{ServerId, Volume};

/// The group of each dserver; empty in a cluster without groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(BTreeMap<ServerId, Arc<str>>);

impl Labels {
    /// Whether there are no groups.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The group of a dserver.
    pub(crate) fn of(&self, server: ServerId) -> Option<&Arc<str>> {
        self.0.get(&server)
    }

    /// The group all of these are of; `None` when they are of several, or of none.
    pub(crate) fn home(&self, servers: impl IntoIterator<Item = ServerId>) -> Option<&Arc<str>> {
        let mut groups = servers.into_iter().filter_map(|server| self.of(server));
        let first = groups.next()?;
        groups.all(|other| other == first).then_some(first)
    }

    /// The group a volume lies within. One that was made before dservers had groups may lie in
    /// several.
    pub(crate) fn home_of(&self, volume: &Volume) -> Option<&Arc<str>> {
        self.home(volume.members.iter().map(|member| member.server))
    }

    /// Whether a dserver may keep a copy of a volume, which a member may be to leave. One that lies
    /// in several groups may be kept by all.
    pub(crate) fn may_keep(
        &self,
        server: ServerId,
        volume: &Volume,
        leaving: Option<ServerId>,
    ) -> bool {
        let members = volume.members.iter().map(|member| member.server);
        let staying = members.filter(|member| Some(*member) != leaving);
        let mut staying = staying.peekable();
        let home = match staying.peek() {
            Some(_) => self.home(staying),
            None => leaving.and_then(|leaving| self.of(leaving)),
        };
        home.is_none_or(|home| self.of(server) == Some(home))
    }
}

impl FromIterator<(ServerId, Arc<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (ServerId, Arc<str>)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sdfs_types::{Epoch, MemberState, VolumeId, VolumeMember, VolumeStatus};

    /// Server 1 has the first of these groups, and so on.
    pub(crate) fn labels(groups: &[&str]) -> Labels {
        let numbered = (1..).zip(groups);
        numbered
            .map(|(id, group)| (ServerId(id), Arc::from(*group)))
            .collect()
    }

    fn volume(members: &[u16]) -> Volume {
        let member = |server: &u16| VolumeMember {
            server: ServerId(*server),
            state: MemberState::InSync,
        };
        Volume {
            id: VolumeId(1),
            epoch: Epoch(2),
            members: members.iter().map(member).collect(),
            status: VolumeStatus::Writable,
        }
    }

    #[test]
    fn a_copy_stays_in_its_group() {
        let four = labels(&["a", "a", "b", "b", "a"]);
        // Members, who leaves, the group it lies within, who may come.
        type Row = (&'static [u16], u16, Option<&'static str>, &'static [u16]);
        let table: &[Row] = &[
            (&[1, 2], 2, Some("a"), &[1, 2, 5]),
            (&[3, 4], 3, Some("b"), &[3, 4]),
            (&[3], 3, Some("b"), &[3, 4]),
            // Made before there were groups: whoever leaves last decides where it belongs.
            (&[1, 2, 3], 3, None, &[1, 2, 5]),
            (&[1, 2, 3], 1, None, &[1, 2, 3, 4, 5]),
            // A member that nobody knows any more.
            (&[1, 9], 9, Some("a"), &[1, 2, 5]),
        ];
        for (members, leaving, home, may_come) in table {
            let volume = volume(members);
            let found = four.home_of(&volume).map(|home| &**home);
            assert_eq!(found, *home, "{members:?}");
            let able = (1..=5).filter(|id| {
                let (id, leaving) = (ServerId(*id), ServerId(*leaving));
                four.may_keep(id, &volume, Some(leaving))
            });
            assert_eq!(able.collect::<Vec<_>>(), *may_come, "{members:?} {leaving}");
        }
    }

    #[test]
    fn without_groups_everybody_may_keep_everything() {
        let none = Labels::default();
        let volume = volume(&[1, 2]);
        assert_eq!(none.home_of(&volume), None);
        assert!(none.may_keep(ServerId(3), &volume, Some(ServerId(1))));
    }
}
