//! The command line of `bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::DurabilityArg;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::units::{parse_duration, parse_size};

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to do
    #[arg(value_enum)]
    pub(crate) work: Work,
    /// Size of each file
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) size: Option<u64>,
    /// How many operations, instead of how long; for ls, names in the directory
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) seconds: Option<Duration>,
    /// Operations at the same time
    #[arg(long, value_name = "N", default_value = "64")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,
    /// When a block counts as stored
    #[arg(long, value_enum, default_value_t = DurabilityArg::Synced)]
    pub(crate) durability: DurabilityArg,
    /// The directory to work in, made when absent; what is made there stays. Else a new one,
    /// deleted at the end
    #[arg(long, value_name = "PATH")]
    pub(crate) directory: Option<String>,
    /// Do not measure this machine first
    #[arg(long)]
    pub(crate) no_limits: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Creates of files by the nine-step negotiation.
    Create,
    /// Whole files stored.
    Put,
    /// Whole files read and verified.
    Get,
    /// Names listed.
    Ls,
    /// 60 % get, 20 % put, 10 % stat, 5 % list, 5 % delete.
    Mixed,
}

impl Work {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Put => "put",
            Work::Get => "get",
            Work::Ls => "ls",
            Work::Mixed => "mixed",
        }
    }
}

/// How long a work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many operations.
    Count(u64),
    /// So long.
    Time(Duration),
}

/// Time measured when neither a count nor a time is given.
const TIME_USUAL: Duration = Duration::from_secs(5);
/// Size of a file when none is given.
const SIZE_USUAL: u64 = 4 * 1024;
/// Names listed when no count is given.
const NAMES_USUAL: u64 = 10_000;

impl BenchArgs {
    /// How long it goes on.
    pub(crate) fn extent(&self) -> Outcome<Extent> {
        match (self.count, self.seconds) {
            (_, time) if self.work == Work::Ls => Ok(Extent::Time(time.unwrap_or(TIME_USUAL))),
            (Some(_), Some(_)) => Err(Failure::new(
                Code::Usage,
                "--count says how many, --seconds how long: give one of them",
            )),
            (Some(count), None) => Ok(Extent::Count(count)),
            (None, time) => Ok(Extent::Time(time.unwrap_or(TIME_USUAL))),
        }
    }

    /// Bytes of each file.
    pub(crate) fn size_bytes(&self) -> u64 {
        match (self.size, self.work) {
            (Some(size), _) => size,
            (None, Work::Create | Work::Ls) => 0,
            (None, _) => SIZE_USUAL,
        }
    }

    /// Names in the directory that is listed.
    pub(crate) fn names(&self) -> u64 {
        self.count.unwrap_or(NAMES_USUAL)
    }
}
