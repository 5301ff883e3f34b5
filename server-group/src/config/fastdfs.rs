//! The `fastdfs: (..)` part: whether servers also speak FastDFS's protocols, and to whom.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use super::OperatorTls;

/// FastDFS's protocols, when they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastDfs {
    /// Where mservers answer as trackers. Mservers with one address take the ports that follow.
    pub tracker_port: u16,
    /// Where dservers answer as storages. Dservers with one address take the ports that follow.
    pub storage_port: u16,
    /// The group of every dserver, where none has one of its own; else the one that keeps what was
    /// stored before they had.
    pub group: String,
    /// Width of the addresses in a tracker's answers.
    pub addresses: AddressWidth,
    /// Who may connect; empty for everybody.
    pub allow: Vec<Network>,
    /// Whether the ports speak TLS, with the files of the `tls: (..)` part. FastDFS's own clients
    /// do not: they go through a proxy that does.
    pub tls: OperatorTls,
    /// Groups that keep a content once, however often it is uploaded.
    pub instant: Vec<String>,
}

/// Width of the addresses in a tracker's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
