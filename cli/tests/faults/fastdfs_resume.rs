//! An upload that goes on piece by piece while its client and its servers die.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use sdfs_server::ClusterOptions;

use super::fastdfs_client::{Growing, start};
use super::servers::{HEALED_WITHIN, run};

/// Pieces appended before a server is killed, and after it where that goes on.
const PIECES: u64 = 10;

/// A client that appends until it is told to stop or a request fails.
struct Appending {
    pieces: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    client: JoinHandle<Growing>,
}

impl Appending {
    fn begin(mut file: Growing, storage: SocketAddr) -> Appending {
        let pieces = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (done, is_over) = (Arc::clone(&pieces), Arc::clone(&stop));
        let client = spawn(move || {
            while !is_over.load(Ordering::Relaxed) && file.append(storage).is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
            file
        });
        Appending {
            pieces,
            stop,
            client,
        }
    }

    /// Waits until so many pieces more are acknowledged, or a request has failed.
    fn has_appended(&self, more: u64) {
        let pieces = || self.pieces.load(Ordering::Relaxed);
        let (begun, wanted) = (Instant::now(), pieces() + more);
        while pieces() < wanted && !self.client.is_finished() {
            assert!(begun.elapsed() < HEALED_WITHIN, "nothing is appended");
            sleep(Duration::from_millis(5));
        }
    }

    /// The file, as soon as the request under way has ended.
    fn end(self) -> Growing {
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().expect("a client")
    }
}

/// Asks a storage for the size as soon as it can tell, and appends a piece there.
fn go_on(file: &mut Growing, storage: SocketAddr) {
    let begun = Instant::now();
    while let Err(error) = file.look(storage).and_then(|_| file.append(storage)) {
        assert!(
            begun.elapsed() < HEALED_WITHIN,
            "it does not go on: {error}"
        );
        sleep(Duration::from_millis(20));
    }
    let size = file.look(storage);
    assert!(size.is_ok(), "{size:?}");
}

#[test]
fn an_upload_goes_on_from_what_was_acknowledged() {
    let (mut servers, doors) = start(ClusterOptions::default());
    let mservers = servers.mservers();
    let mut file = Growing::begin(doors.storages[0], 1).expect("an upload begins");
    // Each mserver in turn: one of them is the main one of the file.
    for (turn, mserver) in mservers.iter().enumerate() {
        let (dserver, storage) = (format!("dserver-{}", turn + 1), doors.storages[turn]);
        let other = doors.storages[(turn + 1) % doors.storages.len()];

        file.append_half(storage);
        go_on(&mut file, other);

        let appending = Appending::begin(file, storage);
        appending.has_appended(PIECES);
        servers.kill(&dserver);
        file = appending.end();
        go_on(&mut file, other);
        servers.spawn(&dserver);

        let appending = Appending::begin(file, other);
        appending.has_appended(PIECES);
        servers.kill(mserver);
        appending.has_appended(PIECES);
        file = appending.end();
        go_on(&mut file, doors.storages[(turn + 2) % doors.storages.len()]);
        servers.spawn(mserver);
        run(servers.healed());
    }
    assert!(file.pieces() > 3 * PIECES, "{} pieces", file.pieces());
    for storage in &doors.storages {
        file.must_be_at(*storage);
    }
}
