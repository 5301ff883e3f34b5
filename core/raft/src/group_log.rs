//! One group's log as it is known in memory: where each entry lies, and the last ones themselves.
//! Pure: no file, no wait.

use crate::limits::{
    COPY_OVERHEAD_BYTES, ENTRY_OVERHEAD_BYTES, RECENT_BYTES_MAX, RECENT_ENTRIES_MAX,
};
use crate::record::HardState;
use crate::types::{Entry, LeaderId, LogId, Payload};
use sdfs_log::{Position, SegmentId};
use std::collections::{BTreeMap, VecDeque};

/// Where one entry lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) leader: LeaderId,
    pub(crate) position: Position,
    /// First byte of the entry in the record's data.
    pub(crate) start: u32,
    pub(crate) bytes: u32,
}

/// An entry, or where to read it.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Here(Entry),
    OnDisk { index: u64, slot: Slot },
}

/// Entries were appended that do not follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {given} was appended where entry {wanted} belongs")]
pub(crate) struct Gap {
    given: u64,
    wanted: u64,
}

/// One group's log.
#[derive(Debug, Default)]
pub(crate) struct GroupLog {
    state: HardState,
    /// The segment with the newest record of `state`; it is lost with that segment.
    state_segment: Option<SegmentId>,
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    /// The last entries themselves; ends where `slots` ends.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// How many slots lie in each segment.
    live: BTreeMap<SegmentId, u32>,
}

impl GroupLog {
    /// A log as replay found it: contiguous from `first`.
    pub(crate) fn recovered(
        state: HardState,
        state_segment: Option<SegmentId>,
        first: u64,
        slots: VecDeque<Slot>,
    ) -> Self {
        let mut log = Self {
            state,
            state_segment,
            first,
            slots,
            ..Self::default()
        };
        for slot in &log.slots {
            *log.live.entry(slot.position.segment_id()).or_default() += 1;
        }
        log
    }

    pub(crate) fn state(&self) -> &HardState {
        &self.state
    }

    /// Whether nothing was ever written here.
    pub(crate) fn is_blank(&self) -> bool {
        self.slots.is_empty() && self.state.vote.is_none() && self.state.purged.is_none()
    }

    /// Takes over a state that was just written to `segment`.
    pub(crate) fn set_state(&mut self, state: HardState, segment: SegmentId) {
        self.state = state;
        self.state_segment = Some(segment);
    }

    /// Remembers the last entry known to be committed; written with the next record.
    pub(crate) fn set_committed(&mut self, committed: Option<LogId>) {
        self.state.committed = committed;
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(LogId::new(slot.leader, self.end() - 1)),
            None => self.state.purged,
        }
    }

    /// The index after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Whether entries from `first` on may follow. An empty log takes any beginning.
    pub(crate) fn check_next(&self, first: u64) -> Result<(), Gap> {
        let wanted = match (self.slots.is_empty(), self.state.purged) {
            (true, None) => return Ok(()),
            (true, Some(purged)) => purged.index + 1,
            (false, _) => self.end(),
        };
        if first == wanted {
            Ok(())
        } else {
            Err(Gap {
                given: first,
                wanted,
            })
        }
    }

    /// Adds an entry that was just written to `slot`. [`GroupLog::check_next`] was asked.
    pub(crate) fn push(&mut self, entry: Entry, slot: Slot) {
        if self.slots.is_empty() {
            self.first = entry.log_id.index;
        }
        *self.live.entry(slot.position.segment_id()).or_default() += 1;
        self.slots.push_back(slot);
        self.recent_bytes += bytes_in_memory(&entry);
        self.recent.push_back(entry);
    }

    /// Forgets the entries in memory that are too many and surely on disk, which is everything up
    /// to `durable`.
    pub(crate) fn shrink(&mut self, durable: Position) {
        while self.recent_bytes > RECENT_BYTES_MAX || self.recent.len() > RECENT_ENTRIES_MAX {
            let slot = self.slots[self.slots.len() - self.recent.len()];
            if slot.position > durable {
                break;
            }
            let Some(entry) = self.recent.pop_front() else {
                break;
            };
            self.recent_bytes -= bytes_in_memory(&entry);
        }
    }

    /// Forgets all entries after index `after`; all, for none.
    pub(crate) fn truncate_after(&mut self, after: Option<u64>) {
        let keep = after.map_or(0, |index| (index + 1).saturating_sub(self.first));
        while self.slots.len() as u64 > keep {
            let Some(slot) = self.slots.pop_back() else {
                break;
            };
            self.release(slot);
            if let Some(entry) = self.recent.pop_back() {
                self.recent_bytes -= bytes_in_memory(&entry);
            }
        }
    }

    /// Forgets all entries up to and with `upto`, which need not be in the log.
    pub(crate) fn purge(&mut self, upto: LogId) {
        if self
            .state
            .purged
            .is_some_and(|purged| purged.index >= upto.index)
        {
            return;
        }
        self.state.purged = Some(upto);
        while self.first <= upto.index {
            let Some(slot) = self.slots.pop_front() else {
                break;
            };
            self.release(slot);
            self.first += 1;
            if self.recent.len() > self.slots.len()
                && let Some(entry) = self.recent.pop_front()
            {
                self.recent_bytes -= bytes_in_memory(&entry);
            }
        }
        if self.slots.is_empty() {
            self.first = upto.index + 1;
        }
    }

    /// The entries from `start` up to `end` (excluded) as far as they are in the log, at least
    /// one if any, and not more than `bytes_max` bytes beyond it.
    pub(crate) fn find(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Found> {
        let (start, end) = (start.max(self.first), end.min(self.end()));
        let mut found = Vec::with_capacity(end.saturating_sub(start).min(4_096) as usize);
        let mut bytes = 0_usize;
        for index in start..end {
            let place = (index - self.first) as usize;
            let slot = self.slots[place];
            bytes += slot.bytes as usize;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            let recent_from = self.slots.len() - self.recent.len();
            found.push(match place.checked_sub(recent_from) {
                Some(recent) => Found::Here(self.recent[recent].clone()),
                None => Found::OnDisk { index, slot },
            });
        }
        found
    }

    /// Whether the state or an entry is in `segment`, and how many entries.
    pub(crate) fn needs(&self, segment: SegmentId) -> (bool, u32) {
        let entries = self.live.get(&segment).copied();
        (
            self.state_segment.is_some_and(|has| has <= segment),
            entries.unwrap_or(0),
        )
    }

    /// What the entries in `segment`, or all of them, would take of the log if each were written
    /// again.
    pub(crate) fn copied_bytes(&self, segment: Option<SegmentId>) -> u64 {
        let is_there = |at| segment.is_none_or(|segment| segment == at);
        let slots = self.slots.iter();
        let there = slots.filter(|slot| is_there(slot.position.segment_id()));
        there
            .map(|slot| u64::from(slot.bytes) + COPY_OVERHEAD_BYTES)
            .sum()
    }

    /// All entries that lie in `segment`.
    pub(crate) fn in_segment(&self, segment: SegmentId) -> Vec<(u64, Slot)> {
        let all = (self.first..).zip(&self.slots);
        all.filter(|(_, slot)| slot.position.segment_id() == segment)
            .map(|(index, slot)| (index, *slot))
            .collect()
    }

    /// Whether the entry still lies where it lay.
    pub(crate) fn is_at(&self, index: u64, slot: &Slot) -> bool {
        let place = index
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.slots.get(place)) == Some(slot)
    }

    /// The entry was written again and now lies at `slot`.
    pub(crate) fn move_to(&mut self, index: u64, slot: Slot) {
        let former = std::mem::replace(&mut self.slots[(index - self.first) as usize], slot);
        *self.live.entry(slot.position.segment_id()).or_default() += 1;
        self.release(former);
    }

    fn release(&mut self, slot: Slot) {
        let segment = slot.position.segment_id();
        if let Some(count) = self.live.get_mut(&segment) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&segment);
            }
        }
    }
}

fn bytes_in_memory(entry: &Entry) -> usize {
    let body = match &entry.payload {
        Payload::Normal(command) => command.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    };
    body + ENTRY_OVERHEAD_BYTES
}
