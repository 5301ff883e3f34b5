//! Free ports on loopback, for clusters on one machine.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports to choose from: above the well-known ones and below those the kernel gives to outgoing
/// connections, so that no client of another test takes one before its server does.
const PORTS: std::ops::Range<u16> = 10_240..32_768;
/// Ports looked at before giving up: more than any one machine has in use.
const PORT_TRIES_MAX: usize = 10_000;

/// The ports this process was given: each is bound only later, and is free in between.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Finds `count` different loopback ports nobody listens on now, from a random place on; none that
/// this process was given before.
///
/// # Errors
/// When there are not that many, or the system has no randomness.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let span = usize::from(PORTS.end - PORTS.start);
    let start = usize::from(u16::from_le_bytes(random)) % span;
    let mut held = Vec::with_capacity(count);
    let mut ports = Vec::with_capacity(count);
    for step in 0..PORT_TRIES_MAX {
        if ports.len() == count {
            break;
        }
        let port = PORTS.start + u16::try_from((start + step) % span).unwrap_or(0);
        // Kept until all are found, so that no other process is given one. What somebody here was
        // given is not even tried: he may be about to bind it.
        if give(port)
            && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        {
            held.push(listener);
            ports.push(port);
        }
    }
    if ports.len() < count {
        return Err(all_in_use());
    }
    Ok(ports)
}

/// Whether nobody in this process was given that port before.
fn give(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    given.insert(port)
}

fn all_in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "every port looked at is in use")
}

/// The first of `count` loopback ports in a row that nobody listens on now and that are not among
/// those already `chosen`, to which they are added; from a random place on.
///
/// # Errors
/// As [`free_ports`].
pub(crate) fn free_port_row(count: usize, chosen: &mut Vec<u16>) -> io::Result<u16> {
    for _ in 0..PORT_TRIES_MAX {
        let first = free_ports(1)?[0];
        let row = (0..count).map(|step| usize::from(first) + step);
        let row: Vec<u16> = row.map(|port| u16::try_from(port).unwrap_or(0)).collect();
        let bound = row.iter().map(|port| {
            let is_new = *port == first || give(*port);
            let is_ours = PORTS.contains(port) && !chosen.contains(port) && is_new;
            let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).ok();
            is_ours.then(bind).flatten()
        });
        // All are held until the last is: nobody else takes one meanwhile.
        if bound.collect::<Option<Vec<_>>>().is_some() {
            chosen.extend(row);
            return Ok(first);
        }
    }
    Err(all_in_use())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_apart() {
        let mut chosen: Vec<u16> = (15_000..PORTS.end).collect();
        let first = free_port_row(3, &mut chosen).expect("a row");
        assert!(first + 2 < 15_000, "{first}");
        assert!(chosen.ends_with(&[first, first + 1, first + 2]));
    }

    #[test]
    fn free_ports_differ() {
        let ports = free_ports(64).expect("ports");
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), 64);
    }
}
