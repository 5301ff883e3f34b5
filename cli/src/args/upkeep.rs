//! Arguments of the commands that keep volumes and what is in them in order.

use std::time::Duration;

use clap::{Args, Subcommand};

use sdfs_types::limits::HEAL_BYTES_PER_S_MIN;

use crate::units::{parse_duration, parse_size, size};

#[derive(Debug, Subcommand)]
pub(crate) enum HealCommand {
    /// Show every copy that is missing: done, rate, time left
    #[command(after_help = "Example: sdfs heal status --wait && echo whole")]
    Status {
        /// Wait until every volume has every copy, and nothing is damaged
        #[arg(long)]
        wait: bool,
    },
    /// Make no copies until `heal start`
    #[command(after_help = "Example: sdfs heal pause")]
    Pause,
    /// Make copies again
    #[command(after_help = "Example: sdfs heal start")]
    Start,
    /// Set how much each dserver reads and copies to heal, also while it serves clients
    #[command(after_help = "Examples:\n  sdfs heal limit 50MiB/s\n  sdfs heal limit none")]
    Limit {
        /// Bytes a second as 50MiB or 50MiB/s, at least 64KiB/s, or none
        #[arg(value_parser = parse_rate)]
        rate: Rate,
    },
}

/// A bound on bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<u64>);

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate(None));
    }
    let bytes = parse_size(text.strip_suffix("/s").unwrap_or(text))?;
    if bytes < HEAL_BYTES_PER_S_MIN {
        return Err(format!(
            "at least {}/s: a block would take for ever; `sdfs heal pause` makes no copies",
            size(HEAL_BYTES_PER_S_MIN)
        ));
    }
    Ok(Rate(Some(bytes)))
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// What to verify; only all of it shows what is nobody's
    #[arg(default_value = "/")]
    pub(crate) path: String,
    /// Take away blocks and records that are nobody's; a put that runs for longer ends refused
    #[arg(long)]
    pub(crate) repair: bool,
    /// What is younger may still become somebody's: 90s, 15m, 24h; --repair frees nothing that is
    /// younger than 60s
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_duration)]
    pub(crate) older_than: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The dserver
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
    /// Wait until it keeps nothing any more
    #[arg(long)]
    pub(crate) wait: bool,
    /// It stays after all, and gets volumes again
    #[arg(long, conflicts_with = "wait")]
    pub(crate) stop: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    /// Wait until no move helps any more
    #[arg(long)]
    pub(crate) wait: bool,
    /// Move no more copies
    #[arg(long, conflicts_with = "wait")]
    pub(crate) stop: bool,
}
