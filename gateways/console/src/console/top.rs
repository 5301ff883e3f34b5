//! What moves: calls by kind with their times, bytes, syncs, since the last look of a session.

use std::collections::BTreeMap;

use sdfs_server_group::{BUCKETS, CallTiming, bucket_limit_us};
use sdfs_types::calls::call_name;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Console;
use super::reply::Reply;
use crate::observed::LogReading;

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Top {
    before: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    calls: BTreeMap<u16, CallTiming>,
    counters: BTreeMap<String, u64>,
    logs: Vec<LogReading>,
}

impl Top {
    /// A row for each kind of call, for the connections, and for each log.
    pub(super) fn look(&mut self, console: &Console) -> Reply {
        let snapshot = console.server.mesh().snapshot();
        let calls = snapshot.calls.into_iter();
        let now = Seen {
            at: Instant::now(),
            calls: calls.map(|timing| (timing.kind, timing)).collect(),
            counters: snapshot.counters,
            logs: console.server.logs(),
        };
        let Some(before) = self.before.replace(now) else {
            let text = "looking from now on: `top` again shows what has moved since".to_owned();
            return Reply::Said(text);
        };
        let Some(now) = &self.before else {
            return Reply::Done;
        };
        Reply::rows(
            ["what", "per_s", "p50_us", "p99_us", "bytes_per_s"],
            rows(&before, now),
        )
    }
}

fn rows(before: &Seen, now: &Seen) -> Vec<[Value; 5]> {
    let seconds = (now.at - before.at).as_secs_f64().max(0.001);
    let rate = |count: u64| json!((count as f64 / seconds * 10.0).round() / 10.0);
    let mut rows = Vec::new();
    for (kind, timing) in &now.calls {
        let mut counts = timing.counts;
        if let Some(was) = before.calls.get(kind) {
            for (count, was) in counts.iter_mut().zip(was.counts) {
                *count -= was.min(*count);
            }
        }
        let total: u64 = counts.iter().sum();
        if total > 0 {
            let percentile = |share| json!(percentile_us(&counts, share));
            let what = json!(call_name(*kind));
            rows.push([
                what,
                rate(total),
                percentile(50),
                percentile(99),
                Value::Null,
            ]);
        }
    }
    let moved = |name: &str| {
        let of = |seen: &Seen| seen.counters.get(name).copied().unwrap_or(0);
        of(now).saturating_sub(of(before))
    };
    for (what, packets, bytes) in [
        ("network in", "packets_in", "bytes_in"),
        ("network out", "packets_out", "bytes_out"),
    ] {
        let (packets, bytes) = (rate(moved(packets)), rate(moved(bytes)));
        rows.push([json!(what), packets, Value::Null, Value::Null, bytes]);
    }
    for log in &now.logs {
        let was = before.logs.iter().find(|was| was.log == log.log);
        let of = |value: fn(&LogReading) -> u64| value(log) - was.map_or(0, value).min(value(log));
        let syncs = [
            json!(format!("syncs of {}", log.log)),
            rate(of(|log| log.syncs)),
            Value::Null,
            Value::Null,
            rate(of(|log| log.record_bytes)),
        ];
        rows.push(syncs);
    }
    rows
}

/// The limit of the bucket that `share` per cent of all are within.
fn percentile_us(counts: &[u64; BUCKETS], share: u64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let wanted = (total * share).div_ceil(100);
    let mut sum = 0;
    let bucket = counts.iter().position(|count| {
        sum += count;
        sum >= wanted
    })?;
    bucket_limit_us(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_limits_of_buckets() {
        let mut counts = [0; BUCKETS];
        counts[0] = 98;
        counts[3] = 1;
        counts[BUCKETS - 1] = 1;
        assert_eq!(percentile_us(&counts, 50), Some(64));
        assert_eq!(percentile_us(&counts, 98), Some(64));
        assert_eq!(percentile_us(&counts, 99), Some(512));
        assert_eq!(percentile_us(&counts, 100), None, "nobody knows how long");
    }
}
