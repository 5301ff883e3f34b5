//! A cluster of data-servers in one process: calls go straight to the other's door, mservers only
//! take reports.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use sdfs_dserver::{Dserver, DserverOptions, Peers};
use sdfs_log::{Disk, MemoryDisk, crc32c};
use sdfs_server_group::{
    CallError, Caller, Deadline, Load, Payload, ReplyBody, Role, ServerId, UserName,
};
use sdfs_types::calls::anonymous::{LeaseStamps, StampsLeased};
use sdfs_types::calls::blocks::{
    BlockRange, BlockStored, Durability, ListVolume, PushVolumes, ReadBlock, SyncVolume,
    VolumePage, VolumesKept, WriteBlock, WriteCopy,
};
use sdfs_types::calls::negotiation::{AreNeeded, ReportSync, ReportTrouble};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{
    BlockDescriptor, BlockIndex, BlockVersion, Epoch, FileDescriptor, FileId, FileVersion, Grant,
    GrantKey, MemberState, Refusal, Volume, VolumeId, VolumeMap, VolumeMember, VolumeStatus, wire,
};

/// Longest a test waits for something that is to happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const MSERVER: ServerId = ServerId(100);
pub(crate) const VOLUME: VolumeId = VolumeId(1);

pub(crate) fn grants() -> GrantKey {
    GrantKey::derive(b"a secret")
}

/// What passes between the servers.
#[derive(Default)]
pub(crate) struct Wires {
    servers: Mutex<BTreeMap<ServerId, Dserver>>,
    down: Mutex<BTreeSet<ServerId>>,
    silent: Mutex<BTreeSet<ServerId>>,
    pub(crate) troubles: Mutex<Vec<ReportTrouble>>,
    pub(crate) syncs: Mutex<Vec<ReportSync>>,
    loads: Mutex<BTreeMap<ServerId, Load>>,
    /// Where the stamps leased so far end; nothing is leased while there is nothing.
    pub(crate) leased_to: Mutex<Option<u32>>,
    /// The volumes as a mserver knows them; no reads are leased while there is nothing.
    pub(crate) map: Mutex<Option<VolumeMap>>,
    /// What mservers say to giving a volume back.
    pub(crate) may_forget: AtomicBool,
    /// Files that have a record; mservers do not say while there is nothing.
    pub(crate) recorded: Mutex<Option<BTreeSet<FileDescriptor>>>,
    /// How often a mserver was asked what is needed.
    pub(crate) asked_needed: AtomicUsize,
}

struct Door {
    me: ServerId,
    wires: Arc<Wires>,
}

impl Peers for Door {
    fn me(&self) -> ServerId {
        self.me
    }

    fn call(
        &self,
        to: ServerId,
        kind: u16,
        sent: (Bytes, Payload),
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        let (wires, me) = (Arc::clone(&self.wires), self.me);
        Box::pin(async move {
            let calling = wires.call((me, to), kind, sent, deadline);
            let answer = tokio::time::timeout_at(deadline.instant(), calling).await;
            answer.unwrap_or(Err(CallError::Deadline))
        })
    }

    fn mservers(&self) -> Vec<ServerId> {
        vec![MSERVER]
    }

    fn dservers(&self) -> Vec<ServerId> {
        self.wires.servers.lock().unwrap().keys().copied().collect()
    }

    fn set_load(&self, load: Load) {
        self.wires.loads.lock().unwrap().insert(self.me, load);
    }

    fn load(&self, of: ServerId) -> Option<Load> {
        self.wires.loads.lock().unwrap().get(&of).copied()
    }
}

impl Wires {
    async fn call(
        &self,
        (from, to): (ServerId, ServerId),
        kind: u16,
        (head, payload): (Bytes, Payload),
        deadline: Deadline,
    ) -> Result<ReplyBody, CallError> {
        if to == MSERVER {
            return Ok(self.take_report(kind, &head));
        }
        if self.down.lock().unwrap().contains(&to) {
            return Err(CallError::NotConnected);
        }
        if self.silent.lock().unwrap().contains(&to) {
            std::future::pending::<()>().await;
        }
        let server = self.servers.lock().unwrap().get(&to).cloned();
        let server = server.ok_or(CallError::NotConnected)?;
        let caller = caller(Role::Dserver, Some(from));
        let (head, payload) = server
            .answer(&caller, kind, (&head, payload), deadline)
            .await;
        Ok(body(head, payload))
    }

    fn take_report(&self, kind: u16, head: &[u8]) -> ReplyBody {
        match CallKind::from_wire(kind) {
            Some(CallKind::ReportTrouble) => {
                self.troubles
                    .lock()
                    .unwrap()
                    .push(wire::decode(head).unwrap());
            }
            Some(CallKind::ReportSync) => {
                self.syncs.lock().unwrap().push(wire::decode(head).unwrap());
            }
            Some(CallKind::LeaseStamps) => {
                let asked: LeaseStamps = wire::decode(head).unwrap();
                let lease = self.lease(asked.now_s).ok_or(Refusal::NotServed);
                return body(wire::encode_answer(&lease), Payload::new());
            }
            Some(CallKind::LeaseReads) => {
                let map = self.map.lock().unwrap().clone().ok_or(Refusal::NotServed);
                return body(wire::encode_answer(&map.map(Some)), Payload::new());
            }
            Some(CallKind::MayForget) => {
                let may = self.may_forget.load(Ordering::Acquire);
                return body(wire::encode_answer(&Ok(may)), Payload::new());
            }
            Some(CallKind::AreNeeded) => {
                let asked: AreNeeded = wire::decode(head).unwrap();
                self.asked_needed.fetch_add(1, Ordering::AcqRel);
                let recorded = self.recorded.lock().unwrap().clone();
                let why = String::from("no majority");
                let needed = recorded.ok_or(Refusal::Busy { why }).map(|files| {
                    let blocks = asked.blocks.iter();
                    blocks
                        .map(|block| files.contains(&block.file))
                        .collect::<Vec<_>>()
                });
                return body(wire::encode_answer(&needed), Payload::new());
            }
            other => panic!("a mserver got {other:?}"),
        }
        body(wire::encode_answer(&Ok(())), Payload::new())
    }

    fn lease(&self, now_s: u32) -> Option<StampsLeased> {
        let mut leased_to = self.leased_to.lock().unwrap();
        let from_s = now_s.max((*leased_to)?);
        *leased_to = Some(from_s + 20);
        Some(StampsLeased {
            from_s,
            until_s: from_s + 20,
        })
    }

    pub(crate) fn load(&self, id: ServerId) -> Load {
        self.loads.lock().unwrap()[&id]
    }
}

pub(crate) fn caller(role: Role, server: Option<ServerId>) -> Caller {
    let user = (role == Role::Client).then(|| UserName::from("somebody"));
    Caller {
        role,
        server,
        user,
        address: ([127, 0, 0, 1], 1).into(),
    }
}

/// The servers and their disks.
pub(crate) struct Cluster {
    pub(crate) wires: Arc<Wires>,
    pub(crate) disks: BTreeMap<ServerId, MemoryDisk>,
    spaces: usize,
}

impl Cluster {
    /// Servers 1 to `servers`, with so many spaces each.
    pub(crate) async fn start(servers: u16, spaces: usize) -> Self {
        let wires = Wires::default();
        *wires.leased_to.lock().unwrap() = Some(0);
        *wires.map.lock().unwrap() = Some(VolumeMap::default());
        let mut cluster = Self {
            wires: Arc::new(wires),
            disks: BTreeMap::new(),
            spaces,
        };
        for id in (1..=servers).map(ServerId) {
            cluster.start_server(id, MemoryDisk::new(1 << 30)).await;
        }
        cluster
    }

    pub(crate) async fn start_server(&mut self, id: ServerId, disk: MemoryDisk) {
        let wires = Arc::clone(&self.wires);
        let space = |n: usize| PathBuf::from(format!("/space-{n}"));
        let server = sdfs_dserver::start(DserverOptions {
            peers: Arc::new(Door { me: id, wires }),
            cluster: "test".to_owned(),
            grants: grants(),
            disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
            spaces: (0..self.spaces).map(space).collect(),
            segment_bytes: 1 << 20,
            reserve_bytes: 1 << 20,
        })
        .await
        .unwrap();
        self.disks.insert(id, disk);
        self.wires.servers.lock().unwrap().insert(id, server);
    }

    pub(crate) async fn stop_server(&self, id: ServerId) {
        let server = self.wires.servers.lock().unwrap().remove(&id).unwrap();
        server.stop().await;
    }

    pub(crate) fn server(&self, id: u16) -> Dserver {
        self.wires.servers.lock().unwrap()[&ServerId(id)].clone()
    }

    pub(crate) fn set_down(&self, id: u16, is_down: bool) {
        let mut down = self.wires.down.lock().unwrap();
        if is_down {
            down.insert(ServerId(id))
        } else {
            down.remove(&ServerId(id))
        };
    }

    pub(crate) fn set_silent(&self, id: u16) {
        self.wires.silent.lock().unwrap().insert(ServerId(id));
    }

    /// Flips a bit in the data of the first record of a server's first log.
    pub(crate) fn rot(&self, id: u16) {
        let (disk, log) = (&self.disks[&ServerId(id)], Path::new("/space-0/log"));
        let mut names = disk.list(log).unwrap();
        names.sort();
        disk.flip_bit(&log.join(&names[0]), (4096 + 500) * 8)
            .unwrap();
    }

    /// Sends a call as a server of that role would.
    pub(crate) async fn ask_as<C: Call>(
        &self,
        from: Role,
        to: u16,
        call: &C,
        payload: Bytes,
    ) -> Result<(C::Reply, Payload), Refusal> {
        let deadline = Deadline::after(PATIENCE);
        self.ask_until(from, to, (call, payload), deadline).await
    }

    pub(crate) async fn ask_until<C: Call>(
        &self,
        from: Role,
        to: u16,
        (call, payload): (&C, Bytes),
        deadline: Deadline,
    ) -> Result<(C::Reply, Payload), Refusal> {
        let (head, kind) = (wire::encode(call), C::KIND.to_wire());
        let server = (from != Role::Client).then_some(MSERVER);
        let sent = (&head[..], Payload::from(payload));
        let door = self.server(to);
        let (head, payload) = door
            .answer(&caller(from, server), kind, sent, deadline)
            .await;
        wire::decode_answer(&head)
            .unwrap()
            .map(|reply| (reply, payload))
    }

    pub(crate) async fn ask<C: Call>(&self, to: u16, call: &C) -> Result<C::Reply, Refusal> {
        self.ask_as(Role::Mserver, to, call, Bytes::new())
            .await
            .map(|(reply, _)| reply)
    }

    /// Pushes a volume to every server that runs.
    pub(crate) async fn push(&self, map_version: u64, volume: &Volume) -> Vec<VolumesKept> {
        let ids: Vec<ServerId> = self.wires.servers.lock().unwrap().keys().copied().collect();
        let mut kept = Vec::new();
        for id in ids {
            kept.push(self.push_to(id.0, map_version, volume).await);
        }
        kept
    }

    pub(crate) async fn push_to(&self, id: u16, map_version: u64, volume: &Volume) -> VolumesKept {
        let volumes = vec![volume.clone()];
        if let Some(map) = &mut *self.wires.map.lock().unwrap() {
            map.version = map.version.max(map_version);
            map.volumes.insert(volume.id, volume.clone());
        }
        self.ask(
            id,
            &PushVolumes {
                map_version,
                volumes,
                copies_min: 2,
            },
        )
        .await
        .unwrap()
    }

    /// Makes the volume everywhere and brings it in sync, as the root leader does.
    pub(crate) async fn found(&self) -> Volume {
        let states = [MemberState::Syncing; 3];
        let kept = self
            .push(1, &volume(1, &states, VolumeStatus::ReadOnly))
            .await;
        assert!(kept.iter().all(|kept| kept.lost.is_empty()));
        let volume = volume(2, &[MemberState::InSync; 3], VolumeStatus::Writable);
        let kept = self.push(2, &volume).await;
        assert!(kept.iter().all(|kept| kept.lost.is_empty()));
        volume
    }

    pub(crate) async fn write(
        &self,
        to: u16,
        epoch: u32,
        block: BlockDescriptor,
        bytes: &Bytes,
    ) -> Result<BlockStored, Refusal> {
        let call = write_call(epoch, block, bytes);
        let stored = self.ask_as(Role::Mserver, to, &call, bytes.clone()).await;
        stored.map(|(stored, _)| stored)
    }

    /// Sends one copy as another member does.
    pub(crate) async fn write_copy(
        &self,
        to: u16,
        epoch: u32,
        block: BlockDescriptor,
        bytes: &Bytes,
    ) -> Result<(), Refusal> {
        let call = WriteCopy {
            volume: VOLUME,
            epoch: Epoch(epoch),
            block,
            crc32c: crc32c(bytes),
            durability: Durability::Synced,
        };
        let stored = self.ask_as(Role::Dserver, to, &call, bytes.clone()).await;
        stored.map(drop)
    }

    pub(crate) async fn read(&self, from: u16, block: BlockDescriptor) -> Result<Bytes, Refusal> {
        let call = read_call(block, None);
        let (range, payload): (BlockRange, _) = self
            .ask_as(Role::Mserver, from, &call, Bytes::new())
            .await?;
        let bytes = payload.to_bytes();
        assert_eq!(range.crc32c, crc32c(&bytes));
        Ok(bytes)
    }

    /// All blocks a server lists of the volume.
    pub(crate) async fn list(&self, from: u16, epoch: u32) -> Vec<BlockDescriptor> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let call = ListVolume {
                volume: VOLUME,
                epoch: Epoch(epoch),
                after,
                limit: 10,
            };
            let page: VolumePage = self
                .ask_as(Role::Dserver, from, &call, Bytes::new())
                .await
                .unwrap()
                .0;
            all.extend(page.blocks.iter().map(|kept| kept.block));
            after = all.last().copied();
            if !page.more {
                return all;
            }
        }
    }

    pub(crate) async fn sync(&self, to: u16, volume: &Volume) {
        let sources = volume.readable().collect();
        self.ask(
            to,
            &SyncVolume {
                volume: volume.clone(),
                sources,
            },
        )
        .await
        .unwrap();
    }

    pub(crate) async fn synced(&self, epoch: u32) -> ReportSync {
        let found = || {
            let syncs = self.wires.syncs.lock().unwrap();
            syncs
                .iter()
                .find(|sync| sync.epoch == Epoch(epoch))
                .copied()
        };
        wait_for("the sync is reported", found).await
    }
}

pub(crate) fn write_call(epoch: u32, block: BlockDescriptor, bytes: &Bytes) -> WriteBlock {
    WriteBlock {
        volume: VOLUME,
        epoch: Epoch(epoch),
        block,
        crc32c: crc32c(bytes),
        durability: Durability::Synced,
        grant: None,
    }
}

pub(crate) fn read_call(block: BlockDescriptor, grant: Option<Grant>) -> ReadBlock {
    ReadBlock {
        volume: VOLUME,
        block,
        offset_bytes: 0,
        length_bytes: u32::MAX,
        grant,
    }
}

pub(crate) fn block(file: u32, index: u16) -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId(file),
            version: FileVersion(1),
        },
        block: BlockIndex(index),
        version: BlockVersion(1),
    }
}

pub(crate) fn bytes_for(seed: u32, length: usize) -> Bytes {
    Bytes::from(
        (0..length)
            .map(|i| (seed as usize * 131 + i * 7) as u8)
            .collect::<Vec<u8>>(),
    )
}

/// The volume at an epoch; server `i + 1` is in state `states[i]`.
pub(crate) fn volume(epoch: u32, states: &[MemberState], status: VolumeStatus) -> Volume {
    let member = |(i, state): (usize, &MemberState)| VolumeMember {
        server: ServerId(i as u16 + 1),
        state: *state,
    };
    let members = states.iter().enumerate().map(member).collect();
    Volume {
        id: VOLUME,
        epoch: Epoch(epoch),
        members,
        status,
    }
}

pub(crate) async fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn body(head: Bytes, payload: Payload) -> ReplyBody {
    ReplyBody {
        head,
        payload,
        is_told: false,
    }
}
