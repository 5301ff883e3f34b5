//! Each fault of a cluster is told within five seconds, by the console, by the metrics and on the
//! page, and in the same words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and this one says how long things take"
)]

mod kit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kit::talk::Talk;
use kit::wires::Wires;
use kit::world::{DISK_BYTES, World};
use kit::{PATIENCE, get};
use sdfs_client::{Client, PutOptions};
use sdfs_log::Fault;
use serde_json::Value;
use tokio::time::sleep;

/// How long a fault may take to be told everywhere.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that nothing else on the disks has.
const MARK: &[u8] = b"these bytes are going to rot";

/// What is to be told of a fault.
struct Told {
    fault: &'static str,
    /// Whose doors are asked.
    at: &'static str,
    /// The sentence of the event there.
    event: String,
    /// How a server is said to be, in a word or two.
    state: Option<(&'static str, &'static str)>,
    /// Why it is not ready, as it says itself.
    not_ready: Option<String>,
    /// What is said of all volumes.
    volumes: Option<String>,
    /// Lines of the metrics there.
    metrics: Vec<String>,
}

impl Told {
    fn at(at: &'static str, fault: &'static str, event: impl Into<String>) -> Told {
        Told {
            fault,
            at,
            event: event.into(),
            state: None,
            not_ready: None,
            volumes: None,
            metrics: Vec::new(),
        }
    }

    fn with_metric(mut self, line: impl Into<String>) -> Told {
        self.metrics.push(line.into());
        self
    }

    fn with_state(mut self, server: &'static str, state: &'static str) -> Told {
        self.state = Some((server, state));
        self
    }

    fn with_volumes(mut self, says: impl Into<String>) -> Told {
        self.volumes = Some(says.into());
        self
    }

    /// Waits until all three tell it; fails when one of them takes too long.
    async fn everywhere(&self, world: &World, since: Instant) {
        let (console, page, metrics) = tokio::join!(
            self.at_the_console(world, since),
            self.on_the_page(world.http_of(self.at), since),
            self.in_the_metrics(world.http_of(self.at), since),
        );
        let times = [console, page, metrics].map(|time| time.as_millis());
        let [console, page, metrics] = times;
        println!(
            "{}: console {console} ms, page {page} ms, metrics {metrics} ms",
            self.fault
        );
        let limit_ms = TOLD_WITHIN.as_millis();
        assert!(
            times.iter().all(|ms| *ms <= limit_ms),
            "{}: {times:?}",
            self.fault
        );
    }

    async fn at_the_console(&self, world: &World, since: Instant) -> Duration {
        let key = world.config.admin_key().unwrap();
        let mut talk = logged_in(world.console_of(self.at), &key).await;
        loop {
            let missing = self.missing_at_the_console(&mut talk).await;
            let Some(missing) = missing else {
                return since.elapsed();
            };
            assert!(
                since.elapsed() < PATIENCE,
                "{} at the console: {missing}",
                self.fault
            );
            sleep(PAUSE).await;
        }
    }

    /// What the console does not tell yet.
    async fn missing_at_the_console(&self, talk: &mut Talk) -> Option<String> {
        let events = asked(talk, "events 50").await;
        let mut rows = events["rows"].as_array().into_iter().flatten();
        if !rows.any(|row| row["what"] == self.event) {
            return Some(format!("no {:?} in {events}", self.event));
        }
        let status = asked(talk, "status").await;
        let fields = &status["fields"];
        if let Some(volumes) = &self.volumes {
            let says = [&fields["no_writes"], &fields["missing"]];
            if !says.iter().any(|said| *said == volumes) {
                return Some(format!("no {volumes:?} in {fields}"));
            }
        }
        if let Some(why) = &self.not_ready {
            let whys = fields["not_ready"].as_array().into_iter().flatten();
            if whys.filter(|one| *one == why).count() != 1 || fields["ready"] != false {
                return Some(format!("no {why:?} in {fields}"));
            }
        }
        let (server, state) = self.state?;
        let servers = asked(talk, "servers").await;
        let mut rows = servers["rows"].as_array().into_iter().flatten();
        // Of one that does not answer the reason follows.
        let is_told = |row: &Value| {
            let told = row["state"].as_str().unwrap_or_default();
            row["name"] == server && told.split(':').next() == Some(state)
        };
        let is_missing = !rows.any(is_told);
        is_missing.then(|| format!("no {server} {state} in {servers}"))
    }

    async fn on_the_page(&self, door: SocketAddr, since: Instant) -> Duration {
        loop {
            let (_, look) = get(door, "/api/status").await;
            let look: Value = serde_json::from_str(&look).unwrap_or_default();
            let Some(missing) = self.missing_on_the_page(&look) else {
                return since.elapsed();
            };
            assert!(
                since.elapsed() < PATIENCE,
                "{} on the page: {missing}",
                self.fault
            );
            sleep(PAUSE).await;
        }
    }

    /// What the page is not told yet.
    fn missing_on_the_page(&self, look: &Value) -> Option<String> {
        let server = |name: &str| {
            let mut servers = look["servers"].as_array().into_iter().flatten();
            servers.find(|server| server["name"] == name)
        };
        let activity = &server(self.at)?["activity"];
        let mut events = activity["events"].as_array().into_iter().flatten();
        if !events.any(|event| event["what"] == self.event) {
            return Some(format!("no {:?} in {activity}", self.event));
        }
        if let Some(volumes) = &self.volumes {
            let mut says = look["volumes"]["says"].as_array().into_iter().flatten();
            if !says.any(|said| said == volumes) {
                return Some(format!("no {volumes:?} in {}", look["volumes"]));
            }
        }
        if let Some(why) = &self.not_ready {
            let mut whys = activity["not_ready"].as_array().into_iter().flatten();
            if !whys.any(|one| one == why) {
                return Some(format!("no {why:?} in {}", activity["not_ready"]));
            }
        }
        let (name, state) = self.state?;
        let told = &server(name)?["state"];
        (told != state).then(|| format!("{name} is {told}"))
    }

    async fn in_the_metrics(&self, door: SocketAddr, since: Instant) -> Duration {
        loop {
            let (_, text) = get(door, "/metrics").await;
            let is_told = |line: &String| text.contains(&format!("\n{line}\n"));
            let Some(missing) = self.metrics.iter().find(|line| !is_told(line)) else {
                return since.elapsed();
            };
            let alike = missing.split(['{', ' ']).next().unwrap();
            let alike: Vec<_> = text.lines().filter(|line| line.contains(alike)).collect();
            let waited = since.elapsed();
            assert!(
                waited < PATIENCE,
                "{}: no {missing} in {alike:?}",
                self.fault
            );
            sleep(PAUSE).await;
        }
    }
}

async fn logged_in(console: SocketAddr, key: &sdfs_server_group::UserKey) -> Talk {
    let mut talk = Talk::login(console, "admin", key).await;
    assert_eq!(talk.ask("json on").await, "{\"ok\":true}\n");
    talk
}

async fn asked(talk: &mut Talk, command: &str) -> Value {
    let answer = talk.ask(command).await;
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer}"))
}

#[actix_rt::test]
async fn every_fault_is_told_everywhere_in_the_same_words() {
    let mut world = World::start(Wires::default()).await;
    let client = Client::connect_admin(world.config.clone()).await.unwrap();
    let put = client.put("/rotten", MARK.repeat(4_000), PutOptions::default());
    put.await.unwrap();
    let volumes = asked(
        &mut logged_in(
            world.console_of("mserver-1"),
            &world.config.admin_key().unwrap(),
        )
        .await,
        "status",
    )
    .await;
    let count = volumes["fields"]["volumes"].as_u64().unwrap();

    rot_is_told(&world).await;
    a_full_disk_is_told(&world, count).await;
    a_killed_dserver_is_told(&mut world, count).await;
    a_killed_mserver_is_told(&mut world).await;
    a_frozen_dserver_is_told(&world, count).await;
    a_failed_disk_is_told(&world, &client).await;
    a_minority_is_told(&world).await;
}

fn space_of(world: &World, server: &str) -> PathBuf {
    world.config.server_named(server).unwrap().space[0].clone()
}

/// Turns a bit of the mark in a segment.
fn rot(log: &Path) {
    for entry in std::fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let mut segment = std::fs::read(&path).unwrap();
        let mark = segment.windows(MARK.len()).position(|bytes| bytes == MARK);
        if let Some(at) = mark {
            segment[at] ^= 1;
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &segment[at..=at], at as u64).unwrap();
            return;
        }
    }
    panic!("no segment in {} has the mark", log.display());
}

async fn rot_is_told(world: &World) {
    let space = space_of(world, "dserver-1");
    rot(&space.join("log"));
    let key = world.config.admin_key().unwrap();
    let mut talk = logged_in(world.console_of("mserver-1"), &key).await;
    let since = Instant::now();
    let scrub = asked(&mut talk, "scrub start").await;
    assert_eq!(scrub["ok"], true, "{scrub}");
    let disk = space.display();
    let event = format!("damaged blocks found at {disk}: 1");
    let damaged = format!("sdfs_space_damaged_blocks_total{{space=\"{disk}\"}} 1");
    let told = Told::at("dserver-1", "rot", event).with_metric(damaged);
    told.everywhere(world, since).await;
    let repaired = format!("damaged blocks repaired at {disk}: 1");
    let told = Told::at("dserver-1", "rot repaired", repaired).with_metric(format!(
        "sdfs_space_repaired_blocks_total{{space=\"{disk}\"}} 1"
    ));
    told.everywhere(world, since).await;
}

async fn a_full_disk_is_told(world: &World, count: u64) {
    let disk = space_of(world, "dserver-3").display().to_string();
    let since = Instant::now();
    // Less than it holds already. One of no bytes at all is one that nobody has looked at yet.
    world.disk.set_capacity(1);
    let no_writes = format!("{count} of {count} volumes take no writes: dserver-3 has no room");
    let there = Told::at(
        "dserver-3",
        "full disk",
        format!("the disk at {disk} has no room"),
    )
    .with_state("dserver-3", "no room")
    .with_metric(format!("sdfs_space_room_bytes{{space=\"{disk}\"}} 0"));
    let mserver = Told::at("mserver-1", "volumes of a full disk", no_writes.clone())
        .with_state("dserver-3", "no room")
        .with_volumes(no_writes)
        .with_metric("sdfs_volume_writable{volume=\"1\"} 0");
    tokio::join!(
        there.everywhere(world, since),
        mserver.everywhere(world, since)
    );
    let since = Instant::now();
    world.disk.set_capacity(DISK_BYTES);
    let again = format!("the disk at {disk} has room again");
    let there = Told::at("dserver-3", "room again", again).with_state("dserver-3", "up");
    there.everywhere(world, since).await;
    world.settled().await;
}

async fn a_killed_dserver_is_told(world: &mut World, count: u64) {
    let since = Instant::now();
    world.kill("dserver-1");
    let told = lost_dserver("killed dserver", "dserver-1", count);
    told.everywhere(world, since).await;
    world.start_server("dserver-1").await;
    world.settled().await;
}

fn lost_dserver(fault: &'static str, server: &'static str, count: u64) -> Told {
    Told::at("mserver-1", fault, format!("{server} is lost"))
        .with_state(server, "no answer")
        .with_volumes(format!("{count} of {count} volumes miss a copy"))
        .with_metric(format!(
            "sdfs_peer_up{{peer=\"{server}\",role=\"dserver\"}} 0"
        ))
        .with_metric("sdfs_volume_in_sync_copies{volume=\"1\"} 2")
}

async fn a_killed_mserver_is_told(world: &mut World) {
    let since = Instant::now();
    world.kill("mserver-3");
    let told = Told::at("mserver-1", "killed mserver", "mserver-3 is lost")
        .with_state("mserver-3", "no answer")
        .with_metric("sdfs_peer_up{peer=\"mserver-3\",role=\"mserver\"} 0")
        .with_metric("sdfs_hears_majority 1");
    told.everywhere(world, since).await;
    world.start_server("mserver-3").await;
    world.settled().await;
}

async fn a_frozen_dserver_is_told(world: &World, count: u64) {
    let since = Instant::now();
    let frozen = world.freeze("dserver-2");
    let told = lost_dserver("frozen dserver", "dserver-2", count);
    told.everywhere(world, since).await;
    drop(frozen);
    world.settled().await;
}

async fn a_failed_disk_is_told(world: &World, client: &Client) {
    let disk = space_of(world, "dserver-3").display().to_string();
    let since = Instant::now();
    let next = world.disk.changes();
    for change in next..next + 10_000 {
        world.disk.fail_change(change, Fault::Io);
    }
    // It is acknowledged by the others.
    let put = client.put("/more", MARK.to_vec(), PutOptions::default());
    let (put, told) = tokio::join!(put, closed_disk(world, &disk));
    put.unwrap();
    told.everywhere(world, since).await;
}

/// Why the disk is closed is for the disk to say; it says the same everywhere.
async fn closed_disk(world: &World, disk: &str) -> Told {
    let key = world.config.admin_key().unwrap();
    let mut talk = logged_in(world.console_of("dserver-3"), &key).await;
    let begun = Instant::now();
    let why = loop {
        let spaces = asked(&mut talk, "spaces").await;
        if let Some(why) = spaces["rows"][0]["failed"].as_str() {
            break why.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{spaces}");
        sleep(PAUSE).await;
    };
    let mut told = Told::at(
        "dserver-3",
        "failed disk",
        format!("the disk at {disk} is closed: {why}"),
    );
    told.not_ready = Some(format!("no disk works: {why}"));
    told.with_state("dserver-3", "disk failed")
        .with_metric(format!("sdfs_space_failed{{space=\"{disk}\"}} 1"))
        .with_metric("sdfs_ready 0")
}

async fn a_minority_is_told(world: &World) {
    let since = Instant::now();
    let apart = ["mserver-1", "dserver-1"].into();
    world.wires.send_modify(|wires| wires.apart = apart);
    let event = "no majority of the mservers is heard any more";
    let mut told = Told::at("mserver-1", "minority", event)
        .with_state("mserver-1", "cut off")
        .with_metric("sdfs_hears_majority 0")
        .with_metric("sdfs_ready 0");
    let why = "no majority of the mservers is heard: 1 of 3; not mserver-2, mserver-3";
    told.not_ready = Some(why.to_owned());
    told.everywhere(world, since).await;
    let told = Told::at("mserver-2", "missed from the majority", "mserver-1 is lost")
        .with_state("mserver-1", "no answer")
        .with_metric("sdfs_hears_majority 1");
    told.everywhere(world, since).await;

    // Since when, it is said alike as well.
    let key = world.config.admin_key().unwrap();
    let mut talk = logged_in(world.console_of("mserver-1"), &key).await;
    let status = asked(&mut talk, "status").await;
    let (_, look) = get(world.http_of("mserver-1"), "/api/status").await;
    let look: Value = serde_json::from_str(&look).unwrap();
    assert!(look["alone_since_ms"].is_u64(), "{look}");
    assert_eq!(status["fields"]["alone_since_ms"], look["alone_since_ms"]);
}
