//! What the leader does about each thing that can happen to a member, one at a time.

use std::time::Duration;

use sdfs_types::VolumeStatus;

use super::*;
use crate::volumes::limits::{RETRY_MAX, STRIKE_APART, SYNC_AGAIN_MAX, SYNC_AGAIN_MIN};
use crate::volumes::machine::VolumeTable;
use sdfs_store::{Keyspace, Store};
use sdfs_types::calls::blocks::SyncVolume;

const V1: VolumeId = VolumeId(1);
const REPLACE_AFTER: Duration = Duration::from_secs(600);

fn id(number: u16) -> ServerId {
    ServerId(number)
}

fn dserver(number: u16) -> DserverSeen {
    DserverSeen {
        server: id(number),
        zone: number.to_string(),
        group: None,
        connection: Some(1),
        free_bytes: Some(100 << 30),
    }
}

/// A leader, the real volume table behind it, and dservers that answer at once unless told not to.
struct Scene {
    life: MemberLife,
    table: VolumeTable,
    keyspace: Keyspace,
    seen: Vec<DserverSeen>,
    now: Duration,
    /// Copies these members say they have lost.
    lost: Vec<(ServerId, VolumeId)>,
    /// These answer nothing.
    dumb: Vec<ServerId>,
    /// Their disk has failed.
    failed: Vec<ServerId>,
    /// Members that were told to sync, with the sources.
    syncs: Vec<(ServerId, SyncVolume)>,
    alarms: usize,
    /// Heal rates dservers were told.
    rates: BTreeMap<ServerId, Option<u64>>,
}

impl Scene {
    /// `dservers` of them up, each in a zone of its own; one volume for each.
    fn new(dservers: u16, copies: u8, copies_min: u8) -> Scene {
        let mut scene = Scene::before_volumes(dservers, copies, copies_min);
        scene.see();
        scene.wait(FENCE_GRACE);
        scene
    }

    fn before_volumes(dservers: u16, copies: u8, copies_min: u8) -> Scene {
        let rules = LifeRules {
            copies_min,
            place: PlaceRules {
                copies,
                volumes_per_dserver: 1,
            },
            replace_after: REPLACE_AFTER,
        };
        let (table, _watch) = VolumeTable::new();
        let seen = (1..=dservers).map(dserver).collect();
        Scene {
            life: MemberLife::new(Duration::ZERO, rules, Arc::default()),
            table,
            keyspace: Store::memory().keyspace("root").unwrap(),
            seen,
            now: Duration::ZERO,
            lost: Vec::new(),
            dumb: Vec::new(),
            failed: Vec::new(),
            syncs: Vec::new(),
            alarms: 0,
            rates: BTreeMap::new(),
        }
    }

    fn see(&mut self) {
        self.happens(Event::Seen(self.seen.clone()));
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.see();
        }
    }

    fn happens(&mut self, event: Event) {
        let mut effects = self.life.step(self.now, event);
        while let Some(effect) = effects.pop() {
            if let Some(answer) = self.perform(effect) {
                effects.extend(self.life.step(self.now, answer));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Propose { volume, command } => {
                let answer = self.commit(&command);
                assert!(
                    matches!(answer, VolumeAnswer::Done { .. }),
                    "{command:?}: {answer:?}"
                );
                self.happens(Event::MapMoved(Arc::clone(self.table.map())));
                self.happens(Event::OrdersMoved(self.orders()));
                Some(Event::Proposed {
                    volume,
                    answer: Some(answer),
                })
            }
            Effect::Push {
                server, connection, ..
            } if self.dumb.contains(&server) => Some(Event::PushFailed { server, connection }),
            Effect::Push {
                server,
                connection,
                push,
            } => Some(Event::PushAnswered {
                server,
                connection,
                map_version: push.map_version,
                lost: push
                    .volumes
                    .iter()
                    .filter(|volume| match volume.state_of(server) {
                        Some(MemberState::InSync) => self.lost.contains(&(server, volume.id)),
                        Some(MemberState::Syncing) => self.failed.contains(&server),
                        Some(MemberState::Out) | None => false,
                    })
                    .map(|volume| volume.id)
                    .collect(),
            }),
            Effect::Probe { server, connection } => Some(Event::Probed {
                server,
                connection,
                has_answered: !self.dumb.contains(&server),
            }),
            Effect::StartSync { member, sync } => {
                let (volume, epoch) = (sync.volume.id, sync.volume.epoch);
                let answer = if self.failed.contains(&member) {
                    SyncAnswer::Unable
                } else {
                    self.lost.retain(|lost| *lost != (member, volume));
                    self.syncs.push((member, sync));
                    SyncAnswer::Begun
                };
                Some(Event::SyncAnswered {
                    volume,
                    epoch,
                    member,
                    answer,
                })
            }
            Effect::SetRate {
                server,
                connection,
                version,
                rate,
            } => {
                self.rates.insert(server, rate.bytes_per_s);
                Some(Event::RateTold {
                    server,
                    connection,
                    version: Some(version),
                })
            }
            Effect::LastCopyLost { .. } => {
                self.alarms += 1;
                None
            }
        }
    }

    fn commit(&mut self, command: &VolumeCommand) -> VolumeAnswer {
        let mut batch = self.keyspace.batch();
        let answer = self.table.apply(command, &mut batch).unwrap();
        batch.commit().unwrap();
        self.table.committed();
        answer
    }

    fn orders(&self) -> Arc<Maintenance> {
        Arc::clone(&self.table.follow_orders().borrow())
    }

    fn orders_are(&mut self, order: MaintenanceOrder) -> VolumeAnswer {
        let up = self.seen.iter().map(|seen| seen.server).collect();
        let answer = self.commit(&VolumeCommand::Maintain(MaintenanceCommand {
            order,
            by: "ann".to_owned(),
            at_ms: 1,
            expected: None,
            up,
            copies: self.life.rules.place.copies,
        }));
        self.happens(Event::OrdersMoved(self.orders()));
        answer
    }

    /// Every sync that was asked for ends well.
    fn finishes_syncs(&mut self) {
        while let Some((member, sync)) = self.syncs.pop() {
            let (copied, copied_bytes, present) = (0, 0, 0);
            self.happens(Event::Synced(ReportSync {
                volume: sync.volume.id,
                epoch: sync.volume.epoch,
                member,
                copied,
                copied_bytes,
                present,
            }));
        }
    }

    fn volumes_of(&self, number: u16) -> usize {
        let volumes = self.table.map().volumes.values();
        volumes
            .filter(|volume| volume.state_of(id(number)).is_some())
            .count()
    }

    fn loses(&mut self, number: u16) {
        self.seen[usize::from(number) - 1].connection = None;
        self.happens(Event::Lost {
            server: id(number),
            is_surely_gone: true,
        });
        self.wait(TICK);
    }

    fn hears(&mut self, number: u16) {
        let connection = u64::try_from(self.now.as_millis()).unwrap() + 2;
        self.seen[usize::from(number) - 1].connection = Some(connection);
        self.see();
    }

    fn reports(&mut self, number: u16, trouble: Trouble) {
        let epoch = self.volume().epoch;
        let report = ReportTrouble {
            volume: V1,
            epoch,
            member: id(number),
            trouble,
        };
        self.happens(Event::Troubled(report));
    }

    fn finishes_sync(&mut self, number: u16, epoch: Epoch) {
        let (copied, copied_bytes, present) = (0, 0, 0);
        self.happens(Event::Synced(ReportSync {
            volume: V1,
            epoch,
            member: id(number),
            copied,
            copied_bytes,
            present,
        }));
    }

    fn volume(&self) -> &Volume {
        &self.table.map().volumes[&V1]
    }

    /// The states of the members by number, and the status, in one line.
    fn states(&self) -> String {
        let mut members = self.volume().members.clone();
        members.sort_by_key(|member| member.server);
        let states: Vec<String> = members
            .iter()
            .map(|m| format!("{}:{:?}", m.server, m.state))
            .collect();
        format!("{} {:?}", states.join(" "), self.volume().status)
    }
}

#[test]
fn volumes_begin_once_registered() {
    let scene = Scene::new(3, 3, 2);
    assert_eq!(scene.table.map().volumes.len(), 1);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
    assert_eq!(scene.volume().epoch, Epoch(2));
}

#[test]
fn missing_dservers_are_awaited_a_while() {
    let mut scene = Scene::before_volumes(3, 3, 2);
    scene.seen[2].connection = None;
    scene.wait(FOUND_GRACE - TICK * 2);
    assert!(scene.table.map().volumes.is_empty());
    scene.wait(TICK * 3);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:Out Degraded");
}

#[test]
fn too_few_dservers_found_nothing() {
    let mut scene = Scene::before_volumes(3, 3, 2);
    scene.seen[1].connection = None;
    scene.seen[2].connection = None;
    scene.wait(FOUND_GRACE * 3);
    assert!(scene.table.map().volumes.is_empty());
    scene.hears(2);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:Out Degraded");
}

#[test]
fn an_unregistered_member_is_not_in_sync() {
    let mut scene = Scene::before_volumes(3, 3, 2);
    scene.dumb.push(id(3));
    scene.see();
    assert_eq!(scene.states(), "1:Syncing 2:Syncing 3:Syncing ReadOnly");
    scene.wait(FOUND_GRACE + TICK);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:Out Degraded");
}

#[test]
fn who_has_no_disk_founds_nothing() {
    let mut scene = Scene::before_volumes(3, 3, 2);
    scene.failed = vec![id(2), id(3)];
    scene.see();
    scene.wait(FOUND_GRACE * 10);
    assert_eq!(scene.states(), "1:Syncing 2:Syncing 3:Syncing ReadOnly");
    assert_eq!(scene.alarms, 0);
    // A disk of its works again, without a restart.
    scene.failed = vec![id(3)];
    scene.wait(SYNC_AGAIN_MAX + FOUND_GRACE);
    let states = scene.states();
    assert!(states.starts_with("1:InSync 2:InSync 3:"), "{states}");
}

#[test]
fn a_lost_member_is_fenced() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
    assert_eq!(scene.volume().epoch, Epoch(3));
}

#[test]
fn a_short_break_fences_nobody() {
    let mut scene = Scene::new(3, 3, 2);
    scene.seen[1].connection = None;
    scene.see();
    scene.wait(FENCE_GRACE - TICK);
    scene.hears(2);
    scene.wait(FENCE_GRACE * 2);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn fencing_stops_where_writes_would() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    scene.loses(3);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
    scene.loses(1);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
}

#[test]
fn members_gone_together_stay() {
    let mut scene = Scene::new(3, 3, 2);
    for number in 1..=3 {
        scene.seen[number - 1].connection = None;
    }
    scene.wait(FENCE_GRACE * 3);
    for number in 1..=3 {
        scene.hears(number);
        scene.wait(TICK);
    }
    scene.wait(FENCE_GRACE * 2);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
    assert_eq!(scene.volume().epoch, Epoch(2));
}

#[test]
fn a_returning_member_syncs_first() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    scene.hears(2);
    assert_eq!(scene.states(), "1:InSync 2:Syncing 3:InSync Degraded");
    let (member, mut sync) = scene.syncs.last().unwrap().clone();
    sync.sources.sort_unstable();
    assert_eq!((member, sync.volume.epoch), (id(2), scene.volume().epoch));
    assert_eq!(sync.sources, [id(1), id(3)]);
    scene.wait(SYNC_REMIND * 3);
    assert_eq!(scene.states(), "1:InSync 2:Syncing 3:InSync Degraded");
    scene.finishes_sync(2, scene.volume().epoch);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn a_sync_of_another_epoch_counts_nothing() {
    let mut scene = Scene::new(4, 4, 2);
    scene.loses(2);
    scene.hears(2);
    let old = scene.volume().epoch;
    scene.loses(3);
    assert_ne!(scene.volume().epoch, old);
    scene.finishes_sync(2, old);
    assert_eq!(scene.volume().state_of(id(2)), Some(MemberState::Syncing));
    let asked = scene.syncs.last().unwrap();
    assert_eq!(asked.1.volume.epoch, scene.volume().epoch);
    scene.finishes_sync(2, scene.volume().epoch);
    assert_eq!(scene.volume().state_of(id(2)), Some(MemberState::InSync));
}

#[test]
fn a_syncing_member_that_dies_is_out() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    scene.hears(2);
    scene.loses(2);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
}

#[test]
fn a_lost_copy_is_synced_from_nothing() {
    let mut scene = Scene::new(3, 3, 2);
    scene.lost.push((id(2), V1));
    scene.hears(2);
    assert_eq!(scene.states(), "1:InSync 2:Syncing 3:InSync Degraded");
    scene.finishes_sync(2, scene.volume().epoch);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn the_last_copy_is_never_given_up() {
    let mut scene = Scene::new(2, 2, 1);
    scene.loses(2);
    assert_eq!(scene.states(), "1:InSync 2:Out Degraded");
    scene.lost.push((id(1), V1));
    scene.hears(1);
    assert_eq!(scene.states(), "1:InSync 2:Out ReadOnly");
    assert_eq!(scene.alarms, 1);
    scene.hears(2);
    scene.wait(RETRY_MAX * 2);
    assert_eq!(scene.states(), "1:InSync 2:Out ReadOnly");
    assert!(
        scene.syncs.is_empty(),
        "an empty copy was taken for a source"
    );
}

#[test]
fn a_last_copy_that_is_found_again_takes_writes() {
    let mut scene = Scene::new(1, 1, 1);
    assert_eq!(scene.states(), "1:InSync Writable");
    scene.reports(1, Trouble::DiskFailed);
    scene.lost.push((id(1), V1));
    scene.hears(1);
    assert_eq!(scene.states(), "1:InSync ReadOnly");
    scene.loses(1);
    scene.hears(1);
    scene.wait(RETRY_MAX * 2);
    assert_eq!(scene.states(), "1:InSync ReadOnly");
    // Its server starts again with the disk in its place.
    scene.lost.clear();
    scene.loses(1);
    scene.hears(1);
    scene.wait(RETRY_MAX);
    assert_eq!(scene.states(), "1:InSync Writable");
}

#[test]
fn a_mute_member_is_fenced_when_reported() {
    let mut scene = Scene::new(3, 3, 2);
    scene.dumb.push(id(2));
    scene.reports(2, Trouble::Silent);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
    scene.wait(RETRY_MAX * 2);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
    scene.dumb.clear();
    scene.wait(RETRY_MAX * 2);
    assert_eq!(scene.states(), "1:InSync 2:Syncing 3:InSync Degraded");
}

#[test]
fn one_report_does_not_fence_who_answers() {
    let mut scene = Scene::new(3, 3, 2);
    for _ in 0..10 {
        scene.reports(2, Trouble::Silent);
    }
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
    for _ in 0..2 {
        scene.wait(STRIKE_APART);
        scene.reports(2, Trouble::Silent);
    }
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
}

#[test]
fn a_report_of_an_old_epoch_is_ignored() {
    let mut scene = Scene::new(3, 3, 2);
    let old = scene.volume().epoch;
    scene.loses(2);
    let report = ReportTrouble {
        volume: V1,
        epoch: old,
        member: id(1),
        trouble: Trouble::DiskFailed,
    };
    scene.hears(2);
    scene.finishes_sync(2, scene.volume().epoch);
    scene.happens(Event::Troubled(report));
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn a_failing_disk_is_tried_ever_more_rarely() {
    let mut scene = Scene::new(3, 3, 2);
    scene.failed.push(id(2));
    scene.reports(2, Trouble::DiskFailed);
    assert_eq!(scene.states(), "1:InSync 2:Out 3:InSync Degraded");
    scene.wait(Duration::from_secs(300));
    let epochs = scene.volume().epoch.0;
    assert!(
        (10..=30).contains(&epochs),
        "{epochs} epochs in five minutes"
    );
    scene.failed.clear();
    scene.wait(SYNC_AGAIN_MIN * 61);
    assert_eq!(scene.states(), "1:InSync 2:Syncing 3:InSync Degraded");
}

#[test]
fn a_full_member_closes_the_volume() {
    let mut scene = Scene::new(3, 3, 2);
    scene.reports(2, Trouble::Full);
    assert_eq!(scene.volume().status, VolumeStatus::Full);
    scene.wait(FULL_FOR + TICK);
    assert_eq!(scene.volume().status, VolumeStatus::Writable);
    scene.seen[0].free_bytes = Some(1);
    scene.see();
    assert_eq!(scene.volume().status, VolumeStatus::Full);
}

#[test]
fn a_member_out_for_long_is_replaced() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    scene.seen.push(DserverSeen {
        server: id(4),
        zone: "2".to_owned(),
        group: None,
        connection: Some(1),
        free_bytes: None,
    });
    scene.wait(REPLACE_AFTER - TICK * 10);
    assert_eq!(scene.volume().state_of(id(4)), None);
    scene.wait(TICK * 20);
    assert_eq!(scene.states(), "1:InSync 3:InSync 4:Syncing Degraded");
    scene.finishes_sync(4, scene.volume().epoch);
    assert_eq!(scene.states(), "1:InSync 3:InSync 4:InSync Writable");
}

/// Dservers of these groups, up but for those that are away, before there are volumes.
fn grouped(groups: &[&str], away: &[u16]) -> Scene {
    let mut scene = Scene::before_volumes(u16::try_from(groups.len()).unwrap(), 2, 1);
    for (seen, group) in scene.seen.iter_mut().zip(groups) {
        seen.group = Some(Arc::from(*group));
        seen.connection = (!away.contains(&seen.server.0)).then_some(1);
    }
    scene
}

/// The members of all volumes.
fn members(scene: &Scene) -> BTreeSet<BTreeSet<u16>> {
    let volumes = scene.table.map().volumes.values();
    let members = |volume: &Volume| volume.members.iter().map(|one| one.server.0).collect();
    volumes.map(members).collect()
}

#[test]
fn a_group_that_is_away_holds_up_no_other() {
    let mut scene = grouped(&["a", "a", "b", "b"], &[3, 4]);
    scene.see();
    assert_eq!(members(&scene), [[1, 2].into()].into());
    scene.wait(FOUND_GRACE * 2);
    assert_eq!(members(&scene), [[1, 2].into()].into());
    scene.hears(3);
    scene.hears(4);
    assert_eq!(members(&scene), [[1, 2].into(), [3, 4].into()].into());
}

#[test]
fn a_dserver_without_a_group_keeps_nothing_where_there_are_some() {
    let mut scene = grouped(&["a", "a", "b", "b", "a"], &[]);
    scene.seen[4].group = None;
    scene.see();
    assert_eq!(members(&scene), [[1, 2].into(), [3, 4].into()].into());
    scene.loses(1);
    scene.wait(REPLACE_AFTER * 2);
    assert_eq!(members(&scene), [[1, 2].into(), [3, 4].into()].into());
}

#[test]
fn a_member_is_replaced_within_its_group() {
    let mut scene = grouped(&["a", "a", "b", "b"], &[]);
    scene.see();
    scene.wait(FENCE_GRACE);
    scene.loses(2);
    scene.wait(REPLACE_AFTER * 2);
    assert_eq!(members(&scene), [[1, 2].into(), [3, 4].into()].into());
    scene.seen.push(DserverSeen {
        server: id(5),
        zone: "5".to_owned(),
        group: Some("a".into()),
        connection: Some(1),
        free_bytes: None,
    });
    scene.wait(RETRY_MAX);
    let now = members(&scene);
    assert!(
        now.contains(&[1, 5].into()) && !now.contains(&[1, 2].into()),
        "{now:?}"
    );
}

#[test]
fn volumes_of_before_are_kept_and_others_are_made() {
    let mut scene = Scene::new(4, 2, 1);
    let before = members(&scene);
    for (seen, group) in scene.seen.iter_mut().zip(["a", "b", "a", "b"]) {
        seen.group = Some(Arc::from(group));
    }
    scene.see();
    scene.wait(FENCE_GRACE);
    let now = members(&scene);
    assert!(before.is_subset(&now), "{before:?} {now:?}");
    assert!(
        now.contains(&[1, 3].into()) && now.contains(&[2, 4].into()),
        "{now:?}"
    );
}

fn drain(number: u16) -> MaintenanceOrder {
    MaintenanceOrder::Drain { server: id(number) }
}

#[test]
fn a_drained_member_leaves_last() {
    let mut scene = Scene::new(4, 3, 2);
    let first = scene.volume().members[0].server;
    let fourth = (1..=4)
        .map(id)
        .find(|s| scene.volume().state_of(*s).is_none());
    let fourth = fourth.unwrap();
    scene.orders_are(drain(first.0));
    let joined = scene.volume().clone();
    assert_eq!(joined.state_of(first), Some(MemberState::InSync));
    assert_eq!(joined.state_of(fourth), Some(MemberState::Syncing));
    scene.wait(SYNC_REMIND);
    assert_eq!(
        scene.volume().epoch,
        joined.epoch,
        "it left before the copy was made"
    );
    scene.finishes_syncs();
    assert_eq!(scene.volumes_of(first.0), 0);
    for volume in scene.table.map().volumes.values() {
        assert_eq!(volume.readable().count(), 3, "{volume:?}");
        assert_eq!(volume.status, VolumeStatus::Writable);
    }
}

#[test]
fn a_drain_outlives_its_leader() {
    let mut scene = Scene::new(4, 3, 2);
    scene.orders_are(drain(4));
    let (rules, map) = (scene.life.rules, Arc::clone(scene.table.map()));
    scene.syncs.clear();
    scene.life = MemberLife::new(scene.now, rules, map);
    scene.happens(Event::OrdersMoved(scene.orders()));
    scene.see();
    for _ in 0..8 {
        scene.finishes_syncs();
        scene.wait(RETRY_MAX);
    }
    assert_eq!(scene.volumes_of(4), 0);
}

#[test]
fn a_drained_dserver_gets_nothing_new() {
    let mut scene = Scene::before_volumes(4, 3, 2);
    scene.orders_are(drain(2));
    scene.see();
    assert!(!scene.table.map().volumes.is_empty());
    assert_eq!(scene.volumes_of(2), 0);
    scene.orders_are(MaintenanceOrder::StopDrain { server: id(2) });
    scene.wait(TICK);
    assert!(scene.volumes_of(2) > 0);
}

#[test]
fn a_dserver_more_gets_the_copies_that_were_too_few() {
    let mut scene = Scene::new(2, 3, 2);
    assert_eq!(scene.states(), "1:InSync 2:InSync Writable");
    scene.seen.push(dserver(3));
    for _ in 0..4 {
        scene.wait(RETRY_MAX);
        scene.finishes_syncs();
    }
    for volume in scene.table.map().volumes.values() {
        assert_eq!(volume.readable().count(), 3, "{volume:?}");
    }
    // As many as there are to be.
    scene.seen.push(dserver(4));
    scene.wait(RETRY_MAX);
    let mut volumes = scene.table.map().volumes.values();
    assert!(volumes.all(|volume| volume.members.len() == 3));
}

/// A volume with one copy takes no writes while it gets the second one it needs then.
#[test]
fn volumes_that_need_more_copies_grow_one_after_the_other() {
    let mut scene = Scene::before_volumes(1, 3, 2);
    scene.life.rules.place.volumes_per_dserver = 4;
    scene.see();
    scene.wait(FENCE_GRACE);
    assert_eq!(scene.volumes_of(1), 4);
    for number in [2, 3] {
        scene.seen.push(dserver(number));
    }
    for _ in 0..24 {
        scene.wait(RETRY_MAX);
        let closed = scene.table.map().volumes.values();
        let closed = closed.filter(|volume| !volume.is_writable()).count();
        assert!(closed < 2, "{:?}", scene.table.map());
        scene.finishes_syncs();
    }
    for volume in scene.table.map().volumes.values() {
        assert_eq!(volume.readable().count(), 3, "{volume:?}");
        assert_eq!(volume.status, VolumeStatus::Writable);
    }
}

#[test]
fn a_dserver_that_stays_after_all_gets_its_copies_back() {
    let mut scene = Scene::new(3, 3, 2);
    // The order counted a fourth that this leader does not know yet.
    scene.commit(&VolumeCommand::Maintain(MaintenanceCommand {
        order: drain(1),
        by: "ann".to_owned(),
        at_ms: 1,
        expected: None,
        up: [1, 2, 3, 4].map(id).into(),
        copies: 3,
    }));
    scene.happens(Event::OrdersMoved(scene.orders()));
    scene.wait(RETRY_MAX);
    assert_eq!(scene.states(), "2:InSync 3:InSync Writable");
    scene.orders_are(MaintenanceOrder::StopDrain { server: id(1) });
    for _ in 0..4 {
        scene.wait(RETRY_MAX);
        scene.finishes_syncs();
    }
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn a_dead_dserver_is_drained_at_once() {
    let mut scene = Scene::new(4, 3, 2);
    let first = scene.volume().members[0].server;
    scene.loses(first.0);
    scene.orders_are(drain(first.0));
    scene.finishes_syncs();
    assert_eq!(scene.volumes_of(first.0), 0);
    assert_eq!(scene.volume().readable().count(), 3);
}

#[test]
fn a_drain_waits_for_a_second_loss() {
    let mut scene = Scene::new(4, 3, 2);
    let members: Vec<ServerId> = scene.volume().readable().collect();
    scene.loses(members[1].0);
    scene.orders_are(drain(members[0].0));
    scene.finishes_syncs();
    scene.wait(SYNC_REMIND);
    assert_eq!(
        scene.volume().state_of(members[0]),
        Some(MemberState::InSync)
    );
    scene.hears(members[1].0);
    scene.finishes_syncs();
    assert_eq!(scene.volume().state_of(members[0]), None);
    assert_eq!(scene.volume().readable().count(), 3);
}

#[test]
fn a_condemned_copy_is_no_reason_to_leave() {
    let mut scene = Scene::new(4, 3, 2);
    let members: Vec<ServerId> = scene.volume().readable().collect();
    scene.orders_are(drain(members[0].0));
    // Nobody is fenced while one of those that would stay has only just come back.
    scene.hears(members[1].0);
    scene.reports(members[2].0, Trouble::DiskFailed);
    scene.finishes_syncs();
    assert_eq!(scene.volume().readable().count(), 4);
    assert_eq!(
        scene.volume().state_of(members[0]),
        Some(MemberState::InSync)
    );
    scene.wait(FENCE_GRACE + TICK * 2);
    assert_ne!(
        scene.volume().state_of(members[2]),
        Some(MemberState::InSync)
    );
    scene.wait(SYNC_AGAIN_MIN * 2);
    scene.finishes_syncs();
    assert_eq!(scene.volume().state_of(members[0]), None);
    assert_eq!(scene.volume().readable().count(), 3);
}

#[test]
fn paused_healing_makes_no_copy() {
    let mut scene = Scene::new(4, 3, 2);
    scene.orders_are(MaintenanceOrder::PauseHealing);
    assert_eq!(scene.rates[&id(1)], Some(0));
    let member = scene.volume().members[0].server;
    scene.loses(member.0);
    scene.hears(member.0);
    scene.wait(REPLACE_AFTER * 2);
    assert_eq!(scene.volume().state_of(member), Some(MemberState::Out));
    assert!(scene.syncs.is_empty());
    scene.orders_are(MaintenanceOrder::StartHealing);
    assert_eq!(scene.rates[&id(1)], None);
    assert_eq!(scene.volume().state_of(member), Some(MemberState::Syncing));
    let bytes_per_s = Some(1_000);
    scene.orders_are(MaintenanceOrder::LimitHealing { bytes_per_s });
    assert_eq!(scene.rates[&id(4)], Some(1_000));
    scene.rates.clear();
    scene.hears(3);
    assert_eq!(
        scene.rates[&id(3)],
        Some(1_000),
        "a new connection is told too"
    );
}

#[test]
fn rebalancing_ends_when_no_move_helps() {
    let mut scene = Scene::new(3, 3, 2);
    scene.life.rules.place.volumes_per_dserver = 8;
    scene.see();
    scene.life.rules.place.volumes_per_dserver = 0;
    scene.seen.push(DserverSeen {
        server: id(4),
        zone: "4".to_owned(),
        group: None,
        connection: Some(1),
        free_bytes: None,
    });
    scene.see();
    assert_eq!((scene.volumes_of(1), scene.volumes_of(4)), (8, 0));
    scene.orders_are(MaintenanceOrder::Rebalance);
    for _ in 0..20 {
        scene.finishes_syncs();
        scene.wait(TICK);
    }
    let counts: Vec<usize> = (1..=4).map(|number| scene.volumes_of(number)).collect();
    assert_eq!(counts, [6; 4]);
    assert_eq!(scene.orders().rebalancing, None);
    for volume in scene.table.map().volumes.values() {
        assert_eq!(volume.readable().count(), 3, "{volume:?}");
    }
}

#[test]
fn rebalancing_waits_for_a_target_that_is_down() {
    let mut scene = Scene::new(3, 3, 2);
    scene.life.rules.place.volumes_per_dserver = 8;
    scene.see();
    scene.life.rules.place.volumes_per_dserver = 0;
    scene.seen.push(DserverSeen {
        server: id(4),
        zone: "4".to_owned(),
        group: None,
        connection: None,
        free_bytes: None,
    });
    scene.see();
    scene.orders_are(MaintenanceOrder::Rebalance);
    scene.wait(RETRY_MAX);
    assert!(scene.orders().rebalancing.is_some(), "it ended too early");
    scene.hears(4);
    for _ in 0..20 {
        scene.finishes_syncs();
        scene.wait(TICK);
    }
    assert_eq!(scene.volumes_of(4), 6);
    assert_eq!(scene.orders().rebalancing, None);
}

#[test]
fn a_new_leader_goes_on() {
    let mut scene = Scene::new(3, 3, 2);
    scene.loses(2);
    scene.hears(2);
    let (rules, map) = (scene.life.rules, Arc::clone(scene.table.map()));
    scene.syncs.clear();
    scene.life = MemberLife::new(scene.now, rules, map);
    scene.see();
    assert_eq!(scene.syncs.len(), 1);
    scene.finishes_sync(2, scene.volume().epoch);
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}

#[test]
fn an_answer_over_an_older_connection_is_ignored() {
    let mut scene = Scene::new(3, 3, 2);
    scene.dumb.push(id(2));
    scene.hears(2);
    let (connection, map_version, lost) = (1, scene.table.map().version, vec![V1]);
    scene.happens(Event::PushAnswered {
        server: id(2),
        connection,
        map_version,
        lost,
    });
    assert_eq!(scene.states(), "1:InSync 2:InSync 3:InSync Writable");
}
