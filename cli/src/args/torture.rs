//! Arguments of `torture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    /// How long clients work and faults come
    #[arg(long, value_name = "M", default_value = "1", value_parser = parse_minutes)]
    pub(crate) minutes: f64,
    /// Which faults
    #[arg(long, value_enum, default_value_t = FaultsArg::Mixed)]
    pub(crate) faults: FaultsArg,
    /// End after so many faults, if that is sooner
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u64>,
    /// Clients at work at the same time
    #[arg(long, value_name = "N", default_value = "8")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,
    /// Plan the same faults and the same work again; else a new one, which is told
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Write the report, one HTML file, here; else to torture-SEED.html
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Keep the folder of the servers; it is kept anyhow when something is wrong
    #[arg(long)]
    pub(crate) keep: bool,
    /// This process has network and mounts of its own
    #[arg(long, hide = true)]
    pub(crate) apart: bool,
}

/// Which faults come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultsArg {
    /// Kills, freezes, cuts, a full disk, and now and then all servers killed at once.
    Mixed,
    /// One server after the other no longer reaches one other, in every ordered pair.
    OneWay,
    /// All servers are killed at once, again and again.
    Power,
    /// None.
    None,
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok();
    let minutes = minutes.filter(|minutes| (0.0..=10_000.0).contains(minutes));
    minutes.ok_or_else(|| format!("'{text}' is no number of minutes from 0 to 10000"))
}
