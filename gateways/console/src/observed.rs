//! What a server tells the doors of itself, whatever its role.

use futures::future::BoxFuture;
use sdfs_server_group::{Mesh, ServerId};
use sdfs_types::calls::status::ServerStatus;

/// A server as the doors see it. Every answer comes from memory.
pub trait Observed: Send + Sync + 'static {
    /// Its place among the others.
    fn mesh(&self) -> &Mesh;
    /// How it is, as it tells everybody.
    fn status(&self) -> ServerStatus;
    /// Its raft groups in detail; none at a dserver.
    fn groups(&self) -> Vec<GroupReading>;
    /// Its logs: of raft, or of each space that works.
    fn logs(&self) -> Vec<LogReading>;
    /// What is reserved or leased here for a time: the first `limit`, and how many there are.
    fn locks(&self, limit: usize) -> BoxFuture<'static, (Vec<LockReading>, usize)>;
    /// What its doors for FastDFS clients have counted, when it has any.
    fn fastdfs(&self) -> Option<FastDfsReading>;
}

/// What the doors for FastDFS clients have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FastDfsReading {
    /// Requests, by their outcomes.
    pub requests: Vec<(&'static str, u64)>,
    /// Connections, by what became of them.
    pub connections: Vec<(&'static str, u64)>,
    /// Requests over HTTP, by their outcomes; empty where that door is closed.
    pub http_requests: Vec<(&'static str, u64)>,
    /// HTTP connections, by what became of them.
    pub http_connections: Vec<(&'static str, u64)>,
}

/// Something reserved or leased for a time, which ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockReading {
    /// `name`, `room` or `reads`.
    pub kind: &'static str,
    /// What is held: a path, or bytes of a space.
    pub what: String,
    /// The server that coordinates the request that holds it, where there is one.
    pub holder: Option<ServerId>,
    /// The request, in words.
    pub request: Option<String>,
    /// Milliseconds until it ends.
    pub ends_in_ms: u64,
}

/// A raft group at this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupReading {
    /// 0 is the root group, `i` the meta group of the `i`-th mserver.
    pub group: u8,
    /// What this server is in it: `leader`, `follower` and so on.
    pub state: String,
    /// The newest term heard of.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<ServerId>,
    /// Last entry in the log here.
    pub last_index: u64,
    /// Last entry known to be committed.
    pub committed_index: u64,
    /// Last entry applied here.
    pub applied_index: u64,
    /// Milliseconds since a majority last answered; known at the leader only.
    pub quorum_ms_ago: Option<u64>,
    /// The members.
    pub members: Vec<MemberReading>,
}

/// A member of a raft group, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReading {
    /// The member.
    pub server: ServerId,
    /// Last entry it is known to hold; known at the leader only.
    pub matched_index: Option<u64>,
}

/// What a log has taken since it was opened, and what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReading {
    /// `raft`, or the folder of the space.
    pub log: String,
    /// Syncs of the disk, each for all records that waited.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Records waiting for the disk.
    pub queued_records: u64,
    /// Bytes waiting for the disk.
    pub queued_bytes: u64,
    /// Segments begun.
    pub segments_begun: u64,
    /// Size of the disk, bytes.
    pub total_bytes: u64,
}
