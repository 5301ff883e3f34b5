//! Arguments of the commands that store and read files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::units::parse_size;

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The local file or folder, or - for standard input
    pub(crate) source: PathBuf,
    /// Its name in the cluster; a name that ends in / is a directory to put it in
    pub(crate) name: Option<String>,
    /// Store a folder with everything in it
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Make missing directories on the way
    #[arg(short, long)]
    pub(crate) parents: bool,
    /// Refuse when the name exists
    #[arg(long)]
    pub(crate) no_replace: bool,
    /// Send nothing of a content the cluster has, and keep it once: such a file is never changed,
    /// only replaced
    #[arg(long)]
    pub(crate) instant: bool,
    /// Size of the file's blocks, a power of two from 64KiB to 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) block_size: Option<u64>,
    /// When a block counts as stored
    #[arg(long, value_enum, default_value_t = DurabilityArg::Synced)]
    pub(crate) durability: DurabilityArg,
}

/// When a block counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// On disk at every copy.
    Synced,
    /// In memory at every copy and on its way to disk.
    Replicated,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The file or directory in the cluster
    pub(crate) name: String,
    /// The local file or folder, or - for standard output; else its name in this folder
    pub(crate) target: Option<PathBuf>,
    /// Read a directory with everything in it
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Refuse when the local file exists
    #[arg(long)]
    pub(crate) no_replace: bool,
}
