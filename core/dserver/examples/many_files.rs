//! What very many small files cost one dserver:
//! `cargo run --release -p sdfs-dserver --example many_files -- 10000000 FOLDER`.
//!
//! Stores so many files of 1 KiB in FOLDER, each fsynced before the next one in its lane, and
//! prints what they take of memory and how long the dserver takes to start again with them: after
//! it was killed, and after a clean stop. Network and mservers are left out, all else is real.

// A program for people to read prints, and ends where it cannot go on.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use sdfs_dserver::{Dserver, DserverOptions, Peers};
use sdfs_log::RealDisk;
use sdfs_server_group::{CallError, Caller, Deadline, Load, Payload, ReplyBody, Role, ServerId};
use sdfs_types::calls::anonymous::{LeaseStamps, StampsLeased};
use sdfs_types::calls::blocks::PushVolumes;
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{
    Epoch, GrantKey, MemberState, Refusal, Volume, VolumeId, VolumeMap, VolumeMember, VolumeStatus,
    wire,
};

const ME: ServerId = ServerId(1);
const MSERVER: ServerId = ServerId(2);
const FILE_BYTES: usize = 1_024;
/// Uploads at once.
const LANES: u32 = 512;
const VOLUMES: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(60);

/// The mservers, as far as a dserver that is alone asks them.
struct Alone {
    leased_to_s: AtomicU32,
}

impl Peers for Alone {
    fn me(&self) -> ServerId {
        ME
    }

    fn call(
        &self,
        _to: ServerId,
        kind: u16,
        (head, _): (Bytes, Payload),
        _deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        let head = match CallKind::from_wire(kind) {
            Some(CallKind::LeaseStamps) => {
                let asked: LeaseStamps = wire::decode(&head).unwrap();
                let free_s = self.leased_to_s.load(Ordering::Relaxed);
                let from_s = asked.now_s.max(free_s);
                self.leased_to_s.store(from_s + 20, Ordering::Relaxed);
                let until_s = from_s + 20;
                wire::encode_answer(&Ok(StampsLeased { from_s, until_s }))
            }
            Some(CallKind::LeaseReads) => wire::encode_answer(&Ok(None::<VolumeMap>)),
            Some(CallKind::MayForget) => wire::encode_answer(&Ok(false)),
            _ => wire::encode_answer(&Err::<(), _>(Refusal::NotServed)),
        };
        let payload = Payload::new();
        Box::pin(async move {
            Ok(ReplyBody {
                head,
                payload,
                is_told: false,
            })
        })
    }

    fn mservers(&self) -> Vec<ServerId> {
        vec![MSERVER]
    }

    fn dservers(&self) -> Vec<ServerId> {
        Vec::new()
    }

    fn set_load(&self, _load: Load) {}

    fn load(&self, _: ServerId) -> Option<Load> {
        None
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (count, folder, part) = match &words[..] {
        [count, folder] => (count, folder, "all"),
        [count, folder, part] => (count, folder, &**part),
        _ => panic!("many_files COUNT FOLDER"),
    };
    let files: u32 = count.replace('_', "").parse().unwrap();
    let space = Path::new(folder).join("space");
    let system = actix::System::new();
    match part {
        "fill" => system.block_on(fill(&space, files)),
        "start" => system.block_on(restart(&space, files)),
        _ => {
            perform(count, folder, "fill");
            println!("after it was killed:");
            perform(count, folder, "start");
            println!("after it was stopped:");
            perform(count, folder, "start");
        }
    }
}

/// Each part in a process of its own: memory that another one used does not count.
fn perform(count: &str, folder: &str, part: &str) {
    let me = std::env::current_exe().unwrap();
    let done = Command::new(me).args([count, folder, part]).status();
    assert!(done.unwrap().success());
}

async fn fill(space: &Path, files: u32) {
    std::fs::create_dir_all(space).unwrap();
    let server = start(space).await;
    let empty_bytes = resident_bytes();
    let begun = Instant::now();
    let lanes = (0..LANES).map(|lane| {
        let door = server.anonymous();
        async move {
            for number in (lane..files).step_by(LANES as usize) {
                let mut content = vec![0; FILE_BYTES];
                content[..4].copy_from_slice(&number.to_le_bytes());
                let put = door.put(content.into(), Deadline::after(PATIENCE)).await;
                put.unwrap();
                if number.is_multiple_of(1_000_000) {
                    println!("{number:>9} files  {:>6.1?}", begun.elapsed());
                }
            }
        }
    });
    futures::future::join_all(lanes).await;
    let rate = f64::from(files) / begun.elapsed().as_secs_f64();
    println!("{files} files of {FILE_BYTES} bytes: {rate:.0}/s, each fsynced");
    tell_memory(files, empty_bytes);
    // As if it was killed: nothing is stopped, no checkpoint is written.
    std::process::exit(0);
}

async fn restart(space: &Path, files: u32) {
    let empty_bytes = resident_bytes();
    let begun = Instant::now();
    let server = start(space).await;
    println!("  started in {:.2?}", begun.elapsed());
    let kept: u64 = server.spaces().iter().map(|space| space.blocks).sum();
    assert_eq!(kept, u64::from(files), "files there are");
    tell_memory(files, empty_bytes);
    server.stop().await;
}

fn tell_memory(files: u32, empty_bytes: u64) {
    let bytes = resident_bytes().saturating_sub(empty_bytes);
    let each = bytes as f64 / f64::from(files);
    println!(
        "  resident: {:.0} MB, {each:.1} bytes a file",
        bytes as f64 / 1e6
    );
}

/// A dserver with some volumes of its own.
async fn start(space: &Path) -> Dserver {
    let server = sdfs_dserver::start(DserverOptions {
        peers: Arc::new(Alone {
            leased_to_s: AtomicU32::new(0),
        }),
        cluster: "many".to_owned(),
        grants: GrantKey::derive(b"nobody asks"),
        disk: Arc::new(RealDisk),
        spaces: vec![PathBuf::from(space)],
        segment_bytes: 64 << 20,
        reserve_bytes: 1 << 30,
    });
    let server = server.await.unwrap();
    // A volume begins empty at its member, and takes files in its second epoch.
    push(&server, 1, MemberState::Syncing).await;
    push(&server, 2, MemberState::InSync).await;
    server
}

async fn push(server: &Dserver, epoch: u32, state: MemberState) {
    let volume = |id| Volume {
        id: VolumeId(id),
        epoch: Epoch(epoch),
        members: vec![VolumeMember { server: ME, state }],
        status: VolumeStatus::Writable,
    };
    let push = PushVolumes {
        map_version: u64::from(epoch),
        volumes: (1..=VOLUMES).map(volume).collect(),
        copies_min: 1,
    };
    let caller = Caller {
        role: Role::Mserver,
        server: Some(MSERVER),
        user: None,
        address: ([127, 0, 0, 1], 1).into(),
    };
    let sent = wire::encode(&push);
    let deadline = Deadline::after(PATIENCE);
    let kind = PushVolumes::KIND.to_wire();
    server
        .answer(&caller, kind, (&sent, Payload::new()), deadline)
        .await;
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
