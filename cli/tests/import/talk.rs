//! A FastDFS client of a few lines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Status and body of an answer.
pub(crate) type Answer = (u8, Vec<u8>);

/// Asks over a connection of its own.
pub(crate) fn ask(address: SocketAddr, command: u8, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(&message(command, 0, body)).expect("sent");
    let (_, status, body) = read_message(&mut stream).expect("an answer");
    (status, body)
}

/// A request or an answer.
pub(crate) fn message(command: u8, status: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u64).to_be_bytes().to_vec();
    bytes.extend([command, status]);
    bytes.extend(body);
    bytes
}

/// Command, status and body.
pub(crate) fn read_message(stream: &mut TcpStream) -> std::io::Result<(u8, u8, Vec<u8>)> {
    let mut header = [0; 10];
    stream.read_exact(&mut header)?;
    let [length @ .., command, status] = header;
    let mut body = vec![0; u64::from_be_bytes(length) as usize];
    stream.read_exact(&mut body)?;
    Ok((command, status, body))
}

/// A text filled up with zeros.
pub(crate) fn field(text: &str, width: usize) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(width, 0);
    field
}

pub(crate) fn named(name: &str) -> Vec<u8> {
    [&field("group1", 16)[..], name.as_bytes()].concat()
}

pub(crate) fn numbers(numbers: &[u64]) -> Vec<u8> {
    let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
    bytes.collect()
}

/// What asks for a part of a file; a count of zero means the rest.
pub(crate) fn range(offset: u64, count: u64, name: &str) -> Vec<u8> {
    [numbers(&[offset, count]), named(name)].concat()
}

pub(crate) fn set_metadata(name: &str, how: u8, text: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[name.len() as u64, text.len() as u64]);
    [&lengths[..], &[how], &named(name), text].concat()
}

/// The storages an answer of a tracker names.
pub(crate) fn storages_in((status, answer): &Answer) -> Vec<SocketAddr> {
    assert_eq!(*status, 0);
    let address = |field: &[u8]| {
        let ip = String::from_utf8_lossy(&field[..15]);
        let port = u64::from_be_bytes(field[15..].try_into().expect("8 bytes"));
        let ip = ip.trim_end_matches('\0').parse().expect("an address");
        SocketAddr::new(ip, u16::try_from(port).expect("a port"))
    };
    answer[16..].chunks_exact(23).map(address).collect()
}
