//! FastDFS clients while storages are killed and frozen.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use sdfs_server::ClusterOptions;
use sdfs_server_group::Role;

use super::content;
use super::servers::{Servers, run};

const CLIENTS: u64 = 4;
const ROUNDS: usize = 3;
const STORE_ALL: u8 = 106;
const FETCH_ALL: u8 = 105;
const UPLOAD: u8 = 11;
const DOWNLOAD: u8 = 14;
/// No such file, and not now.
const NOT_FOUND: u8 = 2;
const AGAIN: u8 = 11;
/// Longest a request may take: longer than any wait for a member that is silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file that was acknowledged: group and name, and what it was made of.
struct Uploaded {
    id: Vec<u8>,
    seed: u64,
}

fn content_of(seed: u64) -> bytes::Bytes {
    content::bytes(seed, 1 + seed as usize * 37 % 9_000)
}

/// Asks over a connection of its own; status and body of the answer.
fn ask(address: SocketAddr, command: u8, body: &[u8]) -> Result<(u8, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = (body.len() as u64).to_be_bytes();
    stream.write_all(&[&length[..], &[command, 0], body].concat())?;
    let mut header = [0; 10];
    stream.read_exact(&mut header)?;
    let [length @ .., _, status] = header;
    let mut answer = vec![0; u64::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok((status, answer))
}

/// The storages an answer of a tracker names: the group, one address, then others.
fn storages_in(answer: &[u8]) -> Vec<SocketAddr> {
    let addresses = answer[16..].chunks_exact(23);
    let address = |field: &[u8]| {
        let ip = String::from_utf8_lossy(&field[..15]);
        let port = u64::from_be_bytes(field[15..].try_into().expect("8 bytes"));
        let ip = ip.trim_end_matches('\0').parse().expect("an address");
        SocketAddr::new(ip, u16::try_from(port).expect("a port"))
    };
    addresses.map(address).collect()
}

fn upload(tracker: SocketAddr, seed: u64) -> Result<Vec<u8>> {
    let (status, named) = ask(tracker, STORE_ALL, b"")?;
    if status != 0 {
        return Err(Error::from(ErrorKind::NotConnected));
    }
    let content = content_of(seed);
    let length = (content.len() as u64).to_be_bytes();
    let body = [&[0xff], &length[..], b"bin\0\0\0", &content[..]].concat();
    match ask(storages_in(&named)[0], UPLOAD, &body)? {
        (0, id) => Ok(id),
        (status, _) => Err(Error::from_raw_os_error(status.into())),
    }
}

/// Reads a file at one storage. That one may be gone; a file that is missing or other bytes may
/// not be.
fn is_read_at(storage: SocketAddr, uploaded: &Uploaded) -> bool {
    let body = [&[0; 16][..], &uploaded.id].concat();
    match ask(storage, DOWNLOAD, &body) {
        Err(_) => false,
        Ok((0, found)) => {
            assert!(
                found == content_of(uploaded.seed),
                "other bytes at {storage}"
            );
            true
        }
        Ok((NOT_FOUND, _)) => panic!("{:?} is missing at {storage}", uploaded.seed),
        Ok((AGAIN, _)) => false,
        Ok((status, _)) => panic!("{storage} answers {status}"),
    }
}

/// Uploads until told to stop, and reads each file at once at every storage that is to have it.
fn use_on(tracker: SocketAddr, client: u64, stop: Arc<AtomicBool>) -> JoinHandle<Vec<Uploaded>> {
    spawn(move || {
        let mut all = Vec::new();
        for seed in client * 1_000_000.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let Ok(id) = upload(tracker, seed) else {
                sleep(Duration::from_millis(20));
                continue;
            };
            let uploaded = Uploaded { id, seed };
            let (status, having) = ask(tracker, FETCH_ALL, &uploaded.id).expect("a tracker");
            assert_eq!(status, 0);
            for storage in storages_in(&having) {
                is_read_at(storage, &uploaded);
            }
            all.push(uploaded);
        }
        all
    })
}

fn start() -> (Servers, Vec<SocketAddr>, Vec<SocketAddr>) {
    let mut servers = Servers::prepare_with(&ClusterOptions {
        fastdfs: true,
        ..ClusterOptions::default()
    });
    servers.spawn_all();
    run(servers.usable());
    let config = servers.config();
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let trackers = config
        .servers_of(Role::Mserver)
        .map(|server| settings.tracker_address(config, server))
        .collect();
    let storages = config
        .servers_of(Role::Dserver)
        .map(|server| settings.storage_address(config, server))
        .collect();
    (servers, trackers, storages)
}

#[test]
fn no_file_is_missing_while_storages_are_killed() {
    let (mut servers, trackers, storages) = start();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| use_on(trackers[client as usize % 3], client, Arc::clone(&stop)))
        .collect();
    for round in 0..ROUNDS {
        let name = format!("dserver-{}", round + 1);
        sleep(Duration::from_millis(1_500));
        servers.kill(&name);
        sleep(Duration::from_millis(1_500));
        servers.spawn(&name);
        run(servers.healed());
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for client in clients {
        let uploaded = client.join().expect("every file is read");
        assert!(!uploaded.is_empty());
        all.extend(uploaded);
    }
    servers.kill_all();
    servers.spawn_all();
    run(servers.usable());
    run(servers.healed());
    for uploaded in &all {
        for storage in &storages {
            assert!(
                is_read_at(*storage, uploaded),
                "{} at {storage}",
                uploaded.seed
            );
        }
    }
}

#[test]
fn a_frozen_storage_is_named_for_seconds_only() {
    let (servers, trackers, storages) = start();
    let named = || {
        let (status, answer) = ask(trackers[0], STORE_ALL, b"").expect("a tracker");
        assert_eq!(status, 0);
        storages_in(&answer)
    };
    assert_eq!(named().len(), 3);
    servers.freeze("dserver-2");
    let begun = Instant::now();
    while named().contains(&storages[1]) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(50));
    }
    upload(trackers[0], 7).expect("the others take uploads");
    servers.thaw("dserver-2");
    let begun = Instant::now();
    while !named().contains(&storages[1]) {
        assert!(begun.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_millis(50));
    }
}
