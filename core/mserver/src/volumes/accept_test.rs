//! Files are accepted by all members of a volume, or by nobody.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use sdfs_server_group::Deadline;
use sdfs_types::calls::blocks::AcceptFiles;
use sdfs_types::{
    BlockSize, Epoch, FileDescriptor, FileId, FileVersion, Refusal, TraceWhat, VolumeId,
    VolumeStatus,
};

use super::accept::{Accepted, Acceptor, FileWanted};
use super::command::{MemberChange, VolumeCommand};
use super::fakes_test::{FakeRoot, FakeServers, Mood, id};

struct Scene {
    servers: Arc<FakeServers>,
    root: Arc<FakeRoot>,
    acceptor: Acceptor,
}

/// As many volumes as lists of members, all in sync.
fn scene(dservers: u16, volumes: &[&[u16]]) -> Scene {
    let servers = FakeServers::new(dservers);
    let (root, map) = FakeRoot::new(id(100));
    let members = |list: &&[u16]| list.iter().map(|number| id(*number)).collect();
    let volumes: Vec<_> = volumes.iter().map(members).collect();
    root.apply(&VolumeCommand::Add {
        first: VolumeId(1),
        volumes: volumes.clone(),
    });
    for (number, members) in (1..).zip(volumes) {
        change(&root, number, 1, MemberChange::Found { members });
    }
    let acceptor = Acceptor::start(Arc::clone(&servers) as _, map);
    Scene {
        servers,
        root,
        acceptor,
    }
}

fn change(root: &FakeRoot, volume: u32, epoch: u32, change: MemberChange) {
    let (volume, expected, copies_min) = (VolumeId(volume), Epoch(epoch), 2);
    root.apply(&VolumeCommand::Change {
        volume,
        expected,
        change,
        copies_min,
    });
}

impl Scene {
    async fn create(&self, file: u32, size_bytes: u64) -> Result<Accepted, Refusal> {
        let wanted = FileWanted {
            descriptor: FileDescriptor {
                id: FileId(file),
                version: FileVersion(1),
            },
            size_bytes,
            block_size: BlockSize::default(),
            began: Instant::now(),
        };
        self.acceptor
            .accept(wanted, Deadline::after_ms(2_000))
            .await
    }

    fn asked(&self, dserver: u16) -> usize {
        let calls: Vec<AcceptFiles> = self.servers.calls(dserver);
        calls.iter().map(|call| call.asks.len()).sum()
    }
}

fn count(accepted: &Accepted, is: impl Fn(&TraceWhat) -> bool) -> usize {
    accepted.steps.iter().filter(|step| is(&step.what)).count()
}

#[tokio::test]
async fn every_member_accepts_a_file() {
    let scene = scene(3, &[&[1, 2, 3]]);
    let accepted = scene.create(1, 0).await.unwrap();
    assert_eq!(accepted.plan(), [VolumeId(1)]);
    assert_eq!(
        count(&accepted, |what| matches!(what, TraceWhat::Offered { .. })),
        3
    );
    assert_eq!(
        count(&accepted, |what| matches!(what, TraceWhat::Accepted { .. })),
        3
    );
    assert_eq!([1, 2, 3].map(|dserver| scene.asked(dserver)), [1, 1, 1]);
}

#[tokio::test]
async fn a_refused_volume_is_not_used() {
    let scene = scene(4, &[&[1, 2, 3], &[1, 2, 4]]);
    let refuses = [VolumeId(1)].into();
    scene.servers.set_mood(
        3,
        Mood {
            refuses,
            ..Mood::default()
        },
    );
    let mut refused = 0;
    for file in 0..50 {
        let accepted = scene.create(file, 0).await.unwrap();
        assert_eq!(accepted.plan(), [VolumeId(2)]);
        refused += count(&accepted, |what| {
            matches!(what, TraceWhat::NotAccepted { .. })
        });
    }
    assert!(refused > 0, "the refusing volume was never tried");
}

#[tokio::test]
async fn silence_is_not_acceptance() {
    let scene = scene(6, &[&[1, 2, 3], &[4, 5, 6]]);
    scene.servers.set_mood(
        3,
        Mood {
            is_silent: true,
            ..Mood::default()
        },
    );
    for accepted in join_all((0..20).map(|file| scene.create(file, 0))).await {
        assert_eq!(accepted.unwrap().plan(), [VolumeId(2)]);
    }
    assert!(scene.asked(3) > 0, "the silent dserver was never asked");
}

#[tokio::test]
async fn waiting_for_volumes_rests() {
    let scene = scene(3, &[&[1, 2, 3]]);
    scene.create(1, 0).await.unwrap();
    scene.servers.lose(3);
    let (block_size, deadline) = (BlockSize::default(), Deadline::after_ms(300));
    let mut planning = pin!(scene.acceptor.plan_soon(None, (block_size, None), deadline));
    let mut looks = 0;
    let planned = poll_fn(|context| {
        looks += 1;
        planning.as_mut().poll(context)
    });
    assert!(planned.await.is_err());
    assert!(looks < 20, "looked {looks} times");
}

#[tokio::test]
async fn a_lost_dserver_is_not_asked() {
    let scene = scene(6, &[&[1, 2, 3], &[4, 5, 6]]);
    scene.servers.lose(3);
    for file in 0..50 {
        assert_eq!(scene.create(file, 0).await.unwrap().plan(), [VolumeId(2)]);
    }
    assert_eq!((scene.asked(1), scene.asked(3)), (0, 0));
}

#[tokio::test]
async fn no_dserver_means_no_file() {
    let scene = scene(3, &[&[1, 2, 3]]);
    for dserver in 1..=3 {
        scene.servers.set_mood(
            dserver,
            Mood {
                is_silent: true,
                ..Mood::default()
            },
        );
    }
    let refused = scene.create(1, 0).await;
    assert!(
        matches!(refused, Err(Refusal::NoVolume { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn full_disks_are_named_at_once() {
    let scene = scene(3, &[&[1, 2, 3], &[1, 2, 3]]);
    for volume in [1, 2] {
        scene.root.apply(&VolumeCommand::SetStatus {
            volume: VolumeId(volume),
            expected: Epoch(2),
            status: VolumeStatus::Full,
            copies_min: 2,
        });
    }
    let begun = Instant::now();
    let refused = scene.create(1, 0).await;
    let (volumes, server, free_bytes) = (2, id(1), 1 << 40);
    let full = Refusal::VolumesFull {
        volumes,
        server,
        free_bytes,
    };
    assert_eq!(refused.unwrap_err(), full);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waited");
}

#[tokio::test]
async fn fencing_lets_waiting_files_go_on() {
    let scene = scene(3, &[&[1, 2, 3]]);
    scene.servers.set_mood(
        2,
        Mood {
            is_silent: true,
            ..Mood::default()
        },
    );
    let fencing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        change(&scene.root, 1, 2, MemberChange::Fence { member: id(2) });
    };
    let (accepted, ()) = tokio::join!(scene.create(1, 0), fencing);
    assert_eq!(accepted.unwrap().volumes[0].epoch, Epoch(3));
}

#[tokio::test]
async fn files_are_asked_about_together() {
    let scene = scene(3, &[&[1, 2, 3]]);
    let files = join_all((0..5_000).map(|file| scene.create(file, 0))).await;
    assert!(files.iter().all(Result::is_ok));
    assert_eq!(scene.asked(1), 5_000);
    let calls = scene.servers.calls::<AcceptFiles>(1).len();
    assert!(calls < 100, "{calls} calls for 5,000 files");
}

#[tokio::test]
async fn large_files_get_several_volumes() {
    let volumes: Vec<&[u16]> = vec![&[1, 2, 3]; 4];
    let scene = scene(3, &volumes);
    let mut plan = scene.create(1, 100 << 20).await.unwrap().plan();
    plan.sort_unstable();
    assert_eq!(plan, [1, 2, 3, 4].map(VolumeId));
}
