//! Bounds of a server in following the list of servers, each with its reason.

use std::time::Duration;

/// How often a server looks for changes of the list: a newcomer waits for it once, and it costs a
/// small call.
pub(crate) const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// How long a server of the mesh may take to tell the list: it answers from memory.
pub(crate) const LIST_ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a connection as a guest and its one answer may take.
pub(crate) const GUEST_ANSWER_MAX: Duration = Duration::from_secs(3);

/// No mserver reached for so long, a server asks as a guest whether it still belongs to the
/// cluster: longer than an election or a lost connection takes.
pub(crate) const ALONE_MAX: Duration = Duration::from_secs(5);

/// How often a newcomer asks for the list while nobody tells it.
pub(crate) const JOIN_ASKED_EVERY: Duration = Duration::from_millis(500);

/// How long a newcomer waits to be in the list: mservers hear of a join one after the other.
pub(crate) const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of an audit log before it is begun anew: years of what people change.
pub(crate) const AUDIT_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the audit log that are read to show its last lines.
pub(crate) const AUDIT_READ_BYTES_MAX: u64 = 256 << 10;

/// How long the state of a raft group may take to be brought to disk for somebody who waits at the
/// console.
pub(crate) const SNAPSHOT_WAIT: Duration = Duration::from_secs(20);
