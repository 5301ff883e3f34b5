//! The command line of `bench`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::args::DurabilityArg;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::units::{parse_duration, parse_size};

/// A work of sdfs's own, or one through another door.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BenchCommand {
    #[command(flatten)]
    pub(crate) own: Option<BenchArgs>,
    #[command(subcommand)]
    pub(crate) door: Option<BenchDoor>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchDoor {
    /// Small files through the FastDFS protocol, the tracker asked for each
    #[command(after_help = "Examples:\n  sdfs bench fastdfs upload --size 4KiB\n  \
                      sdfs bench fastdfs download --tracker 10.0.0.1:22122 --seconds 10 --json")]
    Fastdfs(FastdfsArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FastdfsArgs {
    /// What to do
    #[arg(value_enum)]
    pub(crate) work: FastdfsWork,
    /// A tracker, of any FastDFS server; else the mservers of config.conf
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) tracker: Option<SocketAddr>,
    /// Size of each file
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "4KiB")]
    pub(crate) size: u64,
    /// How many operations, instead of how long
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "count")]
    pub(crate) seconds: Option<Duration>,
    /// Connections; each asks a tracker and storages, one request at a time
    #[arg(long, value_name = "N", default_value = "16")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,
    /// Do not measure this machine first
    #[arg(long)]
    pub(crate) no_limits: bool,
}

/// What is measured of FastDFS's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FastdfsWork {
    /// Files stored.
    Upload,
    /// Files read and compared.
    Download,
    /// Files deleted, each once.
    Delete,
}

impl FastdfsWork {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FastdfsWork::Upload => "fastdfs upload",
            FastdfsWork::Download => "fastdfs download",
            FastdfsWork::Delete => "fastdfs delete",
        }
    }

    /// The work of sdfs's own that is bound by the same limits.
    pub(crate) fn like(self) -> Work {
        match self {
            FastdfsWork::Upload => Work::Put,
            FastdfsWork::Download => Work::Get,
            FastdfsWork::Delete => Work::Create,
        }
    }
}

impl FastdfsArgs {
    /// How long it goes on.
    pub(crate) fn extent(&self) -> Outcome<Extent> {
        match (self.work, self.count) {
            (FastdfsWork::Delete, _) if self.seconds.is_some() => Err(Failure::new(
                Code::Usage,
                "files are deleted once each: say --count",
            )),
            (FastdfsWork::Delete, count) => Ok(Extent::Count(count.unwrap_or(DELETES_USUAL))),
            (_, Some(count)) => Ok(Extent::Count(count)),
            (_, None) => Ok(Extent::Time(self.seconds.unwrap_or(TIME_USUAL))),
        }
    }

    /// How many files are stored first.
    pub(crate) fn prepared(&self) -> Extent {
        Extent::Count(match self.work {
            FastdfsWork::Upload => 0,
            FastdfsWork::Download => prepared_files(self.size),
            FastdfsWork::Delete => self.count.unwrap_or(DELETES_USUAL),
        })
    }
}

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
/// Files deleted when no count is given.
const DELETES_USUAL: u64 = 20_000;
/// Bytes stored so that there is something to read: more than a processor's cache.
const PREPARED_BYTES: u64 = 256 * 1024 * 1024;
/// At most so many files for that.
const PREPARED_FILES_MAX: u64 = 1_000;

/// How many files of a size are stored so that there is something to read.
pub(super) fn prepared_files(size_bytes: u64) -> u64 {
    (PREPARED_BYTES / size_bytes.max(1)).clamp(1, PREPARED_FILES_MAX)
}

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
