//! Every metric there is: name, kind, meaning. `docs/METRICS.md` has the same ones, which a test
//! compares.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the server.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Counts of times by bucket.
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name; the unit comes last but for `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub(crate) static $constant: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            help: $help,
        };)*

        /// All metrics, in the order they are told.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    INFO: Gauge "sdfs_info", "1, with the server's name, role, zone and version.";
    UP: Gauge "sdfs_up_seconds", "Time since the server was started.";
    READY: Gauge "sdfs_ready", "Whether the server can serve now, as /readyz says.";
    HEARS_MAJORITY: Gauge "sdfs_hears_majority", "Whether a majority of the mservers is heard.";
    ALONE: Gauge "sdfs_alone_seconds", "Time since no majority is heard; 0 while one is.";
    MEMORY: Gauge "sdfs_memory_bytes", "Resident memory of the process.";
    CLIENTS: Gauge "sdfs_clients", "Connected clients.";

    PACKETS: Counter "sdfs_packets_total", "Packets on connections, by direction.";
    BYTES: Counter "sdfs_network_bytes_total", "Bytes on connections, by direction.";
    TRANSFERS: Counter "sdfs_network_operations_total",
        "Reads (in) and writes (out) of sockets; bytes or packets each tells how many go together.";
    OPENED: Counter "sdfs_connections_opened_total", "Connections opened.";
    CLOSED: Counter "sdfs_connections_closed_total", "Connections closed, by reason.";
    ACCEPT_ERRORS: Counter "sdfs_accept_errors_total", "Connections that could not be accepted.";
    REFUSED: Counter "sdfs_handshakes_refused_total", "Connections refused, by reason.";
    CALLS_ENDED: Counter "sdfs_calls_unanswered_total",
        "Calls that ended without a served answer, by outcome.";
    CALL_TIME: Histogram "sdfs_call_seconds",
        "Time from a call's arrival to its answer, by kind of call.";

    PEER_UP: Gauge "sdfs_peer_up", "Whether calls reach another server from this one.";
    PEER_RTT: Gauge "sdfs_peer_rtt_seconds", "Smoothed round-trip time to another server.";
    PEER_RTT_MIN: Gauge "sdfs_peer_rtt_min_seconds", "Lowest round-trip time to another server.";
    PEER_JITTER: Gauge "sdfs_peer_jitter_seconds", "Variation of the round-trip time.";
    PEER_ESTABLISHED: Counter "sdfs_peer_connections_total",
        "How often the connection with another server was established; above 1 are reconnects.";
    PEER_QUEUED: Gauge "sdfs_peer_queued_bytes", "Bytes queued towards another server.";
    PEER_CALLS: Gauge "sdfs_peer_calls", "Calls to another server without an answer yet.";

    RAFT_LEADS: Gauge "sdfs_raft_leads", "Whether this server leads the group, with a majority.";
    RAFT_HAS_LEADER: Gauge "sdfs_raft_has_leader", "Whether this server knows a leader.";
    RAFT_TERM: Gauge "sdfs_raft_term", "The newest term heard of.";
    RAFT_LAST: Gauge "sdfs_raft_last_index", "Last entry of the group's log here.";
    RAFT_COMMITTED: Gauge "sdfs_raft_committed_index", "Last entry known to be committed.";
    RAFT_APPLIED: Gauge "sdfs_raft_applied_index", "Last entry applied here.";
    RAFT_LAG: Gauge "sdfs_raft_member_lag_entries",
        "Entries a member is behind; told by the group's leader.";
    RAFT_QUORUM: Gauge "sdfs_raft_quorum_age_seconds",
        "Time since a majority last answered; told by the group's leader.";

    LOG_SYNCS: Counter "sdfs_log_syncs_total", "Syncs of the log's disk, one for each group.";
    LOG_RECORDS: Counter "sdfs_log_records_total",
        "Records made durable; by syncs it is the size of a group.";
    LOG_BYTES: Counter "sdfs_log_bytes_total", "Bytes made durable.";
    LOG_SEGMENTS: Counter "sdfs_log_segments_begun_total", "Segments begun.";
    LOG_QUEUED: Gauge "sdfs_log_queued_records", "Records waiting for the disk.";
    LOG_QUEUED_BYTES: Gauge "sdfs_log_queued_bytes", "Bytes waiting for the disk.";

    SPACE_FAILED: Gauge "sdfs_space_failed", "Whether the disk is closed after a failure.";
    SPACE_FREE: Gauge "sdfs_space_free_bytes", "Bytes free on the disk.";
    SPACE_ROOM: Gauge "sdfs_space_room_bytes",
        "Bytes the disk still takes: what is free beyond the reserve.";
    SPACE_LIVE: Gauge "sdfs_space_live_bytes", "Bytes of blocks that are kept.";
    SPACE_SEGMENTS: Gauge "sdfs_space_segment_bytes", "Bytes of records in all segments.";
    SPACE_BLOCKS: Gauge "sdfs_space_blocks", "Blocks that are kept.";
    SPACE_DAMAGED: Counter "sdfs_space_damaged_blocks_total", "Blocks found damaged.";
    SPACE_REPAIRED: Counter "sdfs_space_repaired_blocks_total",
        "Damaged blocks that were repaired or freed.";
    SCRUB_PASSES: Counter "sdfs_scrub_passes_total", "Whole passes of reading and verifying.";
    SCRUB_CHECKED: Gauge "sdfs_scrub_checked_bytes", "Bytes verified in the present pass.";

    VOLUME_COPIES: Gauge "sdfs_volume_in_sync_copies",
        "Copies of a volume in sync and heard; told by mservers that hear a majority.";
    VOLUME_MEMBERS: Gauge "sdfs_volume_members", "Members of a volume, whatever their state.";
    VOLUME_WRITABLE: Gauge "sdfs_volume_writable",
        "Whether a volume takes writes now: it is open, and all who must acknowledge are heard.";
    VOLUME_EPOCH: Gauge "sdfs_volume_epoch", "How often a volume's members changed.";
    KEPT_BLOCKS: Gauge "sdfs_volume_kept_blocks", "Blocks of a volume kept here.";
    KEPT_BYTES: Gauge "sdfs_volume_kept_bytes", "Bytes of a volume's blocks kept here.";
    SYNCING: Gauge "sdfs_volume_syncing", "Whether this copy is being brought up to date.";
    SYNC_DONE: Gauge "sdfs_volume_sync_done_bytes",
        "Bytes verified or copied by the sync under way.";
    SYNC_COPIED: Gauge "sdfs_volume_sync_copied_bytes", "Bytes copied by the sync under way.";

    FASTDFS_REQUESTS: Counter "sdfs_fastdfs_requests_total",
        "Requests of FastDFS clients, by outcome.";
    FASTDFS_CONNECTIONS: Counter "sdfs_fastdfs_connections_total",
        "Connections of FastDFS clients, accepted, and ended early by reason.";
    FASTDFS_HTTP_REQUESTS: Counter "sdfs_fastdfs_http_requests_total",
        "Requests for files by their FastDFS ids over HTTP, by outcome.";
    FASTDFS_HTTP_CONNECTIONS: Counter "sdfs_fastdfs_http_connections_total",
        "HTTP connections for files of FastDFS clients, accepted, and ended early by reason.";

    HTTP_REQUESTS: Counter "sdfs_http_requests_total", "Requests at the HTTP door, by outcome.";
    HTTP_CLOSED: Counter "sdfs_http_closed_total",
        "Connections to the HTTP door ended early, by reason.";
    CONSOLE_SESSIONS: Gauge "sdfs_console_sessions", "Open sessions at the console.";
    CONSOLE_COMMANDS: Counter "sdfs_console_commands_total", "Commands at the console, by outcome.";
    CONSOLE_ENDED: Counter "sdfs_console_ended_total",
        "Sessions of the console, by how they ended.";
}
