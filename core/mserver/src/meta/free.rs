//! Blocks that are no file's any more, in the order they were given up. They are swept no sooner
//! than a grace period later, so that readers who have just fetched metadata finish; a reader
//! that comes too late finds the block gone, and fetches metadata again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use sdfs_raft::{GroupId, RaftGroups};
use sdfs_server_group::Deadline;
use sdfs_types::wire;
use sdfs_types::{BlockDescriptor, VolumeId};

use super::command::MetaCommand;
use super::view::MetaView;
use crate::limits::{DUTY_STEP_MAX, FREE_GRACE};
use crate::volumes::{FreeKey, FreeList, RootFault, ToFree};

/// Blocks of one volume that were given up together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeEntry {
    /// When, by the clock of the mserver that proposed it, milliseconds since the Unix epoch. For
    /// people: what is due is not told from it.
    pub given_up_ms: u64,
    /// The volume.
    pub volume: VolumeId,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
}

/// The to-be-freed list of one meta group, as the sweep takes it.
pub struct GroupFreeList {
    groups: RaftGroups,
    group: GroupId,
    view: Arc<MetaView>,
    marks: Mutex<Marks>,
}

impl GroupFreeList {
    /// The list of a group of this process, whose state here is `view`.
    pub fn new(groups: RaftGroups, group: GroupId, view: Arc<MetaView>) -> Self {
        Self {
            groups,
            group,
            view,
            marks: Mutex::default(),
        }
    }
}

/// How far the list had come when, the oldest first. By this server's own time: the clock of who
/// gave blocks up may have been wrong by years.
#[derive(Default)]
struct Marks(VecDeque<(Instant, u64)>);

impl Marks {
    /// The place before which everything was given up a grace period ago, when the list has come
    /// to `next` now.
    fn due(&mut self, now: Instant, next: u64) -> u64 {
        if self.0.back().is_none_or(|(_, place)| *place < next) {
            self.0.push_back((now, next));
        }
        let is_due = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= FREE_GRACE;
        while self.0.get(1).is_some_and(is_due) {
            self.0.pop_front();
        }
        let oldest = self.0.front().filter(|mark| is_due(mark));
        oldest.map_or(0, |(_, place)| *place)
    }
}

impl FreeList for GroupFreeList {
    fn is_leader(&self) -> bool {
        self.groups.is_leader(self.group)
    }

    fn list(&self, after: Option<FreeKey>, limit: usize) -> Result<Vec<ToFree>, RootFault> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let due = marks.due(Instant::now(), self.view.next_free());
        drop(marks);
        match self.view.to_free(after.map(|key| key.0), due, limit) {
            Ok(found) => Ok(found
                .into_iter()
                .map(|(sequence, entry)| ToFree {
                    key: FreeKey(sequence),
                    volume: entry.volume,
                    blocks: entry.blocks,
                })
                .collect()),
            // The next look is soon; a store that failed has stopped the group already.
            Err(fault) => {
                tracing::warn!(group = %self.group, %fault, "cannot list blocks to free");
                Ok(Vec::new())
            }
        }
    }

    fn done(&self, keys: Vec<FreeKey>) -> BoxFuture<'static, Result<(), RootFault>> {
        let (groups, group) = (self.groups.clone(), self.group);
        let sequences = keys.into_iter().map(|key| key.0).collect();
        async move {
            let command = wire::encode(&vec![MetaCommand::Freed { sequences }]);
            groups
                .propose(group, command, Deadline::after(DUTY_STEP_MAX))
                .await?;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_listed_is_due_a_grace_period_later() {
        let begin = Instant::now();
        let second = |number| begin + Duration::from_secs(number);
        let mut marks = Marks::default();
        // Of a list that had come to a place at a second, what is due.
        let table = [
            (0, 5, 0),
            (4, 5, 0),
            (6, 9, 0),
            (9, 9, 0),
            (10, 12, 5),
            (15, 12, 5),
            (16, 12, 9),
            (19, 12, 9),
            (20, 12, 12),
            (90, 13, 12),
            (100, 13, 13),
        ];
        for (at, next, due) in table {
            assert_eq!(marks.due(second(at), next), due, "at {at} s");
        }
        assert_eq!(marks.0.len(), 1);
    }
}
