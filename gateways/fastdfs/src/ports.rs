//! Where the doors of each server are. Servers that share an address take the ports that follow
//! the configured one, in the order of their numbers; a server alone on its machine has that one.

use std::net::SocketAddr;

use sdfs_server_group::{Config, FastDfs, Role, ServerConfig};

/// Where a mserver answers as a tracker.
#[must_use]
pub fn tracker_address(config: &Config, settings: &FastDfs, server: &ServerConfig) -> SocketAddr {
    address(config, server, settings.tracker_port)
}

/// Where a dserver answers as a storage.
#[must_use]
pub fn storage_address(config: &Config, settings: &FastDfs, server: &ServerConfig) -> SocketAddr {
    address(config, server, settings.storage_port)
}

fn address(config: &Config, server: &ServerConfig, first_port: u16) -> SocketAddr {
    let ip = server.address.ip();
    let is_before = |other: &&ServerConfig| {
        other.role == server.role && other.address.ip() == ip && other.id < server.id
    };
    let before = config.servers.iter().filter(is_before).count();
    debug_assert!(server.role != Role::Client);
    let port = usize::from(first_port) + before;
    // The configuration is refused when the last port does not fit.
    SocketAddr::new(ip, u16::try_from(port).unwrap_or(u16::MAX))
}
