//! Anonymous files: single blocks that are written straight into a volume, without a name and
//! without asking a mserver. What a protocol's door is given of the data-server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sdfs_log::crc32c;
use sdfs_server_group::{Deadline, Payload, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::anonymous::{FreeAnonymous, LeaseStamps};
use sdfs_types::calls::blocks::{Durability, WriteCopy};
use sdfs_types::calls::negotiation::Trouble;
use sdfs_types::{
    BlockDescriptor, Epoch, MemberState, Refusal, Stamp, Volume, VolumeId, VolumeStatus, clock,
};
use tokio::time::Instant;

use crate::limits::{
    ANONYMOUS_FULL_WAIT, ANONYMOUS_PAUSE, COPY_WAIT_MAX, FORGOTTEN_WITHIN, REPORT_WAIT,
    STAMPS_PAUSE, STAMPS_WAIT,
};
use crate::locked::locked;
use crate::peers::{AskFault, ask};
use crate::shared::{Shared, VolumeHere};
use crate::write_state::check_member;

/// Where an anonymous file is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnonymousFile {
    /// Its volume.
    pub volume: VolumeId,
    /// Its name.
    pub stamp: Stamp,
}

/// Anonymous files at this server. Clones are handles to the same ones.
#[derive(Clone)]
pub struct AnonymousFiles {
    pub(crate) shared: Arc<Shared>,
    among: Option<Among>,
}

/// Whether a server is one of those that may keep a file.
pub type Among = Arc<dyn Fn(ServerId) -> bool + Send + Sync>;

/// Volumes that are written to now: one a second, so that a second's files lie together and
/// files are spread over the volumes all the same.
#[derive(Debug, Default)]
pub(crate) struct Target {
    second: u32,
    /// With the epoch in which it was chosen.
    volume: Option<(VolumeId, Epoch)>,
}

impl AnonymousFiles {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let among = None;
        Self { shared, among }
    }

    /// The same files; from this handle new ones go only to volumes whose members are all `among`
    /// these.
    #[must_use]
    pub fn among(self, among: Among) -> Self {
        let among = Some(among);
        Self { among, ..self }
    }

    /// A stamp nobody had before.
    ///
    /// # Errors
    /// When there are none and no mserver leases any in time.
    pub async fn stamp(&self, deadline: Deadline) -> Result<Stamp, Refusal> {
        let begun = Instant::now();
        loop {
            let now_s = now_s();
            let (stamp, is_short) = {
                let mut stamps = locked(&self.shared.stamps);
                // When no mserver answers, what is left of old leases tells an old time.
                let is_good = !stamps.is_over(now_s) || begun.elapsed() > STAMPS_WAIT;
                let stamp = is_good.then(|| stamps.take(self.shared.me, now_s));
                (stamp.flatten(), stamps.is_short(now_s))
            };
            // One asks at a time.
            if is_short && !self.shared.is_leasing.swap(true, Ordering::AcqRel) {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { shared.lease_stamps().await });
            }
            if let Some(stamp) = stamp {
                return Ok(stamp);
            }
            if deadline.remaining() <= STAMPS_PAUSE {
                let why = "no mserver leases stamps".to_owned();
                return Err(Refusal::Busy { why });
            }
            tokio::time::sleep(STAMPS_PAUSE).await;
        }
    }

    /// Stores a file of at most one block on every member of a volume that must have it, durably.
    /// One that is refused leaves nothing behind once its members can be reached.
    ///
    /// # Errors
    /// When no volume takes it in time.
    pub async fn put(&self, content: Bytes, deadline: Deadline) -> Result<AnonymousFile, Refusal> {
        self.shared.note_client();
        let crc32c = crc32c(&content);
        let mut refused = BTreeSet::new();
        let begun = Instant::now();
        loop {
            let stamp = self.stamp(deadline).await?;
            let within = self.among.as_ref();
            let here = self.shared.anonymous_target(stamp.second, &refused, within);
            let Some(here) = here else {
                if begun.elapsed() > ANONYMOUS_FULL_WAIT && self.shared.is_full(within) {
                    let server = self.shared.me;
                    let free_bytes = 0;
                    return Err(Refusal::NoSpace { server, free_bytes });
                }
                refused.clear();
                self.pause(deadline, "no volume takes files here").await?;
                continue;
            };
            let file = AnonymousFile {
                volume: here.volume.id,
                stamp,
            };
            let copy = WriteCopy {
                volume: file.volume,
                epoch: here.volume.epoch,
                block: stamp.block(),
                crc32c,
                durability: Durability::Synced,
            };
            let payload = Payload::from(content.clone());
            let refusal = match self.shared.write_all(&here, copy, payload, deadline).await {
                Ok(_) => return Ok(file),
                Err(refusal) => refusal,
            };
            tracing::debug!(?file, %refusal, "an anonymous file goes elsewhere");
            self.forget_later(file);
            if matches!(
                refusal,
                Refusal::OutOfRange { .. } | Refusal::Unknown { .. }
            ) {
                return Err(refusal);
            }
            refused.insert(file.volume);
        }
    }

    async fn pause(&self, deadline: Deadline, why: &str) -> Result<(), Refusal> {
        if deadline.remaining() <= ANONYMOUS_PAUSE {
            let why = why.to_owned();
            return Err(Refusal::NoVolume { why });
        }
        tokio::time::sleep(ANONYMOUS_PAUSE).await;
        Ok(())
    }

    /// Frees what a failed write may have left on some members; its name was told to nobody.
    fn forget_later(&self, file: AnonymousFile) {
        let files = self.clone();
        tokio::spawn(async move {
            // A copy that waits for its disk is stored late, or never once its time is over.
            for pause in [Duration::ZERO, COPY_WAIT_MAX] {
                tokio::time::sleep(pause).await;
                if let Err(refusal) = files.free(file, Deadline::after(FORGOTTEN_WITHIN)).await {
                    tracing::warn!(?file, %refusal, "a failed upload may have left a block");
                }
            }
        });
    }

    /// Marks a file that is there: more is kept for it elsewhere, to be taken away with it. A
    /// server that is no member of the volume tells those that are.
    ///
    /// # Errors
    /// When not every member could note it in time.
    pub async fn mark(&self, file: AnonymousFile, deadline: Deadline) -> Result<(), Refusal> {
        loop {
            match self.mark_once(file, deadline).await {
                Ok(()) => return Ok(()),
                Err(refusal) if deadline.remaining() <= ANONYMOUS_PAUSE => return Err(refusal),
                Err(refusal) => tracing::debug!(?file, %refusal, "a mark is tried again"),
            }
            tokio::time::sleep(ANONYMOUS_PAUSE).await;
        }
    }

    async fn mark_once(&self, file: AnonymousFile, deadline: Deadline) -> Result<(), Refusal> {
        let mark = |volume: &Volume| WriteCopy {
            volume: file.volume,
            epoch: volume.epoch,
            block: file.stamp.mark(),
            crc32c: crc32c(b""),
            durability: Durability::Synced,
        };
        let here = self.shared.volume(file.volume).ok();
        let is_among = |volume: &Volume| volume.acknowledging().any(|one| one == self.shared.me);
        if let Some(here) = here.filter(|here| is_among(&here.volume)) {
            let copy = mark(&here.volume);
            let marked = self.shared.write_all(&here, copy, Payload::new(), deadline);
            return marked.await.map(drop);
        }
        self.shared.may_read(deadline).await?;
        let volume = self.shared.newest(file.volume);
        let volume = volume.ok_or(Refusal::NoSuchVolume {
            volume: file.volume,
        })?;
        if is_among(&volume) {
            let why = "this server is about to hear that it is a member".to_owned();
            return Err(Refusal::Busy { why });
        }
        let copy = mark(&volume);
        let told = volume
            .acknowledging()
            .map(|member| self.tell(member, (copy.volume, copy.epoch), &copy, deadline));
        let told = futures::future::try_join_all(told).await;
        if matches!(told, Err(Refusal::StaleEpoch { .. })) {
            self.shared.end_read_lease();
        }
        told.map(drop)
    }

    /// Frees a file on every member, durably; whether there was one. A server that is no member of
    /// the volume has them do it.
    ///
    /// # Errors
    /// When it could not be done in time: the file may be there or not.
    pub async fn free(&self, file: AnonymousFile, deadline: Deadline) -> Result<bool, Refusal> {
        let mut was_there = false;
        loop {
            let here = self.shared.volume(file.volume).ok();
            let is_member = here.is_some_and(|here| here.my_state(self.shared.me).is_some());
            if !is_member {
                self.shared.may_read(deadline).await?;
            }
            let volume = self.shared.newest(file.volume);
            let volume = volume.ok_or(Refusal::NoSuchVolume {
                volume: file.volume,
            })?;
            match self.free_once(&volume, file, deadline).await {
                Ok(freed) => return Ok(was_there || freed),
                Err((freed, refusal)) => {
                    was_there |= freed;
                    if deadline.remaining() <= ANONYMOUS_PAUSE {
                        return Err(refusal);
                    }
                    if matches!(refusal, Refusal::StaleEpoch { .. }) {
                        self.shared.end_read_lease();
                    }
                }
            }
            tokio::time::sleep(ANONYMOUS_PAUSE).await;
        }
    }

    /// Members in sync first: what one that syncs copies from them afterwards is not there any
    /// more, and what it copied before it forgets when it is told.
    async fn free_once(
        &self,
        volume: &Volume,
        file: AnonymousFile,
        deadline: Deadline,
    ) -> Result<bool, (bool, Refusal)> {
        let syncing = volume.members.iter();
        let syncing = syncing.filter(|member| member.state == MemberState::Syncing);
        let phases: [Vec<ServerId>; 2] = [
            volume.readable().collect(),
            syncing.map(|member| member.server).collect(),
        ];
        let call = FreeAnonymous {
            volume: file.volume,
            epoch: volume.epoch,
            blocks: vec![file.stamp.block(), file.stamp.mark()],
        };
        let mut was_there = false;
        for members in phases {
            let told = members
                .iter()
                .map(|member| self.free_at(*member, &call, deadline));
            let mut failed = None;
            for freed in futures::future::join_all(told).await {
                match freed {
                    Ok(count) => was_there |= count > 0,
                    Err(refusal) => failed = Some(refusal),
                }
            }
            if let Some(refusal) = failed {
                return Err((was_there, refusal));
            }
        }
        Ok(was_there)
    }

    async fn free_at(
        &self,
        member: ServerId,
        call: &FreeAnonymous,
        deadline: Deadline,
    ) -> Result<u32, Refusal> {
        if member == self.shared.me {
            return self.shared.free_anonymous(call.clone()).await;
        }
        self.tell(member, (call.volume, call.epoch), call, deadline)
            .await
    }

    /// Asks another member, and reports it when it does not answer.
    async fn tell<C: Call>(
        &self,
        member: ServerId,
        (volume, epoch): (VolumeId, Epoch),
        call: &C,
        deadline: Deadline,
    ) -> Result<C::Reply, Refusal> {
        let asked = (call, Payload::default());
        let soon = deadline.earlier(Deadline::after(COPY_WAIT_MAX));
        match ask(&*self.shared.peers, member, asked, soon).await {
            Ok((reply, _)) => Ok(reply),
            Err(AskFault::Refused(refusal)) => Err(refusal),
            Err(fault) => {
                let silent = (member, Trouble::Silent);
                self.shared.report(volume, epoch, silent);
                Err(Refusal::CopyFailed {
                    server: member,
                    why: format!("{fault:?}"),
                })
            }
        }
    }
}

impl Shared {
    /// Serves [`FreeAnonymous`]: how many of the blocks were here.
    pub(crate) async fn free_anonymous(&self, call: FreeAnonymous) -> Result<u32, Refusal> {
        if call.blocks.iter().any(|block| !block.file.is_anonymous()) {
            let why = "a named file's block is no anonymous one".to_owned();
            return Err(Refusal::Malformed { why });
        }
        let here = self.volume(call.volume)?;
        check_member(&here.volume, call.epoch, self.me)?;
        let no_volume = Refusal::NoSuchVolume {
            volume: call.volume,
        };
        let space = here.space.as_ref().ok_or(no_volume)?;
        self.refuse_copies(space, call.volume, &call.blocks);
        let count = {
            let table = locked(&space.table);
            let is_here = |block: &&BlockDescriptor| {
                let damaged = table.identity_of_damaged(call.volume, **block);
                table.is_known(call.volume, block) || damaged.is_some()
            };
            call.blocks.iter().filter(is_here).count()
        };
        let freed = space.free(call.volume, &call.blocks).await;
        freed.map_err(|fault| self.refusal_of(fault, space.log.stats().free_bytes))?;
        // Members that were taken out of the volume may show it for the rest of their lease.
        tokio::time::sleep_until(here.settled).await;
        // A member that syncs from here in a later epoch may have listed the blocks before.
        check_member(&self.volume(call.volume)?.volume, call.epoch, self.me)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The volume the files of a second go to, other than those, with members `within` these.
    fn anonymous_target(
        &self,
        second: u32,
        refused: &BTreeSet<VolumeId>,
        within: Option<&Among>,
    ) -> Option<Arc<VolumeHere>> {
        let takes = |here: &VolumeHere| {
            here.volume.is_writable()
                && here.my_state(self.me) == Some(MemberState::InSync)
                && here.space.as_ref().is_some_and(|space| space.is_open())
                && !refused.contains(&here.volume.id)
        };
        let is_within = |here: &VolumeHere| is_within(here, within);
        let mut target = locked(&self.target);
        if target.second == second
            && let Some((kept, epoch)) = target.volume
            && let Ok(here) = self.volume(kept)
            && takes(&here)
            && (here.volume.epoch == epoch || is_within(&here))
        {
            return Some(here);
        }
        let all = self.volumes.iter().map(|here| Arc::clone(&here));
        let mut all: Vec<_> = all.filter(|here| takes(here) && is_within(here)).collect();
        all.sort_unstable_by_key(|here| here.volume.id);
        let count = u32::try_from(all.len()).ok().filter(|count| *count > 0)?;
        let chosen = all.swap_remove((second % count) as usize);
        *target = Target {
            second,
            volume: Some((chosen.volume.id, chosen.volume.epoch)),
        };
        Some(chosen)
    }

    /// Whether there are volumes for anonymous files, and every one of them is full.
    fn is_full(&self, within: Option<&Among>) -> bool {
        let all = self.volumes.iter();
        let status = all
            .filter(|here| here.my_state(self.me) == Some(MemberState::InSync))
            .filter(|here| is_within(here, within))
            .map(|here| here.volume.status);
        let status: Vec<_> = status.collect();
        !status.is_empty() && status.iter().all(|one| *one == VolumeStatus::Full)
    }

    /// Asks the mservers for stamps, one after the other.
    async fn lease_stamps(&self) {
        for mserver in self.peers.mservers() {
            let asked = (&LeaseStamps { now_s: now_s() }, Payload::default());
            let deadline = Deadline::after(REPORT_WAIT);
            match ask(&*self.peers, mserver, asked, deadline).await {
                Ok((lease, _)) => {
                    locked(&self.stamps).add(lease);
                    break;
                }
                Err(fault) => tracing::debug!(%mserver, ?fault, "no stamps leased"),
            }
        }
        self.is_leasing.store(false, Ordering::Release);
    }
}

/// Whether all members of a volume are among those that may keep a file.
fn is_within(here: &VolumeHere, within: Option<&Among>) -> bool {
    let mut members = here.volume.members.iter();
    within.is_none_or(|is_among| members.all(|member| is_among(member.server)))
}

fn now_s() -> u32 {
    u32::try_from(Duration::from_millis(clock::now_ms()).as_secs()).unwrap_or(u32::MAX)
}
