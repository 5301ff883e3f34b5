//! `config.conf`: the cluster's servers, secrets, timers and storage, checked in full before
//! anything starts.

mod check;
mod check_fastdfs;
mod doors;
mod error;
mod fastdfs;
mod file;
mod groups;
mod locate;
mod operator;
mod transport;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use check::{NAMES_ALLOWED, is_name};
pub use error::ConfigError;
pub use fastdfs::{AddressWidth, Advertised, FastDfs, Network};
pub use groups::Groups;
pub use operator::{Operator, OperatorTls};

use crate::ids::{Role, ServerId, ServerName};
use crate::key::{ClusterSecret, LinkSecret, SecretError, UserKey};

/// A whole configuration; every path in it is absolute or relative to the working directory, no
/// more to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Names the cluster; ends of different clusters refuse each other.
    pub cluster: String,
    /// Holds the cluster's secret.
    pub secret_file: PathBuf,
    /// The first administrator.
    pub admin: Admin,
    /// All servers, by number.
    pub servers: Vec<ServerConfig>,
    /// Which dservers keep copies of each other's files only.
    pub groups: Groups,
    /// How long things take.
    pub timers: Timers,
    /// How blocks and names are kept.
    pub storage: Storage,
    /// Encryption of all connections, when wanted.
    pub tls: Option<Tls>,
    /// FastDFS's protocols, when they are wanted.
    pub fastdfs: Option<FastDfs>,
    /// The doors for operators, when they are wanted.
    pub operator: Option<Operator>,
    /// The folder of the file, which relative paths were resolved against.
    pub base: PathBuf,
}

/// The administrator the cluster starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The user's name.
    pub name: String,
    /// Holds the user's secret.
    pub secret_file: PathBuf,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Its number: `id` in the file, or its place in the list, counted from 1.
    pub id: ServerId,
    /// Its name, unique.
    pub name: ServerName,
    /// What it is for.
    pub role: Role,
    /// Where it listens.
    pub address: SocketAddr,
    /// The folders it keeps its files in: one for an mserver, one a disk for a dserver.
    pub space: Vec<PathBuf>,
    /// What fails together with it: copies go to different zones while there are enough.
    pub zone: String,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Between pings of a peer.
    pub ping_every_ms: u64,
    /// A peer is lost when nothing came from it for this long.
    pub silence_ms_max: u64,
    /// A dial ends after this.
    pub dial_ms_max: u64,
    /// A handshake ends after this.
    pub handshake_ms_max: u64,
    /// Between heartbeats of a Raft leader.
    pub heartbeat_ms: u64,
    /// The least a Raft follower waits for a leader.
    pub election_ms: u64,
}

/// How blocks and names are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Copies of each block.
    pub copies: u16,
    /// Copies a volume must have in sync to take writes.
    pub copies_min: u16,
    /// Block size of a file that names none.
    pub block_bytes: u64,
    /// Size of one log segment.
    pub segment_bytes: u64,
    /// Space left free on each disk.
    pub reserve_bytes: u64,
    /// Volumes each dserver takes part in.
    pub volumes_per_dserver: u16,
    /// How long deleted and replaced files stay in the trash, seconds; 0 keeps none.
    pub trash_s: u64,
    /// A dserver that is away for longer has its copies made elsewhere, seconds.
    pub replace_after_s: u64,
}

/// Files for TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain this end shows.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that signed the other ends' certificates.
    pub authority: PathBuf,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            ping_every_ms: 500,
            silence_ms_max: 2_000,
            dial_ms_max: 1_000,
            handshake_ms_max: 2_000,
            heartbeat_ms: 200,
            election_ms: 1_000,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            copies: 3,
            copies_min: 2,
            block_bytes: 4 << 20,
            segment_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            volumes_per_dserver: 4,
            trash_s: 24 * 60 * 60,
            replace_after_s: 10 * 60,
        }
    }
}

impl Config {
    /// Reads and checks a file. Reads no secret.
    ///
    /// # Errors
    /// The first mistake, with file, line, column, key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            file: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a file as if it had been read from `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mistake = match file::parse(text) {
            Ok(file) => match check::check(file, path.parent().unwrap_or(Path::new(""))) {
                Ok(config) => return Ok(config),
                Err(problem) => problem.located(text),
            },
            Err(mistake) => mistake,
        };
        Err(ConfigError::Mistake {
            file: path.to_owned(),
            mistake: Box::new(mistake),
        })
    }

    /// The server of this number.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&ServerConfig> {
        self.servers.iter().find(|server| server.id == id)
    }

    /// The server of this name.
    #[must_use]
    pub fn server_named(&self, name: &str) -> Option<&ServerConfig> {
        self.servers
            .iter()
            .find(|server| server.name.as_str() == name)
    }

    /// The servers of this role, by number.
    pub fn servers_of(&self, role: Role) -> impl Iterator<Item = &ServerConfig> {
        self.servers
            .iter()
            .filter(move |server| server.role == role)
    }

    /// Reads the cluster's secret.
    ///
    /// # Errors
    /// When the file cannot be read or the secret is too short.
    pub fn cluster_secret(&self) -> Result<ClusterSecret, SecretError> {
        ClusterSecret::from_file(&self.secret_file)
    }

    /// Reads the first administrator's key.
    ///
    /// # Errors
    /// When the file cannot be read or the secret is too short.
    pub fn admin_key(&self) -> Result<UserKey, SecretError> {
        UserKey::from_file(&self.admin.secret_file)
    }

    /// The file of the secret that links to files of FastDFS clients are signed with; `None` when
    /// they need no token.
    #[must_use]
    pub fn link_secret_file(&self) -> Option<&PathBuf> {
        self.fastdfs.as_ref()?.link_secret.as_ref()
    }

    /// Reads the secret in [`Config::link_secret_file`].
    ///
    /// # Errors
    /// When the file cannot be read or the secret is too short or too long.
    pub fn link_secret(&self) -> Result<Option<LinkSecret>, SecretError> {
        let file = self.link_secret_file();
        file.map(|file| LinkSecret::from_file(file)).transpose()
    }
}
