//! A whole cluster inside this process, in a temporary folder on free loopback ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sdfs_server_group::{ClientCredentials, Config, Role, ServerId, StartError, UserName};
use sdfs_types::calls::status::ServerStatus;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::config_file::write_config;
use crate::error::{ClusterError, ServerError};
use crate::secrets::make_missing_secrets;
use crate::server::Server;

/// What an embedded cluster is to be like.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The cluster's id.
    pub name: String,
    /// How many mservers.
    pub mservers: u16,
    /// How many dservers.
    pub dservers: u16,
    /// The `timers: (..)` part of the configuration; `None` takes every default.
    pub timers: Option<String>,
    /// The `storage: (..)` part of the configuration; `None` takes every default.
    pub storage: Option<String>,
    /// The address of each server, mservers first; loopback for those it does not have.
    pub hosts: Vec<IpAddr>,
    /// The group of each dserver; empty when they have none.
    pub groups: Vec<String>,
    /// Whether FastDFS clients come in, on free ports.
    pub fastdfs: bool,
    /// Groups of FastDFS files that keep each content once.
    pub instant: Vec<String>,
    /// Whether the doors for operators are open, on free ports.
    pub operator: bool,
    /// How long to wait until the cluster takes writes.
    pub ready_within: Duration,
}

impl Default for ClusterOptions {
    /// Three and three, with small segments: a test writes little and should not wait for disks,
    /// but for a machine that is busy with others.
    fn default() -> Self {
        ClusterOptions {
            name: "embedded".to_owned(),
            mservers: 3,
            dservers: 3,
            timers: None,
            storage: Some("storage: (segment_bytes: 16777216, reserve_bytes: 0)".to_owned()),
            hosts: Vec::new(),
            groups: Vec::new(),
            fastdfs: false,
            instant: Vec::new(),
            operator: false,
            ready_within: Duration::from_secs(120),
        }
    }
}

/// A cluster inside this process: every server on a thread of its own. Dropped, all servers end
/// at once and the folder is removed.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sdfs_server::{Cluster, ClusterOptions};
///
/// let mut cluster = Cluster::embedded(ClusterOptions::default()).await?;
/// cluster.stop("dserver-2").await?;
/// cluster.restart("dserver-2").await?;
/// # Ok(()) }
/// ```
pub struct Cluster {
    config: Arc<Config>,
    config_file: PathBuf,
    running: BTreeMap<ServerId, Server>,
    folder: TempDir,
    ready_within: Duration,
}

impl Cluster {
    /// Starts all servers and waits until they are established and take writes.
    ///
    /// # Errors
    /// When a server does not start or the cluster takes no writes in time.
    pub async fn embedded(options: ClusterOptions) -> Result<Cluster, ClusterError> {
        let folder = tempfile::Builder::new()
            .prefix("sdfs-")
            .tempdir()
            .map_err(|source| ClusterError::Folder {
                path: std::env::temp_dir(),
                source,
            })?;
        let config_file = write_config(folder.path(), &options)?;
        let config = Arc::new(Config::load(&config_file)?);
        make_missing_secrets(&config)?;
        let ready_within = options.ready_within;
        let running = BTreeMap::new();
        let mut cluster = Cluster {
            config,
            config_file,
            running,
            folder,
            ready_within,
        };
        let names: Vec<_> = cluster
            .config
            .servers
            .iter()
            .map(|server| server.name.to_string())
            .collect();
        for name in names {
            cluster.start(&name).await?;
        }
        cluster.ready().await?;
        Ok(cluster)
    }

    /// The configuration all servers run on.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Another configuration, with the same servers, for those that are started from now on.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// The file of the configuration, for programs that want to read it.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the servers of a role listen, running or not.
    pub fn addresses(&self, role: Role) -> Vec<SocketAddr> {
        self.config
            .servers_of(role)
            .map(|server| server.address)
            .collect()
    }

    /// What the first administrator proves himself with.
    ///
    /// # Errors
    /// When the secret file is gone.
    pub fn admin(&self) -> Result<ClientCredentials, ClusterError> {
        let name = UserName::from(self.config.admin.name.as_str());
        Ok(ClientCredentials::User {
            name,
            key: self.config.admin_key()?,
        })
    }

    /// Starts a server that is not running.
    ///
    /// # Errors
    /// When there is no such server or it does not start.
    pub async fn start(&mut self, name: &str) -> Result<(), ClusterError> {
        let begin = Instant::now();
        let server = loop {
            match Server::start(Arc::clone(&self.config), name).await {
                Err(error) if may_pass(&error) && begin.elapsed() < FORMER_ENDS_WITHIN => {
                    sleep(READY_ASKED_EVERY).await;
                }
                started => break started?,
            }
        };
        self.running.insert(server.id(), server);
        Ok(())
    }

    /// Stops a server cleanly: what it has in hand is done, everything is on disk.
    ///
    /// # Errors
    /// When it is not running, or fails in its last moments.
    pub async fn stop(&mut self, name: &str) -> Result<(), ClusterError> {
        Ok(self.take(name)?.stop().await?)
    }

    /// Ends a server at once: nothing is drained, nobody is told.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self, name: &str) -> Result<(), ClusterError> {
        self.take(name)?.kill();
        Ok(())
    }

    /// Ends a server at once if it runs, and starts it again.
    ///
    /// # Errors
    /// When there is no such server or it does not start.
    pub async fn restart(&mut self, name: &str) -> Result<(), ClusterError> {
        match self.kill(name) {
            Ok(()) | Err(ClusterError::Server(ServerError::Ended)) => {}
            Err(error) => return Err(error),
        }
        self.start(name).await
    }

    /// The running server of this name.
    ///
    /// # Errors
    /// When it is not running.
    pub fn server(&self, name: &str) -> Result<&Server, ClusterError> {
        let id = self.id_of(name)?;
        self.running
            .get(&id)
            .ok_or(ClusterError::Server(ServerError::Ended))
    }

    /// Waits until all running servers are established and the cluster takes writes.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ready(&self) -> Result<(), ClusterError> {
        let begin = Instant::now();
        loop {
            let Some(why) = self.missing().await? else {
                return Ok(());
            };
            let waited = begin.elapsed();
            if waited > self.ready_within {
                return Err(ClusterError::NotReady { waited, why });
            }
            sleep(READY_ASKED_EVERY).await;
        }
    }

    async fn missing(&self) -> Result<Option<String>, ClusterError> {
        let mut told = Vec::with_capacity(self.running.len());
        for server in self.running.values() {
            told.push(server.status().await?);
        }
        Ok(missing_of(&told))
    }

    fn take(&mut self, name: &str) -> Result<Server, ClusterError> {
        let id = self.id_of(name)?;
        self.running
            .remove(&id)
            .ok_or(ClusterError::Server(ServerError::Ended))
    }

    fn id_of(&self, name: &str) -> Result<ServerId, ClusterError> {
        match self.config.server_named(name) {
            Some(server) => Ok(server.id),
            None => Err(ServerError::unknown(&self.config, name).into()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, server) in std::mem::take(&mut self.running) {
            server.kill();
        }
    }
}

/// Often enough that a test does not notice, seldom enough to cost nothing.
const READY_ASKED_EVERY: Duration = Duration::from_millis(20);

/// How long the threads of a killed server may go on: a process cannot kill its own threads, so
/// those of the disks end when they find that nobody is left to work for.
const FORMER_ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Whether a start may have failed only because the former one of that name still holds files or
/// the port.
fn may_pass(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Store(_)
            | ServerError::Mserver(_)
            | ServerError::Dserver(_)
            | ServerError::SpaceInUse { .. }
            | ServerError::Group(StartError::Bind { .. })
            | ServerError::FastDfs(_)
            | ServerError::Operator { .. }
    )
}

/// What still keeps a cluster whose servers told `told` from taking writes; `None` when nothing
/// does.
pub fn missing_of(told: &[ServerStatus]) -> Option<String> {
    let ids: Vec<_> = told.iter().map(|status| status.server).collect();
    for status in told {
        let apart = status.peers.iter().find(|peer| {
            ids.contains(&peer.server) && !matches!(peer.state.as_str(), "Up" | "Silent")
        });
        if let Some(peer) = apart {
            return Some(format!(
                "{} is not connected with {} yet",
                status.name, peer.name
            ));
        }
        if let Some(group) = status.groups.iter().find(|group| group.leader.is_none()) {
            return Some(format!(
                "{} knows no leader of group {}",
                status.name, group.group
            ));
        }
    }
    let mservers = told.iter().filter(|status| status.role == Role::Mserver);
    for status in mservers {
        if !status.volumes.iter().any(sdfs_types::Volume::is_writable) {
            return Some(format!("{} knows no writable volume", status.name));
        }
    }
    None
}
