//! The supervisor acts at the root group's leader, and only there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sdfs_server_group::{Caller, Deadline, Role};
use sdfs_types::calls::blocks::{PushVolumes, SyncVolume};
use sdfs_types::calls::negotiation::{ReportSync, ReportTrouble, Trouble};
use sdfs_types::{Epoch, MemberState, Refusal, Volume, VolumeId, VolumeStatus};

use super::fakes_test::{FakeRoot, FakeServers, Mood, id, until};
use super::machine::VolumeWatch;
use super::supervisor::{Supervisor, VolumeRules};

const V1: VolumeId = VolumeId(1);

struct Scene {
    servers: Arc<FakeServers>,
    root: Arc<FakeRoot>,
    map: VolumeWatch,
    supervisor: Supervisor,
}

/// Three dservers, one volume; server 100 is this one.
fn scene(leader: u16) -> Scene {
    let servers = FakeServers::new(3);
    let (root, map) = FakeRoot::new(id(leader));
    let (copies, copies_min, volumes_per_dserver, silence_ms_max) = (3, 2, 1, 400);
    let rules = VolumeRules {
        copies,
        copies_min,
        volumes_per_dserver,
        silence_ms_max,
        replace_after_s: 600,
    };
    let supervisor = Supervisor::start(
        rules,
        Arc::clone(&servers) as _,
        Arc::clone(&root) as _,
        (map.clone(), root.follow_orders()),
    );
    Scene {
        servers,
        root,
        map,
        supervisor,
    }
}

impl Scene {
    fn volume(&self) -> Option<Volume> {
        self.map.borrow().volumes.get(&V1).cloned()
    }

    async fn until_status(&self, status: VolumeStatus) -> Volume {
        let what = format!("{status:?}");
        until(&what, || {
            self.volume().is_some_and(|volume| volume.status == status)
        })
        .await;
        self.volume().unwrap()
    }

    async fn until_state(&self, member: u16, state: MemberState) -> Volume {
        let is_so = |volume: Volume| volume.state_of(id(member)) == Some(state);
        until(&format!("{member} {state:?}"), || {
            self.volume().is_some_and(is_so)
        })
        .await;
        self.volume().unwrap()
    }

    async fn report_sync(&self, from: u16, member: u16, epoch: Epoch) -> Result<(), Refusal> {
        let (copied, copied_bytes, present, member) = (1, 1, 1, id(member));
        let report = ReportSync {
            volume: V1,
            epoch,
            member,
            copied,
            copied_bytes,
            present,
        };
        self.supervisor
            .report_sync(&caller(from), report, Deadline::after_ms(1_000))
            .await
    }

    async fn report_trouble(&self, from: u16, epoch: Epoch) -> Result<(), Refusal> {
        let report = ReportTrouble {
            volume: V1,
            epoch,
            member: id(2),
            trouble: Trouble::Silent,
        };
        self.supervisor
            .report_trouble(&caller(from), report, Deadline::after_ms(1_000))
            .await
    }
}

fn caller(number: u16) -> Caller {
    Caller {
        role: if number >= 100 {
            Role::Mserver
        } else {
            Role::Dserver
        },
        server: Some(id(number)),
        user: None,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
    }
}

#[actix::test]
async fn a_lost_dserver_is_fenced_and_healed() {
    let scene = scene(100);
    scene.until_status(VolumeStatus::Writable).await;
    scene.servers.lose(2);
    scene.until_status(VolumeStatus::Degraded).await;
    scene.servers.establish(2);
    let epoch = scene.until_state(2, MemberState::Syncing).await.epoch;
    until("the order to sync", || {
        !scene.servers.calls::<SyncVolume>(2).is_empty()
    })
    .await;
    assert_eq!(
        scene.report_sync(1, 2, epoch).await,
        Err(Refusal::NotServed)
    );
    scene.report_sync(2, 2, epoch).await.unwrap();
    let healed = scene.until_status(VolumeStatus::Writable).await;
    let stale = scene.report_sync(2, 2, epoch).await;
    assert_eq!(
        stale,
        Err(Refusal::StaleEpoch {
            current: Box::new(healed)
        })
    );
}

#[actix::test]
async fn every_dserver_learns_every_change() {
    let scene = scene(100);
    scene.until_status(VolumeStatus::Writable).await;
    scene.servers.lose(2);
    scene.until_status(VolumeStatus::Degraded).await;
    let version = scene.map.borrow().version;
    for dserver in [1, 3] {
        let told = || scene.servers.calls::<PushVolumes>(dserver);
        until("the push", || {
            told().iter().any(|push| push.map_version == version)
        })
        .await;
    }
}

#[actix::test]
async fn a_frozen_member_is_fenced_by_report() {
    let scene = scene(100);
    let epoch = scene.until_status(VolumeStatus::Writable).await.epoch;
    scene.servers.set_mood(
        2,
        Mood {
            is_silent: true,
            ..Mood::default()
        },
    );
    scene.report_trouble(1, epoch).await.unwrap();
    scene.until_state(2, MemberState::Out).await;
}

#[actix::test]
async fn reports_reach_the_leader_elsewhere() {
    let scene = scene(101);
    until("the forwarding", || {
        scene.servers.calls::<ReportTrouble>(101).is_empty()
    })
    .await;
    let mut forwarded = scene.report_trouble(1, Epoch(7)).await;
    while forwarded.is_err() {
        tokio::task::yield_now().await;
        forwarded = scene.report_trouble(1, Epoch(7)).await;
    }
    assert_eq!(scene.servers.calls::<ReportTrouble>(101)[0].epoch, Epoch(7));
    let passed_on = scene.report_trouble(101, Epoch(7)).await;
    assert!(
        matches!(passed_on, Err(Refusal::Busy { .. })),
        "{passed_on:?}"
    );
}

#[actix::test]
async fn only_the_leader_acts() {
    let scene = scene(101);
    tokio::time::sleep(super::limits::TICK * 5).await;
    assert!(scene.map.borrow().volumes.is_empty());
    assert!(scene.servers.calls::<PushVolumes>(1).is_empty());
    scene.root.elect(id(100));
    scene.until_status(VolumeStatus::Writable).await;
}
