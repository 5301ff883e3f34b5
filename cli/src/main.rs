//! `sdfs`: the one program. Reads the command line, runs one command, ends with its exit code.
//!
//! Holds what people see: words, tables, progress, exit codes, child processes. Holds nothing of
//! how files are stored: that is behind the client and the servers.

mod args;
mod bench;
mod commands;
mod console;
mod demo;
mod doctor;
mod exit;
mod failure;
mod fastdfs;
mod import;
mod local_read;
mod local_write;
mod log_repeats;
mod logs;
mod output;
mod panic_hook;
mod progress;
mod session;
mod spans;
mod supervise;
mod table;
mod tally;
mod top;
mod torture;
mod units;
mod verify;
mod view;
mod walk;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use mimalloc::MiMalloc;

use crate::args::{Cli, Command};
use crate::commands::serve::Stops;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::logs::Logs;
use crate::output::Output;

/// A server makes many short-lived allocations: with the C library's allocator they are a tenth of
/// its time, and `sdfs bench create` does a sixth less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages for all it may ever use; they double an idle server's
    // memory and make nothing faster. Where they cannot be refused the server runs as well.
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or(());
    panic_hook::install();
    let cli = command_line();
    let out = Output::new(cli.global.json);
    let (usual, server) = match &cli.command {
        Command::Serve(args) => (logs::OF_A_SERVER, Some(args.name.as_str())),
        _ => (logs::OF_A_COMMAND, None),
    };
    let logs = logs::start(usual, cli.global.log_json, server);
    // Servers, benchmarks and tortures hold many connections.
    let descriptors = sdfs_server::raise_descriptor_limit();
    tracing::debug!(descriptors, "files and connections this process may open");
    let config = cli.global.config.clone();
    match run(cli, out, logs) {
        Ok(()) => Code::Done.into(),
        Err(failure) => {
            let failure = failure.named(&config);
            out.fail(&failure);
            failure.code.into()
        }
    }
}

/// Prints usage errors and help itself, with exit code 2 and 0.
fn command_line() -> Cli {
    let matches = Cli::command().get_matches();
    let is_config_named = matches.value_source("config") == Some(ValueSource::CommandLine);
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.global.is_config_named = is_config_named;
    cli
}

/// One runtime on this thread: whatever is done at the same time is done by futures.
fn run(cli: Cli, out: Output, logs: Logs) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("start the runtime", &error))?;
    runtime.block_on(command(cli, out, logs))
}

async fn command(cli: Cli, out: Output, logs: Logs) -> Outcome {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => demo::run(args, out).await,
        Command::Up(args) => commands::up::run(global, args, out).await,
        Command::Serve(args) => commands::serve::run(global, args, logs).await,
        Command::CheckConfig => commands::check_config::run(global, out),
        Command::Put(args) => or_interrupt(commands::put::run(global, args, out)).await,
        Command::Get(args) => or_interrupt(commands::get::run(global, args, out)).await,
        Command::Import(command) => or_interrupt(import::run(global, command, out)).await,
        Command::Bench(args) => bench::run(global, args, out).await,
        Command::Torture(args) => torture::run(global, args, out).await,
        Command::Ls(args) => commands::ls::run(global, args, out).await,
        Command::Rm(args) => commands::names::rm(global, args, out).await,
        Command::Trash(command) => commands::trash::run(global, command, out).await,
        Command::Mv(args) => commands::names::mv(global, args, out).await,
        Command::Mkdir(args) => commands::names::mkdir(global, args, out).await,
        Command::Stat(args) => commands::stat::run(global, args, out).await,
        Command::Create(args) => commands::create::run(global, args, out).await,
        Command::Status(args) => commands::status::run(global, args, out).await,
        Command::Join(args) => commands::servers::join(global, args, out).await,
        Command::Leave(args) => commands::servers::leave(global, args, out).await,
        Command::Heal(command) => commands::heal::run(global, command, out).await,
        Command::Drain(args) => commands::maintenance::drain(global, args, out).await,
        Command::Rebalance(args) => commands::maintenance::rebalance(global, args, out).await,
        Command::Verify(args) => or_interrupt(verify::run(global, args, out)).await,
        Command::Scrub(args) => commands::scrub::run(global, args, out).await,
        Command::Console(args) => console::run(global, args, out),
        Command::Top(args) => top::run(global, args, out).await,
        Command::Doctor(args) => doctor::run(global, args, out).await,
        Command::Fastdfs(command) => commands::fastdfs::run(global, command, out),
        Command::Completions(args) => commands::shell::completions(args.shell),
        Command::Man => commands::shell::man(),
        Command::User(command) => commands::user::run(global, command, out).await,
        Command::Quota(args) => commands::quota::run(global, args, out).await,
    }
}

/// Drops a long command when the process is told to stop, so that what it has half done locally
/// is taken away.
async fn or_interrupt(work: impl Future<Output = Outcome>) -> Outcome {
    let mut stops = Stops::listen()?;
    tokio::select! {
        done = work => done,
        () = stops.next() => Err(Failure::new(Code::Interrupted, "interrupted")),
    }
}
