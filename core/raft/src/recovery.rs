//! What a raft log says after a restart: replayed records become the groups' logs. Pure.

use crate::entry_code::{Span, spans};
use crate::errors::LogDamage;
use crate::group_log::{GroupLog, Slot};
use crate::ids::GroupId;
use crate::record::{self, HardState, Life, RecordHead};
use crate::types::LogId;
use sdfs_log::{DamagedRange, Position, SegmentId};
use sdfs_server_group::ServerId;
use std::collections::BTreeMap;

/// Gathers the records of a log in their order.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    records: Vec<(Position, RecordHead, Vec<Span>)>,
    unknown: Option<LogDamage>,
}

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Whose log it is, and the segment that says so last; `None` for an empty one.
    pub(crate) owner: Option<(ServerId, Life, SegmentId)>,
    pub(crate) groups: BTreeMap<GroupId, GroupLog>,
}

impl Recovery {
    /// Takes the next record.
    pub(crate) fn record(&mut self, position: Position, head: &[u8], data: &[u8]) {
        let parsed = RecordHead::from_bytes(head).and_then(|head| {
            let count = match &head {
                RecordHead::Entries { count, .. } | RecordHead::Copied { count, .. } => *count,
                _ => 0,
            };
            let spans = spans(data, count).ok()?;
            Some((position, head, spans))
        });
        match parsed {
            Some(record) => self.records.push(record),
            None => {
                let Position {
                    segment, offset, ..
                } = position;
                let known = record::VERSION;
                let damage = match head.first() {
                    Some(&found) if found != known => LogDamage::Version {
                        segment,
                        offset,
                        found,
                        known,
                    },
                    _ => LogDamage::Unknown { segment, offset },
                };
                self.unknown.get_or_insert(damage);
            }
        }
    }

    /// Makes the groups' logs. `damaged` is what the log's replay could not read.
    ///
    /// A crash may leave of the last group commit a later record without an earlier one. Nothing
    /// of that commit was acknowledged, but half of it could be a log that never was (entries
    /// without the truncation before them). So what lies between such a gap and the next opening
    /// of the log is left out, at this restart and at every later one.
    pub(crate) fn finish(self, damaged: &[DamagedRange]) -> Result<Recovered, LogDamage> {
        if let Some(unknown) = self.unknown {
            return Err(unknown);
        }
        if let Some(rot) = damaged.iter().find(|range| range.was_synced) {
            return Err(LogDamage::Rot {
                segment: rot.segment.0,
                offset: rot.offset,
            });
        }
        let mut gaps = damaged
            .iter()
            .map(|range| (range.segment.0, range.offset))
            .peekable();
        let mut is_torn = false;
        let mut owner = None;
        let mut groups = BTreeMap::<GroupId, Replayed>::new();
        for (position, head, spans) in self.records {
            while gaps
                .next_if(|gap| *gap < (position.segment, position.offset))
                .is_some()
            {
                is_torn = true;
            }
            match head {
                RecordHead::Opened { server, life } => {
                    is_torn = false;
                    owner = Some((server, life, position.segment_id()));
                }
                _ if is_torn => {}
                RecordHead::Owner { server, life } => {
                    owner = Some((server, life, position.segment_id()));
                }
                head => replay(&mut groups, position, head, &spans),
            }
        }
        let groups = groups
            .into_iter()
            .map(|(group, replayed)| Ok((group, replayed.into_log(group)?)))
            .collect::<Result<_, LogDamage>>()?;
        Ok(Recovered { owner, groups })
    }
}

/// A group while its records are replayed. Copies of entries may come long after their followers,
/// so there may be holes until the end.
#[derive(Debug, Default)]
struct Replayed {
    state: HardState,
    state_segment: Option<SegmentId>,
    slots: BTreeMap<u64, Slot>,
}

fn replay(
    groups: &mut BTreeMap<GroupId, Replayed>,
    position: Position,
    head: RecordHead,
    spans: &[Span],
) {
    match head {
        RecordHead::Owner { .. } | RecordHead::Opened { .. } => {}
        RecordHead::Entries {
            group,
            first,
            committed,
            ..
        } => {
            let log = groups.entry(group).or_default();
            log.slots.split_off(&first);
            log.insert(first, position, spans);
            log.state.committed = newer(log.state.committed, committed);
        }
        RecordHead::Copied { group, first, .. } => {
            groups
                .entry(group)
                .or_default()
                .insert(first, position, spans);
        }
        RecordHead::Truncated { group, after } => {
            let log = groups.entry(group).or_default();
            log.slots.split_off(&after.map_or(0, |index| index + 1));
        }
        RecordHead::State { group, state } => {
            let log = groups.entry(group).or_default();
            let committed = newer(log.state.committed, state.committed);
            log.state = HardState { committed, ..state };
            log.state_segment = Some(position.segment_id());
        }
    }
}

fn newer(one: Option<LogId>, other: Option<LogId>) -> Option<LogId> {
    one.max(other)
}

impl Replayed {
    fn insert(&mut self, first: u64, position: Position, spans: &[Span]) {
        for (index, span) in (first..).zip(spans) {
            let Span {
                leader,
                start,
                bytes,
            } = *span;
            self.slots.insert(
                index,
                Slot {
                    leader,
                    position,
                    start,
                    bytes,
                },
            );
        }
    }

    fn into_log(mut self, group: GroupId) -> Result<GroupLog, LogDamage> {
        if let Some(purged) = self.state.purged {
            self.slots = self.slots.split_off(&(purged.index + 1));
        }
        let first = self.state.purged.map_or(0, |purged| purged.index + 1);
        for (wanted, index) in (first..).zip(self.slots.keys()) {
            if wanted != *index {
                return Err(LogDamage::Hole {
                    group,
                    index: wanted,
                });
            }
        }
        let slots = self.slots.into_values().collect();
        Ok(GroupLog::recovered(
            self.state,
            self.state_segment,
            first,
            slots,
        ))
    }
}
