//! Checks the values of the `fastdfs: (..)` part.

use std::net::IpAddr;
use std::path::Path;

use super::check::{Problem, TRASH_S_MAX, group, network, networks, path, range};
use super::file::{FileAddressWidth, FileAdvertised, FileFastDfs};
use super::{AddressWidth, Advertised, FastDfs, Groups, ServerConfig};
use crate::ids::{Role, ServerName};

/// Longest life of a signed link, seconds: ten years, as of the trash.
const LINK_TTL_S_MAX: u64 = TRASH_S_MAX;

pub(super) fn fastdfs(
    file: &FileFastDfs,
    servers: &[ServerConfig],
    groups: &Groups,
    base: &Path,
) -> Result<FastDfs, Problem> {
    group("fastdfs.group", &file.group)?;
    let names: Vec<&str> = groups.names().into_iter().map(|name| &**name).collect();
    if !names.is_empty() && !names.contains(&&*file.group) {
        let what = format!("no dserver is of '{}'", file.group);
        let allowed = format!(
            "one of {}: the one whose name ids given out before begin with; keep that name for a \
             group, for under another they find nothing",
            names.join(", ")
        );
        return Err(Problem::new("fastdfs.group", what, allowed));
    }
    let is_group = |one: &&String| **one == file.group || names.contains(&&***one);
    if let Some(unknown) = file.instant.iter().find(|one| !is_group(one)) {
        let what = format!("no dserver is of '{unknown}'");
        let known = match names.is_empty() {
            true => file.group.clone(),
            false => names.join(", "),
        };
        return Err(Problem::new(
            "fastdfs.instant",
            what,
            format!("groups of {known}"),
        ));
    }
    let port = |key: &str, first: u64, role: Role| {
        // Servers of one machine take one port after the other.
        let count = servers.iter().filter(|server| server.role == role).count() as u64;
        range(
            key,
            first,
            1..=u64::from(u16::MAX) - count.saturating_sub(1),
        )
    };
    let http_port = file.http_port;
    let http_port = http_port.map(|first| port("fastdfs.http_port", first, Role::Dserver));
    let link_secret = file.link_secret.as_ref();
    if link_secret.is_some() && http_port.is_none() {
        let what = "there is no http_port that takes links".to_owned();
        return Err(Problem::new("fastdfs.link_secret", what, "with http_port"));
    }
    let link_secret = link_secret.map(|secret| path("fastdfs.link_secret", secret, base));
    if file.http_allow.is_some() && http_port.is_none() {
        let what = "there is no http_port to be let in at".to_owned();
        return Err(Problem::new("fastdfs.http_allow", what, "with http_port"));
    }
    let own = |key: &str, list: &Option<Vec<String>>| {
        let list = list.as_ref();
        list.map(|texts| networks(key, texts)).transpose()
    };
    let advertise = advertise(&file.advertise, servers)?;
    Ok(FastDfs {
        http_port: http_port.transpose()?,
        link_secret: link_secret.transpose()?,
        link_ttl_s: range("fastdfs.link_ttl_s", file.link_ttl_s, 1..=LINK_TTL_S_MAX)?,
        tracker_port: port("fastdfs.tracker_port", file.tracker_port, Role::Mserver)?,
        storage_port: port("fastdfs.storage_port", file.storage_port, Role::Dserver)?,
        group: file.group.clone(),
        addresses: width(file.response_ip_addr_size, servers, &advertise)?,
        allow: networks("fastdfs.allow", &file.allow)?,
        tracker_allow: own("fastdfs.tracker_allow", &file.tracker_allow)?,
        storage_allow: own("fastdfs.storage_allow", &file.storage_allow)?,
        http_allow: own("fastdfs.http_allow", &file.http_allow)?,
        advertise,
        tls: file.tls,
        instant: file.instant.clone(),
    })
}

fn advertise(
    entries: &[FileAdvertised],
    servers: &[ServerConfig],
) -> Result<Vec<Advertised>, Problem> {
    let read = |(place, entry): (usize, &FileAdvertised)| {
        let key = |field: &str| format!("fastdfs.advertise[{place}].{field}");
        let to = network(&key("to"), &entry.to)?;
        let address = |(name, text): (&String, &String)| {
            if !servers.iter().any(|server| server.name.as_str() == name) {
                let what = format!("there is no server '{name}'");
                return Err(Problem::new(key("servers"), what, "names of servers"));
            }
            let ip: IpAddr = text.parse().map_err(|_| {
                let what = format!("'{text}' is no address of {name}");
                let allowed = "an IP address, without a port, for example 203.0.113.5";
                Problem::new(key("servers"), what, allowed)
            })?;
            Ok((ServerName::from(&**name), ip))
        };
        let addresses = entry.servers.iter().map(address);
        let servers = addresses.collect::<Result<_, Problem>>()?;
        Ok(Advertised { to, servers })
    };
    entries.iter().enumerate().map(read).collect()
}

/// The width that holds every address clients are told.
fn width(
    wanted: FileAddressWidth,
    servers: &[ServerConfig],
    advertise: &[Advertised],
) -> Result<AddressWidth, Problem> {
    let own = servers
        .iter()
        .map(|server| (&server.name, server.address.ip()));
    let others = advertise.iter().flat_map(|network| &network.servers);
    let mut all = own.chain(others.map(|(name, ip)| (name, *ip)));
    let wide = all.find(|(_, ip)| ip.to_canonical().is_ipv6());
    match (wanted, wide) {
        (FileAddressWidth::IPv6, _) | (FileAddressWidth::Auto, Some(_)) => Ok(AddressWidth::IPv6),
        (_, None) => Ok(AddressWidth::IPv4),
        (FileAddressWidth::IPv4, Some((name, ip))) => {
            let what = format!("IPv4 does not hold the address of {name}, {ip}");
            let allowed = "auto, or IPv6, where a server has an IPv6 address";
            Err(Problem::new("fastdfs.response_ip_addr_size", what, allowed))
        }
    }
}
