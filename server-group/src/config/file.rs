//! The file as it is written (RON), before its values are checked.

use std::collections::BTreeMap;

use ron::error::{Error, SpannedError};
use serde::Deserialize;

use super::error::Mistake;
use super::locate;
use super::{OperatorTls, Storage, Timers};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) cluster: String,
    pub(super) secret_file: String,
    pub(super) admin: FileAdmin,
    pub(super) servers: Vec<FileServer>,
    #[serde(default)]
    pub(super) timers: FileTimers,
    #[serde(default)]
    pub(super) storage: FileStorage,
    #[serde(default)]
    pub(super) tls: Option<FileTls>,
    #[serde(default)]
    pub(super) fastdfs: Option<FileFastDfs>,
    #[serde(default)]
    pub(super) operator: Option<FileOperator>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAdmin {
    pub(super) name: String,
    pub(super) secret_file: String,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum FileRole {
    Mserver,
    Dserver,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileServer {
    /// Absent: its place in the list.
    #[serde(default)]
    pub(super) id: Option<u64>,
    pub(super) name: String,
    pub(super) role: FileRole,
    pub(super) address: String,
    pub(super) space: Vec<String>,
    #[serde(default = "default_zone")]
    pub(super) zone: String,
    #[serde(default)]
    pub(super) group: Option<String>,
}

fn default_zone() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileTimers {
    pub(super) ping_every_ms: u64,
    pub(super) silence_ms_max: u64,
    pub(super) dial_ms_max: u64,
    pub(super) handshake_ms_max: u64,
    pub(super) heartbeat_ms: u64,
    pub(super) election_ms: u64,
}

impl Default for FileTimers {
    fn default() -> Self {
        let timers = Timers::default();
        Self {
            ping_every_ms: timers.ping_every_ms,
            silence_ms_max: timers.silence_ms_max,
            dial_ms_max: timers.dial_ms_max,
            handshake_ms_max: timers.handshake_ms_max,
            heartbeat_ms: timers.heartbeat_ms,
            election_ms: timers.election_ms,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileStorage {
    pub(super) copies: u64,
    pub(super) copies_min: u64,
    pub(super) block_bytes: u64,
    pub(super) segment_bytes: u64,
    pub(super) reserve_bytes: u64,
    pub(super) volumes_per_dserver: u64,
    pub(super) trash_s: u64,
    pub(super) replace_after_s: u64,
}

impl Default for FileStorage {
    fn default() -> Self {
        let storage = Storage::default();
        Self {
            copies: storage.copies.into(),
            copies_min: storage.copies_min.into(),
            block_bytes: storage.block_bytes,
            segment_bytes: storage.segment_bytes,
            reserve_bytes: storage.reserve_bytes,
            volumes_per_dserver: storage.volumes_per_dserver.into(),
            trash_s: storage.trash_s,
            replace_after_s: storage.replace_after_s,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTls {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) authority: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileFastDfs {
    pub(super) tracker_port: u64,
    pub(super) storage_port: u64,
    pub(super) http_port: Option<u64>,
    pub(super) link_secret: Option<String>,
    pub(super) link_ttl_s: u64,
    pub(super) group: String,
    pub(super) response_ip_addr_size: FileAddressWidth,
    pub(super) allow: Vec<String>,
    pub(super) tracker_allow: Option<Vec<String>>,
    pub(super) storage_allow: Option<Vec<String>>,
    pub(super) http_allow: Option<Vec<String>>,
    pub(super) advertise: Vec<FileAdvertised>,
    pub(super) tls: OperatorTls,
    pub(super) instant: Vec<String>,
}

impl Default for FileFastDfs {
    fn default() -> Self {
        Self {
            tracker_port: 22_122,
            storage_port: 23_000,
            http_port: None,
            link_secret: None,
            link_ttl_s: 600,
            group: "group1".to_owned(),
            response_ip_addr_size: FileAddressWidth::Auto,
            allow: Vec::new(),
            tracker_allow: None,
            storage_allow: None,
            http_allow: None,
            advertise: Vec::new(),
            tls: OperatorTls::Off,
            instant: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum FileAddressWidth {
    /// As the addresses of the servers need it.
    #[serde(rename = "auto")]
    Auto,
    IPv4,
    IPv6,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAdvertised {
    pub(super) to: String,
    pub(super) servers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileOperator {
    pub(super) listen: String,
    pub(super) http_port: u64,
    pub(super) console_port: u64,
    pub(super) allow: Vec<String>,
    pub(super) tls: OperatorTls,
    pub(super) spans_to: String,
}

impl Default for FileOperator {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1".to_owned(),
            http_port: 7_300,
            console_port: 7_400,
            allow: Vec::new(),
            tls: OperatorTls::Off,
            spans_to: String::new(),
        }
    }
}

/// Reads the text. A mistake of form names the line where reading stopped and the key there.
pub(super) fn parse(text: &str) -> Result<File, Mistake> {
    // A list entry's `id: 7` reads better than `id: Some(7)`.
    let options =
        ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    options
        .from_str(text)
        .map_err(|error| mistake_of(text, &error))
}

fn mistake_of(text: &str, error: &SpannedError) -> Mistake {
    let (line, column) = (error.span.start.line, error.span.start.col);
    let around = locate::key_at(text, line, column);
    let (key, allowed) = match &error.code {
        Error::NoSuchStructField {
            expected, found, ..
        } => (
            locate::sibling(&around, found),
            format!("one of {}", expected.join(", ")),
        ),
        Error::MissingStructField { field, .. } => (
            locate::missing_in(text, line, column, field),
            format!("'{field}' must be given"),
        ),
        Error::DuplicateStructField { field, .. } => {
            (locate::sibling(&around, field), "each key once".to_owned())
        }
        Error::NoSuchEnumVariant { expected, .. } => {
            (around, format!("one of {}", expected.join(", ")))
        }
        Error::IntegerOutOfBounds | Error::InvalidIntegerDigit { .. } | Error::ExpectedInteger => {
            (around, "a whole number, 0 or more".to_owned())
        }
        _ => (around, "what the shipped config.conf shows".to_owned()),
    };
    Mistake {
        line,
        column,
        key,
        what: error.code.to_string(),
        allowed,
    }
}
