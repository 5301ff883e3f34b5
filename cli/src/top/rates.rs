//! What moved between two looks at a server. Pure.

use sdfs_types::calls::CallKind;
use sdfs_types::calls::activity::Activity;
use serde::Serialize;

/// Longest time of the first bucket of a count of calls, microseconds; each next is twice as long.
const FIRST_BUCKET_US: u64 = 64;

/// Rates, each a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rates {
    /// Calls that were answered, those of this program's own looks and raft's apart.
    pub(super) calls: u64,
    /// Half of them took no longer, microseconds.
    pub(super) p50_us: Option<u64>,
    /// All but one of a hundred took no longer, microseconds.
    pub(super) p99_us: Option<u64>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) records: u64,
    pub(super) syncs: u64,
}

/// What moved from one look to the next; `None` when the server was started in between.
pub(super) fn rates(before: &Activity, now: &Activity) -> Option<Rates> {
    let ms = now.now_ms.checked_sub(before.now_ms).filter(|ms| *ms > 0)?;
    let each_s = |now: u64, before: u64| Some(now.checked_sub(before)? * 1_000 / ms);
    let mut counts: Vec<u64> = Vec::new();
    for calls in now.calls.iter().filter(|calls| is_counted(calls.kind)) {
        let was = before.calls.iter().find(|was| was.kind == calls.kind);
        counts.resize(counts.len().max(calls.counts.len()), 0);
        for (at, count) in calls.counts.iter().enumerate() {
            let was = was.and_then(|was| was.counts.get(at)).copied();
            counts[at] += count.checked_sub(was.unwrap_or(0))?;
        }
    }
    let sum = |activity: &Activity, of: fn(&sdfs_types::calls::activity::LogActivity) -> u64| {
        activity.logs.iter().map(of).sum::<u64>()
    };
    Some(Rates {
        calls: counts.iter().sum::<u64>() * 1_000 / ms,
        p50_us: percentile_us(&counts, 50),
        p99_us: percentile_us(&counts, 99),
        bytes_in: each_s(now.bytes_in, before.bytes_in)?,
        bytes_out: each_s(now.bytes_out, before.bytes_out)?,
        records: each_s(sum(now, |log| log.records), sum(before, |log| log.records))?,
        syncs: each_s(sum(now, |log| log.syncs), sum(before, |log| log.syncs))?,
    })
}

fn is_counted(kind: u16) -> bool {
    let is_look = matches!(
        CallKind::from_wire(kind),
        Some(CallKind::GetStatus | CallKind::GetActivity | CallKind::GetServers)
    );
    let is_raft = kind >> 8 == 0x01;
    !is_look && !is_raft
}

/// The longest time of the bucket that `share` per cent of all calls are within.
fn percentile_us(counts: &[u64], share: u64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let wanted = (total * share).div_ceil(100).max(1);
    let mut sum = 0;
    let bucket = counts.iter().position(|count| {
        sum += count;
        sum >= wanted
    })?;
    FIRST_BUCKET_US.checked_shl(u32::try_from(bucket).ok()?)
}

#[cfg(test)]
mod tests {
    use sdfs_types::calls::activity::{CallActivity, LogActivity};

    use super::*;

    fn activity(now_ms: u64, counts: &[u64], syncs: u64) -> Activity {
        Activity {
            now_ms,
            calls: vec![
                CallActivity {
                    kind: CallKind::Stat.to_wire(),
                    counts: counts.to_vec(),
                    sum_us: 0,
                },
                CallActivity {
                    kind: CallKind::GetStatus.to_wire(),
                    counts: vec![now_ms],
                    sum_us: 0,
                },
            ],
            bytes_in: now_ms,
            logs: vec![LogActivity {
                log: "raft".to_owned(),
                syncs,
                records: 2 * syncs,
                record_bytes: 0,
                queued_bytes: 0,
                total_bytes: 0,
            }],
            ..Activity::default()
        }
    }

    #[test]
    fn what_moved_is_told_a_second() {
        let rates = rates(
            &activity(1_000, &[5, 5], 10),
            &activity(3_000, &[5, 203, 2], 50),
        );
        let rates = rates.expect("rates");
        assert_eq!(
            (rates.calls, rates.p50_us, rates.p99_us),
            (100, Some(128), Some(128))
        );
        assert_eq!(
            (rates.bytes_in, rates.syncs, rates.records),
            (1_000, 20, 40)
        );
    }

    #[test]
    fn a_restarted_server_has_no_rates() {
        assert_eq!(
            rates(&activity(1_000, &[5], 10), &activity(2_000, &[1], 50)),
            None
        );
        assert_eq!(
            rates(&activity(1_000, &[5], 10), &activity(1_000, &[5], 10)),
            None
        );
    }

    #[test]
    fn nothing_called_has_no_time() {
        let rates = rates(&activity(1_000, &[5], 1), &activity(2_000, &[5], 1)).expect("rates");
        assert_eq!((rates.calls, rates.p50_us, rates.p99_us), (0, None, None));
    }
}
