//! The heads of the raft log's records: what replay needs to know of each. Pure.
//!
//! The first byte is the format's version; the rest is postcard. Variants are only ever added at
//! the end and never changed.

use crate::ids::GroupId;
use crate::types::{LogId, Vote};
use bytes::Bytes;
use sdfs_server_group::ServerId;
use serde::{Deserialize, Serialize};

/// Version of the form of records.
pub(crate) const VERSION: u8 = 2;

/// Every index is below: as many entries as no disk holds.
const INDEX_END: u64 = 1 << 62;

/// One life of a server's log: made at random when the log is, so that a log that was lost and
/// made anew is not taken for the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life(pub(crate) [u8; 16]);

/// What a record says. Entries follow in its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordHead {
    /// Whose log this is.
    Owner { server: ServerId, life: Life },
    /// Entries at the end of a group's log. `committed` rides along: a hint, maybe old.
    Entries {
        group: GroupId,
        first: u64,
        count: u32,
        committed: Option<LogId>,
    },
    /// Entries written again so that the segment of their first copy can be given up.
    Copied {
        group: GroupId,
        first: u64,
        count: u32,
    },
    /// Entries after this index (all, for none) are no longer part of the group's log.
    Truncated { group: GroupId, after: Option<u64> },
    /// The group's vote, the last entry no longer in its log, and the last one known committed:
    /// each time all of them, so that the newest such record is enough.
    State { group: GroupId, state: HardState },
    /// The log was opened here, which is after whatever a crash left torn. Whose it is, too.
    Opened { server: ServerId, life: Life },
}

/// What a group remembers beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HardState {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) committed: Option<LogId>,
}

impl RecordHead {
    pub(crate) fn to_bytes(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![VERSION]);
        Bytes::from(bytes.expect("numbers always encode"))
    }

    /// `None` for bytes this program does not understand.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        match postcard::take_from_bytes(rest) {
            Ok((head, [])) => Some(head).filter(Self::is_countable),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether its indexes can be counted on from. No log comes to the end of the numbers.
    fn is_countable(&self) -> bool {
        let is_index = |at: &LogId| at.index < INDEX_END;
        let is_run = |first: u64, count: u32| first.saturating_add(count.into()) < INDEX_END;
        match self {
            Self::Entries {
                first,
                count,
                committed,
                ..
            } => is_run(*first, *count) && committed.iter().all(is_index),
            Self::Copied { first, count, .. } => is_run(*first, *count),
            Self::Truncated { after, .. } => after.is_none_or(|last| last < INDEX_END),
            Self::State { state, .. } => {
                let named = [&state.purged, &state.committed];
                named.into_iter().flatten().all(is_index)
            }
            Self::Owner { .. } | Self::Opened { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;
    use openraft::vote::{RaftLeaderId, RaftVote};

    fn golden(head: &RecordHead, bytes: &[u8]) {
        assert_eq!(head.to_bytes(), bytes);
        assert_eq!(RecordHead::from_bytes(bytes).as_ref(), Some(head));
    }

    #[test]
    fn heads_keep_their_bytes() {
        let log_id = LogId::new(LeaderId::new(300, 2), 7);
        golden(
            &RecordHead::Owner {
                server: ServerId(1),
                life: Life([9; 16]),
            },
            &[2, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        );
        golden(
            &RecordHead::Entries {
                group: GroupId(3),
                first: 8,
                count: 2,
                committed: Some(log_id),
            },
            &[2, 1, 3, 8, 2, 1, 172, 2, 2, 7],
        );
        golden(
            &RecordHead::Opened {
                server: ServerId(1),
                life: Life([9; 16]),
            },
            &[2, 5, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        );
        golden(
            &RecordHead::Copied {
                group: GroupId(3),
                first: 8,
                count: 2,
            },
            &[2, 2, 3, 8, 2],
        );
        golden(
            &RecordHead::Truncated {
                group: GroupId(3),
                after: Some(5),
            },
            &[2, 3, 3, 1, 5],
        );
        let vote = Vote::from_leader_id(LeaderId::new(4, 2), true);
        let state = HardState {
            vote: Some(vote),
            purged: Some(log_id),
            committed: None,
        };
        golden(
            &RecordHead::State {
                group: GroupId(0),
                state,
            },
            &[2, 4, 0, 1, 4, 2, 1, 1, 172, 2, 2, 7, 0],
        );
    }

    #[test]
    fn other_versions_are_not_guessed_at() {
        assert_eq!(RecordHead::from_bytes(&[1, 3, 3, 1, 5]), None);
        assert_eq!(RecordHead::from_bytes(&[2, 3, 3, 1, 5, 0]), None);
        assert_eq!(RecordHead::from_bytes(&[]), None);
    }
}
