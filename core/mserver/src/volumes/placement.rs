//! Where copies go: members of new volumes, and volumes for new files. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdfs_types::{BlockSize, ServerId, Volume, VolumeId, VolumeMap};

use super::groups::Labels;
use super::limits::{FREE_BYTES_MIN, PLAN_VOLUMES_MAX, PLAN_VOLUMES_UNKNOWN_SIZE, QUEUE_HALVING};

/// A dserver that may become a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) server: ServerId,
    pub(crate) zone: String,
    pub(crate) is_up: bool,
    /// Whether a copy may be begun there.
    pub(crate) has_room: bool,
}

/// What the configuration says of placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceRules {
    pub(crate) copies: u8,
    pub(crate) volumes_per_dserver: u16,
}

/// The members of the volumes that are missing so that every dserver of a group, or of none where
/// there are no groups, takes part in enough that lie within it.
///
/// In a group nothing is planned before it has as many dservers as there are to be copies. Else
/// each volume has as many copies as the rules say, or as there are dservers; they lie in as many
/// zones as possible. Dservers that are down are left out while there are enough others.
pub(crate) fn missing_volumes(
    places: &[Place],
    (labels, group): (&Labels, Option<&Arc<str>>),
    map: &VolumeMap,
    rules: PlaceRules,
) -> Vec<Vec<ServerId>> {
    let is_of_it = |place: &&Place| labels.of(place.server) == group;
    let places: Vec<&Place> = places.iter().filter(is_of_it).collect();
    if group.is_some() && places.len() < usize::from(rules.copies) {
        return Vec::new();
    }
    let up: Vec<&Place> = places.iter().filter(|place| place.is_up).copied().collect();
    let copies = usize::from(rules.copies).min(places.len());
    let usable = if up.len() >= copies { up } else { places };
    let is_counted = |volume: &&Volume| group.is_none() || labels.home_of(volume) == group;
    let mut taken = volumes_of_each(map.volumes.values().filter(is_counted));
    let mut planned = Vec::new();
    let mut seed = map.volumes.len();
    while copies > 0 && usable.iter().any(|place| is_short(place, &taken, rules)) {
        let mut members: Vec<&Place> = Vec::with_capacity(copies);
        while members.len() < copies
            && let Some(next) = best_next(&usable, &members, &taken, seed)
        {
            members.push(next);
        }
        for member in &members {
            *taken.entry(member.server).or_default() += 1;
        }
        planned.push(members.iter().map(|member| member.server).collect());
        seed += 1;
    }
    planned
}

/// Who could take the place of `leaving` in `volume`, or become a member beside the others: a
/// dserver that is up, has room and is no member yet, of the volume's group, in a zone none of the
/// others lies in while there is one.
pub(crate) fn next_member(
    places: &[Place],
    labels: &Labels,
    map: &VolumeMap,
    (volume, leaving): (&Volume, Option<ServerId>),
) -> Option<ServerId> {
    let stays =
        |place: &Place| Some(place.server) != leaving && volume.state_of(place.server).is_some();
    let members: Vec<&Place> = places.iter().filter(|place| stays(place)).collect();
    let is_able = |place: &Place| {
        place.is_up && place.has_room && labels.may_keep(place.server, volume, leaving)
    };
    let fresh = |place: &Place| is_able(place) && volume.state_of(place.server).is_none();
    let usable: Vec<&Place> = places.iter().filter(|place| fresh(place)).collect();
    if usable.is_empty() {
        return None;
    }
    let seed = usize::try_from(volume.id.0).unwrap_or(usize::MAX);
    let taken = volumes_of_each(map.volumes.values());
    Some(best_next(&usable, &members, &taken, seed)?.server)
}

/// Volumes by dserver.
pub(crate) fn volumes_of_each<'a>(
    volumes: impl Iterator<Item = &'a Volume>,
) -> BTreeMap<ServerId, u32> {
    let mut taken = BTreeMap::new();
    for member in volumes.flat_map(|volume| &volume.members) {
        *taken.entry(member.server).or_default() += 1;
    }
    taken
}

fn is_short(place: &Place, taken: &BTreeMap<ServerId, u32>, rules: PlaceRules) -> bool {
    taken.get(&place.server).copied().unwrap_or(0) < u32::from(rules.volumes_per_dserver)
}

/// The zone with the fewest copies so far, then the dserver with the fewest volumes; the rest is
/// dealt by `seed`, so that the volumes of one dserver are shared with many others and all of them
/// help when it is lost.
fn best_next<'a>(
    usable: &[&'a Place],
    members: &[&Place],
    taken: &BTreeMap<ServerId, u32>,
    seed: usize,
) -> Option<&'a Place> {
    let in_zone = |zone: &str| members.iter().filter(|member| member.zone == zone).count();
    usable
        .iter()
        .filter(|place| members.iter().all(|member| member.server != place.server))
        .min_by_key(|place| {
            let volumes = taken.get(&place.server).copied().unwrap_or(0);
            let dealt = mix((seed as u64) << 16 | u64::from(place.server.0));
            (in_zone(&place.zone), volumes, dealt, place.server)
        })
        .copied()
}

/// A dserver as far as placing files is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DserverView {
    /// Whether it is known to answer.
    pub(crate) is_up: bool,
    /// Room it told last, if it did.
    pub(crate) free_bytes: Option<u64>,
    /// Requests waiting in it and on their way to it.
    pub(crate) queue: u32,
}

/// The volumes that take new files now, each with its share of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    shares: Vec<Share>,
}

#[derive(Clone, Debug)]
struct Share {
    volume: VolumeId,
    /// The group it lies within.
    home: Option<Arc<str>>,
    weight: u64,
    free_bytes: Option<u64>,
}

impl Shares {
    /// Weighs every writable volume whose acknowledging members are all up, by the room and the
    /// queue of its worst member.
    pub(crate) fn weigh(
        map: &VolumeMap,
        labels: &Labels,
        view: impl Fn(ServerId) -> DserverView,
    ) -> Shares {
        let mut shares: Vec<Share> = Vec::new();
        let mut queues = Vec::new();
        for volume in map.volumes.values().filter(|volume| volume.is_writable()) {
            let members: Vec<DserverView> = volume.acknowledging().map(&view).collect();
            if !members.iter().all(|member| member.is_up) {
                continue;
            }
            let free_bytes = members.iter().filter_map(|member| member.free_bytes).min();
            queues.push(members.iter().map(|member| member.queue).max().unwrap_or(0));
            shares.push(Share {
                volume: volume.id,
                home: labels.home_of(volume).cloned(),
                weight: 0,
                free_bytes,
            });
        }
        // Who has not told its room yet is taken for the fullest.
        let least = shares.iter().filter_map(|share| share.free_bytes).min();
        for (share, queue) in shares.iter_mut().zip(queues) {
            let free_mib = share.free_bytes.or(least).unwrap_or(0) >> 20;
            let lightness = u64::from(QUEUE_HALVING) + u64::from(queue);
            share.weight = (free_mib * u64::from(QUEUE_HALVING) / lightness).max(1);
        }
        Shares { shares }
    }

    /// One volume with room for `bytes`, none of `avoid`, within a group if one is named; `dice`
    /// decides, each volume in proportion to its share.
    pub(crate) fn pick(
        &self,
        bytes: u64,
        within: Option<&Arc<str>>,
        avoid: &[VolumeId],
        dice: u64,
    ) -> Option<VolumeId> {
        let fits = |share: &&Share| {
            (within.is_none() || share.home.as_ref() == within)
                && !avoid.contains(&share.volume)
                && share
                    .free_bytes
                    .is_none_or(|free| free >= bytes.saturating_add(FREE_BYTES_MIN))
        };
        let total: u64 = self
            .shares
            .iter()
            .filter(fits)
            .map(|share| share.weight)
            .sum();
        let mut left = mix(dice).checked_rem(total)?;
        for share in self.shares.iter().filter(fits) {
            match left.checked_sub(share.weight) {
                Some(rest) => left = rest,
                None => return Some(share.volume),
            }
        }
        None
    }

    /// Whether no volume takes files.
    pub(crate) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }
}

/// How many volumes the blocks of a file are spread over.
pub(crate) fn plan_volumes(size_bytes: Option<u64>, block_size: BlockSize) -> usize {
    match size_bytes {
        None => PLAN_VOLUMES_UNKNOWN_SIZE,
        Some(size_bytes) => usize::try_from(block_size.blocks_in(size_bytes))
            .unwrap_or(PLAN_VOLUMES_MAX)
            .clamp(1, PLAN_VOLUMES_MAX),
    }
}

/// Spreads numbers that follow each other over all 64 bits (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::labels;
    use super::*;
    use proptest::prelude::*;
    use sdfs_types::{Epoch, MemberState, VolumeMember, VolumeStatus};

    fn places(zones: &[&str]) -> Vec<Place> {
        (1..)
            .zip(zones)
            .map(|(id, zone)| Place {
                server: ServerId(id),
                zone: (*zone).to_owned(),
                is_up: true,
                has_room: true,
            })
            .collect()
    }

    fn rules(copies: u8, volumes_per_dserver: u16) -> PlaceRules {
        PlaceRules {
            copies,
            volumes_per_dserver,
        }
    }

    /// Without groups, as all of these but where labels are given.
    fn missing_volumes(places: &[Place], map: &VolumeMap, rules: PlaceRules) -> Vec<Vec<ServerId>> {
        super::missing_volumes(places, (&Labels::default(), None), map, rules)
    }

    fn replacement(
        places: &[Place],
        map: &VolumeMap,
        volume: &Volume,
        leaving: ServerId,
    ) -> Option<ServerId> {
        super::next_member(places, &Labels::default(), map, (volume, Some(leaving)))
    }

    fn weigh(map: &VolumeMap, view: impl Fn(ServerId) -> DserverView) -> Shares {
        Shares::weigh(map, &Labels::default(), view)
    }

    fn map_of(volumes: &[Vec<ServerId>]) -> VolumeMap {
        let mut map = VolumeMap::default();
        for (id, members) in (1..).zip(volumes) {
            let id = VolumeId(id);
            let members = members
                .iter()
                .map(|server| VolumeMember {
                    server: *server,
                    state: MemberState::InSync,
                })
                .collect();
            let status = VolumeStatus::Writable;
            map.volumes.insert(
                id,
                Volume {
                    id,
                    epoch: Epoch(2),
                    members,
                    status,
                },
            );
        }
        map
    }

    fn up(free_gib: u64, queue: u32) -> DserverView {
        DserverView {
            is_up: true,
            free_bytes: Some(free_gib << 30),
            queue,
        }
    }

    fn files_by_volume(shares: &Shares, files: u64) -> BTreeMap<VolumeId, u32> {
        let mut placed = BTreeMap::new();
        for file in 0..files {
            *placed
                .entry(shares.pick(4 << 20, None, &[], file).unwrap())
                .or_default() += 1;
        }
        placed
    }

    #[test]
    fn three_dservers_share_every_volume() {
        let planned = missing_volumes(
            &places(&["a", "b", "c"]),
            &VolumeMap::default(),
            rules(3, 4),
        );
        assert_eq!(planned.len(), 4);
        assert!(planned.iter().all(|members| members.len() == 3));
        let again = missing_volumes(&places(&["a", "b", "c"]), &map_of(&planned), rules(3, 4));
        assert!(again.is_empty());
    }

    #[test]
    fn fewer_dservers_keep_fewer_copies() {
        let planned = missing_volumes(&places(&["a"]), &VolumeMap::default(), rules(3, 2));
        assert_eq!(planned, [[ServerId(1)], [ServerId(1)]]);
        assert!(missing_volumes(&[], &VolumeMap::default(), rules(3, 2)).is_empty());
    }

    #[test]
    fn a_newcomer_gets_its_volumes() {
        let three = places(&["a", "b", "c"]);
        let map = map_of(&missing_volumes(&three, &VolumeMap::default(), rules(3, 4)));
        let planned = missing_volumes(&places(&["a", "b", "c", "d"]), &map, rules(3, 4));
        assert_eq!(planned.len(), 4);
        assert!(planned.iter().all(|members| members.contains(&ServerId(4))));
    }

    #[test]
    fn a_dead_dserver_is_left_out() {
        let mut four = places(&["a", "b", "c", "d"]);
        four[1].is_up = false;
        let planned = missing_volumes(&four, &VolumeMap::default(), rules(3, 4));
        assert!(
            planned
                .iter()
                .all(|members| !members.contains(&ServerId(2)))
        );
        let three = &mut four[..3];
        let planned = missing_volumes(three, &VolumeMap::default(), rules(3, 4));
        assert!(planned.iter().all(|members| members.len() == 3));
    }

    #[test]
    fn a_replacement_keeps_zones_apart() {
        let all = places(&["a", "b", "c", "a", "c"]);
        let map = map_of(&[vec![ServerId(1), ServerId(2), ServerId(3)]]);
        let volume = &map.volumes[&VolumeId(1)];
        assert_eq!(
            replacement(&all, &map, volume, ServerId(3)),
            Some(ServerId(5))
        );
        assert_eq!(
            replacement(&all, &map, volume, ServerId(1)),
            Some(ServerId(4))
        );
        assert_eq!(replacement(&all[..3], &map, volume, ServerId(1)), None);
    }

    fn ids(numbers: &[u16]) -> Vec<ServerId> {
        numbers.iter().copied().map(ServerId).collect()
    }

    #[test]
    fn volumes_lie_within_their_group() {
        let five = places(&["x", "y", "x", "y", "z"]);
        let labels = labels(&["a", "a", "b", "b", "b"]);
        let planned = |group: &str, map: &VolumeMap, copies| {
            let group = Some(Arc::from(group));
            super::missing_volumes(&five, (&labels, group.as_ref()), map, rules(copies, 2))
        };
        let of_a = planned("a", &VolumeMap::default(), 2);
        let sorted = |mut members: Vec<ServerId>| {
            members.sort_unstable();
            members
        };
        let of_a: Vec<_> = of_a.into_iter().map(sorted).collect();
        assert_eq!(of_a, [ids(&[1, 2]), ids(&[1, 2])]);
        let of_b = planned("b", &VolumeMap::default(), 2);
        assert!(of_b.len() >= 3, "{of_b:?}");
        assert!(of_b.iter().flatten().all(|id| id.0 >= 3), "{of_b:?}");
        // Not before the group has as many as there are to be copies.
        assert!(planned("a", &VolumeMap::default(), 3).is_empty());
        assert!(planned("c", &VolumeMap::default(), 1).is_empty());
        // Enough is what lies within the group: one of before, over both, does not count.
        assert!(planned("a", &map_of(&of_a), 2).is_empty());
        let of_before = map_of(&[ids(&[1, 3]), ids(&[2, 4]), ids(&[1, 4]), ids(&[2, 5])]);
        assert_eq!(planned("a", &of_before, 2).len(), 2);
    }

    #[test]
    fn a_replacement_is_of_the_same_group() {
        let mut six = places(&["x", "y", "z", "u", "v", "w"]);
        let labels = labels(&["a", "a", "b", "b", "b", "a"]);
        let map = map_of(&[ids(&[1, 2]), ids(&[3, 4]), ids(&[1, 3])]);
        let by = |six: &[Place], volume: u32, leaving: u16| {
            let volume = (&map.volumes[&VolumeId(volume)], ServerId(leaving));
            let (volume, leaving) = volume;
            super::next_member(six, &labels, &map, (volume, Some(leaving))).map(|id| id.0)
        };
        assert_eq!(by(&six, 1, 2), Some(6));
        assert_eq!(by(&six, 2, 3), Some(5));
        // One of before goes home to the group of those that stay.
        assert!(matches!(by(&six, 3, 1), Some(4 | 5)));
        // Rather nobody than one of another group.
        six[5].is_up = false;
        assert_eq!(by(&six, 1, 2), None);
    }

    #[test]
    fn a_file_of_a_group_goes_to_its_volumes() {
        let labels = labels(&["a", "a", "b", "b"]);
        let map = map_of(&[ids(&[1, 2]), ids(&[3, 4]), ids(&[1, 3])]);
        let shares = Shares::weigh(&map, &labels, |_| up(10, 0));
        let within = |group: &str| {
            let group = Some(Arc::from(group));
            let picked = (0..100).map(|file| shares.pick(1, group.as_ref(), &[], file));
            picked.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(within("a"), [Some(VolumeId(1))].into());
        assert_eq!(within("b"), [Some(VolumeId(2))].into());
        assert_eq!(within("c"), [None].into());
        assert_eq!(files_by_volume(&shares, 1_000).len(), 3, "others go to all");
    }

    #[test]
    fn ten_thousand_files_spread_evenly() {
        let eight = places(&["a", "b", "c", "d", "a", "b", "c", "d"]);
        let map = map_of(&missing_volumes(&eight, &VolumeMap::default(), rules(3, 6)));
        let placed = files_by_volume(&weigh(&map, |_| up(100, 0)), 10_000);
        assert_eq!(placed.len(), map.volumes.len());
        let mut by_dserver = BTreeMap::<ServerId, u32>::new();
        for (volume, files) in placed {
            for member in map.volumes[&volume].readable() {
                *by_dserver.entry(member).or_default() += files;
            }
        }
        for (dserver, files) in by_dserver {
            assert!(
                (3_400..=4_100).contains(&files),
                "{dserver}: {files} of 30,000 copies"
            );
        }
    }

    #[test]
    fn room_and_queue_shift_files() {
        let map = map_of(&[vec![ServerId(1)], vec![ServerId(2)], vec![ServerId(3)]]);
        let placed = files_by_volume(
            &weigh(&map, |server| match server.0 {
                1 => up(100, 0),
                2 => up(300, 0),
                _ => up(300, QUEUE_HALVING),
            }),
            10_000,
        );
        let share = |volume| f64::from(placed[&VolumeId(volume)]) / 10_000.0;
        assert!((share(1) - 100.0 / 550.0).abs() < 0.02, "{placed:?}");
        assert!((share(2) - 300.0 / 550.0).abs() < 0.02, "{placed:?}");
        assert!((share(3) - 150.0 / 550.0).abs() < 0.02, "{placed:?}");
    }

    #[test]
    fn unusable_volumes_get_no_file() {
        let mut map = map_of(&[vec![ServerId(1)], vec![ServerId(2)], vec![ServerId(3)]]);
        map.volumes.get_mut(&VolumeId(1)).unwrap().status = VolumeStatus::ReadOnly;
        let shares = weigh(&map, |server| DserverView {
            is_up: server != ServerId(2),
            free_bytes: Some(10 << 30),
            queue: 0,
        });
        for file in 0..100 {
            assert_eq!(shares.pick(1, None, &[], file), Some(VolumeId(3)));
            assert_eq!(shares.pick(1, None, &[VolumeId(3)], file), None);
            assert_eq!(shares.pick(11 << 30, None, &[], file), None);
        }
    }

    #[test]
    fn untold_room_still_gets_files() {
        let map = map_of(&[vec![ServerId(1)], vec![ServerId(2)]]);
        let shares = weigh(&map, |server| DserverView {
            is_up: true,
            free_bytes: (server == ServerId(1)).then_some(50 << 30),
            queue: 0,
        });
        assert_eq!(files_by_volume(&shares, 1_000).len(), 2);
        let none_told = weigh(&map, |_| DserverView {
            is_up: true,
            free_bytes: None,
            queue: 0,
        });
        assert_eq!(files_by_volume(&none_told, 1_000).len(), 2);
    }

    #[test]
    fn large_files_use_more_volumes() {
        let block = BlockSize::default();
        let table = [
            (Some(0), 1),
            (Some(1), 1),
            (Some(block.bytes() * 3), 3),
            (Some(block.bytes() * 300), PLAN_VOLUMES_MAX),
            (None, PLAN_VOLUMES_UNKNOWN_SIZE),
        ];
        for (size_bytes, volumes) in table {
            assert_eq!(plan_volumes(size_bytes, block), volumes, "{size_bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn copies_use_every_zone_they_can(
            zones in prop::collection::vec(0_u8..5, 1..20),
            copies in 1_u8..5,
            per_dserver in 1_u16..8,
        ) {
            let all: Vec<Place> = (1..)
                .zip(&zones)
                .map(|(id, zone)| Place {
                    server: ServerId(id),
                    zone: zone.to_string(),
                    is_up: true,
                    has_room: true,
                })
                .collect();
            let planned = missing_volumes(&all, &VolumeMap::default(), rules(copies, per_dserver));
            let mut distinct = zones.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let mut taken = BTreeMap::<ServerId, u16>::new();
            for members in &planned {
                prop_assert_eq!(members.len(), usize::from(copies).min(all.len()));
                let mut used: Vec<u8> =
                    members.iter().map(|server| zones[usize::from(server.0) - 1]).collect();
                used.sort_unstable();
                used.dedup();
                prop_assert_eq!(used.len(), members.len().min(distinct.len()));
                for member in members {
                    *taken.entry(*member).or_default() += 1;
                }
            }
            for place in &all {
                prop_assert!(taken.get(&place.server).is_some_and(|n| *n >= per_dserver));
            }
            if distinct.len() == 1 {
                let (least, most) = (taken.values().min(), taken.values().max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1);
            }
        }
    }
}
