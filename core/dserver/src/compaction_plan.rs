//! Which segment is worth compacting. Pure.

use sdfs_log::{SegmentId, SegmentStatus};

use crate::limits::{COMPACT_LIVE_PERCENT, COMPACT_LIVE_PERCENT_TIGHT};

/// A segment and the bytes of live records in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) segment: SegmentStatus,
    pub(crate) live_bytes: u64,
}

/// The segment with the least live share, if it is small enough. `is_tight`: the disk is nearly
/// full.
pub(crate) fn pick(candidates: &[Candidate], is_tight: bool) -> Option<SegmentId> {
    let limit = if is_tight {
        COMPACT_LIVE_PERCENT_TIGHT
    } else {
        COMPACT_LIVE_PERCENT
    };
    let percent = |candidate: &Candidate| {
        candidate.live_bytes * 100 / u64::from(candidate.segment.record_bytes).max(1)
    };
    candidates
        .iter()
        .filter(|Candidate { segment, .. }| !segment.is_active && !segment.is_given_up)
        .filter(|candidate| percent(candidate) <= limit)
        .min_by_key(|candidate| (percent(candidate), candidate.segment.id))
        .map(|candidate| candidate.segment.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: u32, record_bytes: u32, live_bytes: u64, is_active: bool) -> Candidate {
        let segment = SegmentStatus {
            id: SegmentId(id),
            record_bytes,
            is_active,
            is_given_up: false,
        };
        Candidate {
            segment,
            live_bytes,
        }
    }

    #[test]
    fn emptiest_old_segment_is_picked() {
        let all = [
            candidate(1, 1000, 600, false),
            candidate(2, 1000, 300, false),
            candidate(3, 1000, 100, false),
            candidate(4, 1000, 100, false),
            candidate(5, 1000, 0, true),
        ];
        assert_eq!(pick(&all, false), Some(SegmentId(3)));
        assert_eq!(pick(&all[..1], false), None);
        assert_eq!(pick(&all[..1], true), Some(SegmentId(1)));
        assert_eq!(pick(&all[4..], true), None);
        assert_eq!(pick(&[], true), None);
    }

    #[test]
    fn given_up_segment_is_not_picked() {
        let mut all = [candidate(1, 1000, 0, false), candidate(2, 1000, 300, false)];
        all[0].segment.is_given_up = true;
        assert_eq!(pick(&all, false), Some(SegmentId(2)));
    }
}
