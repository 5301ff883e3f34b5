//! Arguments of the commands about files of FastDFS clients.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::units::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum FastdfsCommand {
    /// Print the link that gives a file over HTTP, signed where config.conf wants that; no server
    /// is asked, not even whether the file is there
    #[command(
        after_help = "Examples:\n  sdfs fastdfs link group1/M00/00/01/AgAAAGkr..1234567.jpg\n  \
                      curl -O \"$(sdfs fastdfs link group1/M00/00/01/AgAAAGkr..1234567.jpg \
                      --valid 2m)\"\n\n\
                      Exit codes: 0 printed; 1 no dserver is of the id's group, or of that name; \
                      2 that is no id, or --valid is too long; 3 config.conf opens no HTTP door, \
                      or its link_secret cannot be used"
    )]
    Link(LinkArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// The file's id, as an upload gave it: GROUP/M00/00/00/NAME
    pub(crate) id: String,
    /// How long the link is good; link_ttl_s of config.conf at most, and unless given
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) valid: Option<Duration>,
    /// The dserver it leads to; else the first one of the id's group
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<String>,
}
