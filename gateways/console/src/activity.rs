//! What a server tells the others of what it has been doing.

use sdfs_server_group::{CallTiming, Role, SlowCall};
use sdfs_types::calls::activity::{Activity, CallActivity, LogActivity, SlowActivity};
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
        slowest: snapshot.slowest.into_iter().map(slow_activity).collect(),
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

fn slow_activity(call: SlowCall) -> SlowActivity {
    SlowActivity {
        kind: call.kind,
        took_us: call.took_us,
        ended_ms: call.ended_ms,
        from: stranger(call.from),
        trace: call.trace,
    }
}

/// Servers by their numbers; of clients others are not told who and where they are.
fn stranger(from: String) -> String {
    let is_server = [Role::Mserver, Role::Dserver].iter().any(|role| {
        let number = from.strip_prefix(&format!("{role} "));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    if is_server {
        from
    } else {
        "a client".to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_are_told_of() {
        assert_eq!(stranger("mserver 1".to_owned()), "mserver 1");
        assert_eq!(stranger("dserver 12".to_owned()), "dserver 12");
        for client in [
            "ann at 10.0.0.5:4321",
            "client at 10.0.0.5:4321",
            "mserver 1 at 1.1.1.1:1",
        ] {
            assert_eq!(stranger(client.to_owned()), "a client", "{client}");
        }
    }
}
