//! Arguments of the commands that say who belongs to the cluster.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use sdfs_server_group::Role;

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The new server's name
    #[arg(long, value_name = "SERVER")]
    pub(crate) name: String,
    /// What it is for
    #[arg(long, value_enum)]
    pub(crate) role: RoleArg,
    /// Where it will listen
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) address: SocketAddr,
    /// What fails together with it: copies go to different zones
    #[arg(long, value_name = "ZONE", default_value = "default")]
    pub(crate) zone: String,
}

/// What a server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Agrees on names.
    Mserver,
    /// Keeps blocks.
    Dserver,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::Mserver => Role::Mserver,
            RoleArg::Dserver => Role::Dserver,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// The dserver
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
    /// Wait until it is gone
    #[arg(long)]
    pub(crate) wait: bool,
}
