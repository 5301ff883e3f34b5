//! One group's part of the shared log, as openraft wants it.

use crate::ids::GroupId;
use crate::limits::APPEND_BYTES_MAX;
use crate::raft_log::RaftLog;
use crate::types::{Entry, LogId, Types, Vote};
use futures::stream::{self, Stream};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

/// The log of one group. Clones are readers of the same log.
#[derive(Clone)]
pub(crate) struct GroupStorage {
    log: RaftLog,
    group: GroupId,
}

impl GroupStorage {
    pub(crate) fn new(log: RaftLog, group: GroupId) -> Self {
        Self { log, group }
    }

    /// Turns the leadership this server had when it ended back into a mere vote for itself.
    ///
    /// openraft would go on leading in the same term. But followers may have committed entries of
    /// that term which this server had not yet written when it was killed: it would give their
    /// places to other entries, and nobody could tell the two apart.
    pub(crate) async fn give_leadership_up(&self, me: u64) -> Result<(), io::Error> {
        let vote = self.log.with(self.group, |index| index.state().vote);
        let Some(led) = vote.filter(|vote| vote.committed && vote.leader_id.node_id == me) else {
            return Ok(());
        };
        let voted = Vote {
            committed: false,
            ..led
        };
        self.log
            .write_state(self.group, |state| state.vote = Some(voted))
            .await
    }
}

/// Start (included) and end (excluded).
fn limits_of(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<Types> for GroupStorage {
    /// Entries a few at a time, so that a long stretch is never in memory at once.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = limits_of(&range);
        let reader = self.clone();
        let some = stream::try_unfold((reader, start), move |(reader, start)| async move {
            if start >= end {
                return Ok::<_, io::Error>(None);
            }
            let entries = reader
                .log
                .read(reader.group, start, end, APPEND_BYTES_MAX)
                .await?;
            let Some(last) = entries.last() else {
                return Ok(None);
            };
            let next = last.log_id.index + 1;
            Ok(Some((
                stream::iter(entries.into_iter().map(Ok)),
                (reader, next),
            )))
        });
        Box::pin(futures::TryStreamExt::try_flatten(some))
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = limits_of(&range);
        self.log.read(self.group, start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.with(self.group, |index| index.state().vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.log
            .read(self.group, start, end, APPEND_BYTES_MAX)
            .await
    }
}

impl RaftLogStorage<Types> for GroupStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        Ok(self.log.with(self.group, |index| LogState {
            last_purged_log_id: index.state().purged,
            last_log_id: index.last(),
        }))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.log
            .write_state(self.group, |state| state.vote = Some(*vote))
            .await
    }

    /// Kept in memory and written with the next entries: an old one only means that a little more
    /// is applied after a restart, once the leader says so again.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log
            .with(self.group, |index| index.set_committed(committed));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // The hint may speak of entries whose record a crash took.
        Ok(self.log.with(self.group, |index| {
            index.state().committed.min(index.last())
        }))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.log
            .append(self.group, entries.into_iter(), callback)
            .await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.log
            .truncate(self.group, last.map(|log_id| log_id.index))
            .await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.log.purge(self.group, upto).await
    }
}
