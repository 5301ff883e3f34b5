//! Random lives of a few dservers against the leader and the real volume table: whatever happens
//! in whatever order, a member in sync has every acknowledged block.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::volumes::command::MemberChange;
use crate::volumes::machine::VolumeTable;
use sdfs_store::{Keyspace, Store};
use sdfs_types::calls::blocks::SyncVolume;

/// What happens next. Numbers choose among what there is to choose from.
#[derive(Clone, Debug)]
enum Happening {
    /// An effect under way is done, and its answer arrives.
    Done(usize),
    /// An effect under way is done or not, and its answer is lost.
    Unanswered(usize, bool),
    /// A client writes through its view of the map, this many versions old; some members may not
    /// be reached by the write.
    Write {
        volume: usize,
        age: usize,
        unreached: Option<usize>,
    },
    /// A member that was told to sync copies from one source and reports.
    SyncEnds(usize),
    Crash(usize),
    /// Crash and lose the disk.
    Wipe(usize),
    Restart(usize),
    Report {
        volume: usize,
        member: usize,
        trouble: Trouble,
    },
    Wait(u64),
    NewLeader,
    /// An operator drains a dserver, or has all stay.
    Drain(usize, bool),
    Rebalance,
    Pause(bool),
    /// A dserver asks whether it may give back what it keeps of volumes it is not named in.
    AskToForget(usize),
    /// A dserver that may frees some blocks of such a volume, at last its note of it.
    FreeSome(usize),
    /// A member that was told to sync copies one block.
    SyncSome(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let number = 0_usize..64;
    let trouble = prop_oneof![
        Just(Trouble::Silent),
        Just(Trouble::DiskFailed),
        Just(Trouble::Full)
    ];
    prop_oneof![
        20 => number.clone().prop_map(Happening::Done),
        3 => (number.clone(), any::<bool>()).prop_map(|(n, done)| Happening::Unanswered(n, done)),
        10 => (number.clone(), 0_usize..3, prop::option::of(number.clone())).prop_map(
            |(volume, age, unreached)| Happening::Write { volume, age, unreached }
        ),
        6 => number.clone().prop_map(Happening::SyncEnds),
        2 => number.clone().prop_map(Happening::Crash),
        1 => number.clone().prop_map(Happening::Wipe),
        4 => number.clone().prop_map(Happening::Restart),
        2 => (number.clone(), number, trouble).prop_map(|(volume, member, trouble)| {
            Happening::Report { volume, member, trouble }
        }),
        8 => (50_u64..3_000).prop_map(Happening::Wait),
        1 => Just(Happening::NewLeader),
        2 => (0_usize..64, any::<bool>()).prop_map(|(n, begins)| Happening::Drain(n, begins)),
        1 => Just(Happening::Rebalance),
        1 => any::<bool>().prop_map(Happening::Pause),
        2 => (0_usize..64).prop_map(Happening::AskToForget),
        4 => (0_usize..64).prop_map(Happening::FreeSome),
        4 => (0_usize..64).prop_map(Happening::SyncSome),
    ]
}

type Block = u32;

#[derive(Clone, Debug, Default)]
struct Disk {
    /// Volumes registered on this disk, with their blocks.
    volumes: BTreeMap<VolumeId, BTreeSet<Block>>,
}

#[derive(Clone, Debug, Default)]
struct ModelDserver {
    is_up: bool,
    connection: u64,
    disk: Disk,
    /// What it was told last; lost with the process.
    told: BTreeMap<VolumeId, Volume>,
    told_version: u64,
    syncs: Vec<SyncVolume>,
    /// Volumes a mserver has said it may forget; lost with the process.
    may_forget: BTreeSet<VolumeId>,
}

struct Model {
    life: MemberLife,
    rules: LifeRules,
    table: VolumeTable,
    keyspace: Keyspace,
    maps: Vec<Arc<VolumeMap>>,
    dservers: BTreeMap<ServerId, ModelDserver>,
    /// Effects under way, and whether the present leader hears of them.
    under_way: Vec<(Effect, u32)>,
    leader: u32,
    now: Duration,
    acknowledged: BTreeMap<VolumeId, BTreeSet<Block>>,
    blocks: Block,
    /// Members in sync whose disk has failed, by a report the present leader has taken.
    failed: BTreeSet<(VolumeId, ServerId)>,
}

impl Model {
    fn new(dservers: u16) -> Model {
        let place = PlaceRules {
            copies: 3,
            volumes_per_dserver: 2,
        };
        let rules = LifeRules {
            copies_min: 2,
            place,
            replace_after: Duration::from_secs(600),
        };
        let (table, _watch) = VolumeTable::new();
        let up = ModelDserver {
            is_up: true,
            connection: 1,
            ..ModelDserver::default()
        };
        let mut model = Model {
            life: MemberLife::new(Duration::ZERO, rules, Arc::default()),
            rules,
            maps: vec![Arc::clone(table.map())],
            table,
            keyspace: Store::memory().keyspace("root").unwrap(),
            dservers: (1..=dservers)
                .map(|number| (ServerId(number), up.clone()))
                .collect(),
            under_way: Vec::new(),
            leader: 0,
            now: Duration::ZERO,
            acknowledged: BTreeMap::new(),
            blocks: 0,
            failed: BTreeSet::new(),
        };
        model.see();
        model
    }

    fn happens(&mut self, event: Event) {
        let effects = self.life.step(self.now, event);
        effects.iter().for_each(|effect| self.check_leaving(effect));
        self.under_way
            .extend(effects.into_iter().map(|effect| (effect, self.leader)));
    }

    /// Nobody is let go unless as many copies as there are to be stay: in sync, at dservers that
    /// are there, with every acknowledged block, on disks that have not failed.
    fn check_leaving(&self, effect: &Effect) {
        let Effect::Propose {
            volume: Some(id),
            command:
                VolumeCommand::Change {
                    change: MemberChange::Leave { member },
                    ..
                },
        } = effect
        else {
            return;
        };
        let volume = &self.table.map().volumes[id];
        let acknowledged = self.acknowledged.get(id).cloned().unwrap_or_default();
        let is_whole = |server: &ServerId| {
            let dserver = &self.dservers[server];
            let kept = dserver.disk.volumes.get(id);
            let has_all = kept.is_some_and(|blocks| blocks.is_superset(&acknowledged));
            server != member && dserver.is_up && has_all && !self.failed.contains(&(*id, *server))
        };
        let staying = volume.readable().filter(is_whole).count();
        let copies = usize::from(self.rules.place.copies);
        assert!(
            staying >= copies,
            "{staying} stay when {member} leaves: {volume:?}"
        );
    }

    fn see(&mut self) {
        let seen = self
            .dservers
            .iter()
            .map(|(server, dserver)| DserverSeen {
                server: *server,
                zone: server.to_string(),
                group: None,
                connection: dserver.is_up.then_some(dserver.connection),
                free_bytes: Some(1 << 40),
            })
            .collect();
        self.happens(Event::Seen(seen));
    }

    fn nth_dserver(&self, number: usize) -> ServerId {
        *self
            .dservers
            .keys()
            .nth(number % self.dservers.len())
            .unwrap()
    }

    fn nth_volume(&self, number: usize, age: usize) -> Option<Volume> {
        let map = &self.maps[self.maps.len().saturating_sub(age + 1)];
        let count = map.volumes.len();
        (count > 0).then(|| map.volumes.values().nth(number % count).unwrap().clone())
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Done(number) => self.finish(number, true, true),
            Happening::Unanswered(number, is_done) => self.finish(number, is_done, false),
            Happening::Write {
                volume,
                age,
                unreached,
            } => {
                if let Some(volume) = self.nth_volume(volume, age) {
                    self.write(&volume, unreached);
                }
            }
            Happening::SyncEnds(number) => self.sync_ends(number),
            Happening::Crash(number) => self.crash(number, false),
            Happening::Wipe(number) => self.crash(number, true),
            Happening::Restart(number) => {
                let server = self.nth_dserver(number);
                let dserver = self.dservers.get_mut(&server).unwrap();
                if !dserver.is_up {
                    dserver.is_up = true;
                    dserver.connection += 1;
                    self.see();
                }
            }
            Happening::Report {
                volume,
                member,
                trouble,
            } => {
                if let Some(volume) = self.nth_volume(volume, 0) {
                    let member = volume.members[member % volume.members.len()].server;
                    let is_in_sync = volume.state_of(member) == Some(MemberState::InSync);
                    let (volume, epoch) = (volume.id, volume.epoch);
                    if trouble == Trouble::DiskFailed && is_in_sync {
                        self.failed.insert((volume, member));
                    }
                    self.happens(Event::Troubled(ReportTrouble {
                        volume,
                        epoch,
                        member,
                        trouble,
                    }));
                }
            }
            Happening::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.see();
            }
            Happening::NewLeader => {
                self.leader += 1;
                self.failed.clear();
                let map = Arc::clone(self.table.map());
                self.life = MemberLife::new(self.now, self.rules, map);
                self.happens(Event::OrdersMoved(self.orders()));
                self.see();
            }
            Happening::Drain(number, true) => {
                let server = self.nth_dserver(number);
                self.order(MaintenanceOrder::Drain { server });
            }
            Happening::Drain(_, false) => {
                let servers: Vec<ServerId> = self.dservers.keys().copied().collect();
                for server in servers {
                    self.order(MaintenanceOrder::StopDrain { server });
                }
            }
            Happening::Rebalance => self.order(MaintenanceOrder::Rebalance),
            Happening::Pause(true) => self.order(MaintenanceOrder::PauseHealing),
            Happening::Pause(false) => self.order(MaintenanceOrder::StartHealing),
            Happening::AskToForget(number) => self.ask_to_forget(number),
            Happening::FreeSome(number) => self.free_some(number),
            Happening::SyncSome(number) => self.sync_some(number),
        }
    }

    fn orders(&self) -> Arc<Maintenance> {
        Arc::clone(&self.table.follow_orders().borrow())
    }

    fn order(&mut self, order: MaintenanceOrder) {
        self.commit(&VolumeCommand::Maintain(MaintenanceCommand {
            order,
            by: "ann".to_owned(),
            at_ms: 1,
            expected: None,
            up: self.dservers.keys().copied().collect(),
            copies: self.rules.place.copies,
        }));
    }

    fn ask_to_forget(&mut self, number: usize) {
        let server = self.nth_dserver(number);
        let volumes = &self.table.map().volumes;
        let dservers = &self.dservers;
        let may = |id: &&VolumeId| {
            let volume = &volumes[*id];
            let is_whole = volume.readable().count() == volume.members.len();
            let are_there = volume.readable().all(|member| dservers[&member].is_up);
            volume.state_of(server).is_none() && is_whole && are_there
        };
        let kept = self.dservers[&server].disk.volumes.keys();
        let may: Vec<VolumeId> = kept.filter(may).copied().collect();
        let dserver = self.dservers.get_mut(&server).unwrap();
        // Before the first push it does not know what it is named in.
        if dserver.is_up && dserver.told_version > 0 {
            dserver.may_forget.extend(may);
        }
    }

    fn free_some(&mut self, number: usize) {
        let server = self.nth_dserver(number);
        let dserver = self.dservers.get_mut(&server).unwrap();
        let Some(id) = dserver.may_forget.first().copied() else {
            return;
        };
        let is_named = dserver.told.contains_key(&id);
        let blocks = dserver.disk.volumes.get_mut(&id).filter(|_| !is_named);
        match blocks.map(BTreeSet::pop_first) {
            Some(Some(_)) => {}
            Some(None) => {
                dserver.disk.volumes.remove(&id);
                dserver.may_forget.remove(&id);
            }
            None => {
                dserver.may_forget.remove(&id);
            }
        }
    }

    /// What a sync stores goes to the disk whether or not the volume is still noted there.
    fn sync_some(&mut self, number: usize) {
        let server = self.nth_dserver(number);
        let Some(sync) = self.dservers[&server].syncs.last().cloned() else {
            return;
        };
        let id = sync.volume.id;
        let source = &self.dservers[&sync.sources[number % sync.sources.len()]];
        let is_at_epoch = source
            .told
            .get(&id)
            .is_some_and(|told| told.epoch == sync.volume.epoch);
        let blocks = source.disk.volumes.get(&id).cloned().unwrap_or_default();
        if !source.is_up || !is_at_epoch {
            return;
        }
        let disk = &mut self.dservers.get_mut(&server).unwrap().disk;
        let own = disk.volumes.get_mut(&id);
        let own = own.expect("a sync stores only in volumes that are noted");
        own.extend(blocks.difference(&own.clone()).next());
    }

    fn crash(&mut self, number: usize, is_wiped: bool) {
        let server = self.nth_dserver(number);
        let dserver = self.dservers.get_mut(&server).unwrap();
        dserver.is_up = false;
        dserver.told.clear();
        dserver.told_version = 0;
        dserver.syncs.clear();
        dserver.may_forget.clear();
        if is_wiped {
            dserver.disk = Disk::default();
        }
        self.happens(Event::Lost {
            server,
            is_surely_gone: number.is_multiple_of(2),
        });
        self.see();
    }

    /// A write is acknowledged when every member it needs, as the writer sees the volume, is up,
    /// sees the same epoch, and has stored it. Those reached keep it either way.
    fn write(&mut self, seen: &Volume, unreached: Option<usize>) {
        self.blocks += 1;
        let block = self.blocks;
        if !seen.is_writable() {
            return;
        }
        let mut is_everywhere = true;
        for (place, server) in seen.acknowledging().enumerate() {
            let dserver = self.dservers.get_mut(&server).unwrap();
            let knows = dserver
                .told
                .get(&seen.id)
                .is_some_and(|told| told.epoch == seen.epoch);
            let reached = unreached.is_none_or(|number| number % 8 != place);
            match dserver.disk.volumes.get_mut(&seen.id) {
                Some(blocks) if dserver.is_up && knows && reached => {
                    blocks.insert(block);
                }
                _ => is_everywhere = false,
            }
        }
        if is_everywhere {
            self.acknowledged.entry(seen.id).or_default().insert(block);
        }
    }

    fn sync_ends(&mut self, number: usize) {
        let server = self.nth_dserver(number);
        let dserver = self.dservers.get_mut(&server).unwrap();
        let Some(sync) = dserver.syncs.pop() else {
            return;
        };
        let (volume, epoch) = (sync.volume.id, sync.volume.epoch);
        let source = sync.sources[number % sync.sources.len()];
        let source = &self.dservers[&source];
        let is_at_epoch = source
            .told
            .get(&volume)
            .is_some_and(|told| told.epoch == epoch);
        let Some(blocks) = source.disk.volumes.get(&volume).cloned() else {
            return;
        };
        if !source.is_up || !is_at_epoch {
            return;
        }
        let dserver = self.dservers.get_mut(&server).unwrap();
        let Some(own) = dserver.disk.volumes.get_mut(&volume) else {
            return;
        };
        own.extend(blocks);
        self.happens(Event::Synced(ReportSync {
            volume,
            epoch,
            member: server,
            copied: 0,
            copied_bytes: 0,
            present: 0,
        }));
    }

    fn finish(&mut self, number: usize, is_done: bool, is_answered: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let (effect, leader) = self.under_way.swap_remove(number % self.under_way.len());
        let event = match effect {
            Effect::Propose { volume, command } => {
                let answer = is_done.then(|| self.commit(&command));
                Event::Proposed {
                    volume,
                    answer: answer.filter(|_| is_answered),
                }
            }
            Effect::Push {
                server,
                connection,
                push,
            } => {
                let map_version = push.map_version;
                let lost = is_done
                    .then(|| self.told(server, connection, push))
                    .flatten();
                match lost.filter(|_| is_answered) {
                    Some(lost) => Event::PushAnswered {
                        server,
                        connection,
                        map_version,
                        lost,
                    },
                    None => Event::PushFailed { server, connection },
                }
            }
            Effect::Probe { server, connection } => {
                let dserver = &self.dservers[&server];
                let is_there = dserver.is_up && dserver.connection == connection;
                Event::Probed {
                    server,
                    connection,
                    has_answered: is_there && is_answered,
                }
            }
            Effect::StartSync { member, sync } => {
                let (volume, epoch) = (sync.volume.id, sync.volume.epoch);
                let answer = if is_done && self.begins_sync(member, sync) && is_answered {
                    SyncAnswer::Begun
                } else {
                    SyncAnswer::Failed
                };
                Event::SyncAnswered {
                    volume,
                    epoch,
                    member,
                    answer,
                }
            }
            Effect::SetRate {
                server,
                connection,
                version,
                ..
            } => Event::RateTold {
                server,
                connection,
                version: (is_done && is_answered).then_some(version),
            },
            Effect::LastCopyLost { .. } => return,
        };
        if leader == self.leader {
            self.happens(event);
        }
    }

    fn commit(&mut self, command: &VolumeCommand) -> VolumeAnswer {
        let mut batch = self.keyspace.batch();
        let answer = self.table.apply(command, &mut batch).unwrap();
        batch.commit().unwrap();
        self.table.committed();
        if matches!(command, VolumeCommand::Maintain(_)) {
            self.happens(Event::OrdersMoved(self.orders()));
        } else if matches!(answer, VolumeAnswer::Done { .. }) {
            let map = Arc::clone(self.table.map());
            self.failed.retain(|(id, member)| {
                map.volumes[id].state_of(*member) == Some(MemberState::InSync)
            });
            self.maps.push(Arc::clone(&map));
            self.happens(Event::MapMoved(map));
        }
        answer
    }

    /// What a dserver makes of a push: told that it begins to sync, it registers the volume on its
    /// disk; told that it is in sync without having registered, it has lost its copy.
    fn told(
        &mut self,
        server: ServerId,
        connection: u64,
        push: PushVolumes,
    ) -> Option<Vec<VolumeId>> {
        let dserver = self.dservers.get_mut(&server).unwrap();
        if !dserver.is_up || dserver.connection != connection {
            return None;
        }
        if push.map_version >= dserver.told_version {
            dserver.told_version = push.map_version;
            dserver.told = push
                .volumes
                .into_iter()
                .map(|volume| (volume.id, volume))
                .collect();
            // A sync ends with its epoch, and when the volume is moved away.
            let told = &dserver.told;
            dserver.syncs.retain(|sync| {
                let now = told.get(&sync.volume.id);
                now.is_some_and(|now| now.epoch == sync.volume.epoch)
            });
        }
        let mut lost = Vec::new();
        for (id, volume) in &dserver.told {
            match volume.state_of(server) {
                Some(MemberState::Syncing) => {
                    dserver.disk.volumes.entry(*id).or_default();
                }
                Some(MemberState::InSync) if !dserver.disk.volumes.contains_key(id) => {
                    lost.push(*id);
                }
                _ => {}
            }
        }
        Some(lost)
    }

    fn begins_sync(&mut self, member: ServerId, sync: SyncVolume) -> bool {
        let dserver = self.dservers.get_mut(&member).unwrap();
        let told = dserver.told.get(&sync.volume.id);
        let is_at_epoch = told.is_some_and(|told| told.epoch == sync.volume.epoch);
        if dserver.is_up && is_at_epoch {
            dserver.syncs.push(sync);
            return true;
        }
        false
    }

    /// A member in sync that still has its copy has every acknowledged block; and a copy that is
    /// gone is not declared in sync.
    fn check(&self) {
        for (id, volume) in &self.table.map().volumes {
            let acknowledged = self.acknowledged.get(id).cloned().unwrap_or_default();
            for server in volume.readable() {
                if let Some(blocks) = self.dservers[&server].disk.volumes.get(id) {
                    let missing: Vec<&Block> = acknowledged.difference(blocks).collect();
                    assert!(
                        missing.is_empty(),
                        "{server} lacks {missing:?} of volume {id}: {volume:?}"
                    );
                }
            }
        }
    }

    /// Every dserver comes back for good and everything asked is done: all is well again.
    fn heal(&mut self) {
        for number in 0..self.dservers.len() {
            self.take(Happening::Restart(number));
        }
        self.order(MaintenanceOrder::StartHealing);
        for round in 0..6_000 {
            if self.under_way.is_empty() {
                self.take(Happening::Wait(1_000));
            }
            self.take(Happening::Done(0));
            self.take(Happening::SyncEnds(round));
            self.check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn in_sync_means_having_everything(
        dservers in 3_u16..6,
        happenings in prop::collection::vec(happening(), 0..300),
    ) {
        let mut model = Model::new(dservers);
        for happening in happenings {
            model.take(happening);
            model.check();
        }
    }

    #[test]
    fn volumes_heal_by_themselves(
        happenings in prop::collection::vec(
            happening().prop_filter("keeps disks", |h| !matches!(h, Happening::Wipe(_))),
            0..200,
        ),
    ) {
        let mut model = Model::new(4);
        for happening in happenings {
            model.take(happening);
        }
        model.heal();
        let orders = model.orders();
        prop_assert_eq!(&orders.rebalancing, &None);
        for volume in model.table.map().volumes.values() {
            prop_assert!(volume.readable().count() >= 3, "{:?}", volume);
            for drained in orders.draining.keys() {
                prop_assert_eq!(volume.state_of(*drained), None, "{:?}", volume);
            }
        }
    }
}
