//! Who may connect.

use std::net::IpAddr;

use sdfs_server_group::Network;

/// Whether an address is in one of the networks; with none named everybody may connect.
pub(crate) fn is_allowed(allow: &[Network], from: IpAddr) -> bool {
    allow.is_empty() || allow.iter().any(|network| network.contains(from))
}
