//! What a server tells the others of what it has been doing.

use sdfs_server_group::CallTiming;
use sdfs_types::calls::activity::{Activity, CallActivity, LogActivity};
use sdfs_types::clock;

use crate::lately::Lately;
use crate::observed::{LogReading, Observed};
use crate::ready::not_ready;

/// The activity of a server now.
#[must_use]
pub fn activity(server: &dyn Observed, lately: &Lately) -> Activity {
    let mesh = server.mesh();
    let snapshot = mesh.snapshot();
    let count = |name: &str| snapshot.counters.get(name).copied().unwrap_or(0);
    let me = mesh.server(mesh.me());
    let election_ms = mesh.config().timers.election_ms;
    Activity {
        now_ms: clock::now_ms(),
        zone: me.map_or_else(String::new, |me| me.zone.clone()),
        calls: snapshot.calls.iter().map(call_activity).collect(),
        bytes_in: count("bytes_in"),
        bytes_out: count("bytes_out"),
        clients: snapshot.clients,
        logs: server.logs().into_iter().map(log_activity).collect(),
        not_ready: not_ready(&server.status(), &server.groups(), election_ms),
        alone_since_ms: lately.alone_since_ms,
        events: lately.events.iter().cloned().collect(),
    }
}

fn call_activity(timing: &CallTiming) -> CallActivity {
    CallActivity {
        kind: timing.kind,
        counts: timing.counts.to_vec(),
        sum_us: timing.sum_us,
    }
}

fn log_activity(log: LogReading) -> LogActivity {
    LogActivity {
        log: log.log,
        syncs: log.syncs,
        records: log.records,
        record_bytes: log.record_bytes,
        queued_bytes: log.queued_bytes,
        total_bytes: log.total_bytes,
    }
}
