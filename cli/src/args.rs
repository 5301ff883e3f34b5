//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod console;
mod content;
mod fastdfs;
mod import;
mod servers;
mod torture;
mod upkeep;

use crate::bench::args::BenchCommand;
use crate::exit;
use crate::units::{parse_duration, parse_size};
pub(crate) use console::{CompletionsArgs, ConsoleArgs, DoctorArgs, TopArgs};
pub(crate) use content::{DurabilityArg, GetArgs, PutArgs};
pub(crate) use fastdfs::{FastdfsCommand, LinkArgs};
pub(crate) use import::{ImportCommand, ImportFastdfsArgs, PathArg};
pub(crate) use servers::{JoinArgs, LeaveArgs};
pub(crate) use torture::{FaultsArg, TortureArgs};
pub(crate) use upkeep::{DrainArgs, HealCommand, RebalanceArgs, VerifyArgs};

/// Stores files on several machines and keeps them through the loss of any one.
#[derive(Debug, Parser)]
#[command(
    name = "sdfs",
    version,
    after_help = after_help(),
    after_long_help = after_help(),
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn after_help() -> String {
    let examples = "Examples:\n  \
        sdfs demo                     see a whole cluster work, and lose servers\n  \
        sdfs up                       start every server of ./config.conf\n  \
        sdfs put photo.jpg            store a file as /photo.jpg\n  \
        sdfs get /photo.jpg - | view  read it back";
    format!("{examples}\n\n{}", exit::table())
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The cluster's configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "config.conf"
    )]
    #[arg(help_heading = "Global options")]
    pub(crate) config: PathBuf,
    /// Whether the command line says so
    #[arg(skip)]
    pub(crate) is_config_named: bool,
    /// Print one JSON value instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// How long one operation may take, a transfer without progress: 500ms, 30s, 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Global options")]
    pub(crate) timeout: Duration,
    /// The mserver to talk to; else the nearest that answers
    #[arg(
        long,
        global = true,
        value_name = "SERVER",
        help_heading = "Global options"
    )]
    pub(crate) via: Option<String>,
    /// The user; else the administrator of the configuration
    #[arg(long, global = true, value_name = "NAME", requires = "secret_file")]
    #[arg(help_heading = "Global options")]
    pub(crate) user: Option<String>,
    /// The file with the user's secret
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) secret_file: Option<PathBuf>,
    /// Write logs as JSON; SDFS_LOG=debug shows more of them
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a whole cluster at work: store, read, lose servers, measure
    #[command(after_help = "Example: sdfs demo photo.jpg")]
    Demo(DemoArgs),
    /// Start every server of the configuration on this machine
    #[command(after_help = "Example: sdfs up   (Ctrl-C stops all of them)")]
    Up(UpArgs),
    /// Run one server of the configuration
    #[command(after_help = "Examples:\n  sdfs serve --name mserver-1\n  \
                            sdfs serve --name dserver-4 --join 10.0.0.1:7101")]
    Serve(ServeArgs),
    /// Store a file; - is standard input
    #[command(
        after_help = "Examples:\n  sdfs put photo.jpg\n  sdfs put photo.jpg /2026/\n  \
                            sdfs put -r pictures /\n  tar c . | sdfs put - /backup.tar"
    )]
    Put(PutArgs),
    /// Read a file; - is standard output
    #[command(
        after_help = "Examples:\n  sdfs get /photo.jpg\n  sdfs get /backup.tar - | tar x\n  \
                            sdfs get -r /pictures ."
    )]
    Get(GetArgs),
    /// List a directory
    #[command(after_help = "Example: sdfs ls -l /pictures")]
    Ls(LsArgs),
    /// Delete files, and directories with -r; files can be restored from the trash for a while
    #[command(after_help = "Examples:\n  sdfs rm -r /pictures/old\n  sdfs rm --now /secret.txt")]
    Rm(RmArgs),
    /// Show, restore or empty what was deleted or replaced
    #[command(subcommand)]
    Trash(TrashCommand),
    /// Give a file or directory another name
    #[command(after_help = "Example: sdfs mv /photo.jpg /pictures/")]
    Mv(MvArgs),
    /// Make directories
    #[command(after_help = "Example: sdfs mkdir -p /pictures/2026/may")]
    Mkdir(MkdirArgs),
    /// Show what is known of a name
    #[command(after_help = "Example: sdfs stat /photo.jpg")]
    Stat(StatArgs),
    /// Create a file of a declared size that reads as zeros
    #[command(after_help = "Example: sdfs create /disk.img --size 4GiB --explain")]
    Create(CreateArgs),
    /// Take over the files of another store, with the names they have there
    #[command(subcommand)]
    Import(ImportCommand),
    /// Show how every server is
    #[command(after_help = "Example: sdfs status --json | jq '.servers[].name'")]
    Status(StatusArgs),
    /// Have a new server expected, or a mserver that lost its disk; it is started after that
    #[command(after_help = "Examples:\n  \
                            sdfs join --name dserver-4 --role dserver --address 10.0.0.7:7201\n  \
                            sdfs join --replace mserver-2 --wait")]
    Join(JoinArgs),
    /// Make every copy of a dserver elsewhere, then take it out of the cluster for good
    #[command(after_help = "Example: sdfs leave dserver-1 --wait")]
    Leave(LeaveArgs),
    /// Show which copies are missing, and hold or slow the making of them
    #[command(subcommand)]
    Heal(HealCommand),
    /// Take every copy away from a dserver, so that it may be stopped for good
    #[command(after_help = "Example: sdfs drain dserver-4 --wait && systemctl stop sdfs")]
    Drain(DrainArgs),
    /// Move copies from dservers with many volumes to those with few
    #[command(after_help = "Example: sdfs rebalance --wait")]
    Rebalance(RebalanceArgs),
    /// Read and verify every copy of everything, now
    #[command(after_help = "Examples:\n  sdfs scrub --wait\n  sdfs scrub --status --json")]
    Scrub(ScrubArgs),
    /// Compare names, records and every copy; list what differs and what is nobody's
    #[command(
        after_help = "Examples:\n  sdfs verify /pictures\n  sdfs verify --json\n  \
                            sdfs verify --repair --older-than 48h"
    )]
    Verify(VerifyArgs),
    /// Add, remove and list users
    #[command(subcommand)]
    User(UserCommand),
    /// Show, set or lift the quota of a directory
    #[command(after_help = "Example: sdfs quota /home/ann --files 10000 --bytes 50GiB")]
    Quota(QuotaArgs),
    /// Check a configuration without starting anything
    #[command(after_help = "Example: sdfs check-config --config /etc/sdfs/config.conf")]
    CheckConfig,
    /// Measure this machine's limits, then the cluster against them
    #[command(
        after_help = "Examples:\n  sdfs bench create --count 20000 --concurrency 64\n  \
                            sdfs bench put --size 4KiB --seconds 10 --json"
    )]
    Bench(BenchCommand),
    /// Open the console of a server, or type one line there
    #[command(after_help = "Examples:\n  sdfs console\n  \
                            sdfs console dserver-1 --command 'log debug'\n  \
                            echo events | sdfs console --json")]
    Console(ConsoleArgs),
    /// Show what every server is doing, each second
    #[command(after_help = "Example: sdfs top")]
    Top(TopArgs),
    /// Look for what is wrong with the cluster, and say what to do
    #[command(after_help = "Example: sdfs doctor --bundle sdfs-support.json")]
    Doctor(DoctorArgs),
    /// What concerns FastDFS clients
    #[command(subcommand)]
    Fastdfs(FastdfsCommand),
    /// Print what completes this program's commands in a shell
    #[command(after_help = "Example: sdfs completions bash > /etc/bash_completion.d/sdfs")]
    Completions(CompletionsArgs),
    /// Print this program's manual page
    #[command(after_help = "Example: sdfs man > /usr/local/share/man/man1/sdfs.1")]
    Man,
    /// Break a cluster on this machine under load, and check all that it said
    #[command(after_help = "Examples:\n  sdfs torture --minutes 10\n  \
                            sdfs torture --faults power --rounds 20\n  \
                            sdfs torture --config config.conf   (your cluster: load, no faults)")]
    Torture(TortureArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The file to store; else this program itself
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the servers' logs go; else each to server.log in its first space
    #[arg(long, value_enum, default_value_t = LogTo::Files)]
    pub(crate) log_to: LogTo,
    /// How long to wait for the cluster before giving up
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) ready_within: Duration,
}

/// Where the servers' logs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogTo {
    /// `server.log` in the first space of each server.
    Files,
    /// Standard error, each line after the server's name.
    Stderr,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Which server of the configuration
    #[arg(long, value_name = "SERVER")]
    pub(crate) name: String,
    /// Join a running cluster: the address of a mserver that tells who the servers are; several
    /// are asked in turn. `sdfs join` comes first
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) join: Vec<SocketAddr>,
    /// End when the process with this id, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) parent: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The directory
    #[arg(default_value = "/")]
    pub(crate) path: String,
    /// Show kind, size and time of creation
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Be content with what the asked mserver knows, which may be behind
    #[arg(long)]
    pub(crate) local: bool,
    /// Show at most this many entries
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to delete
    #[arg(required = true)]
    pub(crate) paths: Vec<String>,
    /// Delete directories with everything in them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Delete for good: nothing goes to the trash
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    /// List what was deleted or replaced and can be restored
    #[command(after_help = "Example: sdfs trash ls /pictures")]
    Ls(TrashLsArgs),
    /// Give a deleted or replaced file its name again, or another one
    #[command(after_help = "Examples:\n  sdfs trash restore /photo.jpg\n  \
                            sdfs trash restore 17.3 --to /photo.old.jpg\n  \
                            sdfs trash restore -r /pictures")]
    Restore(TrashRestoreArgs),
    /// Delete for good what is in the trash
    #[command(after_help = "Example: sdfs trash empty /pictures --older-than 1h")]
    Empty(TrashEmptyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TrashLsArgs {
    /// Only what had this name or lay below it
    #[arg(default_value = "/")]
    pub(crate) path: String,
    /// Show at most this many files
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TrashRestoreArgs {
    /// The name it had (the one deleted last), or the id that `trash ls` shows
    #[arg(value_name = "NAME-OR-ID")]
    pub(crate) what: String,
    /// The name it gets; a name that ends in / is a directory to put it in
    #[arg(long, value_name = "PATH", conflicts_with = "recursive")]
    pub(crate) to: Option<String>,
    /// Put it over a file of that name, which goes to the trash itself
    #[arg(long)]
    pub(crate) replace: bool,
    /// Restore everything that lay below the name: of each path what was deleted last
    #[arg(short, long)]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrashEmptyArgs {
    /// Only what had this name or lay below it
    #[arg(default_value = "/")]
    pub(crate) path: String,
    /// Only what has been in the trash for so long: 90s, 15m, 24h
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct MvArgs {
    /// The name it has
    pub(crate) from: String,
    /// The name it gets; a name that ends in / is a directory to move it to
    pub(crate) to: String,
    /// Refuse when the new name exists
    #[arg(long)]
    pub(crate) no_replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MkdirArgs {
    /// The directories
    #[arg(required = true)]
    pub(crate) paths: Vec<String>,
    /// Make missing directories on the way, and be content with those that exist
    #[arg(short, long)]
    pub(crate) parents: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// The name
    pub(crate) path: String,
    /// Be content with what the asked mserver knows, which may be behind
    #[arg(long)]
    pub(crate) local: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The file
    pub(crate) path: String,
    /// Its size
    #[arg(long, default_value = "0", value_parser = parse_size)]
    pub(crate) size: u64,
    /// Size of its blocks, a power of two from 64KiB to 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) block_size: Option<u64>,
    /// Make missing directories on the way
    #[arg(short, long)]
    pub(crate) parents: bool,
    /// Show who voted what, when, and what was decided where
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show the round-trip times between all servers
    #[arg(long)]
    pub(crate) rtt: bool,
    /// Show every volume
    #[arg(long)]
    pub(crate) volumes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScrubArgs {
    /// Wait until everything is verified; fails when damage is left
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show how far it is, begin nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) status: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or change one
    #[command(
        after_help = "Example: sdfs user add ann --new-secret-file ann.secret --right write:/ann"
    )]
    Add(UserAddArgs),
    /// Remove a user
    #[command(after_help = "Example: sdfs user rm ann")]
    Rm {
        /// Who
        name: String,
    },
    /// List users and their rights
    #[command(after_help = "Example: sdfs user ls")]
    Ls,
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    /// Who
    pub(crate) name: String,
    /// The file with the user's secret; made when absent. Without it a known user keeps his
    #[arg(long, value_name = "FILE")]
    pub(crate) new_secret_file: Option<PathBuf>,
    /// What the user may do where: read, write or admin, a colon, a path; as often as needed
    #[arg(long = "right", value_name = "RIGHT:PATH", required = true)]
    pub(crate) rights: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// The directory
    pub(crate) path: String,
    /// Files allowed below it
    #[arg(long, value_name = "N")]
    pub(crate) files: Option<u64>,
    /// Bytes allowed below it
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) bytes: Option<u64>,
    /// Lift the quota
    #[arg(long, conflicts_with_all = ["files", "bytes"])]
    pub(crate) lift: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        let mut commands: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        let nested: Vec<_> = commands
            .iter()
            .flat_map(|one| one.get_subcommands())
            .cloned()
            .collect();
        commands.retain(|one| !one.has_subcommands());
        commands.extend(nested);
        for mut command in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
