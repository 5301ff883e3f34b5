//! What a caller may ask for.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_net_layer::{TcpTransport, Transport};
use sdfs_server_group::{Config, UserKey};
use sdfs_types::calls::blocks::Durability;
use sdfs_types::calls::names::{FileOptions, Freshness};
use sdfs_types::{Attributes, BlockSize, RequestId};

use crate::error::Error;
use crate::limits::TIMEOUT;

/// How a client knows the servers.
#[derive(Clone, Debug)]
pub enum Servers {
    /// From the cluster's configuration.
    Config(Arc<Config>),
    /// By addresses of mservers, one at least; the others are learned from them.
    Mservers(Vec<SocketAddr>),
}

/// What a client is made of.
#[derive(Clone)]
pub struct ClientOptions {
    /// The servers.
    pub servers: Servers,
    /// The user's name: the access key.
    pub user: String,
    /// The key of the user's secret.
    pub key: UserKey,
    /// Talk to this mserver only, by its name; `None` takes the nearest that answers.
    pub via: Option<String>,
    /// How long one operation may take. A transfer of blocks may take as long as it needs, but
    /// ends when the cluster stores or gives nothing of it for so long; waiting for its source or
    /// destination does not count.
    pub timeout: Duration,
    /// When a written block is acknowledged.
    pub durability: Durability,
    /// How servers are reached.
    pub transport: Arc<dyn Transport>,
}

impl ClientOptions {
    /// For a user who knows the secret, over plain TCP, with every default.
    pub fn new(servers: Servers, user: &str, key: UserKey) -> ClientOptions {
        ClientOptions {
            servers,
            user: user.to_owned(),
            key,
            via: None,
            timeout: TIMEOUT,
            durability: Durability::default(),
            transport: Arc::new(TcpTransport),
        }
    }

    /// For the first administrator of a configuration.
    ///
    /// # Errors
    /// When the administrator's secret file or the files for TLS cannot be read.
    pub fn of_admin(config: Arc<Config>) -> Result<ClientOptions, Error> {
        let key = config.admin_key()?;
        let user = config.admin.name.clone();
        ClientOptions::of_config(config, &user, key)
    }

    /// For a user of the cluster of a configuration, with TLS when it says so.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub fn of_config(
        config: Arc<Config>,
        user: &str,
        key: UserKey,
    ) -> Result<ClientOptions, Error> {
        let transport = config.transport()?;
        let servers = Servers::Config(config);
        Ok(ClientOptions {
            transport,
            ..ClientOptions::new(servers, user, key)
        })
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("servers", &self.servers)
            .field("user", &self.user)
            .field("via", &self.via)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// What a single operation asks for beside its arguments; see [`crate::Client::with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions {
    /// How long it may take, a transfer without progress; `None` takes the client's.
    pub timeout: Option<Duration>,
    /// The request id of one change; `None` makes a new one. Given again with the same change,
    /// it is answered with the first outcome and nothing is done twice.
    pub request: Option<RequestId>,
    /// How fresh an answer must be.
    pub freshness: Freshness,
    /// When a written block is acknowledged; `None` takes the client's.
    pub durability: Option<Durability>,
    /// What to do when a block was changed by somebody else since it was looked at.
    pub on_conflict: OnConflict,
}

/// What to do when a block was changed by somebody else since it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Look again and write again: the last writer wins, and a partial write keeps what the
    /// other one wrote around it.
    #[default]
    WriteAgain,
    /// Fail with [`sdfs_types::Refusal::Conflict`]: only what was looked at is replaced.
    Fail,
}

/// What a new file of a declared size is to be like.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Its size; it reads as zeros.
    pub size_bytes: u64,
    /// Size of its blocks; `None` chooses by its size.
    pub block_size: Option<BlockSize>,
    /// Attributes kept with it.
    pub attributes: Attributes,
    /// Make missing directories on the way.
    pub make_parents: bool,
    /// Bring back the timeline of the create.
    pub explain: bool,
}

/// How a whole file is stored.
#[derive(Clone, Debug)]
pub struct PutOptions {
    /// Whether a file of that name is replaced; else it is refused with `Exists`.
    pub replace: bool,
    /// The size when it is known before: chooses the block size of very large files.
    pub size_bytes: Option<u64>,
    /// Size of its blocks; `None` chooses by its size.
    pub block_size: Option<BlockSize>,
    /// Attributes kept with it.
    pub attributes: Attributes,
    /// Make missing directories on the way.
    pub make_parents: bool,
    /// Keep a BLAKE3 digest of the content with the file.
    pub digest: bool,
}

impl Default for PutOptions {
    /// Replaces, makes no directories, keeps the digest.
    fn default() -> PutOptions {
        PutOptions {
            replace: true,
            size_bytes: None,
            block_size: None,
            attributes: Attributes::new(),
            make_parents: false,
            digest: true,
        }
    }
}

impl PutOptions {
    pub(crate) fn file(&self) -> FileOptions {
        FileOptions {
            block_size: self.block_size,
            attributes: self.attributes.clone(),
            make_parents: self.make_parents,
        }
    }
}
