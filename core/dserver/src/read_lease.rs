//! The leave of a mserver to read anonymous files for a while, and the volumes as they were when it
//! was given: who asks whom, and what counts. Asked for when somebody reads.
//!
//! A block of a named file may be read anywhere, as its record says that it is to be there. An
//! anonymous one has no record: that it was deleted is known to the members of its volume alone,
//! and a member that is cut off is one no more without knowing. So it reads only for a time, and a
//! delete without it waits that long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::anonymous::LeaseReads;
use sdfs_types::limits::READ_LEASE_MS;
use sdfs_types::{MemberState, Refusal, Volume, VolumeId, VolumeMap};
use tokio::time::Instant;

use crate::limits::{LEASE_PAUSE, READ_LEASE_WAIT, REPORT_WAIT};
use crate::locked::locked;
use crate::peers::ask;
use crate::shared::{Shared, VolumeHere};

/// How long one lease lasts.
pub(crate) const READ_LEASE: Duration = Duration::from_millis(READ_LEASE_MS);

/// The present lease.
#[derive(Debug, Default)]
pub(crate) struct ReadLease {
    /// The volumes when it was given.
    map: Arc<VolumeMap>,
    /// When it ends; nothing before the first.
    until: Option<Instant>,
}

impl ReadLease {
    fn is_good(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Milliseconds until it ends; nothing when there is none.
    pub(crate) fn ends_in_ms(&self, now: Instant) -> Option<u64> {
        let left = self.until?.checked_duration_since(now)?;
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether it is time for another one.
    fn is_short(&self, now: Instant) -> bool {
        self.until
            .is_none_or(|until| now + READ_LEASE * 3 / 4 >= until)
    }

    /// Notes a lease that was asked for at `asked`.
    fn renew(&mut self, asked: Instant, map: Option<VolumeMap>) {
        // An older answer may come later.
        if self.until.is_some_and(|until| until > asked + READ_LEASE) {
            return;
        }
        if let Some(map) = map {
            self.map = Arc::new(map);
        }
        self.until = Some(asked + READ_LEASE);
    }
}

/// From when on no member that the epoch learnt now lacks may read anonymous files any more: it can
/// have asked for its last lease just before it was taken out. A server that was just started, or
/// that has missed an epoch, does not know who was.
pub(crate) fn settled(before: Option<&VolumeHere>, volume: &Volume) -> Instant {
    let later = Instant::now() + READ_LEASE;
    let Some(before) = before else { return later };
    let is_in_sync = |member| volume.state_of(member) == Some(MemberState::InSync);
    let has_missed = volume.epoch.0 > before.volume.epoch.0 + 1;
    if !has_missed && before.volume.readable().all(is_in_sync) {
        before.settled
    } else {
        later
    }
}

impl Shared {
    /// Whether anonymous files may be read here now.
    pub(crate) fn may_read_now(self: &Arc<Self>) -> bool {
        let now = Instant::now();
        let (is_good, is_short) = {
            let lease = locked(&self.reads);
            (lease.is_good(now), lease.is_short(now))
        };
        // One asks at a time.
        if is_short && !self.is_asking_reads.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(self);
            tokio::spawn(async move { shared.lease_reads().await });
        }
        is_good
    }

    /// Waits until anonymous files may be read here.
    pub(crate) async fn may_read(self: &Arc<Self>, deadline: Deadline) -> Result<(), Refusal> {
        let deadline = deadline.earlier(Deadline::after(READ_LEASE_WAIT));
        while !self.may_read_now() {
            if deadline.remaining() <= LEASE_PAUSE {
                let why = "no mserver leases reads: this server may be cut off".to_owned();
                return Err(Refusal::Busy { why });
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
        Ok(())
    }

    /// The next read asks a mserver first: what is known of the volumes is too old.
    pub(crate) fn end_read_lease(&self) {
        locked(&self.reads).until = None;
    }

    async fn lease_reads(&self) {
        for mserver in self.peers.mservers() {
            let known_version = locked(&self.reads).map.version;
            let asked_at = Instant::now();
            let asked = (&LeaseReads { known_version }, Payload::default());
            let deadline = Deadline::after(REPORT_WAIT);
            match ask(&*self.peers, mserver, asked, deadline).await {
                Ok((map, _)) => {
                    locked(&self.reads).renew(asked_at, map);
                    break;
                }
                Err(fault) => tracing::debug!(%mserver, ?fault, "no reads leased"),
            }
        }
        self.is_asking_reads.store(false, Ordering::Release);
    }

    /// A volume as it was last heard of, from a push or with a lease.
    pub(crate) fn newest(&self, id: VolumeId) -> Option<Volume> {
        let here = self.volume(id).ok().map(|here| here.volume.clone());
        let leased = locked(&self.reads).map.volumes.get(&id).cloned();
        here.into_iter()
            .chain(leased)
            .max_by_key(|volume| volume.epoch)
    }

    /// A volume of which this server has every block, as far as was heard.
    pub(crate) fn in_sync_here(&self, id: VolumeId) -> Option<Arc<VolumeHere>> {
        let is_in_sync = |volume: &Volume| volume.state_of(self.me) == Some(MemberState::InSync);
        let here = self
            .volume(id)
            .ok()
            .filter(|here| is_in_sync(&here.volume))?;
        let leased = locked(&self.reads).map.volumes.get(&id).cloned();
        let is_newest =
            leased.is_none_or(|leased| leased.epoch <= here.volume.epoch || is_in_sync(&leased));
        is_newest.then_some(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::ServerId;
    use sdfs_types::{Epoch, VolumeMember, VolumeStatus};

    fn map(version: u64) -> VolumeMap {
        VolumeMap {
            version,
            ..VolumeMap::default()
        }
    }

    #[tokio::test]
    async fn who_missed_an_epoch_waits_for_leases_to_end() {
        let volume = |epoch, members: &[u16]| Volume {
            id: VolumeId(1),
            epoch: Epoch(epoch),
            members: members
                .iter()
                .map(|server| VolumeMember {
                    server: ServerId(*server),
                    state: MemberState::InSync,
                })
                .collect(),
            status: VolumeStatus::Writable,
        };
        let now = Instant::now();
        let before = VolumeHere {
            volume: volume(5, &[1, 2]),
            copies_min: 1,
            space: None,
            settled: now,
        };
        let table = [
            (volume(5, &[1, 2]), true),
            (volume(6, &[1, 2, 3]), true),
            (volume(6, &[1]), false),
            // A third may have been in sync in epoch 6.
            (volume(7, &[1, 2]), false),
        ];
        for (next, is_settled) in table {
            let at = settled(Some(&before), &next);
            assert_eq!(at <= now, is_settled, "{next:?}");
        }
        assert!(settled(None, &volume(1, &[1])) > now);
    }

    #[tokio::test]
    async fn a_lease_counts_from_the_question() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut lease = ReadLease::default();
        assert!(!lease.is_good(start) && lease.is_short(start));
        lease.renew(start, Some(map(1)));
        assert!(lease.is_good(start + READ_LEASE - second));
        assert!(!lease.is_good(start + READ_LEASE));
        assert!(!lease.is_short(start) && lease.is_short(start + second));
        lease.renew(start + second, None);
        assert!(lease.is_good(start + READ_LEASE) && lease.map.version == 1);
        // The answer to a question of before.
        lease.renew(start, Some(map(0)));
        assert!(lease.is_good(start + READ_LEASE) && lease.map.version == 1);
    }
}
