//! The actor of a data-server: takes volume maps, accepts files, runs syncs and repairs, and tells
//! load and trouble. No block passes through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::prelude::*;
use sdfs_server_group::Load;
use sdfs_types::calls::blocks::{AcceptAsk, PushVolumes, SyncVolume, VolumesKept};
use sdfs_types::calls::negotiation::Trouble;
use sdfs_types::{BlockDescriptor, Epoch, MemberState, Refusal, Volume, VolumeId};
use tokio::time::Instant;

use crate::adopt::{Adoption, Home, KeptIn, adopt};
use crate::limits::{LEFT_BEHIND_EVERY, REPAIRS_PER_TICK, RESERVATION_KEPT, TICK};
use crate::locked::locked;
use crate::memory::resident_bytes;
use crate::named::Named;
use crate::read_lease::settled;
use crate::repair;
use crate::reservations::Reservations;
use crate::shared::{Shared, SpaceSlot, VolumeHere};
use crate::space::Space;
use crate::sync;
use crate::write_state::check_member;

/// The actor.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    /// Version of the newest map pushed.
    map_version: u64,
    pub(crate) named: Named,
    /// Volumes left behind that are asked about or being given back.
    pub(crate) forgetting: BTreeSet<VolumeId>,
    copies_min: u8,
    /// Volumes of spaces in which acknowledged records were found damaged, until they are synced.
    distrusted: BTreeSet<VolumeId>,
    syncs: BTreeMap<VolumeId, Sync>,
    repairing: BTreeSet<(VolumeId, BlockDescriptor)>,
    /// Whose turn to be repaired came last.
    repaired_last: Option<(VolumeId, BlockDescriptor)>,
    /// By the number of the space.
    pub(crate) reservations: BTreeMap<usize, Reservations>,
    pub(crate) begun: Instant,
}

/// A sync asked for.
struct Sync {
    epoch: Epoch,
    /// Nothing once it is complete and was reported.
    running: Option<SpawnHandle>,
}

/// A push, to be answered when what it says is done.
#[derive(Message)]
#[rtype(result = "VolumesKept")]
pub(crate) struct Push(pub(crate) PushVolumes);

/// A request to begin a sync, answered when it is begun.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub(crate) struct BeginSync(pub(crate) SyncVolume);

/// Files to accept.
#[derive(Message)]
#[rtype(result = "Vec<Result<(), Refusal>>")]
pub(crate) struct Accept(pub(crate) Vec<AcceptAsk>);

/// Ends the actor and all it runs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End;

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        // Of a volume whose home is another space by now nothing is lost with this one.
        let is_home = |space: &Arc<Space>, volume: &VolumeId| {
            let home = shared.space_of(*volume);
            home.is_some_and(|home| Arc::ptr_eq(home, space))
        };
        let doubtful = |slot: &SpaceSlot| match slot {
            SpaceSlot::Open { space, .. } if space.has_lost_records.load(Ordering::Acquire) => {
                let mut volumes = space.volumes();
                volumes.retain(|volume| is_home(space, volume));
                volumes
            }
            SpaceSlot::Open { .. } | SpaceSlot::Faulty { .. } => BTreeSet::new(),
        };
        let distrusted = shared.spaces.iter().flat_map(doubtful).collect();
        let begun = shared.begun;
        Self {
            shared,
            map_version: 0,
            named: Named::default(),
            forgetting: BTreeSet::new(),
            copies_min: 1,
            distrusted,
            syncs: BTreeMap::new(),
            repairing: BTreeSet::new(),
            repaired_last: None,
            reservations: BTreeMap::new(),
            begun,
        }
    }

    fn homes(&self) -> Vec<Home> {
        let spaces = self.shared.spaces.iter().enumerate();
        let home = |(number, slot): (usize, &SpaceSlot)| {
            let (space, _) = slot.working()?;
            let free_bytes = space.log.stats().free_bytes;
            Some(Home {
                number,
                free_bytes,
                volumes: space.volumes().len(),
            })
        };
        spaces.filter_map(home).collect()
    }

    /// Where a volume is kept. A space that has failed since it was opened counts: what an earlier
    /// home has left of a volume is not what its latest one had.
    fn kept_in(&self, volume: &Volume) -> KeptIn {
        let since = |(number, slot): (usize, &SpaceSlot)| {
            Some((slot.space()?.kept_since(volume.id)?, number))
        };
        let spaces = self.shared.spaces.iter().enumerate();
        let keeping: Vec<(Epoch, usize)> = spaces.filter_map(since).collect();
        let Some((latest, number)) = keeping.iter().max().copied() else {
            return KeptIn::Nowhere;
        };
        let is_unclear = keeping.iter().filter(|(since, _)| *since == latest).count() > 1;
        match self.shared.spaces[number].working() {
            None => KeptIn::Nowhere,
            Some(_) if is_unclear => KeptIn::Unclear(number),
            Some(_) if latest < volume.epoch => KeptIn::Earlier(number),
            Some(_) => KeptIn::Home(number),
        }
    }

    /// Where each volume is to be kept.
    fn adoptions(&self, volumes: &[Volume]) -> Vec<Adoption> {
        let mut homes = self.homes();
        let mut adoptions = Vec::with_capacity(volumes.len());
        for volume in volumes {
            let kept_in = self.kept_in(volume);
            let is_trusted = !self.distrusted.contains(&volume.id);
            let state = volume.state_of(self.shared.me);
            let adoption = adopt(state, kept_in, is_trusted, &homes);
            if let Adoption::New(number) = adoption {
                homes
                    .iter_mut()
                    .filter(|home| home.number == number)
                    .for_each(|h| h.volumes += 1);
            }
            adoptions.push(adoption);
        }
        adoptions
    }

    /// Notes what is pushed, when the spaces have noted their new volumes.
    fn take(
        &self,
        volumes: Vec<Volume>,
    ) -> impl Future<Output = (Vec<(Volume, Option<usize>)>, Vec<VolumeId>)> + use<> {
        let adoptions = self.adoptions(&volumes);
        let shared = Arc::clone(&self.shared);
        async move {
            let mut new: BTreeMap<usize, Vec<(VolumeId, Epoch)>> = BTreeMap::new();
            for (volume, adoption) in volumes.iter().zip(&adoptions) {
                if let Adoption::New(number) = adoption {
                    let since = (volume.id, volume.epoch);
                    new.entry(*number).or_default().push(since);
                }
            }
            let mut failed = BTreeSet::new();
            for (number, ids) in new {
                let Some((space, worker)) = shared.spaces[number].working() else {
                    failed.extend(ids.iter().map(|(id, _)| *id));
                    continue;
                };
                if let Err(fault) = worker.keep(ids.clone()).await {
                    tracing::error!(space = ?space.path, %fault, "volumes are not taken");
                    failed.extend(ids.iter().map(|(id, _)| *id));
                }
            }
            let mut lost = Vec::new();
            let mut taken = Vec::new();
            for (volume, adoption) in volumes.into_iter().zip(adoptions) {
                let home = match adoption {
                    Adoption::Kept(number) => Some(number),
                    Adoption::New(number) => Some(number).filter(|_| !failed.contains(&volume.id)),
                    Adoption::Lost | Adoption::Not => None,
                };
                if adoption == Adoption::Lost || failed.contains(&volume.id) {
                    lost.push(volume.id);
                }
                taken.push((volume, home));
            }
            (taken, lost)
        }
    }

    fn install(
        &mut self,
        ctx: &mut Context<Self>,
        taken: Vec<(Volume, Option<usize>)>,
        map_version: u64,
    ) {
        // Two pushes may have passed each other while the spaces were written.
        if map_version < self.map_version {
            return;
        }
        self.map_version = map_version;
        for (volume, home) in taken {
            self.install_one(ctx, volume, home);
        }
    }

    fn install_one(&mut self, ctx: &mut Context<Self>, volume: Volume, home: Option<usize>) {
        let id = volume.id;
        let mut space = home.and_then(|number| self.shared.spaces[number].space().cloned());
        let before = self.shared.volumes.get(&id).map(|here| Arc::clone(&here));
        if before
            .as_ref()
            .is_some_and(|before| before.volume.epoch > volume.epoch)
        {
            return;
        }
        let earlier = before.clone();
        let epoch = volume.epoch;
        let is_new = before.is_none_or(|before| before.volume.epoch != epoch);
        let is_syncing = volume.state_of(self.shared.me) == Some(MemberState::Syncing);
        // Two takes of one epoch may have chosen two spaces; a sync goes on into the first.
        let chosen = earlier.as_ref().filter(|_| !is_new);
        let chosen = chosen.and_then(|earlier| earlier.space.as_ref());
        if let Some(chosen) = chosen.filter(|chosen| chosen.is_open()) {
            space = Some(Arc::clone(chosen));
        }
        if let Some(space) = &space {
            let mut table = locked(&space.table);
            match is_syncing {
                // What lies behind this end was written in this epoch.
                true if is_new => table.begin_sync(id, space.log.end()),
                true => {}
                false => table.end_sync(id),
            }
        }
        let here = VolumeHere {
            settled: settled(earlier.as_deref(), &volume),
            volume,
            copies_min: self.copies_min,
            space,
        };
        self.shared.volumes.insert(id, Arc::new(here));
        if self.syncs.get(&id).is_some_and(|sync| sync.epoch < epoch)
            && let Some(Sync {
                running: Some(running),
                ..
            }) = self.syncs.remove(&id)
        {
            ctx.cancel_future(running);
        }
    }

    fn begin_sync(&mut self, ctx: &mut Context<Self>, call: &SyncVolume) -> Result<(), Refusal> {
        let id = call.volume.id;
        if !self.named.is_named(id) {
            return Err(Refusal::NoSuchVolume { volume: id });
        }
        let here = self.shared.volume(id)?;
        let epoch = here.volume.epoch;
        if epoch != call.volume.epoch {
            return Err(Refusal::StaleEpoch {
                current: Box::new(here.volume.clone()),
            });
        }
        if here.my_state(self.shared.me) != Some(MemberState::Syncing) || here.space.is_none() {
            return Err(Refusal::NoSuchVolume { volume: id });
        }
        // One that is under way is not begun twice; one that was reported is asked for again only
        // when the report was forgotten.
        if self
            .syncs
            .get(&id)
            .is_some_and(|sync| sync.running.is_some())
        {
            return Ok(());
        }
        let job = sync::run(Arc::clone(&self.shared), here, call.sources.clone());
        let ended = move |(), keeper: &mut Self, _: &mut Context<Self>| {
            keeper.trust(id);
            if let Some(sync) = keeper.syncs.get_mut(&id).filter(|sync| sync.epoch == epoch) {
                sync.running = None;
            }
        };
        let running = ctx.spawn(job.into_actor(self).map(ended));
        self.syncs.insert(
            id,
            Sync {
                epoch,
                running: Some(running),
            },
        );
        Ok(())
    }

    /// Ends the syncs of volumes this server is no member of any more: what they would still store
    /// nobody wants, and nobody would give back.
    fn end_syncs_left_behind(&mut self, ctx: &mut Context<Self>) {
        let syncing: BTreeSet<VolumeId> = self.syncs.keys().copied().collect();
        for volume in self.named.left_behind(&syncing) {
            let sync = self.syncs.remove(&volume);
            if let Some(running) = sync.and_then(|sync| sync.running) {
                tracing::info!(%volume, "a sync of a volume that was moved away is ended");
                ctx.cancel_future(running);
            }
        }
    }

    /// A volume has been gone through block by block. When that is so for all of a space, what was
    /// lost of it is made good.
    fn trust(&mut self, volume: VolumeId) {
        self.distrusted.remove(&volume);
        for (space, _) in self.shared.spaces.iter().filter_map(SpaceSlot::working) {
            if space.volumes().is_disjoint(&self.distrusted) {
                space.has_lost_records.store(false, Ordering::Release);
            }
        }
    }

    fn accept(&mut self, ask: &AcceptAsk) -> Result<(), Refusal> {
        let here = self.shared.volume(ask.volume)?;
        check_member(&here.volume, ask.epoch, self.shared.me)?;
        let no_volume = Refusal::NoSuchVolume { volume: ask.volume };
        let space = here.space.as_ref().ok_or(no_volume)?;
        if !space.is_open() {
            return Err(self.shared.disk_failed());
        }
        let same = |slot: &SpaceSlot| slot.space().is_some_and(|other| Arc::ptr_eq(other, space));
        let number = self.shared.spaces.iter().position(same).unwrap_or_default();
        let now_s = self.begun.elapsed().as_secs();
        let lease = (now_s, now_s + RESERVATION_KEPT.as_secs());
        let reservations = self.reservations.entry(number).or_default();
        let reserved = reservations.reserve(ask.reserve_bytes, space.free_bytes(), lease);
        reserved.map_err(|free_bytes| Refusal::NoSpace {
            server: self.shared.me,
            free_bytes,
        })
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.tell_load();
        self.shared.make_way();
        self.report_failed_spaces();
        self.repair(ctx);
    }

    fn tell_load(&mut self) {
        let now_s = self.begun.elapsed().as_secs();
        let mut load = Load {
            memory_bytes: resident_bytes(),
            client_calls: self.shared.client_calls.swap(0, Ordering::Relaxed),
            ..Load::default()
        };
        for (number, slot) in self.shared.spaces.iter().enumerate() {
            let Some((space, _)) = slot.working() else {
                continue;
            };
            locked(&space.ages).mark(self.begun.elapsed(), space.log.end());
            let stats = space.log.stats();
            let reserved = self.reservations.get_mut(&number);
            let reserved = reserved.map_or(0, |reservations| reservations.reserved_bytes(now_s));
            load.free_bytes += space.free_bytes().saturating_sub(reserved);
            load.total_bytes += stats.total_bytes;
            load.queue += u32::try_from(stats.queued_records).unwrap_or(u32::MAX);
        }
        self.shared.peers.set_load(load);
    }

    /// Reports volumes whose space has failed as long as this server is counted among those that
    /// have them.
    fn report_failed_spaces(&self) {
        let me = self.shared.me;
        for entry in &self.shared.volumes {
            let here = entry.value();
            let has_failed = here.space.as_ref().is_some_and(|space| !space.is_open());
            let state = here.my_state(me);
            if has_failed && matches!(state, Some(MemberState::InSync | MemberState::Syncing)) {
                let (id, epoch) = (here.volume.id, here.volume.epoch);
                self.shared.report(id, epoch, (me, Trouble::DiskFailed));
            }
        }
    }

    /// Fetches damaged blocks from other members.
    fn repair(&mut self, ctx: &mut Context<Self>) {
        if self.shared.is_stopping.load(Ordering::Acquire) {
            return;
        }
        let working = self.shared.spaces.iter().filter_map(SpaceSlot::working);
        let mut damaged: Vec<_> = working.flat_map(|(space, _)| space.damaged()).collect();
        damaged.sort_unstable();
        // Some that nobody can give must not keep the others from their turn.
        let next = damaged.partition_point(|one| Some(*one) <= self.repaired_last);
        damaged.rotate_left(next);
        damaged.retain(|one| !self.repairing.contains(one));
        damaged.truncate(REPAIRS_PER_TICK);
        self.repaired_last = damaged.last().copied().or(self.repaired_last);
        for one in damaged {
            self.repairing.insert(one);
            let job = repair::run(Arc::clone(&self.shared), one);
            let ended = move |(), keeper: &mut Self, _: &mut Context<Self>| {
                keeper.repairing.remove(&one);
            };
            ctx.spawn(job.into_actor(self).map(ended));
        }
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Mservers send one batch at a time each; this is room for all of a large cluster.
        ctx.set_mailbox_capacity(256);
        self.tell_load();
        ctx.run_interval(TICK, Self::tick);
        ctx.run_interval(LEFT_BEHIND_EVERY, Self::look_for_left_behind);
    }
}

impl Handler<Push> for Keeper {
    type Result = ResponseActFuture<Self, VolumesKept>;

    fn handle(&mut self, Push(mut push): Push, ctx: &mut Self::Context) -> Self::Result {
        let version = push.map_version;
        let epochs = push.volumes.iter().map(|volume| (volume.id, volume.epoch));
        if self.named.push(version, epochs.collect()) {
            self.copies_min = push.copies_min;
            self.end_syncs_left_behind(ctx);
        } else {
            // What it names and a newer one does not is not taken in again.
            push.volumes.retain(|volume| self.named.is_named(volume.id));
        }
        let took = self.take(push.volumes).into_actor(self);
        Box::pin(took.map(move |(taken, lost), keeper, ctx| {
            keeper.install(ctx, taken, version);
            VolumesKept { lost }
        }))
    }
}

impl Handler<BeginSync> for Keeper {
    type Result = ResponseActFuture<Self, Result<(), Refusal>>;

    fn handle(&mut self, BeginSync(call): BeginSync, _: &mut Self::Context) -> Self::Result {
        let (volume, epoch) = (call.volume.id, call.volume.epoch);
        if !self.named.sync(volume, epoch) {
            return Box::pin(fut::ready(Err(Refusal::NoSuchVolume { volume })));
        }
        let took = self.take(vec![call.volume.clone()]).into_actor(self);
        Box::pin(took.map(move |(taken, _), keeper, ctx| {
            for (volume, home) in taken {
                keeper.install_one(ctx, volume, home);
            }
            keeper.begin_sync(ctx, &call)
        }))
    }
}

impl Handler<Accept> for Keeper {
    type Result = MessageResult<Accept>;

    fn handle(&mut self, Accept(asks): Accept, _: &mut Self::Context) -> Self::Result {
        MessageResult(asks.iter().map(|ask| self.accept(ask)).collect())
    }
}

impl Handler<End> for Keeper {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
