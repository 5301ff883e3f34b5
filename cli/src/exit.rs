//! The exit codes of `sdfs`, one a cause a script can act on. The table is the documentation:
//! `sdfs --help` prints it.

use std::fmt;

/// What a run of `sdfs` ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Code {
    /// Everything asked for was done.
    Done = 0,
    /// What was asked for does not exist.
    NotFound = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The configuration or a secret file cannot be used.
    Config = 3,
    /// No server answers.
    Unreachable = 4,
    /// A server refuses, and will again.
    Refused = 5,
    /// It may have been done or not.
    Unknown = 6,
    /// Stored bytes, or those to be imported, do not match their checksums.
    Damaged = 7,
    /// No room is left.
    NoRoom = 8,
    /// The cluster cannot do it now.
    NotNow = 9,
    /// A file, folder or port of this machine cannot be used.
    Local = 10,
    /// A server ended that should run.
    ServerDied = 11,
    /// Something is stored that is nobody's.
    LeftOver = 12,
    /// The server does not belong to the cluster.
    Outside = 13,
    /// The cluster did what it promises not to do.
    Broken = 14,
    /// `sdfs` itself is wrong.
    Fault = 70,
    /// Told to stop before it was done.
    Interrupted = 130,
}

/// Each code with its sentence, in order.
const TABLE: &[(Code, &str)] = &[
    (Code::Done, "done"),
    (Code::NotFound, "not found: no such file, directory or user"),
    (Code::Usage, "usage: the command line cannot be understood"),
    (
        Code::Config,
        "configuration: config.conf or a secret file cannot be used",
    ),
    (
        Code::Unreachable,
        "unreachable: no server answered in time; nothing was changed",
    ),
    (
        Code::Refused,
        "refused: it exists, is not empty, or the user or quota does not allow it",
    ),
    (
        Code::Unknown,
        "unknown: it may have been done or not; look before you repeat it",
    ),
    (
        Code::Damaged,
        "damaged: no copy, or no file to be imported, with the right checksum could be read",
    ),
    (Code::NoRoom, "no room: a disk is full"),
    (
        Code::NotNow,
        "not now: too few servers for it at present; nothing was changed",
    ),
    (
        Code::Local,
        "local: a file, folder or port of this machine cannot be used",
    ),
    (Code::ServerDied, "a server ended that should run"),
    (
        Code::LeftOver,
        "left over: blocks or records are stored that are no file's",
    ),
    (
        Code::Outside,
        "outside: this server has left the cluster, or is not expected in it",
    ),
    (
        Code::Broken,
        "broken: a torture found what the cluster promises not to do",
    ),
    (Code::Fault, "a fault in sdfs itself; please report it"),
    (Code::Interrupted, "interrupted by Ctrl-C or SIGTERM"),
];

impl Code {
    /// The number a shell sees.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The table, for `--help`.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, sentence) in TABLE {
        text.push_str(&format!("  {:>3}  {sentence}\n", code.number()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(table().contains("  130  interrupted"));
    }
}
