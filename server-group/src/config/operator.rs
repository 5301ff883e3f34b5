//! The `operator: (..)` part: the doors for those who run the cluster, and whom they let in.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::{Config, Network, ServerConfig};

/// The doors for operators, when they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Where they listen: loopback unless configured.
    pub listen: IpAddr,
    /// The first port of the HTTP door; `None` keeps it closed.
    pub http_port: Option<u16>,
    /// The first port of the console; `None` keeps it closed.
    pub console_port: Option<u16>,
    /// Who may connect; empty for everybody.
    pub allow: Vec<Network>,
    /// Whether they speak TLS, with the files of the `tls: (..)` part.
    pub tls: OperatorTls,
    /// The collector of OpenTelemetry that spans are sent to, as `http://` and a host, perhaps with a
    /// port. `None` sends none.
    pub spans_to: Option<String>,
}

/// Whether the doors for operators speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum OperatorTls {
    /// They are plain.
    Off,
    /// The server shows its certificate.
    Server,
    /// Whoever connects shows one of the same authority too.
    Mutual,
}

impl Operator {
    /// Where the HTTP door of `server` is. Servers of one machine take the ports that follow the
    /// configured one, in the order of their numbers.
    #[must_use]
    pub fn http_address(&self, config: &Config, server: &ServerConfig) -> Option<SocketAddr> {
        Some(self.address(config, server, self.http_port?))
    }

    /// Where the console of `server` listens, as [`Operator::http_address`].
    #[must_use]
    pub fn console_address(&self, config: &Config, server: &ServerConfig) -> Option<SocketAddr> {
        Some(self.address(config, server, self.console_port?))
    }

    /// Where the console of `server` is reached: one that listens on all addresses of its machine,
    /// at the server's own.
    #[must_use]
    pub fn console_reached_at(&self, config: &Config, server: &ServerConfig) -> Option<SocketAddr> {
        let mut address = self.console_address(config, server)?;
        if self.listen.is_unspecified() {
            address.set_ip(server.address.ip());
        }
        Some(address)
    }

    fn address(&self, config: &Config, server: &ServerConfig, first_port: u16) -> SocketAddr {
        let is_before =
            |other: &&ServerConfig| shares_machine(other, server) && other.id < server.id;
        let before = config.servers.iter().filter(is_before).count();
        let port = usize::from(first_port) + before;
        // The configuration is refused when the last port does not fit.
        SocketAddr::new(self.listen, u16::try_from(port).unwrap_or(u16::MAX))
    }
}

/// Every loopback address is this machine's.
pub(super) fn shares_machine(one: &ServerConfig, other: &ServerConfig) -> bool {
    let (one, other) = (one.address.ip(), other.address.ip());
    one == other || one.is_loopback() && other.is_loopback()
}

/// The most servers that share one machine with another.
pub(super) fn most_on_one_machine(servers: &[ServerConfig]) -> usize {
    let sharing = |one: &ServerConfig| {
        let others = servers.iter();
        others.filter(|other| shares_machine(one, other)).count()
    };
    servers.iter().map(sharing).max().unwrap_or(0)
}
