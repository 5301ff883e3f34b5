//! A failed command: one sentence of what happened, one of what to do, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;

use sdfs_client::{CopyCause, Error};
use sdfs_net_layer::TlsError;
use sdfs_server::{ClusterError, ServerError};
use sdfs_server_group::{Config, ConfigError, RefusalReason, SecretError, StartError};
use sdfs_types::{PathFault, Refusal};

use crate::exit::Code;

const TLS_ADVICE: &str = "Check the files of `tls` in config.conf";

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed, as its user reads it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) code: Code,
    /// What happened.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
    /// The refusal behind it: whoever knows the servers can say it with their names.
    pub(crate) refusal: Option<Box<Refusal>>,
}

impl Failure {
    /// Without advice.
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Failure {
        Failure {
            code,
            what: what.into(),
            advice: None,
            refusal: None,
        }
    }

    /// With the names of servers in place of their numbers, as far as the configuration has them.
    pub(crate) fn named(mut self, config: &Path) -> Failure {
        if let Some(refusal) = &self.refusal
            && let Ok(config) = Config::load(config)
        {
            let name_of = |id| config.server(id).map(|server| server.name.to_string());
            self.what = self
                .what
                .replace(&refusal.to_string(), &refusal.told(name_of));
        }
        self
    }

    /// With what to do about it.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Failure {
        Failure {
            advice: Some(advice.into()),
            ..self
        }
    }

    /// A local file that cannot be used; `doing` is a verb: `read`, `write`, `make`.
    pub(crate) fn local(doing: &str, path: &Path, error: &io::Error) -> Failure {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoRoom,
            _ => Code::Local,
        };
        Failure::new(
            code,
            format!("cannot {doing} {}: {}", path.display(), plain(error)),
        )
    }

    /// Something of the system that failed without a file's name.
    pub(crate) fn system(doing: &str, error: &io::Error) -> Failure {
        Failure::new(Code::Local, format!("cannot {doing}: {}", plain(error)))
    }
}

/// The system's words without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let cut = text.find(" (os error").unwrap_or(text.len());
    text[..cut].to_lowercase()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, ". {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Failure {
        Failure::new(Code::Config, error.to_string()).advise(TLS_ADVICE)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let failure = Failure::new(Code::Config, error.to_string());
        match error {
            ConfigError::Unreadable { .. } => {
                failure.advise("Name the file with --config, or run in its folder")
            }
            _ => failure,
        }
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        let advice = match &error {
            SecretError::Unreadable { .. } => {
                "`sdfs up` makes missing secret files; check `secret_file` and \
                 `admin.secret_file` in config.conf, or give --secret-file"
            }
            SecretError::TooLong { .. } => "Write a shorter one, the same on every server",
            _ => "Write a longer one, the same on every server",
        };
        Failure::new(Code::Config, error.to_string()).advise(advice)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let what = error.to_string();
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Unknown { .. } => Failure::new(Code::Unknown, what)
                .advise("Look with `sdfs stat` or `sdfs ls` whether it was done"),
            Error::Deadline { .. } | Error::Stalled { .. } => Failure::new(Code::Unreachable, what)
                .advise("Is the cluster up? `sdfs status` tells; --timeout waits longer"),
            Error::Unreachable { .. } | Error::Lost { .. } => Failure::new(Code::Unreachable, what)
                .advise("Start the cluster with `sdfs up`, or check the addresses in config.conf"),
            Error::Login { reason, .. } => login(what, &reason),
            Error::Untrusted(_) => Failure::new(Code::Refused, what)
                .advise("Check `cluster` and the secret files in config.conf"),
            Error::UnknownServer { .. } | Error::NotMserver { .. } => {
                Failure::new(Code::Usage, what).advise("--via takes a mserver of config.conf")
            }
            Error::NoMserver => Failure::new(Code::Config, what),
            Error::Secret(error) => error.into(),
            Error::Tls(_) => Failure::new(Code::Config, what).advise(TLS_ADVICE),
            Error::NoCopy {
                last: CopyCause::Corrupt,
                ..
            } => Failure::new(Code::Damaged, what),
            Error::NoCopy { .. } => Failure::new(Code::NotNow, what)
                .advise("`sdfs status` tells which dservers are missing"),
            Error::OutOfRange { .. } => Failure::new(Code::Usage, what),
            Error::Source(error) => Failure::system("read the source", &error),
            Error::Destination(error) => Failure::system("write the destination", &error),
            Error::Replaced { .. } => Failure::new(Code::NotNow, what).advise("Read it again"),
            Error::NoVersion { .. } => Failure::new(Code::Refused, what),
            _ => Failure::new(Code::Fault, what),
        }
    }
}

fn login(what: String, reason: &RefusalReason) -> Failure {
    let (code, advice) = match reason {
        RefusalReason::OtherCluster(_) => (
            Code::Config,
            "Check `cluster` and the server's address in config.conf",
        ),
        RefusalReason::OtherVersion(_) => {
            (Code::Refused, "Use the same version of sdfs as the servers")
        }
        RefusalReason::WrongProof => (
            Code::Refused,
            "Check --user and --secret-file, or `admin.secret_file` in config.conf",
        ),
        RefusalReason::Stopping | RefusalReason::NotReady => {
            (Code::NotNow, "Ask another server with --via")
        }
        _ => (Code::Refused, "`sdfs status` tells more"),
    };
    Failure::new(code, what).advise(advice)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let what = refusal.to_string();
        let (code, advice) = match &refusal {
            Refusal::NotFound { .. } | Refusal::Gone { .. } | Refusal::NoSuchUser { .. } => {
                (Code::NotFound, "")
            }
            Refusal::NotInTrash { .. } => (Code::NotFound, "`sdfs trash ls` shows what is"),
            Refusal::Exists { .. } => (Code::Refused, "Take another name, or delete it first"),
            Refusal::NotEmpty { .. } => (Code::Refused, "`rm -r` takes its entries along"),
            Refusal::Denied { .. } => (
                Code::Refused,
                "An administrator can change that with `sdfs user add`",
            ),
            Refusal::Quota { .. } => (Code::Refused, "`sdfs quota` shows and sets it"),
            Refusal::Path(_) | Refusal::OutOfRange { .. } => (Code::Usage, ""),
            Refusal::NoQuorum { .. }
            | Refusal::NoVolume { .. }
            | Refusal::Busy { .. }
            | Refusal::TooFewCopies { .. }
            | Refusal::TooFewServers { .. } => (
                Code::NotNow,
                "`sdfs status` tells which servers are missing",
            ),
            Refusal::ServerExists { .. } => (
                Code::Refused,
                "Take another name and address, or let that one leave with `sdfs leave`",
            ),
            Refusal::NoSuchServer { .. } => (Code::NotFound, "`sdfs status` shows who there is"),
            Refusal::NoSpace { .. } | Refusal::VolumesFull { .. } => (
                Code::NoRoom,
                "Free some, add a disk to its `space`, or lower `reserve_bytes`",
            ),
            Refusal::Corrupt => (Code::Damaged, ""),
            Refusal::Unknown { .. } => (Code::Unknown, ""),
            Refusal::DiskFailed { .. } => (Code::NotNow, "Replace the disk of that server"),
            _ => (Code::Refused, ""),
        };
        let failure = Failure {
            refusal: Some(Box::new(refusal)),
            ..Failure::new(code, what)
        };
        if advice.is_empty() {
            failure
        } else {
            failure.advise(advice)
        }
    }
}

impl From<PathFault> for Failure {
    fn from(fault: PathFault) -> Failure {
        Failure::new(Code::Usage, fault.to_string())
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Failure {
        let what = error.to_string();
        match &error {
            ServerError::UnknownServer { .. } => Failure::new(Code::Usage, what),
            ServerError::Space { source, server, .. } => {
                let code = match source.kind() {
                    io::ErrorKind::StorageFull => Code::NoRoom,
                    _ => Code::Local,
                };
                let advice = format!("Check `space` of {server} in config.conf");
                Failure::new(code, what).advise(advice)
            }
            ServerError::SpaceInUse { server, .. } => {
                let advice = format!("Is {server} running already?");
                Failure::new(Code::Local, what).advise(advice)
            }
            ServerError::Group(StartError::Bind { .. }) => Failure::new(Code::Local, what)
                .advise("Is the server running already? Else change its `address` in config.conf"),
            ServerError::Tls(_) => Failure::new(Code::Config, what).advise(TLS_ADVICE),
            ServerError::Group(StartError::Secret(_)) => Failure::new(Code::Config, what)
                .advise("Check `secret_file` in config.conf; `sdfs up` makes it when absent"),
            ServerError::Mserver(sdfs_server::MserverStartError::Secret(_)) => {
                Failure::new(Code::Config, what).advise(
                    "Check `admin.secret_file` in config.conf; `sdfs up` makes it when absent",
                )
            }
            other if other.is_of_other_version() => Failure::new(Code::Damaged, what)
                .advise("Start the version that wrote it; keep the directory as it is"),
            ServerError::Mserver(sdfs_server::MserverStartError::Raft(_))
            | ServerError::Store(_)
            | ServerError::Raft(_) => Failure::new(Code::Damaged, what).advise(
                "A mserver whose disk is lost comes back by `sdfs join --replace SERVER`, given \
                 while the others run, and an empty space",
            ),
            ServerError::Mserver(_) => Failure::new(Code::Damaged, what),
            ServerError::Outsider(_) => Failure::new(Code::Outside, what),
            ServerError::Secret(_) => {
                Failure::new(Code::Config, what).advise("Check the secret files in config.conf")
            }
            ServerError::Failed => Failure::new(Code::Fault, what),
            _ => Failure::new(Code::Local, what),
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Failure {
        let what = error.to_string();
        match error {
            ClusterError::Config(error) => error.into(),
            ClusterError::Secret(error) => error.into(),
            ClusterError::Server(error) => error.into(),
            ClusterError::NotReady { .. } => Failure::new(Code::NotNow, what),
            _ => Failure::new(Code::Local, what),
        }
    }
}
