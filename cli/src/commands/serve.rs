//! `serve`: one server in this process until it is told to stop.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use sdfs_server::{LogDial, Server, ServerError, joining_config};
use sdfs_server_group::Config;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Global, ServeArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::logs::Logs;
use crate::session;
use crate::supervise::{MALLOC_ARENAS, MALLOC_ARENAS_VARIABLE};

/// How long a clean stop may take; what is not done by then was never acknowledged.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A disk with less than this free is full: a write of an engine may have needed as much.
const FULL_BYTES: u64 = 4 << 20;

/// Runs the server; returns when it has stopped.
pub(crate) async fn run(global: &Global, args: &ServeArgs, logs: Logs) -> Outcome {
    if let Some(parent) = args.parent {
        follow(parent)?;
    }
    with_few_heaps()?;
    let mut config = session::config(global)?;
    let mut stops = Stops::listen()?;
    if !args.join.is_empty() {
        let transport = config.transport()?;
        let joining = joining_config(&config, &args.name, &args.join, transport);
        config = tokio::select! {
            joined = joining => joined?,
            () = stops.next() => return Ok(()),
        };
    }
    let Logs { dial, spans } = logs;
    if let Some(server) = config.server_named(&args.name) {
        spans.open(&config, server)?;
    }
    let ended = serve(config, args, dial, stops).await;
    if ended.is_ok() {
        // Whoever asked twice, and whoever looks for what went wrong, does not want to wait.
        spans.close();
    }
    ended
}

async fn serve(
    config: Arc<Config>,
    args: &ServeArgs,
    dial: Option<LogDial>,
    mut stops: Stops,
) -> Outcome {
    let spaces = spaces(&config, &args.name);
    let started = Server::start_with(config, &args.name, dial).await;
    let mut server = started.map_err(|error| or_no_room(error, &spaces))?;
    tracing::info!(server = %args.name, "started");
    tokio::select! {
        () = stops.next() => {}
        ended = server.ended() => {
            ended.map_err(|error| or_no_room(error, &spaces))?;
            tracing::info!(server = %args.name, "stopped at its console");
            return Ok(());
        }
    }
    tracing::info!(server = %args.name, "stopping");
    let stopped = tokio::time::timeout(STOP_WITHIN, server.stop());
    tokio::select! {
        stopped = stopped => match stopped {
            Ok(stopped) => stopped?,
            Err(_) => {
                let what = format!("{} did not stop within {STOP_WITHIN:?}", args.name);
                return Err(Failure::new(Code::ServerDied, what));
            }
        },
        // Asked twice: whoever asks does not want to wait.
        () = stops.next() => return Err(ServerError::Ended.into()),
    }
    tracing::info!(server = %args.name, "stopped");
    Ok(())
}

/// Where a server keeps its files.
fn spaces(config: &Config, name: &str) -> Vec<PathBuf> {
    let server = config.server_named(name);
    server.map_or_else(Vec::new, |server| server.space.clone())
}

/// A server whose files cannot be used has lost nothing when its disk is just full: the parts
/// beneath only know that a write failed.
fn or_no_room(error: ServerError, spaces: &[PathBuf]) -> Failure {
    let is_of_other_version = error.is_of_other_version();
    let failure = Failure::from(error);
    if failure.code != Code::Damaged || is_of_other_version {
        return failure;
    }
    let is_full = |space: &&PathBuf| {
        rustix::fs::statvfs(space.as_path())
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BYTES)
    };
    let Some(space) = spaces.iter().find(is_full) else {
        return failure;
    };
    let what = format!("the disk of {} is full: {}", space.display(), failure.what);
    Failure::new(Code::NoRoom, what).advise(
        "Make room on that disk and start the server again, its space as it is: only when it is \
         refused then is something lost",
    )
}

/// What tells a process to stop: SIGTERM, and SIGINT as from Ctrl-C.
pub(crate) struct Stops {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stops {
    /// Begins to listen; from now on the signals do not end the process by themselves.
    pub(crate) fn listen() -> Outcome<Stops> {
        let fault = |error| Failure::system("listen to signals", &error);
        Ok(Stops {
            terminate: signal(SignalKind::terminate()).map_err(fault)?,
            interrupt: signal(SignalKind::interrupt()).map_err(fault)?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Has this process told to stop when the process that started it ends, however that ends.
fn follow(parent: u32) -> Outcome {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::system("follow the starting process", &error.into()))?;
    // It may have ended before the line above.
    let present = getppid().map(Pid::as_raw_pid);
    if present.and_then(|pid| u32::try_from(pid).ok()) == Some(parent) {
        return Ok(());
    }
    Err(Failure::new(
        Code::ServerDied,
        "the process that started this server is gone",
    ))
}

/// Starts this program again in the same process with fewer heaps, unless it is so already:
/// glibc reads the number only once, before `main`.
fn with_few_heaps() -> Outcome {
    if std::env::var_os(MALLOC_ARENAS_VARIABLE).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::system("find this program's own file", &error))?;
    let mut command = Command::new(&program);
    command
        .args(std::env::args_os().skip(1))
        .env(MALLOC_ARENAS_VARIABLE, MALLOC_ARENAS);
    Err(Failure::local("start", &program, &command.exec()))
}
