//! Arguments of the commands that say who belongs to the cluster.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use sdfs_server_group::Role;

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The new server's name
    #[arg(long, value_name = "SERVER", required_unless_present = "replace")]
    pub(crate) name: Option<String>,
    /// What it is for
    #[arg(long, value_enum, required_unless_present = "replace")]
    pub(crate) role: Option<RoleArg>,
    /// Where it will listen
    #[arg(long, value_name = "IP:PORT", required_unless_present = "replace")]
    pub(crate) address: Option<SocketAddr>,
    /// A mserver that has lost its disk: the others forget it, so that it can come back empty
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["name", "role", "address", "zone"])]
    pub(crate) replace: Option<String>,
    /// Wait until a replaced mserver may be started
    #[arg(long, requires = "replace")]
    pub(crate) wait: bool,
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
