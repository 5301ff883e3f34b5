//! Gives up segments of the shared log: what is still needed of the oldest one is written again.

use crate::entry_code::put_entry;
use crate::group_log::{Found, Slot};
use crate::ids::GroupId;
use crate::limits::{COPY_CHUNK_ENTRIES, COPY_ENTRIES_MAX, SEGMENTS_MAX, SEGMENTS_PINNED_MAX};
use crate::raft_log::{FetchFault, RaftLog};
use crate::record::RecordHead;
use crate::types::Entry;
use bytes::BytesMut;
use sdfs_log::{AppendRefused, ReadError, SegmentId, SegmentStatus};
use std::io;

impl RaftLog {
    /// Gives up the oldest segments as far as nothing in them is needed, or so little that it is
    /// cheaper to write it again. Called after purges and from time to time.
    pub(crate) async fn release_segments(&self) -> io::Result<()> {
        loop {
            let segments = self.segments();
            let Some(oldest) = segments.first().filter(|segment| !segment.is_active) else {
                return Ok(());
            };
            let needs = self.needs(oldest.id);
            let entries: u32 = needs.iter().map(|(_, entries)| entries).sum();
            if !needs.is_empty() {
                let is_little = segments.len() > SEGMENTS_MAX
                    && entries <= COPY_ENTRIES_MAX
                    && 4 * self.live_bytes(Some(oldest.id)) <= u64::from(oldest.record_bytes);
                if !is_little && !self.is_pinned(&segments) {
                    return Ok(());
                }
                for (group, _) in needs {
                    self.copy_forward(group, oldest.id).await?;
                }
            }
            self.copy_owner(oldest.id).await?;
            // The records by which nothing here is needed any more must outlive it.
            self.sync().await?;
            if !self.needs(oldest.id).is_empty() {
                return Ok(());
            }
            // Gone only once its removal is durable. One at a time: of a log without its first
            // part the rest can be read, of one with a part missing between it cannot.
            if !self.remove_segment(oldest.id) || self.has_segment(oldest.id) {
                return Ok(());
            }
        }
    }

    /// Whether most of a log that has grown long is needed by nobody: a group that is idle purges
    /// nothing, and what it needs of the oldest segment keeps all others.
    fn is_pinned(&self, segments: &[SegmentStatus]) -> bool {
        if segments.len() <= SEGMENTS_PINNED_MAX {
            return false;
        }
        let log_bytes: u64 = segments.iter().map(|one| u64::from(one.record_bytes)).sum();
        2 * self.live_bytes(None) <= log_bytes
    }

    /// What is needed of a segment, or of all, if it were written again.
    fn live_bytes(&self, segment: Option<SegmentId>) -> u64 {
        let groups = self.groups();
        groups
            .map(|group| self.with(group, |index| index.copied_bytes(segment)))
            .sum()
    }

    fn has_segment(&self, segment: SegmentId) -> bool {
        self.segments().iter().any(|status| status.id == segment)
    }

    fn needs(&self, segment: SegmentId) -> Vec<(GroupId, u32)> {
        let groups = self.groups();
        let needs = groups.map(|group| (group, self.with(group, |index| index.needs(segment))));
        needs
            .filter(|(_, (needs_state, entries))| *needs_state || *entries > 0)
            .map(|(group, (_, entries))| (group, entries))
            .collect()
    }

    /// Writes the group's state and its entries in `segment` again, at the end of the log.
    async fn copy_forward(&self, group: GroupId, segment: SegmentId) -> io::Result<()> {
        self.write_state(group, |_| {}).await?;
        let slots = self.with(group, |index| index.in_segment(segment));
        for some in slots.chunks(COPY_CHUNK_ENTRIES) {
            let found = some.iter().map(|(index, slot)| Found::OnDisk {
                index: *index,
                slot: *slot,
            });
            let entries = match self.fetch(found.collect()).await {
                Ok(entries) => entries,
                // Purged meanwhile together with its segment.
                Err(FetchFault::Read(ReadError::NoSegment(_))) => return Ok(()),
                Err(fault) => return Err(io::Error::other(fault)),
            };
            for (entry, (_, slot)) in entries.iter().zip(some) {
                self.copy_entry(group, entry, slot).await?;
            }
        }
        Ok(())
    }

    async fn copy_entry(&self, group: GroupId, entry: &Entry, slot: &Slot) -> io::Result<()> {
        let mut data = BytesMut::with_capacity(slot.bytes as usize);
        let bytes = put_entry(&mut data, entry) as u32;
        let data = data.freeze();
        let first = entry.log_id.index;
        loop {
            let refused = {
                let mut index = self.lock(group);
                if !index.is_at(first, slot) {
                    return Ok(());
                }
                let head = RecordHead::Copied {
                    group,
                    first,
                    count: 1,
                };
                match self.queue(&head, data.clone()) {
                    Ok((position, _)) => {
                        index.move_to(
                            first,
                            Slot {
                                position,
                                start: 0,
                                bytes,
                                ..*slot
                            },
                        );
                        return Ok(());
                    }
                    Err(refused) => refused,
                }
            };
            match refused {
                AppendRefused::Full => self.sync().await?,
                other => return Err(io::Error::other(other)),
            }
        }
    }
}
