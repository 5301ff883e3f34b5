//! What the console can do at its own server, beyond asking others.

use std::io;

use futures::future::BoxFuture;
use sdfs_types::ServerId;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandsFault {
    /// A server of this role has no such thing.
    #[error("a dserver leads no raft group; ask at a mserver")]
    NoGroups,
    /// Raft's own answer.
    #[error("{0}")]
    Raft(String),
    /// A disk's own answer.
    #[error("{0}")]
    Disk(String),
    /// No checkpoint was written.
    #[error("no index is written: blocks there are damaged, or its log has failed")]
    NoCheckpoint,
    /// It takes too long.
    #[error("not done in time; it goes on")]
    Late,
    /// This process logs otherwise.
    #[error("this server's log cannot be changed: it runs inside another program")]
    LogIsOthers,
    /// It cannot be logged so.
    #[error("no such filter: {0}")]
    Filter(String),
}

/// A server's hands.
pub trait Hands: Send + Sync + 'static {
    /// Writes a line to the audit log; done when it is on disk.
    fn write_audit(&self, line: String) -> BoxFuture<'static, io::Result<()>>;

    /// The last lines of the audit log, oldest first.
    fn read_audit(&self, count: usize) -> BoxFuture<'static, io::Result<Vec<String>>>;

    /// Logs from now on as usual, and beside that as these say, each a target and `=` and a level.
    ///
    /// # Errors
    /// See [`HandsFault`].
    fn set_log(&self, beside: &[String]) -> Result<(), HandsFault>;

    /// Asks another mserver to lead a group.
    fn transfer_leader(
        &self,
        group: u8,
        to: ServerId,
    ) -> BoxFuture<'static, Result<(), HandsFault>>;

    /// Has the server stop cleanly, soon after this returns.
    fn stop(&self);

    /// Brings what is in memory to disk now: the state of each raft group, the index of each space.
    /// What it was, and what became of it.
    fn snapshot(&self) -> BoxFuture<'static, Vec<(String, Result<String, HandsFault>)>>;
}
