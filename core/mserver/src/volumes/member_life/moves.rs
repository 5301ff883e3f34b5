//! Copies that go elsewhere: away from members that are out for long and from dservers that are to
//! be emptied, and towards dservers with few. A member leaves only when others have all it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sdfs_types::calls::maintenance::Maintenance;
use sdfs_types::{MemberState, ServerId, Volume, VolumeId, VolumeMap};

use super::super::balance;
use super::super::command::{MemberChange, VolumeCommand};
use super::super::groups::Labels;
use super::super::limits::FREE_BYTES_AGAIN;
use super::super::placement::{self, Place};
use super::dserver::Dserver;
use super::volume::{Dservers, Sight, VolumeLife};

/// What a move of copies rests on besides the volume.
pub(crate) struct Around<'a> {
    pub(crate) map: &'a VolumeMap,
    pub(crate) orders: &'a Maintenance,
    /// The groups of all dservers.
    pub(crate) labels: Labels,
    /// Dservers that stay.
    pub(crate) places: Vec<Place>,
    /// Copies there are to be of each volume: no more than dservers stay, with a label or without.
    /// A group has as many at least: when fewer are known of it, no member leaves.
    copies: usize,
    /// A member that is out for longer is replaced.
    replace_after: Duration,
    /// The move that spreads copies better.
    better: Option<(VolumeId, ServerId)>,
    /// Whether no move would spread them better, also none to a dserver that is away now.
    is_even: bool,
}

impl<'a> Around<'a> {
    pub(crate) fn new(
        map: &'a VolumeMap,
        orders: &'a Maintenance,
        dservers: &Dservers,
        copies: u8,
        replace_after: Duration,
    ) -> Around<'a> {
        let label = |(id, dserver): (&ServerId, &Dserver)| Some((*id, dserver.group.clone()?));
        let labels: Labels = dservers.iter().filter_map(label).collect();
        let places = staying(dservers, orders, &labels);
        let all = dservers.keys();
        let staying = all.filter(|id| !orders.draining.contains_key(*id)).count();
        let mut around = Around {
            map,
            orders,
            labels,
            copies: usize::from(copies).min(staying),
            places,
            replace_after,
            better: None,
            is_even: false,
        };
        if orders.rebalancing.is_some() && around.is_settled() {
            around.better = balance::next_move(&around.places, &around.labels, map);
            let back = |place: &Place| Place {
                is_up: true,
                ..place.clone()
            };
            let all: Vec<Place> = around.places.iter().map(back).collect();
            let is_even = || balance::next_move(&all, &around.labels, map).is_none();
            around.is_even = around.better.is_none() && is_even();
        }
        around
    }

    /// Whether every volume has every copy, and none too many.
    fn is_settled(&self) -> bool {
        self.map.volumes.values().all(|volume| {
            let is_whole = volume.readable().count() == volume.members.len();
            is_whole && volume.members.len() <= self.copies.max(1)
        })
    }

    /// The groups of those that stay; where there are none, the one nobody is of.
    pub(crate) fn groups(&self) -> BTreeSet<Option<&Arc<str>>> {
        let groups = self.places.iter().map(|place| self.labels.of(place.server));
        groups.collect()
    }

    /// Who could take the place of a member, or become one beside the others.
    fn next_member(&self, volume: &Volume, leaving: Option<ServerId>) -> Option<ServerId> {
        placement::next_member(&self.places, &self.labels, self.map, (volume, leaving))
    }

    /// Whether copies are spread as well as they can be.
    pub(crate) fn is_balanced(&self) -> bool {
        self.is_even
    }

    fn is_drained(&self, server: ServerId) -> bool {
        self.orders.draining.contains_key(&server)
    }
}

/// The dservers that get copies: where there are groups, none without one.
fn staying(dservers: &Dservers, orders: &Maintenance, labels: &Labels) -> Vec<Place> {
    let stays = |(id, _): &(&ServerId, &Dserver)| {
        let is_placed = labels.is_empty() || labels.of(**id).is_some();
        is_placed && !orders.draining.contains_key(*id)
    };
    let place = |(id, dserver): (&ServerId, &Dserver)| Place {
        server: *id,
        zone: dserver.zone.clone(),
        is_up: dserver.is_up(),
        // One that has not told yet is asked, and refuses.
        has_room: dserver
            .free_bytes
            .is_none_or(|free| free >= FREE_BYTES_AGAIN),
    };
    dservers.iter().filter(stays).map(place).collect()
}

/// A member that the volume does without: one of a dserver that is to be emptied when enough
/// others are in sync and there, or a copy too many.
pub(crate) fn leaving(
    life: &VolumeLife,
    sight: Sight<'_>,
    around: &Around<'_>,
) -> Option<VolumeCommand> {
    let volume = sight.volume;
    let is_good = |server: ServerId| sight.is_known_good(server) && life.is_sound(server);
    let staying = volume
        .readable()
        .filter(|server| !around.is_drained(*server) && is_good(*server));
    let copies = around.copies;
    let has_enough = copies > 0 && staying.count() >= copies;
    let is_leaving = |member: &&sdfs_types::VolumeMember| {
        around.is_drained(member.server) && member.state != MemberState::Syncing
    };
    let drained = volume.members.iter().find(is_leaving);
    if let Some(drained) = drained.filter(|_| has_enough) {
        let member = drained.server;
        return Some(sight.change(MemberChange::Leave { member }));
    }
    let is_whole =
        volume.readable().count() == volume.members.len() && volume.readable().all(is_good);
    let is_surplus = copies > 0 && volume.members.len() > copies;
    if around.orders.rebalancing.is_none() || drained.is_some() || !is_whole || !is_surplus {
        return None;
    }
    let member = balance::surplus(&around.places, around.map, volume)?;
    Some(sight.change(MemberChange::Leave { member }))
}

/// Another dserver in the place of a member that is out: at once when its dserver is to be
/// emptied, else when nobody waits for it any longer.
pub(crate) fn replacing(
    life: &VolumeLife,
    sight: Sight<'_>,
    around: &Around<'_>,
    is_late: bool,
) -> Option<VolumeCommand> {
    let member = if is_late {
        life.long_out(sight, around.replace_after)?
    } else {
        let mut out = sight.members_in(MemberState::Out);
        out.find(|server| around.is_drained(*server))?
    };
    if !life.has_source(sight) {
        return None;
    }
    let by = around.next_member(sight.volume, Some(member))?;
    sight
        .is_known_good(by)
        .then(|| sight.change(MemberChange::Replace { member, by }))
}

/// Whether a volume may get a member more without its writes being held up meanwhile, as more
/// copies would have to be in sync then; if not, one such volume at a time, while others take them.
fn may_grow(sight: Sight<'_>, around: &Around<'_>) -> bool {
    let volume = sight.volume;
    let needed = usize::from(sight.copies_min).clamp(1, volume.members.len() + 1);
    let others = around.map.volumes.values();
    let mut others = others.filter(|other| other.id != volume.id).peekable();
    let has_others = others.peek().is_some();
    volume.readable().count() >= needed || has_others && others.all(Volume::is_writable)
}

/// One more member: for one that is to leave, because there are too few, or because the volume is
/// better kept there.
pub(crate) fn joining(
    life: &VolumeLife,
    sight: Sight<'_>,
    around: &Around<'_>,
) -> Option<VolumeCommand> {
    let volume = sight.volume;
    let is_busy = sight.members_in(MemberState::Syncing).next().is_some();
    if is_busy || !life.has_source(sight) {
        return None;
    }
    let by = match volume.readable().find(|server| around.is_drained(*server)) {
        Some(leaving) => {
            let staying = volume.members.iter();
            let staying = staying.filter(|member| !around.is_drained(member.server));
            if staying.count() >= around.copies {
                return None;
            }
            around.next_member(volume, Some(leaving))?
        }
        // There were fewer dservers when it was founded, or when one was emptied.
        None if volume.members.len() < around.copies && may_grow(sight, around) => {
            around.next_member(volume, None)?
        }
        None => around.better.filter(|(id, _)| *id == volume.id)?.1,
    };
    sight
        .is_known_good(by)
        .then(|| sight.change(MemberChange::Join { by }))
}
