//! Starting a data-server, and its door for calls.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, MailboxError};
use bytes::Bytes;
use dashmap::DashMap;
use sdfs_log::{Disk, LogStats, once};
use sdfs_server_group::{Caller, Deadline, IncomingCall, Payload, Trace, tell_answered};
use sdfs_types::calls::blocks::{AcceptAsk, AcceptFiles, ReadBlock};
use sdfs_types::calls::maintenance::SetHealRate;
use sdfs_types::calls::status::{ScrubStatus, SpaceStatus, VolumeKept};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{BlockDescriptor, GrantKey, Refusal, Volume, VolumeId, wire};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::anonymous::AnonymousFiles;
use crate::error::StartError;
use crate::keeper::{Accept, BeginSync, End, Keeper, Push};
use crate::limits::REPORTS_WAITING_MAX;
use crate::locked::locked;
use crate::peers::Peers;
use crate::promised::{AskPromised, Promised};
use crate::reports;
use crate::shared::{Shared, SpaceSlot};
use crate::space::{Space, SpaceFault, SpaceOptions};
use crate::space_file::Owner;
use crate::sync_pace::SyncPace;
use crate::worker::{KeepFault, Worker};

/// What a data-server is started with.
pub struct DserverOptions {
    /// The cluster: the mesh, behind what of it is needed here.
    pub peers: Arc<dyn Peers>,
    /// The cluster's id: a space of another one is refused.
    pub cluster: String,
    /// What clients' grants are checked with.
    pub grants: GrantKey,
    /// The door to the disks.
    pub disk: Arc<dyn Disk>,
    /// Directories to keep blocks in, each made if it is not there.
    pub spaces: Vec<PathBuf>,
    /// Size of a full-grown segment, bytes.
    pub segment_bytes: u32,
    /// Bytes of each disk that are never filled with blocks.
    pub reserve_bytes: u64,
}

/// A running data-server. Clones are handles to the same one.
#[derive(Clone)]
pub struct Dserver {
    shared: Arc<Shared>,
    keeper: Addr<Keeper>,
}

/// Opens the spaces and starts the data-server's actor on the present arbiter.
///
/// A space that cannot be opened is reported as failed while others can; its volumes are repaired
/// from other servers.
///
/// # Errors
/// No space at all could be opened.
pub async fn start(options: DserverOptions) -> Result<Dserver, StartError> {
    let (tell, told) = oneshot::channel();
    let spaces = options.spaces.clone();
    let disk = Arc::clone(&options.disk);
    let space_options = SpaceOptions {
        segment_bytes: options.segment_bytes,
        reserve_bytes: options.reserve_bytes,
        owner: Owner {
            cluster: options.cluster,
            server: options.peers.me(),
        },
    };
    // Opening reads what was written since the last checkpoint: not on the thread of the actors.
    let opening = once(move || drop(tell.send(open_all(&disk, &spaces, &space_options))));
    let opening = options.disk.start("open-spaces".to_owned(), opening);
    opening.map_err(StartError::Thread)?;
    let spaces = told.await.map_err(|_| StartError::Panicked)??;
    let (reports, waiting) = mpsc::channel(REPORTS_WAITING_MAX);
    tokio::spawn(reports::run(Arc::clone(&options.peers), waiting));
    let shared = Arc::new(Shared {
        me: options.peers.me(),
        peers: options.peers,
        grants: options.grants,
        disk: options.disk,
        spaces,
        volumes: DashMap::new(),
        reports,
        syncs: DashMap::new(),
        pace: SyncPace::new(),
        client_calls: AtomicU32::new(0),
        stamps: Mutex::default(),
        is_leasing: AtomicBool::new(false),
        reads: Mutex::default(),
        is_asking_reads: AtomicBool::new(false),
        target: Mutex::default(),
        begun: Instant::now(),
        is_stopping: AtomicBool::new(false),
    });
    let keeper = Keeper::new(Arc::clone(&shared)).start();
    Ok(Dserver { shared, keeper })
}

fn open_all(
    disk: &Arc<dyn Disk>,
    paths: &[PathBuf],
    options: &SpaceOptions,
) -> Result<Vec<SpaceSlot>, StartError> {
    let open = |path: &PathBuf| match open_one(disk, path, options) {
        Ok(slot) => slot,
        Err(fault) => {
            tracing::error!(?path, %fault, "a space cannot be opened");
            SpaceSlot::Faulty {
                path: path.clone(),
                fault,
            }
        }
    };
    let mut slots: Vec<SpaceSlot> = paths.iter().map(open).collect();
    let is_others = |slot: &SpaceSlot| match slot {
        SpaceSlot::Faulty { fault, .. } => matches!(fault, SpaceFault::OtherOwner { .. }),
        SpaceSlot::Open { .. } => false,
    };
    // A mistake of the configuration, not of a disk: nobody should find out by losing copies.
    if let Some(at) = slots.iter().position(is_others)
        && let SpaceSlot::Faulty { fault, .. } = slots.swap_remove(at)
    {
        return Err(StartError::OtherOwner(fault));
    }
    if slots.iter().any(|slot| slot.space().is_some()) {
        return Ok(slots);
    }
    match slots.into_iter().next() {
        Some(SpaceSlot::Faulty { path, fault }) => Err(StartError::Spaces {
            path,
            source: fault,
        }),
        Some(SpaceSlot::Open { .. }) | None => Err(StartError::NoSpaces),
    }
}

fn open_one(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: &SpaceOptions,
) -> Result<SpaceSlot, SpaceFault> {
    let space = Arc::new(Space::open(Arc::clone(disk), path, options)?);
    let worker = Worker::start(Arc::clone(&space)).map_err(|source| SpaceFault::Disk {
        action: "starting",
        path: path.to_owned(),
        source,
    })?;
    Ok(SpaceSlot::Open { space, worker })
}

impl Dserver {
    /// Takes a call of a kind a data-server serves (0x0400 to 0x05ff); others are refused. Does not
    /// block.
    pub fn serve(&self, call: IncomingCall) {
        // A small block in the page cache is answered at once: a task of its own would cost more
        // than the read.
        if call.kind == CallKind::ReadBlock.to_wire()
            && let Ok(read) = wire::decode::<ReadBlock>(&call.head)
            && let Some((range, payload)) = self.shared.read_now(&call.from, &read)
        {
            call.reply.send(wire::encode_answer(&Ok(range)), payload);
            return;
        }
        let dserver = self.clone();
        tokio::spawn(call.trace.scope(async move {
            let IncomingCall {
                from,
                kind,
                head,
                payload,
                deadline,
                reply,
                ..
            } = call;
            let (head, payload) = dserver
                .answer(&from, kind, (&head, payload), deadline)
                .await;
            if !payload.is_empty() {
                reply.room().await;
            }
            reply.send(head, payload);
        }));
    }

    /// The encoded answer to a call, and the block that goes with it.
    pub async fn answer(
        &self,
        from: &Caller,
        kind: u16,
        (head, payload): (&[u8], Payload),
        deadline: Deadline,
    ) -> (Bytes, Payload) {
        if self.shared.is_stopping.load(Ordering::Acquire) {
            let why = "the server is stopping".to_owned();
            return (
                wire::encode_answer::<()>(&Err(Refusal::Busy { why })),
                Payload::new(),
            );
        }
        let shared = &self.shared;
        match CallKind::from_wire(kind) {
            Some(CallKind::WriteBlock) => match parsed(head) {
                Ok(call) => encoded(shared.write_block(from, call, payload, deadline).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::WriteCopy) => match parsed(head) {
                Ok(call) => encoded(shared.write_copy(call, payload, deadline).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::ReadBlock) => match self.read(from, head, deadline).await {
                Ok((head, payload)) => (head, payload),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::FreeBlocks) => match parsed(head) {
                Ok(call) => encoded(shared.free_blocks(call).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::FreeOldBlocks) => match parsed(head) {
                Ok(call) => encoded(shared.free_old_blocks(call).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::FreeAnonymous) => match parsed(head) {
                Ok(call) => encoded(shared.free_anonymous(call).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::ListCopies) => match parsed(head) {
                Ok(call) => encoded(shared.list_copies(call).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::DigestBlock) => match parsed(head) {
                Ok(call) => encoded(shared.digest_block(from, call, deadline).await),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::ListVolume) => match parsed(head) {
                Ok(call) => encoded(shared.list_volume(call).await),
                Err(refusal) => refused(&refusal),
            },
            _ => self.answer_control(from, kind, head).await,
        }
    }

    /// Answers what the keeper decides.
    async fn answer_control(&self, from: &Caller, kind: u16, head: &[u8]) -> (Bytes, Payload) {
        let gone = |_| Refusal::Busy {
            why: "the server is stopping".to_owned(),
        };
        match CallKind::from_wire(kind) {
            Some(CallKind::AcceptFiles) => match parsed(head) {
                Ok(call) => encoded(self.accept(from, call).await.map_err(gone)),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::PushVolumes) => match parsed(head) {
                Ok(call) => encoded(self.keeper.send(Push(call)).await.map_err(gone)),
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::SyncVolume) => match parsed(head) {
                Ok(call) => {
                    let begun = self.keeper.send(BeginSync(call)).await.map_err(gone);
                    encoded(begun.and_then(|begun| begun))
                }
                Err(refusal) => refused(&refusal),
            },
            Some(CallKind::BeginScrub) => {
                self.begin_scrub();
                encoded(Ok(()))
            }
            Some(CallKind::SetHealRate) => match parsed::<SetHealRate>(head) {
                Ok(call) => {
                    self.shared.pace.set(call.bytes_per_s);
                    encoded(Ok(()))
                }
                Err(refusal) => refused(&refusal),
            },
            _ => refused(&Refusal::NotServed),
        }
    }

    /// Accepts files of many operations at once; each has its line.
    async fn accept(
        &self,
        from: &Caller,
        call: AcceptFiles,
    ) -> Result<Vec<Result<(), Refusal>>, MailboxError> {
        let begun = Instant::now();
        let asks = call.asks.into_iter().map(|asked| (asked.trace, asked.ask));
        let (traces, asks): (Vec<Trace>, Vec<AcceptAsk>) = asks.unzip();
        let answers = self.keeper.send(Accept(asks)).await?;
        for (trace, answer) in traces.into_iter().zip(&answers) {
            if trace.is_logged() {
                let outcome = Refusal::outcome(answer);
                tell_answered(trace, ("AcceptFile", from), begun, &outcome);
            }
        }
        Ok(answers)
    }

    async fn read(
        &self,
        from: &Caller,
        head: &[u8],
        deadline: Deadline,
    ) -> Result<(Bytes, Payload), Refusal> {
        let call = parsed(head)?;
        let (range, payload) = self.shared.read_block(from, call, deadline).await?;
        Ok((wire::encode_answer(&Ok(range)), payload))
    }

    /// The anonymous files kept here, for a protocol's door.
    #[must_use]
    pub fn anonymous(&self) -> AnonymousFiles {
        AnonymousFiles::new(Arc::clone(&self.shared))
    }

    /// How the spaces are.
    #[must_use]
    pub fn spaces(&self) -> Vec<SpaceStatus> {
        let status = |slot: &SpaceSlot| match slot {
            SpaceSlot::Open { space, .. } => space.status(),
            SpaceSlot::Faulty { path, fault } => SpaceStatus {
                path: path.display().to_string(),
                failed: Some(fault.to_string()),
                blocks: 0,
                live_bytes: 0,
                segment_bytes: 0,
                free_bytes: 0,
                room_bytes: 0,
                volumes: Vec::new(),
                scrub: ScrubStatus::default(),
            },
        };
        self.shared.spaces.iter().map(status).collect()
    }

    /// What the logs of the spaces that work have taken, each with its folder.
    #[must_use]
    pub fn logs(&self) -> Vec<(PathBuf, LogStats)> {
        let working = self.shared.spaces.iter().filter_map(SpaceSlot::working);
        let log = |(space, _): (&Arc<Space>, _)| (space.path.clone(), space.log.stats());
        working.map(log).collect()
    }

    /// What is kept of each volume, as last pushed; of one that no space here has, nothing.
    #[must_use]
    pub fn kept(&self) -> Vec<VolumeKept> {
        let kept = self.shared.volumes.iter().filter_map(|here| {
            let volume = here.volume.id;
            let space = here.space.as_ref()?;
            let (blocks, bytes) = locked(&space.table).totals_of(volume);
            Some(VolumeKept {
                volume,
                epoch: here.volume.epoch,
                blocks,
                bytes,
                sync: self.shared.syncs.get(&volume).map(|sync| *sync),
            })
        });
        let mut kept: Vec<VolumeKept> = kept.collect();
        kept.sort_unstable_by_key(|kept| kept.volume);
        kept
    }

    /// Writes a checkpoint of every space that works now, so that its next start has little to
    /// replay; false where none was written: a space with damaged blocks gets none until they are
    /// repaired, one whose log has failed none any more.
    pub async fn checkpoint(&self) -> Vec<(PathBuf, Result<bool, KeepFault>)> {
        let mut made = Vec::new();
        for slot in &self.shared.spaces {
            if let SpaceSlot::Open { space, worker } = slot {
                made.push((space.path.clone(), worker.checkpoint().await));
            }
        }
        made
    }

    /// What is promised for a time.
    pub async fn promised(&self) -> Promised {
        let room = self.keeper.send(AskPromised).await;
        Promised {
            // A server that is stopping promises nothing.
            room: room.unwrap_or_default(),
            reads_end_in_ms: locked(&self.shared.reads).ends_in_ms(Instant::now()),
        }
    }

    /// Has every space read and verify all it keeps, now.
    pub fn begin_scrub(&self) {
        for (space, _) in self.shared.spaces.iter().filter_map(SpaceSlot::working) {
            locked(&space.scrub).is_hurried = true;
        }
    }

    /// The volumes kept here, as last pushed.
    #[must_use]
    pub fn volumes(&self) -> Vec<Volume> {
        let volumes = self.shared.volumes.iter().map(|here| here.volume.clone());
        let mut volumes: Vec<Volume> = volumes.collect();
        volumes.sort_by_key(|volume| volume.id);
        volumes
    }

    /// Reads and verifies every block of every space; gives the damaged ones, which are fetched
    /// anew from other members.
    ///
    /// # Errors
    /// [`StartError::Thread`] when no thread can be started for it.
    pub async fn scrub(&self) -> Result<Vec<(VolumeId, BlockDescriptor)>, StartError> {
        let shared = Arc::clone(&self.shared);
        let (tell, told) = oneshot::channel();
        let scrub = once(move || {
            let working = shared.spaces.iter().filter_map(SpaceSlot::working);
            let damaged = working.flat_map(|(space, _)| space.scrub()).collect();
            drop(tell.send(damaged));
        });
        let scrubbing = self.shared.disk.start("scrub".to_owned(), scrub);
        scrubbing.map_err(StartError::Thread)?;
        told.await.map_err(|_| StartError::Panicked)
    }

    /// Writes what is queued and a checkpoint of each space, and closes them. Later calls are
    /// refused.
    pub async fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        // The keeper is gone already when the system stops; then there is nothing to end.
        self.keeper.send(End).await.unwrap_or(());
        let shared = Arc::clone(&self.shared);
        let (tell, told) = oneshot::channel();
        let close = once(move || {
            for slot in &shared.spaces {
                if let SpaceSlot::Open { space, worker } = slot {
                    worker.end();
                    space.log.close();
                }
            }
            // Nobody waits when the server is dropped instead of stopped.
            tell.send(()).unwrap_or(());
        });
        let closing = self.shared.disk.start("close-spaces".to_owned(), close);
        if closing.is_ok() {
            told.await.unwrap_or(());
        }
    }
}

fn parsed<C: Call>(head: &[u8]) -> Result<C, Refusal> {
    wire::decode(head).map_err(|fault| Refusal::Malformed {
        why: fault.to_string(),
    })
}

fn encoded<T: serde::Serialize>(answer: Result<T, Refusal>) -> (Bytes, Payload) {
    (wire::encode_answer(&answer), Payload::new())
}

fn refused(refusal: &Refusal) -> (Bytes, Payload) {
    encoded::<()>(Err(refusal.clone()))
}
