//! What raft groups start from.

use crate::ids::GroupId;
use crate::limits::{KEEP_ENTRIES, PURGE_ENTRIES, SNAPSHOT_ENTRIES};
use crate::machine::StateMachine;
use sdfs_log::Disk;
use sdfs_server_group::{Mesh, ServerId};
use sdfs_store::Store;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything the groups of a process start from.
pub struct RaftOptions {
    /// The way to the other members.
    pub mesh: Mesh,
    /// The door to the raft log's files.
    pub disk: Arc<dyn Disk>,
    /// Directory of the raft log and of the file that says whose it is; made when absent. On the
    /// same disk as the store.
    pub dir: PathBuf,
    /// Where the state machines live.
    pub store: Store,
    /// How fast failures are noticed.
    pub timers: RaftTimers,
    /// How much of the log is kept.
    pub kept: LogKept,
    /// All groups this server takes part in or sends proposals to.
    pub groups: Vec<GroupSpec>,
}

/// One group.
pub struct GroupSpec {
    /// Which group.
    pub id: GroupId,
    /// The voters a new group begins with, the same at every member; it begins when all of them
    /// run. Later the group itself knows its members; this is then only where a server that is no
    /// member asks first.
    pub voters: Vec<ServerId>,
    /// Servers that get everything and vote never; the leader adds them by itself.
    pub learners: Vec<ServerId>,
    /// Who leads when it is up and has caught up.
    pub preferred: Option<ServerId>,
    /// What the commands mean. `None` at a server that is no member: it can propose, and has
    /// nothing to read.
    pub machine: Option<Box<dyn StateMachine>>,
}

/// Timers of all groups, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTimers {
    /// How often an idle leader is heard of.
    pub heartbeat_ms: u64,
    /// Silence of the leader after which an election begins, at the earliest; at the latest after
    /// twice that.
    pub election_ms: u64,
}

/// How many entries a group keeps in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKept {
    /// Entries after which a snapshot is due.
    pub snapshot_entries: u64,
    /// Entries kept behind a snapshot.
    pub keep_entries: u64,
    /// Entries purged together.
    pub purge_entries: u64,
}

impl Default for LogKept {
    fn default() -> Self {
        Self {
            snapshot_entries: SNAPSHOT_ENTRIES,
            keep_entries: KEEP_ENTRIES,
            purge_entries: PURGE_ENTRIES,
        }
    }
}

impl Default for RaftTimers {
    fn default() -> Self {
        Self {
            heartbeat_ms: 200,
            election_ms: 1_000,
        }
    }
}
