//! Spreading copies evenly: which one to move next, and which one is too many. Pure.
//!
//! Volumes are counted, not their bytes: files go to volumes by the room of their members, so
//! volumes fill up alike.

use std::collections::BTreeSet;

use sdfs_types::{MemberState, ServerId, Volume, VolumeId, VolumeMap};

use super::groups::Labels;
use super::placement::{Place, volumes_of_each};

/// The copy whose moving brings the dservers closer together: a volume of one with many, and one
/// with few to take it. Zones stay apart as they are, and copies in their group. Each move makes
/// the sum of the squares of the counts smaller, so moving ends.
pub(crate) fn next_move(
    places: &[Place],
    labels: &Labels,
    map: &VolumeMap,
) -> Option<(VolumeId, ServerId)> {
    let counts = volumes_of_each(map.volumes.values());
    let count = |place: &Place| counts.get(&place.server).copied().unwrap_or(0);
    let mut pairs: Vec<(&Place, &Place)> = Vec::new();
    for from in places {
        let to = places.iter().filter(|to| to.is_up && to.has_room);
        let helps = to.filter(|to| count(from) >= count(to) + 2);
        pairs.extend(helps.map(|to| (from, to)));
    }
    pairs.sort_by_key(|(from, to)| {
        (
            std::cmp::Reverse(count(from) - count(to)),
            from.server,
            to.server,
        )
    });
    pairs.into_iter().find_map(|(from, to)| {
        let suits = |volume: &&Volume| {
            let is_here = volume.state_of(from.server) == Some(MemberState::InSync);
            let is_there = volume.state_of(to.server).is_some();
            let members = members_of(volume);
            let moved = members
                .iter()
                .copied()
                .filter(|member| *member != from.server)
                .chain([to.server]);
            is_here
                && !is_there
                && labels.may_keep(to.server, volume, Some(from.server))
                && zones(places, moved) >= zones(places, members.clone())
        };
        let volume = map.volumes.values().find(suits)?;
        Some((volume.id, to.server))
    })
}

/// The member of a volume with a copy too many that leaves: of those whose leaving costs no zone,
/// the one on the dserver with the most volumes.
pub(crate) fn surplus(places: &[Place], map: &VolumeMap, volume: &Volume) -> Option<ServerId> {
    let counts = volumes_of_each(map.volumes.values());
    let members = members_of(volume);
    let without = |leaving: ServerId| {
        let staying = members.iter().copied().filter(|member| *member != leaving);
        zones(places, staying)
    };
    members.iter().copied().max_by_key(|member| {
        let count = counts.get(member).copied().unwrap_or(0);
        (without(*member), count, *member)
    })
}

fn members_of(volume: &Volume) -> Vec<ServerId> {
    volume.members.iter().map(|member| member.server).collect()
}

fn zones(places: &[Place], servers: impl IntoIterator<Item = ServerId>) -> usize {
    let zone = |server: ServerId| places.iter().find(|place| place.server == server);
    let zones: BTreeSet<&str> = servers
        .into_iter()
        .filter_map(zone)
        .map(|place| place.zone.as_str())
        .collect();
    zones.len()
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::labels;
    use super::super::placement::next_member;
    use super::*;
    use proptest::prelude::*;
    use sdfs_types::{Epoch, VolumeMember, VolumeStatus};

    fn places(zones: &[u8]) -> Vec<Place> {
        (1..)
            .zip(zones)
            .map(|(id, zone)| Place {
                server: ServerId(id),
                zone: zone.to_string(),
                is_up: true,
                has_room: true,
            })
            .collect()
    }

    fn next_move(places: &[Place], map: &VolumeMap) -> Option<(VolumeId, ServerId)> {
        super::next_move(places, &Labels::default(), map)
    }

    fn map_of(volumes: &[Vec<u16>]) -> VolumeMap {
        let mut map = VolumeMap::default();
        for (id, members) in (1..).zip(volumes) {
            let id = VolumeId(id);
            let in_sync = |server: &u16| VolumeMember {
                server: ServerId(*server),
                state: MemberState::InSync,
            };
            let volume = Volume {
                id,
                epoch: Epoch(2),
                members: members.iter().map(in_sync).collect(),
                status: VolumeStatus::Writable,
            };
            map.volumes.insert(id, volume);
        }
        map
    }

    #[test]
    fn a_newcomer_is_moved_to() {
        let map = map_of(&vec![vec![1, 2, 3]; 4]);
        let all = places(&[1, 2, 3, 4]);
        assert_eq!(next_move(&all, &map), Some((VolumeId(1), ServerId(4))));
        assert_eq!(next_move(&all[..3], &map), None);
    }

    #[test]
    fn nothing_is_moved_to_a_full_disk() {
        let map = map_of(&vec![vec![1, 2, 3]; 4]);
        let mut all = places(&[1, 2, 3, 4, 5]);
        all[3].has_room = false;
        assert_eq!(next_move(&all, &map), Some((VolumeId(1), ServerId(5))));
        assert_eq!(next_move(&all[..4], &map), None);
        let leaving = ServerId(1);
        let by = next_member(
            &all,
            &Labels::default(),
            &map,
            (&map.volumes[&VolumeId(1)], Some(leaving)),
        );
        assert_eq!(by, Some(ServerId(5)));
    }

    #[test]
    fn a_move_stays_in_its_group() {
        let map = map_of(&[vec![1, 2], vec![1, 2], vec![1, 2], vec![3, 4]]);
        let all = places(&[1, 2, 3, 4, 5]);
        let moved = |groups: &[&str]| super::next_move(&all, &labels(groups), &map);
        assert_eq!(moved(&["a", "a", "b", "b", "b"]), None);
        let to_new = Some((VolumeId(1), ServerId(5)));
        assert_eq!(moved(&["a", "a", "b", "b", "a"]), to_new);
        let one_copy = map_of(&[vec![1], vec![1], vec![1], vec![2]]);
        let one = super::next_move(&all[..2], &labels(&["a", "b"]), &one_copy);
        assert_eq!(one, None);
    }

    #[test]
    fn a_move_keeps_zones_apart() {
        // 4 lies in the zone of 2: it may take a copy from there only.
        let map = map_of(&vec![vec![1, 2, 3]; 4]);
        let all = places(&[1, 2, 3, 2]);
        let (volume, to) = next_move(&all, &map).expect("a move");
        assert_eq!((volume, to), (VolumeId(1), ServerId(4)));
        let mut joined = map_of(&vec![vec![1, 2, 3]; 4]);
        joined.volumes = map_of(&[
            vec![1, 2, 3, 4],
            vec![1, 2, 3],
            vec![1, 2, 3],
            vec![1, 2, 3],
        ])
        .volumes;
        let leaving = surplus(&all, &joined, &joined.volumes[&volume]);
        assert_eq!(leaving, Some(ServerId(2)));
    }

    proptest! {
        #[test]
        fn moving_ends_and_evens_out(
            zones_of in prop::collection::vec(0_u8..3, 4..9),
            picks in prop::collection::vec(any::<u64>(), 1..30),
        ) {
            let all = places(&zones_of);
            let count = zones_of.len() as u64;
            let members = picks.iter().map(|pick| {
                let first = pick % count;
                (0..3).map(|n| u16::try_from((first + n) % count + 1).unwrap()).collect()
            });
            let mut map = map_of(&members.collect::<Vec<Vec<u16>>>());
            let mut moves = 0;
            while let Some((id, to)) = next_move(&all, &map) {
                let before = zones(&all, members_of(&map.volumes[&id]));
                map.volumes.get_mut(&id).unwrap().members.push(VolumeMember {
                    server: to,
                    state: MemberState::InSync,
                });
                let leaving = surplus(&all, &map, &map.volumes[&id]).unwrap();
                prop_assert_ne!(leaving, to);
                map.volumes.get_mut(&id).unwrap().members.retain(|m| m.server != leaving);
                prop_assert!(zones(&all, members_of(&map.volumes[&id])) >= before);
                moves += 1;
                prop_assert!(moves <= 200, "moving does not end");
            }
            let counts = volumes_of_each(map.volumes.values());
            let distinct: BTreeSet<&u8> = zones_of.iter().collect();
            if distinct.len() == 1 {
                let of = |place: &Place| counts.get(&place.server).copied().unwrap_or(0);
                let most = all.iter().map(of).max().unwrap();
                let least = all.iter().map(of).min().unwrap();
                prop_assert!(most - least <= 1, "{counts:?}");
            }
        }
    }
}
