//! FastDFS clients while storages are killed and frozen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use sdfs_server::ClusterOptions;
use sdfs_server_group::ServerId;

use super::fastdfs_client::{
    Doors, GROUP, Growing, STORE_ALL, Uploaded, ask, named_by, start, storage, upload,
};
use super::servers::{HEALED_WITHIN, Servers, run};
use super::talk::field;

const CLIENTS: u64 = 4;
const KILLING_FOR: Duration = Duration::from_secs(30);
const BLOCK_BYTES: usize = 64 << 10;
/// Files acknowledged between two kills at least, and while a storage is away.
const BETWEEN_KILLS: usize = 60;
/// Longest a tracker may name a storage that is gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Longest it may not name one that is back: it starts, is connected to and synced first.
const RETURNED_WITHIN: Duration = Duration::from_secs(60);
/// Before what could not be done is tried again.
const PAUSE: Duration = Duration::from_millis(20);
const STORE_ONE: u8 = 101;
const STORAGES: u8 = 92;
const STORAGE_RECORD_BYTES: usize = 487;
const OFFLINE: u8 = 5;
const ACTIVE: u8 = 7;

fn small_length(seed: u64) -> usize {
    1 + seed as usize * 37 % 9_000
}

/// Length of a file: mostly small, now and then more than a block.
fn length(seed: u64) -> usize {
    match seed % 8 {
        3 => 3 * BLOCK_BYTES + 4_001,
        _ => small_length(seed),
    }
}

/// A client that works until it is told to stop.
struct Using {
    stop: Arc<AtomicBool>,
    acknowledged: Sender<Uploaded>,
}

impl Using {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells of a file that was acknowledged. Whoever wanted to know may have gone.
    fn tell(&self, uploaded: Uploaded) {
        self.acknowledged.send(uploaded).unwrap_or(());
    }

    /// Uploads small files.
    fn upload_on(&self, tracker: SocketAddr, client: u64) {
        for seed in client * 1_000_000.. {
            if self.is_over() {
                break;
            }
            match upload(tracker, (seed, small_length(seed))) {
                Ok(uploaded) => self.tell(uploaded),
                Err(_) => sleep(PAUSE),
            }
        }
    }

    /// Uploads files of all lengths and reads each at once at every storage that is to have it,
    /// and makes one longer between them.
    fn work_on(&self, tracker: SocketAddr, client: u64) -> Growing {
        let begun = Instant::now();
        let mut growing = loop {
            let storages = named_by(tracker, STORE_ALL, b"").unwrap_or_default();
            let storage = storages.first().copied();
            let growing = storage.map(|storage| Growing::begin(storage, client << 40));
            if let Some(Ok(growing)) = growing {
                break growing;
            }
            assert!(begun.elapsed() < HEALED_WITHIN, "nothing is uploaded");
            sleep(PAUSE);
        };
        for seed in client * 1_000_000.. {
            if self.is_over() {
                break;
            }
            match upload(tracker, (seed, length(seed))) {
                Ok(uploaded) => {
                    uploaded.read_where_it_is(tracker);
                    self.tell(uploaded);
                }
                Err(_) => sleep(PAUSE),
            }
            if seed % 4 == 1 {
                append_in_time(&mut growing, tracker);
            }
        }
        growing
    }
}

/// Appends the next piece, as often as it takes.
fn append_in_time(growing: &mut Growing, tracker: SocketAddr) {
    let begun = Instant::now();
    while let Err(error) = growing.home(tracker).and_then(|home| growing.append(home)) {
        assert!(begun.elapsed() < HEALED_WITHIN, "never appended: {error}");
        sleep(PAUSE);
    }
}

/// Clients that work, and what they say is acknowledged.
struct Clients<T> {
    stop: Arc<AtomicBool>,
    acknowledged: Receiver<Uploaded>,
    working: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Clients<T> {
    fn begin(doors: &Doors, work: fn(&Using, SocketAddr, u64) -> T) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, acknowledged) = channel();
        let client = |client: u64| {
            let using = Using {
                stop: Arc::clone(&stop),
                acknowledged: tell.clone(),
            };
            let tracker = doors.trackers[client as usize % doors.trackers.len()];
            spawn(move || work(&using, tracker, client))
        };
        let working = (0..CLIENTS).map(client).collect();
        Self {
            stop,
            acknowledged,
            working,
        }
    }

    /// Waits for so many acknowledged files, and gives all there are.
    fn acknowledged(&self, at_least: usize) -> Vec<Uploaded> {
        let next = || self.acknowledged.recv_timeout(HEALED_WITHIN);
        let mut all: Vec<_> = (0..at_least)
            .map(|_| next().expect("files are uploaded"))
            .collect();
        all.extend(self.acknowledged.try_iter());
        all
    }

    /// Ends their work; what they have, and what else was acknowledged.
    fn end(self) -> (Vec<T>, Vec<Uploaded>) {
        self.stop.store(true, Ordering::Relaxed);
        let working = self.working.into_iter();
        let ended = working.map(|client| client.join().expect("every file is read"));
        (ended.collect(), self.acknowledged.try_iter().collect())
    }
}

#[test]
fn no_file_dies_with_the_storage_that_took_it() {
    let (mut servers, doors) = start(ClusterOptions {
        dservers: 2,
        storage: storage("copies: 2, copies_min: 1"),
        ..ClusterOptions::default()
    });
    let clients = Clients::begin(&doors, Using::upload_on);
    let mut all = clients.acknowledged(2_000);
    // A machine that stood still may have made one of them be synced again.
    run(servers.healed());
    servers.kill("dserver-1");
    all.extend(clients.end().1);
    let took = all.iter().filter(|file| file.taken_by == doors.storages[0]);
    let took = took.count();
    assert!(took > 500, "the dead one took {took} of {}", all.len());
    for uploaded in &all {
        uploaded.must_be_at(doors.storages[1]);
    }
}

#[test]
fn no_file_is_missing_while_storages_are_killed() {
    let (mut servers, doors) = start(ClusterOptions {
        storage: storage(&format!("block_bytes: {BLOCK_BYTES}")),
        ..ClusterOptions::default()
    });
    let clients = Clients::begin(&doors, Using::work_on);
    let (begun, mut kills) = (Instant::now(), 0);
    let mut all = Vec::new();
    for dead in (0..doors.storages.len()).cycle() {
        if begun.elapsed() > KILLING_FOR && kills >= 3 {
            break;
        }
        let name = format!("dserver-{}", dead + 1);
        let mut since = clients.acknowledged(BETWEEN_KILLS);
        servers.kill(&name);
        since.extend(clients.acknowledged(BETWEEN_KILLS));
        let others = doors.storages.iter().enumerate();
        for (_, storage) in others.filter(|(place, _)| *place != dead) {
            since.iter().for_each(|file| file.must_be_at(*storage));
        }
        all.extend(since);
        servers.spawn(&name);
        run(servers.healed());
        kills += 1;
    }
    let (growing, rest) = clients.end();
    all.extend(rest);
    let pieces: Vec<u64> = growing.iter().map(Growing::pieces).collect();
    assert!(pieces.iter().all(|pieces| *pieces > 10), "{pieces:?}");
    servers.kill_all();
    servers.spawn_all();
    run(servers.usable());
    run(servers.healed());
    for storage in &doors.storages {
        all.iter().for_each(|file| file.must_be_at(*storage));
        growing.iter().for_each(|file| file.must_be_at(*storage));
    }
}

/// The storages a tracker names for uploads.
fn named(doors: &Doors) -> Vec<SocketAddr> {
    // None while it knows of no volume.
    named_by(doors.trackers[0], STORE_ALL, b"").unwrap_or_default()
}

fn wait_within(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < within, "after {within:?} not: {what}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_frozen_storage_is_named_for_seconds_only() {
    let (servers, doors) = start(ClusterOptions::default());
    let frozen = doors.storages[1];
    assert_eq!(named(&doors).len(), 3);
    servers.freeze("dserver-2");
    wait_within(NOTICED_WITHIN, "it is named no more", || {
        !named(&doors).contains(&frozen)
    });
    upload(doors.trackers[0], (7, 7_000)).expect("the others take uploads");
    servers.thaw("dserver-2");
    wait_within(RETURNED_WITHIN, "it is named again", || {
        named(&doors).contains(&frozen)
    });
}

/// The status a tracker tells of a storage.
fn status_of(doors: &Doors, id: ServerId) -> u8 {
    let (status, records) = ask(doors.trackers[0], STORAGES, &field(GROUP, 16)).expect("a tracker");
    assert_eq!(status, 0);
    let id = field(&id.to_string(), 16);
    let mut records = records.chunks_exact(STORAGE_RECORD_BYTES);
    let record = records.find(|record| record[2..18] == id);
    record.expect("it is listed")[0]
}

#[test]
fn a_storage_that_returns_is_active_within_seconds() {
    let (mut servers, doors) = start(ClusterOptions::default());
    let id = |servers: &Servers| servers.config().server_named("dserver-2").expect("one").id;
    let (id, address) = (id(&servers), doors.storages[1]);
    assert_eq!(status_of(&doors, id), ACTIVE);
    servers.kill("dserver-2");
    wait_within(NOTICED_WITHIN, "it is offline", || {
        status_of(&doors, id) == OFFLINE && !named(&doors).contains(&address)
    });
    for seed in 0..20 {
        upload(doors.trackers[0], (seed, small_length(seed))).expect("the others take uploads");
    }
    servers.spawn("dserver-2");
    wait_within(RETURNED_WITHIN, "it is active and takes uploads", || {
        status_of(&doors, id) == ACTIVE && named(&doors).contains(&address)
    });
    let one = |_| named_by(doors.trackers[0], STORE_ONE, b"").expect("a tracker");
    let mut in_turn = (0..doors.storages.len()).flat_map(one);
    assert!(in_turn.any(|named| named == address), "its turn comes");
}
