//! What is told of the server itself, its connections, the others and raft.

use sdfs_server_group::{GroupSnapshot, bucket_limit_us};
use sdfs_types::calls::call_name;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::clock;

use super::exposition::{Exposition, ValueOf};
use super::list;
use crate::console::ConsoleCounters;
use crate::http::HttpCounters;
use crate::lately::Lately;
use crate::observed::{FastDfsReading, GroupReading, Observed};
use crate::ready::not_ready;

pub(crate) fn of_server(
    out: &mut Exposition,
    server: &dyn Observed,
    (status, groups): (&ServerStatus, &[GroupReading]),
    lately: &Lately,
) {
    let mesh = server.mesh();
    let zone = mesh.server(mesh.me()).map(|me| me.zone.clone());
    let role = status.role.to_string();
    let labels = [
        ("server", &*status.name),
        ("role", &role),
        ("zone", zone.as_deref().unwrap_or("")),
        ("version", &status.program),
    ];
    out.sample(&list::INFO, &labels, 1);
    out.sample(&list::UP, &[], status.up_s);
    let election_ms = mesh.config().timers.election_ms;
    let is_ready = not_ready(status, groups, election_ms).is_empty();
    out.sample(&list::READY, &[], is_ready.into());
    out.sample(&list::HEARS_MAJORITY, &[], status.hears_majority.into());
    let alone_ms = lately
        .alone_since_ms
        .map_or(0, |since_ms| clock::now_ms().saturating_sub(since_ms));
    out.seconds(&list::ALONE, &[], alone_ms * 1_000);
    // A mserver does not measure it.
    if let Some(load) = mesh.load(mesh.me()).filter(|load| load.memory_bytes > 0) {
        out.sample(&list::MEMORY, &[], load.memory_bytes);
    }
    out.sample(&list::CLIENTS, &[], mesh.snapshot().clients);
}

pub(crate) fn of_network(out: &mut Exposition, snapshot: &GroupSnapshot) {
    let count = |name: &str| snapshot.counters.get(name).copied().unwrap_or(0);
    let by_direction = [
        (&list::PACKETS, "packets_in", "packets_out"),
        (&list::BYTES, "bytes_in", "bytes_out"),
        (&list::TRANSFERS, "reads", "writes"),
    ];
    for (metric, name_in, name_out) in by_direction {
        out.sample(metric, &[("direction", "in")], count(name_in));
        out.sample(metric, &[("direction", "out")], count(name_out));
    }
    out.sample(&list::OPENED, &[], count("opened"));
    let named = |prefix: &'static str| {
        let counters = snapshot.counters.iter();
        counters.filter_map(move |(name, count)| Some((name.strip_prefix(prefix)?, *count)))
    };
    for (reason, count) in named("closed_") {
        out.sample(&list::CLOSED, &[("reason", reason)], count);
    }
    out.sample(&list::ACCEPT_ERRORS, &[], count("accept_errors"));
    for (reason, count) in named("refused_") {
        out.sample(&list::REFUSED, &[("reason", reason)], count);
    }
    for (outcome, count) in named("calls_").chain(named("late_")) {
        out.sample(&list::CALLS_ENDED, &[("outcome", outcome)], count);
    }
    for timing in &snapshot.calls {
        let times = (bucket_limit_us, timing.sum_us);
        let labels = [("call", &*call_name(timing.kind))];
        out.times(&list::CALL_TIME, &labels, &timing.counts, times);
    }
}

pub(crate) fn of_peers(out: &mut Exposition, status: &ServerStatus, snapshot: &GroupSnapshot) {
    let peers = || status.peers.iter();
    for peer in peers() {
        let role = peer.role.to_string();
        let labels = [("peer", &*peer.name), ("role", &*role)];
        out.sample(&list::PEER_UP, &labels, peer.is_up().into());
    }
    for peer in peers() {
        if let Some(rtt_us) = peer.rtt_us {
            out.seconds(&list::PEER_RTT, &[("peer", &peer.name)], rtt_us);
        }
    }
    for peer in peers() {
        if let Some(rtt_us) = peer.rtt_min_us {
            out.seconds(&list::PEER_RTT_MIN, &[("peer", &peer.name)], rtt_us);
        }
    }
    for peer in peers() {
        if let Some(jitter_us) = peer.jitter_us {
            out.seconds(&list::PEER_JITTER, &[("peer", &peer.name)], jitter_us);
        }
    }
    for peer in peers() {
        let labels = [("peer", &*peer.name)];
        out.sample(&list::PEER_ESTABLISHED, &labels, peer.established);
    }
    for peer in &snapshot.peers {
        let labels = [("peer", peer.name.as_str())];
        out.sample(&list::PEER_QUEUED, &labels, peer.queued_bytes);
    }
    for peer in &snapshot.peers {
        let labels = [("peer", peer.name.as_str())];
        out.sample(&list::PEER_CALLS, &labels, peer.calls_in_flight);
    }
}

pub(crate) fn of_groups(out: &mut Exposition, status: &ServerStatus, groups: &[GroupReading]) {
    let gauges: [ValueOf<GroupReading>; 5] = [
        (&list::RAFT_HAS_LEADER, |group| {
            group.leader.is_some().into()
        }),
        (&list::RAFT_TERM, |group| group.term),
        (&list::RAFT_LAST, |group| group.last_index),
        (&list::RAFT_COMMITTED, |group| group.committed_index),
        (&list::RAFT_APPLIED, |group| group.applied_index),
    ];
    // Without a majority nobody leads, whatever it was told last.
    let is_led =
        |group: &GroupReading| status.hears_majority && group.leader == Some(status.server);
    for group in groups {
        let labels = [("group", &*group.group.to_string())];
        out.sample(&list::RAFT_LEADS, &labels, is_led(group).into());
    }
    for (metric, value) in gauges {
        for group in groups {
            out.sample(
                metric,
                &[("group", &*group.group.to_string())],
                value(group),
            );
        }
    }
    for group in groups.iter().filter(|group| is_led(group)) {
        let number = group.group.to_string();
        for member in &group.members {
            let Some(matched) = member.matched_index else {
                continue;
            };
            let name = status.name_of(member.server);
            let labels = [("group", &*number), ("member", &*name)];
            let behind = group.last_index.saturating_sub(matched);
            out.sample(&list::RAFT_LAG, &labels, behind);
        }
    }
    for group in groups.iter().filter(|group| is_led(group)) {
        if let Some(ms_ago) = group.quorum_ms_ago {
            let labels = [("group", &*group.group.to_string())];
            out.seconds(&list::RAFT_QUORUM, &labels, ms_ago * 1_000);
        }
    }
}

pub(crate) fn of_fastdfs(out: &mut Exposition, fastdfs: &FastDfsReading) {
    for (outcome, count) in &fastdfs.requests {
        out.sample(&list::FASTDFS_REQUESTS, &[("outcome", outcome)], *count);
    }
    for (event, count) in &fastdfs.connections {
        out.sample(&list::FASTDFS_CONNECTIONS, &[("event", event)], *count);
    }
    for (outcome, count) in &fastdfs.http_requests {
        let labels = [("outcome", *outcome)];
        out.sample(&list::FASTDFS_HTTP_REQUESTS, &labels, *count);
    }
    for (event, count) in &fastdfs.http_connections {
        let labels = [("event", *event)];
        out.sample(&list::FASTDFS_HTTP_CONNECTIONS, &labels, *count);
    }
}

pub(crate) fn of_doors(out: &mut Exposition, http: &HttpCounters, console: &ConsoleCounters) {
    for (outcome, count) in http.requests() {
        out.sample(&list::HTTP_REQUESTS, &[("outcome", outcome)], count);
    }
    for (reason, count) in http.closed() {
        out.sample(&list::HTTP_CLOSED, &[("reason", reason)], count);
    }
    out.sample(&list::CONSOLE_SESSIONS, &[], console.sessions());
    for (outcome, count) in console.commands() {
        out.sample(&list::CONSOLE_COMMANDS, &[("outcome", outcome)], count);
    }
    for (reason, count) in console.ended() {
        out.sample(&list::CONSOLE_ENDED, &[("reason", reason)], count);
    }
}
