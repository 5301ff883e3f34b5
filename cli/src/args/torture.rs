//! Arguments of `torture`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    /// How long clients work and faults come; one minute, or until all `--rounds` are done
    #[arg(long, value_name = "M", value_parser = parse_minutes)]
    pub(crate) minutes: Option<f64>,
    /// Which faults
    #[arg(long, value_enum, default_value_t = FaultsArg::Mixed)]
    pub(crate) faults: FaultsArg,
    /// End after so many faults, if that is sooner
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u64>,
    /// How long each fault lasts, as in 30s; else what is usual for its kind, a few seconds
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_duration)]
    pub(crate) lasts: Option<Duration>,
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

/// Longer than anybody waits: as good as no bound.
const MINUTES_MAX: f64 = 10_000.0;

impl TortureArgs {
    /// How long clients work and faults come, minutes.
    pub(crate) fn minutes(&self) -> f64 {
        let has_rounds = self.rounds.is_some() && self.faults != FaultsArg::None;
        let usual = if has_rounds { MINUTES_MAX } else { 1.0 };
        self.minutes.unwrap_or(usual)
    }
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok();
    let minutes = minutes.filter(|minutes| (0.0..=MINUTES_MAX).contains(minutes));
    minutes.ok_or_else(|| format!("'{text}' is no number of minutes from 0 to {MINUTES_MAX}"))
}
