//! How servers and embedded clusters fail to start or stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sdfs_net_layer::TlsError;
use sdfs_raft::StopReason;
use sdfs_server_group::{Config, ConfigError, Role, SecretError, ServerId, ServerName, StartError};
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
    /// The cluster's secret cannot be used.
    #[error(transparent)]
    Secret(SecretError),
    /// The server does not belong to the cluster.
    #[error(transparent)]
    Outsider(#[from] Outsider),
    /// A raft group of the running server stopped for good.
    #[error("the server had to end: {0}")]
    Raft(StopReason),
    /// A port of FastDFS's protocols is taken.
    #[error("cannot listen for FastDFS clients: {0}")]
    FastDfs(io::Error),
    /// A port for operators is taken.
    #[error("cannot listen for operators on {address}: {source}")]
    Operator {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
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

/// Why a server does not belong to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Outsider {
    /// It has left.
    #[error(
        "{name} (server {id}) has left the cluster and cannot come back under its number: to use \
         the machine again, empty its space and let it join anew with `sdfs join`"
    )]
    Gone {
        /// Its name.
        name: ServerName,
        /// The number it had.
        id: ServerId,
    },
    /// Its groups are letting it go, so that it can come back with an empty disk.
    #[error(
        "{name} (server {id}) is being replaced: empty its space and start it again when `sdfs \
         status` says that it is joining"
    )]
    Lost {
        /// Its name.
        name: ServerName,
        /// Its number.
        id: ServerId,
    },
    /// The cluster knows its number by another name, or not at all.
    #[error(
        "the cluster knows no {name} (server {id}): its server {id} is {is}. Put the servers of \
         config.conf back in their order, or let this one join with `sdfs join` and start it with \
         --join"
    )]
    Unlisted {
        /// Its name.
        name: ServerName,
        /// The number that it has by its configuration.
        id: ServerId,
        /// Who has that number.
        is: String,
    },
    /// Nobody told the cluster to expect it.
    #[error(
        "the cluster does not expect {name}: `sdfs join --name {name} --role {role} --address \
         {address}` has it expected"
    )]
    NotExpected {
        /// Its name.
        name: ServerName,
        /// Its role by its configuration.
        role: Role,
        /// Its address by its configuration.
        address: SocketAddr,
    },
    /// The cluster expects it otherwise.
    #[error("the cluster's list has {name} as {listed}, its configuration as {configured}")]
    Elsewhere {
        /// Its name.
        name: ServerName,
        /// What the list says.
        listed: String,
        /// What the configuration says.
        configured: String,
    },
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
    /// Whether another version of this program wrote what is on the server's disk, which is whole.
    #[must_use]
    pub fn is_of_other_version(&self) -> bool {
        use sdfs_dserver::SpaceFault;
        use sdfs_log::OpenError::Version;
        use sdfs_raft::StartError::{Log, LogOfOtherVersion};
        match self {
            ServerError::Mserver(sdfs_mserver::StartError::Raft(raft)) => {
                matches!(raft, LogOfOtherVersion { .. } | Log(Version { .. }))
            }
            ServerError::Dserver(sdfs_dserver::StartError::Spaces { source, .. }) => matches!(
                source,
                SpaceFault::OtherVersion { .. } | SpaceFault::Log(Version { .. })
            ),
            _ => false,
        }
    }

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
