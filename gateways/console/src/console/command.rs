//! What a line asks for. Pure: words in, command or a sentence of what is wrong out.

use std::net::SocketAddr;

use sdfs_types::calls::trace_paths::TracedPath;
use sdfs_types::{FilePath, PathFault, Role};

use super::help::HELP;
use super::words::{WordsFault, words};
use crate::limits::{EVENTS_KEPT, NAMES_SHOWN_MAX};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing was typed.
    Nothing,
    Help(Option<String>),
    Json(bool),
    Quit,
    Status,
    Servers,
    Rtt,
    Groups,
    Volumes,
    Spaces,
    Files {
        path: FilePath,
        after: Option<String>,
    },
    Stat(FilePath),
    Blocks(FilePath),
    Explain(FilePath),
    Users,
    Events(usize),
    Config,
    Top,
    Sessions,
    Slow,
    Locks,
    Follow,
    Audit(usize),
    Heal,
    Scrub,
    Maintenance,
    Traced,
    /// Something that changes.
    Change(Change),
}

impl Command {
    /// Whether a server without a majority may answer it with what is over.
    pub(crate) fn may_be_old(&self) -> bool {
        matches!(
            self,
            Command::Status
                | Command::Groups
                | Command::Volumes
                | Command::Heal
                | Command::Scrub
                | Command::Maintenance
        )
    }
}

/// Something that changes, for administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    HealPause,
    HealStart,
    HealLimit(Option<u64>),
    ScrubStart,
    Drain(String),
    DrainStop(String),
    Rebalance,
    RebalanceStop,
    Join(Newcomer),
    Leave(String),
    Replace(String),
    TransferLeader { group: u8, to: String },
    Log { level: String, target: String },
    LogUsual,
    Snapshot,
    TraceOn(TracedPath),
    TraceOff(TracedPath),
    Stop(String),
}

/// A server that is to be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newcomer {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) address: SocketAddr,
    pub(crate) zone: String,
}

impl Change {
    /// The name to be typed once more before it is done.
    pub(crate) fn to_confirm(&self) -> Option<&str> {
        match self {
            Change::Drain(name)
            | Change::Leave(name)
            | Change::Replace(name)
            | Change::Stop(name) => Some(name),
            Change::TransferLeader { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandFault {
    #[error(transparent)]
    Words(#[from] WordsFault),
    #[error("there is no command {0:?}; `help` lists them")]
    Unknown(String),
    #[error("usage: {0}")]
    Usage(&'static str),
    #[error(transparent)]
    Path(#[from] PathFault),
    #[error("{what} {text:?} is not {allowed}")]
    Value {
        what: &'static str,
        text: String,
        allowed: &'static str,
    },
}

/// Levels of the log, loudest last.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Where our own log lines come from.
const OWN_TARGET: &str = "sdfs";

/// Reads a line.
pub(crate) fn command(line: &str) -> Result<Command, CommandFault> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, rest)) = words.split_first() else {
        return Ok(Command::Nothing);
    };
    let usage = || CommandFault::Usage(usage_of(name));
    let looked = look(name, rest)?;
    match looked.or(change(name, rest)?.map(Command::Change)) {
        Some(command) => Ok(command),
        None if HELP.iter().any(|help| help.name == *name) => Err(usage()),
        None => Err(CommandFault::Unknown(short(name))),
    }
}

fn usage_of(name: &str) -> &'static str {
    let help = HELP.iter().find(|help| help.name == name);
    help.map_or("help", |help| help.usage)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Commands that only look.
fn look(name: &str, rest: &[&str]) -> Result<Option<Command>, CommandFault> {
    Ok(Some(match (name, rest) {
        ("help", []) => Command::Help(None),
        ("help", [name]) => Command::Help(Some((*name).to_owned())),
        ("json", ["on"]) => Command::Json(true),
        ("json", ["off"]) => Command::Json(false),
        ("quit" | "exit", []) => Command::Quit,
        ("status", []) => Command::Status,
        ("servers", []) => Command::Servers,
        ("rtt", []) => Command::Rtt,
        ("groups", []) => Command::Groups,
        ("volumes", []) => Command::Volumes,
        ("spaces", []) => Command::Spaces,
        ("files", []) => Command::Files {
            path: FilePath::root(),
            after: None,
        },
        ("files", [path]) => Command::Files {
            path: FilePath::parse(path)?,
            after: None,
        },
        ("files", [path, "after", after]) => Command::Files {
            path: FilePath::parse(path)?,
            after: Some((*after).to_owned()),
        },
        ("stat", [path]) => Command::Stat(FilePath::parse(path)?),
        ("blocks", [path]) => Command::Blocks(FilePath::parse(path)?),
        ("explain", [path]) => Command::Explain(FilePath::parse(path)?),
        ("users", []) => Command::Users,
        ("events", []) => Command::Events(20),
        ("events", ["follow"]) => Command::Follow,
        ("events", [count]) => Command::Events(number(count, EVENTS_KEPT)?),
        ("config", []) => Command::Config,
        ("top", []) => Command::Top,
        ("sessions", []) => Command::Sessions,
        ("slow", []) => Command::Slow,
        ("locks", []) => Command::Locks,
        ("audit", []) => Command::Audit(20),
        ("audit", [count]) => Command::Audit(number(count, NAMES_SHOWN_MAX)?),
        ("heal", []) => Command::Heal,
        ("scrub", []) => Command::Scrub,
        ("maintenance", []) => Command::Maintenance,
        ("trace", []) => Command::Traced,
        _ => return Ok(None),
    }))
}

fn change(name: &str, rest: &[&str]) -> Result<Option<Change>, CommandFault> {
    let owned = |text: &&str| (*text).to_owned();
    Ok(Some(match (name, rest) {
        ("heal", ["pause"]) => Change::HealPause,
        ("heal", ["start"]) => Change::HealStart,
        ("heal", ["limit", "off"]) => Change::HealLimit(None),
        ("heal", ["limit", rate]) => Change::HealLimit(Some(size(rate)?)),
        ("scrub", ["start"]) => Change::ScrubStart,
        ("drain", ["stop", server]) => Change::DrainStop(owned(server)),
        ("drain", [server]) => Change::Drain(owned(server)),
        ("rebalance", []) => Change::Rebalance,
        ("rebalance", ["stop"]) => Change::RebalanceStop,
        ("join", [name, role, address, zone]) => Change::Join(Newcomer {
            name: owned(name),
            role: role_of(role)?,
            address: address_of(address)?,
            zone: owned(zone),
        }),
        ("leave", [server]) => Change::Leave(owned(server)),
        ("replace", [server]) => Change::Replace(owned(server)),
        ("transfer-leader", [group, server]) => Change::TransferLeader {
            group: group_of(group)?,
            to: owned(server),
        },
        ("snapshot", []) => Change::Snapshot,
        ("log", ["usual"]) => Change::LogUsual,
        ("log", [level]) => Change::Log {
            level: level_of(level)?,
            target: OWN_TARGET.to_owned(),
        },
        ("log", [level, target]) => Change::Log {
            level: level_of(level)?,
            target: target_of(target)?,
        },
        ("trace", ["on", path]) => Change::TraceOn(TracedPath::parse(path)?),
        ("trace", ["off", path]) => Change::TraceOff(TracedPath::parse(path)?),
        ("stop", [server]) => Change::Stop(owned(server)),
        _ => return Ok(None),
    }))
}

fn value(what: &'static str, text: &str, allowed: &'static str) -> CommandFault {
    CommandFault::Value {
        what,
        text: short(text),
        allowed,
    }
}

fn number(text: &str, max: usize) -> Result<usize, CommandFault> {
    let number = text.parse().ok().filter(|number| *number > 0);
    let number: usize = number.ok_or_else(|| value("the count", text, "a whole number above 0"))?;
    Ok(number.min(max))
}

fn size(text: &str) -> Result<u64, CommandFault> {
    let fault = || {
        value(
            "the rate",
            text,
            "bytes a second, as 1048576 or 64KiB or 50MiB",
        )
    };
    let (digits, scale) = if let Some(digits) = text.strip_suffix("KiB") {
        (digits, 10)
    } else if let Some(digits) = text.strip_suffix("MiB") {
        (digits, 20)
    } else if let Some(digits) = text.strip_suffix("GiB") {
        (digits, 30)
    } else {
        (text, 0)
    };
    let number: u64 = digits.parse().map_err(|_| fault())?;
    number.checked_mul(1 << scale).ok_or_else(fault)
}

fn role_of(text: &str) -> Result<Role, CommandFault> {
    match text {
        "mserver" => Ok(Role::Mserver),
        "dserver" => Ok(Role::Dserver),
        _ => Err(value("the role", text, "mserver or dserver")),
    }
}

fn address_of(text: &str) -> Result<SocketAddr, CommandFault> {
    let fault = |_| value("the address", text, "IP:PORT, for example 10.0.0.7:7201");
    text.parse().map_err(fault)
}

fn group_of(text: &str) -> Result<u8, CommandFault> {
    if text == "root" {
        return Ok(0);
    }
    text.parse()
        .map_err(|_| value("the group", text, "root or a number that `groups` shows"))
}

fn level_of(text: &str) -> Result<String, CommandFault> {
    let level = LEVELS.iter().find(|level| **level == text);
    let level = level.map(|level| (*level).to_owned());
    level.ok_or_else(|| value("the level", text, "off, error, warn, info, debug or trace"))
}

fn target_of(text: &str) -> Result<String, CommandFault> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    if !text.is_empty() && text.len() <= 100 && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(value("the target", text, "a module, for example sdfs_raft"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_commands() {
        let path = |text| FilePath::parse(text).expect("a path");
        let table = [
            ("", Command::Nothing),
            ("status", Command::Status),
            ("stat \"/a b\"", Command::Stat(path("/a b"))),
            ("heal", Command::Heal),
            (
                "heal limit 64KiB",
                Command::Change(Change::HealLimit(Some(65_536))),
            ),
            (
                "drain stop d-1",
                Command::Change(Change::DrainStop("d-1".to_owned())),
            ),
            (
                "transfer-leader root m-2",
                Command::Change(Change::TransferLeader {
                    group: 0,
                    to: "m-2".to_owned(),
                }),
            ),
            ("events 9999", Command::Events(EVENTS_KEPT)),
            ("trace", Command::Traced),
            (
                "trace on \"/a b/\"",
                Command::Change(Change::TraceOn(TracedPath {
                    path: path("/a b"),
                    is_with_below: true,
                })),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(command(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        let said = |line: &str| command(line).expect_err(line).to_string();
        assert_eq!(
            said("frobnicate"),
            "there is no command \"frobnicate\"; `help` lists them"
        );
        assert_eq!(said("stat"), "usage: stat PATH");
        assert_eq!(
            said("heal limit 7x"),
            "the rate \"7x\" is not bytes a second, as 1048576 or 64KiB or 50MiB"
        );
        assert_eq!(
            said("events 0"),
            "the count \"0\" is not a whole number above 0"
        );
        assert!(said("log loud").contains("off, error"));
        assert!(said("log debug a=b").contains("a module"));
        assert!(said("join d-4 dserver nowhere c").contains("IP:PORT"));
    }

    #[test]
    fn every_command_has_its_help() {
        for help in HELP {
            let said = command(&format!("{} {}", help.name, "x ".repeat(9)));
            assert_eq!(said, Err(CommandFault::Usage(help.usage)), "{}", help.name);
        }
    }

    #[test]
    fn dangerous_changes_are_confirmed() {
        for (line, name) in [
            ("drain d-1", Some("d-1")),
            ("leave d-1", Some("d-1")),
            ("replace m-1", Some("m-1")),
            ("stop m-1", Some("m-1")),
            ("transfer-leader 1 m-2", Some("m-2")),
            ("heal pause", None),
        ] {
            let Ok(Command::Change(change)) = command(line) else {
                unreachable!("{line} is a change");
            };
            assert_eq!(change.to_confirm(), name, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>()) {
            drop(command(&line));
        }
    }
}
