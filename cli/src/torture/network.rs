//! A network between the servers that can be cut: each server has a network namespace of its own
//! and a wire to this one, which passes packets on. A cut is a rule that drops them.
//!
//! Clients are in this namespace and reach every server that runs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::apart::run;
use crate::failure::{Failure, Outcome};

/// The wires of all servers, by their places in the configuration.
#[derive(Debug)]
pub(super) struct Network {
    servers: usize,
}

/// The address of a server.
pub(super) fn host(server: usize) -> IpAddr {
    IpAddr::V4(at(server, 2))
}

fn at(server: usize, end: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 83, u8::try_from(server).unwrap_or(u8::MAX), end)
}

fn namespace(server: usize) -> String {
    format!("s{server}")
}

/// The words that start a program at a server.
pub(super) fn through(server: usize) -> Vec<String> {
    let words = ["ip", "netns", "exec"].map(str::to_owned);
    words.into_iter().chain([namespace(server)]).collect()
}

impl Network {
    /// Makes it, in the namespace of this process, which is its own.
    pub(super) async fn lay(servers: usize) -> Outcome<Network> {
        // Where names of namespaces are kept; it is this process's own mount.
        run(&["mount", "-t", "tmpfs", "tmpfs", "/run"]).await?;
        run(&["ip", "link", "set", "lo", "up"]).await?;
        let forward = Path::new("/proc/sys/net/ipv4/ip_forward");
        std::fs::write(forward, "1").map_err(|error| Failure::local("write", forward, &error))?;
        for server in 0..servers {
            Network::wire(server).await?;
        }
        Ok(Network { servers })
    }

    async fn wire(server: usize) -> Outcome {
        let (inside, wire) = (namespace(server), format!("w{server}"));
        let (ours, theirs) = (at(server, 1).to_string(), at(server, 2).to_string());
        let (our_net, their_net) = (format!("{ours}/30"), format!("{theirs}/30"));
        let (inside, wire) = (inside.as_str(), wire.as_str());
        let all: [&[&str]; 8] = [
            &["ip", "netns", "add", inside],
            &[
                "ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", inside,
            ],
            &["ip", "addr", "add", &our_net, "dev", wire],
            &["ip", "link", "set", wire, "up"],
            &["ip", "-n", inside, "addr", "add", &their_net, "dev", "eth0"],
            &["ip", "-n", inside, "link", "set", "eth0", "up"],
            &["ip", "-n", inside, "link", "set", "lo", "up"],
            &["ip", "-n", inside, "route", "add", "default", "via", &ours],
        ];
        for words in all {
            run(words).await?;
        }
        Ok(())
    }

    /// Drops every packet from one server to another, or lets them pass again.
    pub(super) async fn set(&self, (from, to): (usize, usize), is_cut: bool) -> Outcome {
        let word = if is_cut { "add" } else { "del" };
        let (from, to) = (host(from).to_string(), host(to).to_string());
        run(&["ip", "rule", word, "blackhole", "from", &from, "to", &to]).await
    }

    /// Every other server.
    pub(super) fn others(&self, server: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.servers).filter(move |other| *other != server)
    }
}
