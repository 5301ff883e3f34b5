//! The ports servers open beside the one they reach each other at, and that no two of a machine are
//! the same.

use std::net::SocketAddr;

use super::check::Problem;
use super::operator::shares_machine;
use super::{Config, ServerConfig};
use crate::ids::Role;

impl Config {
    /// The doors of a server: the key that opens each, and where it is.
    #[must_use]
    pub fn doors(&self, server: &ServerConfig) -> Vec<(&'static str, SocketAddr)> {
        let fastdfs = self.fastdfs.as_ref().map(|fastdfs| match server.role {
            Role::Mserver => vec![(
                "fastdfs.tracker_port",
                Some(fastdfs.tracker_address(self, server)),
            )],
            _ => vec![
                (
                    "fastdfs.storage_port",
                    Some(fastdfs.storage_address(self, server)),
                ),
                ("fastdfs.http_port", fastdfs.http_address(self, server)),
            ],
        });
        let operator = self.operator.as_ref().map(|operator| {
            [
                ("operator.http_port", operator.http_address(self, server)),
                (
                    "operator.console_port",
                    operator.console_address(self, server),
                ),
            ]
        });
        let all = fastdfs.into_iter().flatten();
        let all = all.chain(operator.into_iter().flatten());
        all.filter_map(|(key, address)| Some((key, address?)))
            .collect()
    }
}

/// Refuses a door that another one, or the address of a server, stands in the way of.
pub(super) fn check_apart(config: &Config) -> Result<(), Problem> {
    let addresses = config.servers.iter();
    let addresses = addresses.map(|server| (server, "address", server.address));
    let mut taken: Vec<(&ServerConfig, &str, SocketAddr)> = addresses.collect();
    for server in &config.servers {
        for (key, address) in config.doors(server) {
            let is_in_the_way = |(other, _, held): &&(&ServerConfig, &str, SocketAddr)| {
                is_one_port(address, *held) && shares_machine(server, other)
            };
            if let Some((other, of, _)) = taken.iter().find(is_in_the_way) {
                let what = format!(
                    "port {} of {} is that of {of} of {}",
                    address.port(),
                    server.name,
                    other.name
                );
                let allowed =
                    "a port from which on nothing is taken for as many as share a machine";
                return Err(Problem::new(key, what, allowed));
            }
            taken.push((server, key, address));
        }
    }
    Ok(())
}

/// Whether one machine cannot listen on both.
fn is_one_port(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip(), other.ip());
    let is_one_ip = ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified();
    one.port() == other.port() && is_one_ip
}
