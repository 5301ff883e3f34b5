//! Checks the values of a file and resolves its paths.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Mistake;
use super::file::{File, FileOperator, FileRole, FileServer, FileStorage, FileTimers};
use super::operator::{Operator, OperatorTls, most_on_one_machine};
use super::{
    Admin, Config, Groups, Network, ServerConfig, Storage, Timers, Tls, check_fastdfs, doors,
    locate,
};
use crate::ids::{Role, ServerId, ServerName};

/// Servers a full mesh is meant for; above, links grow faster than use.
const SERVERS_MAX: usize = 300;
/// Longest name of a server, a cluster or a zone, in bytes: it travels in every handshake.
const NAME_BYTES_MAX: usize = 64;
/// Longest stay in the trash, seconds: ten years. A longer one is a slip of units.
pub(super) const TRASH_S_MAX: u64 = 10 * 365 * 24 * 60 * 60;
/// Longest wait for a dserver that is away, seconds: a month. Longer is never meant: two of three
/// copies would have to last for it.
const REPLACE_AFTER_S_MAX: u64 = 30 * 24 * 60 * 60;
/// Longest name of a group, bytes: a field of FastDFS's protocol.
const GROUP_BYTES_MAX: usize = 16;

/// A wrong value, not yet found in the text.
#[derive(Debug)]
pub(super) struct Problem {
    key: String,
    what: String,
    allowed: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, what: String, allowed: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what,
            allowed: allowed.into(),
        }
    }

    /// The mistake with its place.
    pub(super) fn located(self, text: &str) -> Mistake {
        let (line, column) = locate::place_of(text, &self.key);
        Mistake {
            line,
            column,
            key: self.key,
            what: self.what,
            allowed: self.allowed,
        }
    }
}

pub(super) fn check(file: File, base: &Path) -> Result<Config, Problem> {
    name("cluster", &file.cluster)?;
    name("admin.name", &file.admin.name)?;
    let servers = servers(&file.servers, base)?;
    let storage = storage(&file.storage)?;
    let groups = groups(&file.servers, storage.copies)?;
    let tls = match &file.tls {
        None => None,
        Some(tls) => Some(Tls {
            certificate: path("tls.certificate", &tls.certificate, base)?,
            key: path("tls.key", &tls.key, base)?,
            authority: path("tls.authority", &tls.authority, base)?,
        }),
    };
    let config = Config {
        secret_file: path("secret_file", &file.secret_file, base)?,
        admin: Admin {
            secret_file: path("admin.secret_file", &file.admin.secret_file, base)?,
            name: file.admin.name,
        },
        timers: timers(&file.timers)?,
        storage,
        fastdfs: match &file.fastdfs {
            None => None,
            Some(part) => {
                certificates("fastdfs.tls", part.tls, file.tls.is_some())?;
                Some(check_fastdfs::fastdfs(part, &servers, &groups, base)?)
            }
        },
        operator: match &file.operator {
            None => None,
            Some(part) => Some(operator(part, &servers, file.tls.is_some())?),
        },
        cluster: file.cluster,
        servers,
        groups,
        tls,
        base: base.to_owned(),
    };
    doors::check_apart(&config)?;
    Ok(config)
}

fn name(key: &str, value: &str) -> Result<(), Problem> {
    if is_name(value) {
        return Ok(());
    }
    Err(Problem::new(
        key,
        format!("'{value}' is no name"),
        NAMES_ALLOWED,
    ))
}

/// Whether a server, a cluster or a zone may be called so.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_allowed)
}

/// What [`is_name`] allows, in words.
pub const NAMES_ALLOWED: &str = "1 to 64 letters, digits, '-', '_' or '.'";

pub(super) fn path(key: &str, value: &str, base: &Path) -> Result<PathBuf, Problem> {
    if value.is_empty() {
        let allowed = "a path, absolute or relative to this file";
        return Err(Problem::new(key, "the path is empty".to_owned(), allowed));
    }
    Ok(base.join(value))
}

pub(super) fn range<T>(key: &str, value: u64, allowed: RangeInclusive<u64>) -> Result<T, Problem>
where
    T: TryFrom<u64>,
{
    let text = format!("{} to {}", allowed.start(), allowed.end());
    let problem = || Problem::new(key, format!("{value} is out of range"), text);
    if !allowed.contains(&value) {
        return Err(problem());
    }
    T::try_from(value).map_err(|_| problem())
}

fn servers(entries: &[FileServer], base: &Path) -> Result<Vec<ServerConfig>, Problem> {
    if entries.is_empty() || entries.len() > SERVERS_MAX {
        let what = format!("{} servers are listed", entries.len());
        return Err(Problem::new(
            "servers",
            what,
            format!("1 to {SERVERS_MAX} servers"),
        ));
    }
    let mut servers = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        servers.push(server(place, entry, base)?);
    }
    unique(&servers, "name", |server| server.name.to_string())?;
    unique(&servers, "id", |server| server.id.to_string())?;
    unique(&servers, "address", |server| server.address.to_string())?;
    unique_spaces(&servers)?;
    if !servers.iter().any(|server| server.role == Role::Mserver) {
        let what = "no mserver is listed".to_owned();
        return Err(Problem::new(
            "servers",
            what,
            "at least one server with role: Mserver",
        ));
    }
    servers.sort_by_key(|server| server.id);
    Ok(servers)
}

fn server(place: usize, entry: &FileServer, base: &Path) -> Result<ServerConfig, Problem> {
    let key = |field: &str| format!("servers[{place}].{field}");
    name(&key("name"), &entry.name)?;
    name(&key("zone"), &entry.zone)?;
    let id = entry.id.unwrap_or(place as u64 + 1);
    let id = range(&key("id"), id, 1..=u64::from(u16::MAX))?;
    let address: SocketAddr = entry.address.parse().map_err(|_| {
        let what = format!("'{}' is no address", entry.address);
        Problem::new(key("address"), what, "IP:PORT, for example 127.0.0.1:7101")
    })?;
    if address.port() == 0 {
        let what = "port 0 cannot be dialed".to_owned();
        return Err(Problem::new(key("address"), what, "a port from 1 to 65535"));
    }
    let role = match entry.role {
        FileRole::Mserver => Role::Mserver,
        FileRole::Dserver => Role::Dserver,
    };
    let spaces_max = if role == Role::Mserver { 1 } else { 64 };
    if !(1..=spaces_max).contains(&entry.space.len()) {
        let what = format!("{} folders are listed", entry.space.len());
        let allowed = format!("1 to {spaces_max} folders for this role");
        return Err(Problem::new(key("space"), what, allowed));
    }
    let space = entry
        .space
        .iter()
        .map(|space| path(&key("space"), space, base));
    Ok(ServerConfig {
        id: ServerId(id),
        name: ServerName::from(entry.name.as_str()),
        role,
        address,
        space: space.collect::<Result<_, _>>()?,
        zone: entry.zone.clone(),
    })
}

/// Every server's value differs; of two equal ones the later is blamed.
fn unique(
    servers: &[ServerConfig],
    field: &str,
    value_of: impl Fn(&ServerConfig) -> String,
) -> Result<(), Problem> {
    let mut seen = BTreeMap::new();
    for (place, server) in servers.iter().enumerate() {
        let value = value_of(server);
        if let Some(first) = seen.get(&value) {
            let what = format!("'{value}' is taken by servers[{first}]");
            let key = format!("servers[{place}].{field}");
            return Err(Problem::new(key, what, "a value no other server has"));
        }
        seen.insert(value, place);
    }
    Ok(())
}

fn unique_spaces(servers: &[ServerConfig]) -> Result<(), Problem> {
    let mut seen = BTreeMap::new();
    for (place, server) in servers.iter().enumerate() {
        for space in &server.space {
            if let Some(first) = seen.insert(space, place) {
                let what = format!("'{}' is taken by servers[{first}]", space.display());
                let key = format!("servers[{place}].space");
                return Err(Problem::new(key, what, "a folder no other server has"));
            }
        }
    }
    Ok(())
}

fn timers(file: &FileTimers) -> Result<Timers, Problem> {
    let ping_every_ms = range("timers.ping_every_ms", file.ping_every_ms, 10..=60_000)?;
    let heartbeat_ms = range("timers.heartbeat_ms", file.heartbeat_ms, 10..=10_000)?;
    // Two pings must fit into the silence, or one lost moment reads as death.
    let silence_min = 2 * ping_every_ms;
    let election_min = 3 * heartbeat_ms;
    Ok(Timers {
        ping_every_ms,
        silence_ms_max: range(
            "timers.silence_ms_max",
            file.silence_ms_max,
            silence_min..=600_000,
        )?,
        dial_ms_max: range("timers.dial_ms_max", file.dial_ms_max, 10..=60_000)?,
        handshake_ms_max: range(
            "timers.handshake_ms_max",
            file.handshake_ms_max,
            10..=60_000,
        )?,
        heartbeat_ms,
        election_ms: range(
            "timers.election_ms",
            file.election_ms,
            election_min..=60_000,
        )?,
    })
}

fn storage(file: &FileStorage) -> Result<Storage, Problem> {
    let copies = range("storage.copies", file.copies, 1..=7)?;
    let block_bytes: u64 = range("storage.block_bytes", file.block_bytes, 64 << 10..=64 << 20)?;
    if !block_bytes.is_power_of_two() {
        let what = format!("{block_bytes} is no power of two");
        let allowed = "a power of two from 65536 to 67108864";
        return Err(Problem::new("storage.block_bytes", what, allowed));
    }
    // The largest block and its header must fit into one segment.
    let segment_min = block_bytes + (1 << 20);
    Ok(Storage {
        copies,
        copies_min: range("storage.copies_min", file.copies_min, 1..=u64::from(copies))?,
        block_bytes,
        segment_bytes: range(
            "storage.segment_bytes",
            file.segment_bytes,
            segment_min..=1 << 31,
        )?,
        reserve_bytes: range("storage.reserve_bytes", file.reserve_bytes, 0..=1 << 50)?,
        volumes_per_dserver: range(
            "storage.volumes_per_dserver",
            file.volumes_per_dserver,
            1..=1_024,
        )?,
        trash_s: range("storage.trash_s", file.trash_s, 0..=TRASH_S_MAX)?,
        replace_after_s: range(
            "storage.replace_after_s",
            file.replace_after_s,
            1..=REPLACE_AFTER_S_MAX,
        )?,
    })
}

pub(super) fn group(key: &str, value: &str) -> Result<(), Problem> {
    let is_good = (1..=GROUP_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_good {
        return Ok(());
    }
    let what = format!("'{value}' is no group");
    let allowed = format!("1 to {GROUP_BYTES_MAX} letters and digits");
    Err(Problem::new(key, what, allowed))
}

/// The groups of the dservers: each has one or none has.
fn groups(entries: &[FileServer], copies: u16) -> Result<Groups, Problem> {
    let key = |place: usize| format!("servers[{place}].group");
    let mut members = BTreeMap::<Arc<str>, Vec<usize>>::new();
    for (place, entry) in entries.iter().enumerate() {
        let Some(name) = &entry.group else { continue };
        group(&key(place), name)?;
        if matches!(entry.role, FileRole::Mserver) {
            let what = format!("{} is a mserver", entry.name);
            return Err(Problem::new(key(place), what, "a group for dservers alone"));
        }
        members
            .entry(Arc::from(name.as_str()))
            .or_default()
            .push(place);
    }
    let is_without =
        |entry: &&FileServer| matches!(entry.role, FileRole::Dserver) && entry.group.is_none();
    if !members.is_empty()
        && let Some(without) = entries.iter().find(is_without)
    {
        let what = format!("{} has no group, and others have", without.name);
        let allowed = "a group for every dserver, or for none";
        return Err(Problem::new("servers", what, allowed));
    }
    let is_small = |places: &[usize]| places.len() < usize::from(copies);
    if let Some((name, places)) = members.iter().find(|(_, places)| is_small(places)) {
        let what = format!("{} of '{name}' are fewer than storage.copies", places.len());
        let allowed = format!("{copies} dservers of each group, or more");
        return Err(Problem::new(key(places[0]), what, allowed));
    }
    let named = members.iter().flat_map(|(name, places)| {
        let server = |place: &usize| entries[*place].name.as_str().into();
        places
            .iter()
            .map(move |place| (server(place), Arc::clone(name)))
    });
    Ok(named.collect())
}

/// A door that speaks TLS uses the files of the `tls: (..)` part.
fn certificates(key: &str, wanted: OperatorTls, has_tls: bool) -> Result<(), Problem> {
    if wanted == OperatorTls::Off || has_tls {
        return Ok(());
    }
    let what = format!("{wanted:?} needs certificates");
    let allowed = "Off, where there is no `tls: (..)` part";
    Err(Problem::new(key, what, allowed))
}

pub(super) fn networks(key: &str, texts: &[String]) -> Result<Vec<Network>, Problem> {
    texts.iter().map(|text| network(key, text)).collect()
}

pub(super) fn network(key: &str, text: &str) -> Result<Network, Problem> {
    Network::parse(text).ok_or_else(|| {
        let what = format!("'{text}' is no network");
        let allowed = "an address, or one with a length, for example 10.0.0.0/8";
        Problem::new(key, what, allowed)
    })
}

fn operator(
    file: &FileOperator,
    servers: &[ServerConfig],
    has_tls: bool,
) -> Result<Operator, Problem> {
    let listen = file.listen.parse().map_err(|_| {
        let what = format!("'{}' is no address", file.listen);
        let allowed = "an IP address, for example 127.0.0.1; 0.0.0.0 for all of the machine's";
        Problem::new("operator.listen", what, allowed)
    })?;
    certificates("operator.tls", file.tls, has_tls)?;
    // Servers of one machine take one port after the other.
    let last = u64::from(u16::MAX) + 1 - most_on_one_machine(servers) as u64;
    let port = |key: &str, first: u64| match first {
        0 => Ok(None),
        first => range(key, first, 0..=last).map(Some),
    };
    Ok(Operator {
        listen,
        http_port: port("operator.http_port", file.http_port)?,
        console_port: port("operator.console_port", file.console_port)?,
        allow: networks("operator.allow", &file.allow)?,
        tls: file.tls,
        spans_to: collector("operator.spans_to", &file.spans_to)?,
    })
}

/// Where spans go: a host and perhaps a port, without a slash at its end.
fn collector(key: &str, text: &str) -> Result<Option<String>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = text.trim_end_matches('/');
    let is_place = text.strip_prefix("http://").is_some_and(|place| {
        if let Ok(address) = place.parse::<SocketAddr>() {
            return address.port() != 0;
        }
        if let Some(v6) = place.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            return v6.parse::<Ipv6Addr>().is_ok();
        }
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, port.parse()),
            None => (place, Ok(1_u16)),
        };
        let is_named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !host.is_empty() && host.chars().all(is_named) && port.is_ok_and(|port| port != 0)
    });
    if !is_place {
        let what = format!("'{text}' is not where a collector is reached");
        let allowed = "http:// and a host, perhaps a port, nothing behind it, for example \
                       http://127.0.0.1:4318; a collector on the same machine sends on with TLS";
        return Err(Problem::new(key, what, allowed));
    }
    Ok(Some(text.to_owned()))
}
