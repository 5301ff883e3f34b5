//! Fencing and healing of volume members, as the root group's leader decides it. Pure: events in,
//! effects out.
//!
//! What must stay true, whatever fails: a member that is in sync has every acknowledged block. So
//! a member leaves by an epoch of its own before writes go on without it, gets every write from
//! the epoch in which it begins to sync, and is in sync again only after it has verified, in that
//! very epoch, that it has what the others have. Nothing is ever concluded from silence but that
//! writes go on without the silent one.
//!
//! Everything lasting is in the volume map. A new leader starts empty, hears what each dserver says
//! of its volumes, and goes on.

mod dserver;
mod event;
#[cfg(test)]
mod model_test;
mod moves;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sdfs_types::calls::blocks::PushVolumes;
use sdfs_types::calls::maintenance::{Maintenance, MaintenanceOrder, SetHealRate};
use sdfs_types::calls::negotiation::{ReportSync, ReportTrouble, Trouble};
use sdfs_types::{Epoch, MemberState, ServerId, Volume, VolumeId, VolumeMap};

pub(crate) use dserver::DserverSeen;
use dserver::{Asking, Dserver};
pub(crate) use event::{Effect, Event, SyncAnswer};
use moves::Around;
use volume::{Dservers, Sight, VolumeLife};

use super::command::{MaintenanceCommand, VolumeAnswer, VolumeCommand};
use super::limits::{FENCE_GRACE, FOUND_GRACE, FULL_FOR, LEADER_GRACE, SYNC_REMIND, TICK};
use super::machine::next_volume_id;
use super::placement::{self, PlaceRules};

/// What the leader goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LifeRules {
    pub(crate) copies_min: u8,
    pub(crate) place: PlaceRules,
    /// A member that is out for so long is replaced by another dserver.
    pub(crate) replace_after: Duration,
}

/// The members of all volumes in the eyes of the root group's leader.
#[derive(Debug)]
pub(crate) struct MemberLife {
    rules: LifeRules,
    map: Arc<VolumeMap>,
    orders: Arc<Maintenance>,
    dservers: Dservers,
    volumes: BTreeMap<VolumeId, VolumeLife>,
    adding: Asking,
    added_by: u64,
    /// When this leadership began: dservers that are missing then have a while to come up.
    began: Duration,
    alarmed: BTreeMap<VolumeId, ServerId>,
}

impl MemberLife {
    /// A leader that knows the map and nothing else.
    pub(crate) fn new(now: Duration, rules: LifeRules, map: Arc<VolumeMap>) -> MemberLife {
        let mut life = MemberLife {
            rules,
            map: Arc::default(),
            orders: Arc::default(),
            dservers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            adding: Asking::default(),
            added_by: 0,
            began: now,
            alarmed: BTreeMap::new(),
        };
        life.map_moved(now, map);
        life
    }

    /// Takes one event in and says what is to be done.
    pub(crate) fn step(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        match event {
            Event::Seen(seen) => self.seen(now, &seen),
            Event::Lost {
                server,
                is_surely_gone,
            } => self.lost(now, server, is_surely_gone),
            Event::MapMoved(map) => self.map_moved(now, map),
            Event::OrdersMoved(orders) => self.orders = orders,
            Event::RateTold {
                server,
                connection,
                version,
            } => self.rate_told(now, (server, connection), version),
            Event::Troubled(report) => self.troubled(now, report),
            Event::Synced(report) => self.synced(report),
            Event::PushAnswered {
                server,
                connection,
                map_version,
                lost,
            } => {
                self.push_answered(now, (server, connection), map_version, &lost);
            }
            Event::PushFailed { server, connection } => {
                if let Some(dserver) = self.at(server, connection) {
                    dserver.push.failed(now);
                }
            }
            Event::Probed {
                server,
                connection,
                has_answered,
            } => {
                self.probed(now, (server, connection), has_answered);
            }
            Event::SyncAnswered {
                volume,
                epoch,
                member,
                answer,
            } => {
                self.sync_answered(now, (volume, epoch, member), answer);
            }
            Event::Proposed { volume, answer } => self.proposed(now, volume, answer),
        }
        self.decide(now)
    }

    /// The volume as it is now.
    pub(crate) fn volume(&self, id: VolumeId) -> Option<&Volume> {
        self.map.volumes.get(&id)
    }

    fn seen(&mut self, now: Duration, seen: &[DserverSeen]) {
        self.dservers
            .retain(|id, _| seen.iter().any(|seen| seen.server == *id));
        for seen in seen {
            // One that was never heard of in this leadership may just be connecting.
            let dserver = self
                .dservers
                .entry(seen.server)
                .or_insert_with(|| Dserver::new(now, seen, self.began + LEADER_GRACE));
            dserver.zone.clone_from(&seen.zone);
            dserver.group.clone_from(&seen.group);
            dserver.free_bytes = seen.free_bytes;
            if dserver.connection == seen.connection {
                continue;
            }
            match seen.connection {
                Some(connection) => dserver.established(now, connection),
                None => dserver.lost(now + FENCE_GRACE),
            }
            self.volumes
                .values_mut()
                .for_each(|volume| volume.reconnected(seen.server));
        }
    }

    fn lost(&mut self, now: Duration, server: ServerId, is_surely_gone: bool) {
        // Even then a moment: a leader that was itself asleep finds out first that it leads no
        // more.
        let grace = if is_surely_gone { TICK } else { FENCE_GRACE };
        if let Some(dserver) = self.dservers.get_mut(&server) {
            dserver.lost(now + grace);
        }
    }

    fn map_moved(&mut self, now: Duration, map: Arc<VolumeMap>) {
        self.volumes.retain(|id, _| map.volumes.contains_key(id));
        let dservers = &self.dservers;
        let connection = |server| dservers.get(&server).and_then(|dserver| dserver.connection);
        for (id, volume) in &map.volumes {
            let is_known = self.volumes.contains_key(id);
            let new = || VolumeLife::new(now, map.version);
            let life = self.volumes.entry(*id).or_insert_with(new);
            life.follow(now, volume, is_known, connection);
            if life.shown_by != 0 && map.version >= life.shown_by {
                life.shown_by = 0;
                life.proposal.done();
            }
        }
        if self.added_by != 0 && map.version >= self.added_by {
            self.added_by = 0;
            self.adding.done();
        }
        self.map = map;
    }

    fn troubled(&mut self, now: Duration, report: ReportTrouble) {
        let Some(volume) = self.map.volumes.get(&report.volume) else {
            return;
        };
        let is_awaited = matches!(
            volume.state_of(report.member),
            Some(MemberState::InSync | MemberState::Syncing)
        );
        let Some(life) = self.volumes.get_mut(&report.volume) else {
            return;
        };
        if !is_awaited || volume.epoch != report.epoch {
            return;
        }
        let note = life.note(report.member);
        match report.trouble {
            Trouble::DiskFailed => note.condemn(now),
            Trouble::SpaceLost => note.is_lost = true,
            Trouble::Full => life.full_until(now + FULL_FOR),
            Trouble::Silent => {
                note.strike(now);
                if let Some(dserver) = self.dservers.get_mut(&report.member) {
                    dserver.is_doubted = true;
                    dserver.fence_at = dserver.fence_at.min(now);
                }
            }
        }
    }

    fn synced(&mut self, report: ReportSync) {
        let Some(volume) = self.map.volumes.get(&report.volume) else {
            return;
        };
        let is_syncing = volume.state_of(report.member) == Some(MemberState::Syncing);
        if !is_syncing || volume.epoch != report.epoch {
            return;
        }
        if let Some(life) = self.volumes.get_mut(&report.volume) {
            life.note(report.member).synced(report.epoch);
        }
    }

    /// The dserver, when that connection still stands.
    fn at(&mut self, server: ServerId, connection: u64) -> Option<&mut Dserver> {
        self.dservers
            .get_mut(&server)
            .filter(|d| d.connection == Some(connection))
    }

    fn push_answered(
        &mut self,
        now: Duration,
        from: (ServerId, u64),
        map_version: u64,
        lost: &[VolumeId],
    ) {
        let Some(dserver) = self.at(from.0, from.1) else {
            return;
        };
        dserver.push.done();
        dserver.answered();
        dserver.kept = Some(map_version);
        for (id, volume) in &self.map.volumes {
            let may_found = volume.epoch == Epoch(1) && volume.state_of(from.0).is_some();
            if may_found
                && !lost.contains(id)
                && let Some(life) = self.volumes.get_mut(id)
            {
                life.note(from.0).registered();
            }
        }
        for id in lost {
            let state = self
                .map
                .volumes
                .get(id)
                .and_then(|volume| volume.state_of(from.0));
            let life = self.volumes.get_mut(id);
            let Some(life) = life else { continue };
            match state {
                Some(MemberState::InSync) => life.note(from.0).is_lost = true,
                // It has no disk left to sync to.
                Some(MemberState::Syncing) => life.note(from.0).condemn(now),
                Some(MemberState::Out) | None => {}
            }
        }
    }

    fn rate_told(&mut self, now: Duration, at: (ServerId, u64), version: Option<u64>) {
        let Some(dserver) = self.at(at.0, at.1) else {
            return;
        };
        match version {
            Some(_) => {
                dserver.rate.done();
                dserver.rate_of = version;
            }
            None => dserver.rate.failed(now),
        }
    }

    fn probed(&mut self, now: Duration, from: (ServerId, u64), has_answered: bool) {
        let Some(dserver) = self.at(from.0, from.1) else {
            return;
        };
        if has_answered {
            dserver.probe.done();
            dserver.answered();
        } else {
            dserver.probe.failed(now);
            dserver.is_mute = true;
        }
    }

    fn sync_answered(
        &mut self,
        now: Duration,
        about: (VolumeId, Epoch, ServerId),
        answer: SyncAnswer,
    ) {
        let (volume, epoch, member) = about;
        let note = self
            .volumes
            .get_mut(&volume)
            .and_then(|life| life.sync_note(member, epoch));
        let Some(note) = note else { return };
        match answer {
            SyncAnswer::Begun => note.sync.done_until(now + SYNC_REMIND),
            SyncAnswer::Failed => note.sync.failed(now),
            SyncAnswer::Unable => {
                note.sync.failed(now);
                note.condemn(now);
            }
        }
    }

    fn proposed(&mut self, now: Duration, id: Option<VolumeId>, answer: Option<VolumeAnswer>) {
        let map_version = self.map.version;
        let (asking, shown_by) = match id {
            None => (&mut self.adding, &mut self.added_by),
            Some(id) => match self.volumes.get_mut(&id) {
                Some(life) => (&mut life.proposal, &mut life.shown_by),
                None => return,
            },
        };
        match answer {
            Some(VolumeAnswer::Done { map_version: shown }) if shown > map_version => {
                *shown_by = shown;
            }
            Some(VolumeAnswer::Done { .. }) => asking.done(),
            _ => asking.failed(now),
        }
    }

    fn decide(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.dservers.is_empty() {
            return effects;
        }
        let (map, orders) = (Arc::clone(&self.map), Arc::clone(&self.orders));
        let (copies, replace_after) = (self.rules.place.copies, self.rules.replace_after);
        let around = Around::new(&map, &orders, &self.dservers, copies, replace_after);
        self.decide_volumes(now, &around, &mut effects);
        self.decide_new_volumes(now, &around, &mut effects);
        self.decide_balance(now, &around, &mut effects);
        self.decide_dservers(now, &mut effects);
        effects
    }

    fn decide_volumes(&mut self, now: Duration, around: &Around<'_>, effects: &mut Vec<Effect>) {
        let copies_min = self.rules.copies_min;
        let is_moving = |life: &VolumeLife| life.is_move && !life.proposal.may_begin(now);
        let mut may_move = !self.volumes.values().any(is_moving);
        for (id, volume) in &self.map.volumes {
            let Some(life) = self.volumes.get_mut(id) else {
                continue;
            };
            let map_version = self.map.version;
            let dservers = &self.dservers;
            let sight = Sight {
                now,
                copies_min,
                volume,
                map_version,
                dservers,
            };
            if let Some(member) = life.lost_for_good(volume)
                && self.alarmed.insert(*id, member) != Some(member)
            {
                effects.push(Effect::LastCopyLost {
                    volume: *id,
                    member,
                });
            }
            if life.proposal.may_begin(now)
                && let Some((command, is_move)) = life.wanted(sight, around, may_move)
            {
                may_move &= !is_move;
                life.is_move = is_move;
                life.proposal.begin();
                effects.push(Effect::Propose {
                    volume: Some(*id),
                    command,
                });
                continue;
            }
            if around.orders.healing_paused.is_some() {
                continue;
            }
            let syncs = life.syncs_due(sight);
            effects.extend(
                syncs
                    .into_iter()
                    .map(|(member, sync)| Effect::StartSync { member, sync }),
            );
        }
    }

    fn decide_new_volumes(
        &mut self,
        now: Duration,
        around: &Around<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.adding.may_begin(now) {
            return;
        }
        let (labels, rules) = (&around.labels, self.rules.place);
        let due = around.groups().into_iter();
        let due = due.filter(|group| self.is_time_for(now, *group));
        let missing =
            |group| placement::missing_volumes(&around.places, (labels, group), &self.map, rules);
        let volumes: Vec<_> = due.flat_map(missing).collect();
        if !volumes.is_empty() {
            self.adding.begin();
            let first = next_volume_id(&self.map.volumes);
            let command = VolumeCommand::Add { first, volumes };
            effects.push(Effect::Propose {
                volume: None,
                command,
            });
        }
    }

    /// Whether those of a group, or all without one, have come up as far as they will.
    fn is_time_for(&self, now: Duration, group: Option<&Arc<str>>) -> bool {
        let members = self.dservers.values();
        let members = members.filter(|dserver| dserver.group.as_ref() == group);
        let (all, up) = members.fold((0, 0), |(all, up), dserver| {
            (all + 1, up + usize::from(dserver.is_up()))
        });
        let copies = usize::from(self.rules.place.copies).min(all);
        let needed = usize::from(self.rules.copies_min).clamp(1, copies.max(1));
        let is_late = now >= self.began + FOUND_GRACE;
        up > 0 && (up == all || (is_late && up >= needed))
    }

    /// Tells when copies are spread as well as they can be: the order is carried out.
    fn decide_balance(&mut self, now: Duration, around: &Around<'_>, effects: &mut Vec<Effect>) {
        let is_done = self.orders.rebalancing.is_some() && around.is_balanced();
        if !is_done || !self.adding.may_begin(now) {
            return;
        }
        self.adding.begin();
        let command = MaintenanceCommand {
            order: MaintenanceOrder::StopRebalance,
            by: String::new(),
            at_ms: 0,
            expected: Some(self.orders.version),
            up: Vec::new(),
            copies: 0,
        };
        effects.push(Effect::Propose {
            volume: None,
            command: VolumeCommand::Maintain(command),
        });
    }

    /// Dservers with a sync that was begun over another connection. Told that they sync, they might
    /// begin anew from nothing, while a change that admits them is still on its way; so they are
    /// fenced first, which makes that change stale, and told afterwards.
    fn interrupted(&self) -> BTreeSet<ServerId> {
        let of_volume = |(id, volume): (&VolumeId, &Volume)| {
            let life = self.volumes.get(id)?;
            let connection = |s| self.dservers.get(&s).and_then(|dserver| dserver.connection);
            Some(life.interrupted(volume, connection))
        };
        self.map
            .volumes
            .iter()
            .filter_map(of_volume)
            .flatten()
            .collect()
    }

    /// Has those told of the map once more who had no disk for a volume that is not founded yet.
    fn register_again(&mut self, now: Duration) {
        let unfounded = self.map.volumes.iter();
        for (id, _) in unfounded.filter(|(_, volume)| volume.epoch == Epoch(1)) {
            let Some(life) = self.volumes.get(id) else {
                continue;
            };
            for member in life.to_register_again(now) {
                if let Some(dserver) = self.dservers.get_mut(&member) {
                    dserver.kept = dserver.kept.min(Some(life.unseen_version()));
                }
            }
        }
    }

    fn decide_dservers(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.register_again(now);
        let withheld = self.interrupted();
        for (id, dserver) in &mut self.dservers {
            let Some(connection) = dserver.connection else {
                continue;
            };
            let is_behind = dserver.kept.is_none_or(|kept| kept < self.map.version);
            if is_behind && !withheld.contains(id) && dserver.push.may_begin(now) {
                dserver.push.begin();
                let push = push_for(&self.map, *id, self.rules.copies_min);
                effects.push(Effect::Push {
                    server: *id,
                    connection,
                    push,
                });
            }
            // Nothing was ever ordered: the usual rate holds.
            let is_told = self.orders.version == 0 || dserver.rate_of == Some(self.orders.version);
            if !is_told && dserver.rate.may_begin(now) {
                dserver.rate.begin();
                effects.push(rate_for(&self.orders, *id, connection));
            }
            if (dserver.is_doubted || dserver.is_mute) && dserver.probe.may_begin(now) {
                dserver.probe.begin();
                effects.push(Effect::Probe {
                    server: *id,
                    connection,
                });
            }
        }
    }
}

fn rate_for(orders: &Maintenance, server: ServerId, connection: u64) -> Effect {
    let bytes_per_s = match &orders.healing_paused {
        Some(_) => Some(0),
        None => orders.heal_bytes_per_s,
    };
    Effect::SetRate {
        server,
        connection,
        version: orders.version,
        rate: SetHealRate { bytes_per_s },
    }
}

fn push_for(map: &VolumeMap, server: ServerId, copies_min: u8) -> PushVolumes {
    let is_its = |volume: &&Volume| volume.state_of(server).is_some();
    let volumes = map.volumes.values().filter(is_its).cloned().collect();
    PushVolumes {
        map_version: map.version,
        volumes,
        copies_min,
    }
}
