//! Rewrites the live records of a segment and gives the segment back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdfs_log::{AppendRefused, LogFailure, Position, Record, SegmentId, SegmentStatus};
use sdfs_types::{BlockDescriptor, VolumeId};

use crate::block_record::{Head, decode, encode_freed};
use crate::block_table::{Identity, Known, stored_at};
use crate::compaction_plan::{Candidate, pick};
use crate::limits::{BACKGROUND_SYNC_WAIT, COMPACT_BYTES_PER_S};
use crate::locked::locked;
use crate::space::Space;

/// Why a segment could not be compacted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompactFault {
    /// The disk has no room even for the copies, or its queue is full.
    NoRoom,
    /// The log has failed or is closed.
    Failed,
    /// It is still written to.
    Active,
    /// The server is about to stop; what was copied so far is merely there twice.
    Ending,
    /// Something live in the segment cannot be read; it was put aside.
    Unreadable,
}

/// A live record on its way to its new place.
struct Moved {
    volume: VolumeId,
    block: BlockDescriptor,
    identity: Identity,
    from: Position,
}

impl Space {
    /// The segment that is to be compacted next, if any is worth it.
    pub(crate) fn compaction_due(&self, except: &BTreeSet<SegmentId>) -> Option<SegmentId> {
        let mut segments = self.log.segments();
        segments.retain(|segment| !except.contains(&segment.id));
        self.pick_of(&segments)?;
        // A record counts as live when it is durable, so a segment that is still being written
        // out looks empty: look again when all that was placed in these segments is.
        self.wait_durable().ok()?;
        self.pick_of(&segments)
    }

    fn pick_of(&self, segments: &[SegmentStatus]) -> Option<SegmentId> {
        let stats = self.log.stats();
        let is_tight = stats.free_bytes < stats.total_bytes / 10;
        let table = locked(&self.table);
        let candidate = |segment: &SegmentStatus| Candidate {
            segment: *segment,
            live_bytes: table.live_in(segment.id.0),
        };
        let candidates: Vec<Candidate> = segments.iter().map(candidate).collect();
        pick(&candidates, is_tight)
    }

    /// Copies what is live in a segment to the end of the log and gives the segment up. One that
    /// was given up before is done with. Blocks; copies no more than `COMPACT_BYTES_PER_S`.
    pub(crate) fn compact(&self, segment: SegmentId) -> Result<(), CompactFault> {
        let begun = Instant::now();
        let segments = self.log.segments();
        match segments.iter().find(|other| other.id == segment) {
            // Copies would go to the very segment that is to be given up.
            Some(status) if status.is_active => return Err(CompactFault::Active),
            Some(status) if !status.is_given_up => {}
            // Its file may be gone at any moment, and that is no damage.
            Some(_) | None => return Ok(()),
        }
        let is_oldest = segments.first().is_some_and(|first| first.id == segment);
        let mut fault = None;
        let mut copied = 0_u64;
        let scanned = self.log.scan_segment(segment, &mut |position, head, data| {
            if fault.is_some() {
                return;
            }
            if self.is_ending.load(Ordering::Acquire) {
                fault = Some(CompactFault::Ending);
                return;
            }
            let moved = match decode(head) {
                Some(Head::Block {
                    volume,
                    block,
                    crc32c,
                }) => {
                    let identity = Identity {
                        length_bytes: data.len() as u32,
                        crc32c,
                    };
                    let moved = Moved {
                        volume,
                        block,
                        identity,
                        from: position,
                    };
                    self.move_block(moved, head, data)
                }
                // The oldest segment's freed blocks lie nowhere any more.
                Some(Head::Freed { .. }) if is_oldest => Ok(0),
                Some(Head::Freed { volume, blocks }) => self.keep_freed(volume, &blocks),
                None => Ok(0),
            };
            match moved {
                Ok(bytes) => copied += bytes,
                Err(why) => fault = Some(why),
            }
            pace(begun, copied);
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.wait_durable()?;
        // What still lies there was not found by the walk: its records are damaged. The segment is
        // left as it is, for it may hold the last copy of something.
        let left = self.put_aside_all(segment);
        if scanned.is_err() || left > 0 {
            return Err(CompactFault::Unreadable);
        }
        if self.log.remove_segment(segment) {
            locked(&self.table).forget_segment(segment.0);
        }
        Ok(())
    }

    /// Appends a copy of a block that still lies at its old place. Under the table's lock, so that
    /// a block freed later is freed behind its copy in the log too.
    fn move_block(&self, moved: Moved, head: &[u8], data: &[u8]) -> Result<u64, CompactFault> {
        let Moved {
            volume,
            block,
            identity,
            from,
        } = moved;
        loop {
            let table = locked(&self.table);
            if !table.lies_at(volume, &block, from) {
                return Ok(0);
            }
            let record = Record {
                head: Bytes::copy_from_slice(head),
                data: vec![Bytes::copy_from_slice(data)],
                data_crc: Some(identity.crc32c),
                use_reserve: true,
            };
            let shared = Arc::clone(&self.table);
            let done = move |result: Result<Position, LogFailure>| {
                if let Ok(position) = result {
                    let to = stored_at(position, identity);
                    locked(&shared).move_from(from, (volume, block), to);
                }
            };
            let appended = self.log.append(record, done);
            drop(table);
            match appended {
                Ok(_) => return Ok(data.len() as u64),
                Err(AppendRefused::Full) => self.wait_durable()?,
                Err(AppendRefused::NoSpace) => return Err(CompactFault::NoRoom),
                Err(_) => return Err(CompactFault::Failed),
            }
        }
    }

    /// Repeats at the end of the log that blocks are free, as long as older records of them may be
    /// on the disk. One that was stored anew since must not be freed again.
    fn keep_freed(
        &self,
        volume: VolumeId,
        blocks: &[BlockDescriptor],
    ) -> Result<u64, CompactFault> {
        loop {
            let table = locked(&self.table);
            // One that is put aside as damaged is not free.
            let is_free = |block: &&BlockDescriptor| {
                table.known(volume, block) == Known::Absent
                    && table.identity_of_damaged(volume, **block).is_none()
            };
            let free: Vec<BlockDescriptor> = blocks.iter().filter(is_free).copied().collect();
            if free.is_empty() {
                return Ok(0);
            }
            let head = encode_freed(volume, &free);
            let bytes = head.len() as u64;
            let record = Record {
                head,
                use_reserve: true,
                ..Record::default()
            };
            let appended = self.log.append(record, |_| {});
            drop(table);
            match appended {
                Ok(_) => return Ok(bytes),
                Err(AppendRefused::Full) => self.wait_durable()?,
                Err(AppendRefused::NoSpace) => return Err(CompactFault::NoRoom),
                Err(_) => return Err(CompactFault::Failed),
            }
        }
    }

    /// Waits until everything appended is durable and in the table.
    pub(crate) fn wait_durable(&self) -> Result<(), CompactFault> {
        let is_durable = self.log.sync_blocking(BACKGROUND_SYNC_WAIT);
        is_durable.then_some(()).ok_or(CompactFault::Failed)
    }

    /// Puts all blocks aside that lie in a segment; how many those were.
    fn put_aside_all(&self, segment: SegmentId) -> usize {
        let mut table = locked(&self.table);
        if table.live_in(segment.0) == 0 {
            return 0;
        }
        let left = table.in_segment(segment.0);
        for (volume, block, at) in &left {
            tracing::error!(space = ?self.path, %volume, %block, ?at, "a block is damaged");
            table.quarantine(*volume, *block, *at);
        }
        left.len()
    }
}

/// Holds the copying down to its rate.
fn pace(begun: Instant, copied: u64) {
    let due = Duration::from_micros(copied.saturating_mul(1_000_000) / COMPACT_BYTES_PER_S);
    let early = due.saturating_sub(begun.elapsed());
    // Short pauses are saved up: sleeping takes longer than asked for.
    if early > Duration::from_millis(5) {
        std::thread::sleep(early);
    }
}
