//! Garbage at the door of a live server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sdfs_client::CreateOptions;

use super::content;
use super::servers::{Servers, run};
use super::upkeep::json;

const CONNECTIONS: u64 = 10_000;
/// Longer than a busy machine takes for it.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// What a hostile connection sends: the packets that killed the prototype, then noise.
fn garbage(number: u64) -> Vec<u8> {
    match number % 8 {
        0 => vec![0; 4],
        1 => vec![0xff; 32],
        2 => b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        3 => Vec::new(),
        4 => header(1, u32::MAX, u32::MAX),
        5 => header(200, 0, 0),
        6 => header(6, 16, 0),
        _ => content::bytes(number, (number % 4_096) as usize).to_vec(),
    }
}

/// A packet header with a wrong checksum.
fn header(kind: u8, head_bytes: u32, payload_bytes: u32) -> Vec<u8> {
    let mut header = b"sdfs".to_vec();
    header.extend_from_slice(&[1, kind, 0, 0]);
    header.extend_from_slice(&1_u64.to_le_bytes());
    header.extend_from_slice(&head_bytes.to_le_bytes());
    header.extend_from_slice(&payload_bytes.to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    header
}

fn attack(address: SocketAddr, number: u64) {
    let mut stream = TcpStream::connect_timeout(&address, CONNECTED_WITHIN)
        .unwrap_or_else(|error| panic!("connection {number} to {address}: {error}"));
    // The server closing first is the point; what is left unsent does not matter.
    stream.write_all(&garbage(number)).unwrap_or(());
    if number.is_multiple_of(16) {
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        let mut answer = [0; 64];
        // Refused, closed or silent: all the same here.
        let _answered = stream.read(&mut answer).unwrap_or(0);
    }
}

fn memory_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).expect("it lives");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("resident pages");
    pages * 4_096
}

#[test]
fn hostile_connections_harm_nobody() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let addresses: Vec<SocketAddr> = servers
            .config()
            .servers
            .iter()
            .map(|server| server.address)
            .collect();
        let attackers: Vec<_> = (0..4)
            .map(|attacker| {
                let addresses = addresses.clone();
                std::thread::spawn(move || {
                    let mut made = 0;
                    for number in (attacker..CONNECTIONS).step_by(4) {
                        attack(addresses[(number / 4) as usize % addresses.len()], number);
                        made += 1;
                    }
                    made
                })
            })
            .collect();
        let made: u64 = attackers
            .into_iter()
            .map(|attacker| attacker.join().expect("the attack ends"))
            .sum();
        assert_eq!(made, CONNECTIONS);
        servers.assert_all_run();
        let begun = Instant::now();
        loop {
            let told = json(&servers, &["status"]);
            let told = told["servers"].as_array().expect("servers");
            let answering = told.iter().filter(|server| server["answers"] == true);
            if answering.count() == 6 {
                break;
            }
            assert!(begun.elapsed() < CONNECTED_WITHIN, "{told:?}");
        }
        for mserver in servers.mservers() {
            let client = servers.client_via(&mserver).await;
            client
                .create_file_meta_data(&format!("/after-{mserver}"), CreateOptions::default())
                .await
                .unwrap_or_else(|error| panic!("{mserver}: {error}"));
        }
        assert_eq!(servers.process_ids().len(), 6);
        for (name, process) in servers.process_ids() {
            let memory = memory_bytes(process);
            assert!(memory < 300 << 20, "{name} has grown to {memory} bytes");
        }
    });
}
