//! How servers and embedded clusters fail to start or stop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sdfs_net_layer::TlsError;
use sdfs_raft::StopReason;
use sdfs_server_group::{Config, ConfigError, SecretError, StartError};
use sdfs_store::StoreError;
use thiserror::Error;

/// Why a server does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration has no server of that name.
    #[error("the configuration has no server '{name}'; it has {known}")]
    UnknownServer {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A folder the server keeps its files in cannot be made or written.
    #[error("cannot use the space {} of {server}: {source}", path.display())]
    Space {
        /// The server.
        server: String,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process keeps its files in the same folder.
    #[error("the space {} of {server} is in use by another process", path.display())]
    SpaceInUse {
        /// The server.
        server: String,
        /// The folder.
        path: PathBuf,
    },
    /// The group did not start.
    #[error(transparent)]
    Group(#[from] StartError),
    /// The files for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The mserver did not start.
    #[error(transparent)]
    Mserver(#[from] sdfs_mserver::StartError),
    /// The dserver did not start.
    #[error(transparent)]
    Dserver(#[from] sdfs_dserver::StartError),
    /// The store of a mserver cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A raft group of the running server stopped for good.
    #[error("the server had to end: {0}")]
    Raft(StopReason),
    /// The system gave no thread or no event loop.
    #[error("the system has no thread to give: {0}")]
    Thread(io::Error),
    /// The server has ended.
    #[error("the server has ended")]
    Ended,
    /// The control thread ended in the middle of something that cannot be.
    #[error("the server's control thread failed; its log tells where")]
    Failed,
}

/// Why an embedded cluster does not stand.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A file of the cluster cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Folder {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are not that many free ports.
    #[error("no free ports on loopback: {0}")]
    Ports(io::Error),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// One of the servers does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The cluster took no writes in time.
    #[error("the cluster takes no writes after {waited:?}: {why}")]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// What was still missing.
        why: String,
    },
}

impl ServerError {
    /// The error for a name `config` does not have.
    pub(crate) fn unknown(config: &Config, name: &str) -> ServerError {
        let known: Vec<_> = config
            .servers
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        ServerError::UnknownServer {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }
}
