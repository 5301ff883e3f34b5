//! One server as a child process.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sdfs_server_group::{Role, ServerConfig};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStderr, Command};

use super::log_file;
use crate::args::LogTo;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::warn;

/// glibc gives each thread up to this many heaps of its own: two keep a server's idle memory
/// small, and nearly all of its allocations are on one thread anyhow.
pub(crate) const MALLOC_ARENAS: &str = "2";
/// The variable glibc reads that from.
pub(crate) const MALLOC_ARENAS_VARIABLE: &str = "MALLOC_ARENA_MAX";

/// The children's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildLog {
    /// `server.log` in the server's first space, or this process's standard error, each line
    /// after the server's name.
    pub(crate) to: LogTo,
    /// Whether each line is an object.
    pub(crate) is_json: bool,
}

impl ChildLog {
    /// As text, in files.
    pub(crate) const TEXT: ChildLog = ChildLog {
        to: LogTo::Files,
        is_json: false,
    };
}

/// A server that runs as a child of this process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    role: Role,
    address: String,
    pid: Option<Pid>,
    log: Option<PathBuf>,
    process: tokio::process::Child,
    is_killed: bool,
}

/// A child, as `up --json` tells.
#[derive(Debug, Serialize)]
pub(crate) struct ChildView<'a> {
    name: &'a str,
    role: Role,
    address: &'a str,
    pid: Option<i32>,
    log: Option<&'a Path>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which server.
    pub(crate) name: String,
    status: Option<ExitStatus>,
    /// The last sentence it said.
    last_word: Option<String>,
    too_slow: Option<Duration>,
    is_asked: bool,
}

impl Child {
    /// Starts the server `server` of the configuration file, by the words of `through` if there
    /// are any: a program that becomes this one.
    pub(crate) fn start(
        server: &ServerConfig,
        config: &Path,
        log: ChildLog,
        through: &[String],
    ) -> Outcome<Child> {
        let name = server.name.to_string();
        let own = std::env::current_exe()
            .map_err(|error| Failure::system("find this program's own file", &error))?;
        let own = own.into_os_string();
        let mut words = through.iter().map(OsString::from).chain([own]);
        let program = PathBuf::from(words.next().unwrap_or_default());
        let mut command = Command::new(&program);
        command
            .args(words)
            .args(["serve", "--name", &name, "--parent"])
            .arg(std::process::id().to_string());
        command.arg("--config").arg(config);
        if log.is_json {
            command.arg("--log-json");
        }
        command.env(MALLOC_ARENAS_VARIABLE, MALLOC_ARENAS);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        // A group of its own: Ctrl-C reaches this process alone, which then stops the servers.
        command.process_group(0);
        let path = match log.to {
            LogTo::Stderr => {
                command.stderr(Stdio::piped());
                None
            }
            LogTo::Files => {
                let (path, file) = log_file::open(server)?;
                command.stderr(file);
                Some(path)
            }
        };
        let mut process = command
            .spawn()
            .map_err(|error| Failure::local("start", &program, &error))?;
        if let Some(lines) = process.stderr.take() {
            let prefix = match log.is_json {
                true => String::new(),
                false => format!("{name}: "),
            };
            tokio::spawn(pass_on(prefix, lines));
        }
        let pid = process
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).unwrap_or(0)));
        let (role, address) = (server.role, server.address.to_string());
        Ok(Child {
            name,
            role,
            address,
            pid,
            log: path,
            process,
            is_killed: false,
        })
    }

    /// Which server it is.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid.map(Pid::as_raw_pid)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What a program may know of it.
    pub(crate) fn view(&self) -> ChildView<'_> {
        ChildView {
            name: &self.name,
            role: self.role,
            address: &self.address,
            pid: self.pid(),
            log: self.log.as_deref(),
        }
    }

    /// Tells it to stop (SIGTERM).
    pub(crate) fn ask_to_stop(&self) -> Outcome {
        self.signal(Signal::TERM)
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) -> Outcome {
        self.is_killed = true;
        self.signal(Signal::KILL)
    }

    /// Stops it in its tracks (SIGSTOP): its connections stay open.
    pub(crate) fn freeze(&self) -> Outcome {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&self) -> Outcome {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Outcome {
        // The id is its own until it was waited for, and `id` tells so.
        let Some(pid) = self.pid.filter(|_| self.process.id().is_some()) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                let what = format!("cannot signal {}: {error}", self.name);
                Err(Failure::new(Code::Local, what))
            }
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        // An error means the system has no such child any more: it has ended.
        let status = self.process.wait().await.ok();
        Ended {
            name: self.name.clone(),
            status,
            last_word: self.log.as_deref().and_then(log_file::last_word),
            too_slow: None,
            is_asked: self.is_killed,
        }
    }
}

impl Ended {
    /// Whether it ended as it should.
    pub(crate) fn is_clean(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// It had to be killed after so long.
    pub(crate) fn too_slow(self, waited: Duration) -> Ended {
        Ended {
            too_slow: Some(waited),
            ..self
        }
    }

    /// The failure this is for whoever needed the server.
    pub(crate) fn failure(&self) -> Failure {
        let code = match self.status.and_then(|status| status.code()) {
            Some(code) if code == i32::from(Code::Config.number()) => Code::Config,
            Some(code) if code == i32::from(Code::Local.number()) => Code::Local,
            Some(code) if code == i32::from(Code::NoRoom.number()) => Code::NoRoom,
            _ => Code::ServerDied,
        };
        Failure::new(code, self.to_string())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended", self.name)?;
        match (self.too_slow, self.status) {
            (Some(waited), _) => write!(f, ": killed, as it did not stop within {waited:?}")?,
            (None, Some(status)) => match (status.code(), status.signal()) {
                (Some(0), _) => f.write_str(" by itself")?,
                (Some(code), _) => write!(f, " with exit code {code}")?,
                (None, Some(9)) => f.write_str(", killed by SIGKILL")?,
                (None, Some(signal)) => write!(f, ", killed by signal {signal}")?,
                (None, None) => {}
            },
            (None, None) => {}
        }
        match &self.last_word {
            Some(word) if !self.is_clean() && !self.is_asked => write!(f, ": {word}"),
            _ => Ok(()),
        }
    }
}

/// Copies a child's log to this process's standard error.
async fn pass_on(prefix: String, stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        warn(&format!("{prefix}{line}"));
    }
}
