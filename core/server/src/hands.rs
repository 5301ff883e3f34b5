//! What people at the console can do at this server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use sdfs_console::{Hands, HandsFault, group_name};
use sdfs_dserver::KeepFault;
use sdfs_raft::SnapshotError;
use sdfs_server_group::Deadline;
use sdfs_types::ServerId;
use tokio::sync::Notify;

use crate::audit::AuditLog;
use crate::limits::SNAPSHOT_WAIT;
use crate::role::RoleAtWork;

/// Turns the log of a process: as usual, and beside that these targets at these levels.
pub type LogDial = Arc<dyn Fn(&[String]) -> Result<(), HandsFault> + Send + Sync>;

/// A server's hands.
pub(crate) struct ServerHands {
    pub(crate) role: RoleAtWork,
    pub(crate) audit: AuditLog,
    /// Told when the server is to stop.
    pub(crate) stop: Arc<Notify>,
    /// `None` inside another program.
    pub(crate) log: Option<LogDial>,
}

impl Hands for ServerHands {
    fn write_audit(&self, line: String) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(self.audit.clone().write(line))
    }

    fn read_audit(&self, count: usize) -> BoxFuture<'static, io::Result<Vec<String>>> {
        Box::pin(self.audit.clone().read(count))
    }

    fn set_log(&self, beside: &[String]) -> Result<(), HandsFault> {
        let dial = self.log.as_ref().ok_or(HandsFault::LogIsOthers)?;
        dial(beside)
    }

    fn transfer_leader(
        &self,
        group: u8,
        to: ServerId,
    ) -> BoxFuture<'static, Result<(), HandsFault>> {
        let role = self.role.clone();
        Box::pin(async move {
            match role {
                RoleAtWork::Mserver(mserver) => {
                    let asked = mserver.transfer_leader(group, to).await;
                    asked.map_err(|fault| HandsFault::Raft(fault.to_string()))
                }
                RoleAtWork::Dserver(_) => Err(HandsFault::NoGroups),
            }
        })
    }

    fn snapshot(&self) -> BoxFuture<'static, Vec<(String, Result<String, HandsFault>)>> {
        let role = self.role.clone();
        Box::pin(async move {
            match role {
                RoleAtWork::Mserver(mserver) => {
                    let made = mserver.snapshot(Deadline::after(SNAPSHOT_WAIT)).await;
                    made.into_iter().map(group_on_disk).collect()
                }
                RoleAtWork::Dserver(dserver) => {
                    let made = tokio::time::timeout(SNAPSHOT_WAIT, dserver.checkpoint()).await;
                    match made {
                        Ok(made) => made.into_iter().map(space_on_disk).collect(),
                        Err(_) => vec![("its disks".to_owned(), Err(HandsFault::Late))],
                    }
                }
            }
        })
    }

    fn stop(&self) {
        self.stop.notify_one();
    }
}

fn group_on_disk(
    (group, made): (u8, Result<u64, SnapshotError>),
) -> (String, Result<String, HandsFault>) {
    let made = made.map(|last| format!("holds entry {last}"));
    let made = made.map_err(|fault| HandsFault::Raft(fault.to_string()));
    (group_name(group), made)
}

fn space_on_disk(
    (path, made): (PathBuf, Result<bool, KeepFault>),
) -> (String, Result<String, HandsFault>) {
    let made = match made {
        Ok(true) => Ok("its index is written".to_owned()),
        Ok(false) => Err(HandsFault::NoCheckpoint),
        Err(fault) => Err(HandsFault::Disk(fault.to_string())),
    };
    (format!("the disk at {}", path.display()), made)
}
