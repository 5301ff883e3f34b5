//! One running server, assembled from the configuration, and whole clusters inside a process.
//!
//! Holds the control thread of a server, the way a call takes to the part that answers it, what the
//! list of servers means for it, the clean stop, and what a cluster needs before it can start (a
//! configuration, secrets, free ports). Holds nothing of what a server does: that is in the roles.

mod audit;
mod cluster;
mod config_file;
mod error;
mod fastdfs;
mod follow;
mod guest;
mod hands;
mod limits;
mod list;
mod operator;
mod ports;
mod role;
mod route;
mod running;
mod secrets;
mod server;
mod space;
mod status;

pub use cluster::{Cluster, ClusterOptions, missing_of};
pub use config_file::write_config;
pub use error::{ClusterError, Outsider, ServerError};
pub use guest::{GuestError, joining_config};
pub use hands::LogDial;
pub use ports::free_ports;
pub use running::{Outside, Running};
pub use secrets::make_missing_secrets;
pub use server::Server;
pub use space::LOCK_FILE;

pub use sdfs_console::{CLUSTER_LOGIN_LABEL, HELP, HandsFault, Help, greeting_of, signed_text};
pub use sdfs_net_layer::raise_descriptor_limit;

pub use sdfs_mserver::{LogKept, StartError as MserverStartError};
