//! The `fastdfs: (..)` part: whether servers also speak FastDFS's protocols, and to whom.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::{Config, OperatorTls, ServerConfig};
use crate::ids::ServerName;

/// FastDFS's protocols, when they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastDfs {
    /// Where mservers answer as trackers. Mservers with one address take the ports that follow.
    pub tracker_port: u16,
    /// Where dservers answer as storages. Dservers with one address take the ports that follow.
    pub storage_port: u16,
    /// Where dservers give files to browsers, as [`FastDfs::storage_port`]; `None` keeps that door
    /// closed.
    pub http_port: Option<u16>,
    /// Holds what links to that door are signed with; `None` when they need no token.
    pub link_secret: Option<PathBuf>,
    /// How long a signed link is good, seconds.
    pub link_ttl_s: u64,
    /// The group of every dserver, where none has one of its own; else the one that keeps what was
    /// stored before they had.
    pub group: String,
    /// Width of the addresses in a tracker's answers.
    pub addresses: AddressWidth,
    /// Who may connect, where the port has no list of its own; empty for everybody.
    pub allow: Vec<Network>,
    /// Who may connect to a tracker; `None` for whom [`FastDfs::allow`] lets in.
    pub tracker_allow: Option<Vec<Network>>,
    /// Who may connect to a storage, as [`FastDfs::tracker_allow`].
    pub storage_allow: Option<Vec<Network>>,
    /// Who may connect to the HTTP door, as [`FastDfs::tracker_allow`].
    pub http_allow: Option<Vec<Network>>,
    /// Where clients of other networks reach servers: the first that a client is in counts.
    pub advertise: Vec<Advertised>,
    /// Whether the ports speak TLS, with the files of the `tls: (..)` part. FastDFS's own clients
    /// do not: they go through a proxy that does.
    pub tls: OperatorTls,
    /// Groups that keep a content once, however often it is uploaded.
    pub instant: Vec<String>,
}

impl FastDfs {
    /// Where a mserver answers as a tracker. Servers of a role that share an address take the ports
    /// that follow the configured one, in the order of their numbers.
    #[must_use]
    pub fn tracker_address(&self, config: &Config, server: &ServerConfig) -> SocketAddr {
        address(config, server, self.tracker_port)
    }

    /// Where a dserver answers as a storage, as [`FastDfs::tracker_address`].
    #[must_use]
    pub fn storage_address(&self, config: &Config, server: &ServerConfig) -> SocketAddr {
        address(config, server, self.storage_port)
    }

    /// Where a dserver gives files over HTTP, as [`FastDfs::tracker_address`].
    #[must_use]
    pub fn http_address(&self, config: &Config, server: &ServerConfig) -> Option<SocketAddr> {
        Some(address(config, server, self.http_port?))
    }

    /// What the path of a file is put behind to get it from a dserver: `http://10.0.0.1:8888`.
    #[must_use]
    pub fn http_url(&self, config: &Config, server: &ServerConfig) -> Option<String> {
        Some(self.url_of(self.http_address(config, server)?))
    }

    /// The same for a client at an address.
    #[must_use]
    pub fn http_url_for(
        &self,
        client: IpAddr,
        config: &Config,
        server: &ServerConfig,
    ) -> Option<String> {
        let own = self.http_address(config, server)?;
        let ip = self.ip_for(client, server);
        Some(self.url_of(SocketAddr::new(ip, own.port())))
    }

    fn url_of(&self, address: SocketAddr) -> String {
        let scheme = match self.tls {
            OperatorTls::Off => "http",
            OperatorTls::Server | OperatorTls::Mutual => "https",
        };
        format!("{scheme}://{address}")
    }

    /// Where a client at an address reaches a server.
    #[must_use]
    pub fn ip_for(&self, client: IpAddr, server: &ServerConfig) -> IpAddr {
        let mut networks = self.advertise.iter();
        let its = networks.find(|network| network.to.contains(client));
        its.map_or(server.address.ip(), |network| network.ip_of(server))
    }
}

/// Where clients of a network reach servers, when not at their own addresses. Ports are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The network.
    pub to: Network,
    /// The servers that have another address there.
    pub servers: BTreeMap<ServerName, IpAddr>,
}

impl Advertised {
    /// Where a server is reached from the network.
    #[must_use]
    pub fn ip_of(&self, server: &ServerConfig) -> IpAddr {
        let other = self.servers.get(&server.name);
        other.copied().unwrap_or(server.address.ip())
    }
}

fn address(config: &Config, server: &ServerConfig, first_port: u16) -> SocketAddr {
    let ip = server.address.ip();
    let is_before = |other: &&ServerConfig| {
        other.role == server.role && other.address.ip() == ip && other.id < server.id
    };
    let before = config.servers.iter().filter(is_before).count();
    let port = usize::from(first_port) + before;
    // The configuration is refused when the last port does not fit.
    SocketAddr::new(ip, u16::try_from(port).unwrap_or(u16::MAX))
}

/// Width of the addresses in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressWidth {
    /// 16 bytes: what every client reads.
    IPv4,
    /// 46 bytes: what clients since FastDFS 6.11 read.
    IPv6,
}

/// Addresses with the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8` or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= bits_max)?,
            None => bits_max,
        };
        Some(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (mine, other, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                (u128::from(mine.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => (mine.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let ignored = width - u32::from(self.prefix_bits);
        let beginning = |bits: u128| bits.checked_shr(ignored).unwrap_or(0);
        beginning(mine) == beginning(other)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fe80::1", false),
            ("fe80::/10", "fe80::1", true),
            ("::/0", "fe80::1", true),
        ];
        for (network, address, is_inside) in table {
            let network = Network::parse(network).expect("a network");
            assert_eq!(Network::parse(&network.to_string()), Some(network));
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(
                network.contains(address),
                is_inside,
                "{network:?} {address}"
            );
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "host",
            "fe80::/129",
            "1.2.3.4/-1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
