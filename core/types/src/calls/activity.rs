//! What a server has been doing: how long calls take, how much moves, what happened of late.

use serde::{Deserialize, Serialize};

use super::call;
use sdfs_server_group::Trace;

/// Asks a server what it has been doing. Always answered from what the server itself knows. A
/// server whose doors for operators are closed tells an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetActivity {}
call!(GetActivity => Activity, GetActivity);

/// What a server has been doing since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its wall clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Its place in the cluster.
    pub zone: String,
    /// How long calls took to be answered, by kind.
    pub calls: Vec<CallActivity>,
    /// Calls of the last minutes that took longest, the slowest first.
    pub slowest: Vec<SlowActivity>,
    /// Bytes that came in over connections.
    pub bytes_in: u64,
    /// Bytes that went out over connections.
    pub bytes_out: u64,
    /// Connected clients.
    pub clients: u64,
    /// Its logs.
    pub logs: Vec<LogActivity>,
    /// Why it cannot serve now; empty when it can.
    pub not_ready: Vec<String>,
    /// Since when it hears no majority of the mservers, milliseconds since the Unix epoch.
    pub alone_since_ms: Option<u64>,
    /// What happened of late, oldest first.
    pub events: Vec<Happened>,
}

/// How long the calls of one kind took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallActivity {
    /// The kind's number on the wire; 0 for all that have no count of their own.
    pub kind: u16,
    /// How many took so long: the first bucket up to 64 us, each next one twice as long.
    pub counts: Vec<u64>,
    /// The sum of all times, microseconds.
    pub sum_us: u64,
}

/// A call that took long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowActivity {
    /// The kind's number on the wire.
    pub kind: u16,
    /// How long until it was answered, microseconds.
    pub took_us: u64,
    /// When it was answered, milliseconds since the Unix epoch.
    pub ended_ms: u64,
    /// Who asked.
    pub from: String,
    /// The operation it was asked for.
    pub trace: Trace,
}

/// What a log has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogActivity {
    /// `raft`, or the space.
    pub log: String,
    /// Syncs of the disk, each for all records that waited.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Bytes waiting for the disk.
    pub queued_bytes: u64,
    /// Size of the disk, bytes; 0 when it is not known.
    pub total_bytes: u64,
}

/// How much somebody should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Something is as it should be again, or was done.
    News,
    /// Something is worth a look.
    Warning,
    /// Something is lost or stands still.
    Trouble,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When, milliseconds since the Unix epoch by the clock of the server that saw it.
    pub at_ms: u64,
    /// How much somebody should care.
    pub severity: Severity,
    /// What, as a sentence.
    pub what: String,
}
