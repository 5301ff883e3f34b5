//! The full screen of a cluster that has lost a dserver, letter by letter.

use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use sdfs_client::Error;
use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::activity::{Activity, CallActivity, Happened, LogActivity, Severity};
use sdfs_types::calls::status::{
    GroupStatus, PeerStatus, ScrubStatus, ServerStatus, SpaceStatus, SyncStatus, VolumeKept,
};
use sdfs_types::{Epoch, MemberState, ServerId, Volume, VolumeId, VolumeMember, VolumeStatus};

use super::draw::draw;
use super::facts::{Facts, facts};
use super::look::Done;
use super::place::Place;
use crate::view::Seen;

const LOST: &str = "dserver-2";
/// 2026-11-29 19:20:00.
const NOW_MS: u64 = 1_795_980_000_000;

fn config() -> Config {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.conf");
    Config::load(Path::new(file)).expect("the shipped configuration")
}

fn peers(config: &Config, of: &ServerConfig) -> Vec<PeerStatus> {
    let others = config.servers.iter().filter(|server| server.id != of.id);
    let peer = |server: &ServerConfig| PeerStatus {
        server: server.id,
        name: server.name.to_string(),
        role: server.role,
        address: server.address.to_string(),
        state: if server.name.as_str() == LOST {
            "Waiting"
        } else {
            "Up"
        }
        .to_owned(),
        rtt_us: Some(100 * u64::from(server.id.0)),
        rtt_min_us: Some(80),
        jitter_us: Some(12),
        free_bytes: None,
        established: 1,
    };
    others.map(peer).collect()
}

fn volumes() -> Vec<Volume> {
    let volume = |id, lost| Volume {
        id: VolumeId(id),
        epoch: Epoch(3),
        members: [4, 5, 6]
            .map(|server| VolumeMember {
                server: ServerId(server),
                state: if server == 5 {
                    lost
                } else {
                    MemberState::InSync
                },
            })
            .to_vec(),
        status: VolumeStatus::Writable,
    };
    vec![volume(1, MemberState::InSync), volume(2, MemberState::Out)]
}

fn status(config: &Config, server: &ServerConfig) -> ServerStatus {
    let group = |group, leader| GroupStatus {
        group,
        leader: Some(ServerId(leader)),
        term: 7,
        last_log: 1_234,
        applied: 1_234 - u64::from(server.id.0),
        voters: Vec::new(),
    };
    let is_mserver = server.role == Role::Mserver;
    let space = SpaceStatus {
        path: "data/space".to_owned(),
        failed: None,
        blocks: 4_321,
        live_bytes: 5 << 30,
        segment_bytes: 6 << 30,
        free_bytes: 70 << 30,
        room_bytes: 69 << 30,
        volumes: Vec::new(),
        scrub: ScrubStatus::default(),
    };
    let kept = VolumeKept {
        volume: VolumeId(2),
        epoch: Epoch(3),
        blocks: 9,
        bytes: 9_000,
        sync: Some(SyncStatus {
            for_ms: 2_000,
            done_bytes: 8 << 20,
            ..SyncStatus::default()
        }),
    };
    ServerStatus {
        server: server.id,
        name: server.name.to_string(),
        role: server.role,
        address: server.address.to_string(),
        program: "0.1.0".to_owned(),
        up_s: 4_000,
        peers: peers(config, server),
        groups: if is_mserver {
            vec![group(0, 1), group(1, 2)]
        } else {
            Vec::new()
        },
        volumes: if is_mserver { volumes() } else { Vec::new() },
        spaces: if is_mserver { Vec::new() } else { vec![space] },
        kept: if is_mserver { Vec::new() } else { vec![kept] },
        hears_majority: true,
    }
}

fn activity(seconds: u64) -> Activity {
    Activity {
        now_ms: NOW_MS + seconds * 1_000,
        calls: vec![CallActivity {
            kind: sdfs_types::calls::CallKind::Stat.to_wire(),
            counts: vec![0, 900 * seconds, 100 * seconds],
            sum_us: 0,
        }],
        bytes_in: (5 << 20) * seconds,
        bytes_out: (40 << 20) * seconds,
        clients: 3,
        logs: vec![LogActivity {
            log: "raft".to_owned(),
            syncs: 150 * seconds,
            records: 400 * seconds,
            record_bytes: 0,
            queued_bytes: 65_536,
            total_bytes: 0,
        }],
        events: vec![Happened {
            at_ms: NOW_MS - 4_000,
            severity: Severity::Trouble,
            what: "dserver-2 is lost".to_owned(),
        }],
        ..Activity::default()
    }
}

fn done(config: &Config, seconds: u64) -> Done {
    let answering = config
        .servers
        .iter()
        .filter(|server| server.name.as_str() != LOST);
    answering
        .map(|server| (server.name.to_string(), activity(seconds)))
        .collect()
}

fn shown(config: &Config) -> Facts {
    let told = config.servers.iter().map(|server| {
        let told = match server.name.as_str() {
            LOST => Err(Error::Deadline {
                waited: std::time::Duration::from_millis(900),
            }),
            _ => Ok(status(config, server)),
        };
        (server, told)
    });
    facts(
        config,
        &Seen::of(told.collect()),
        (&done(config, 0), &done(config, 1)),
    )
}

/// What is on a screen of that size after some keys.
fn screen((width, height): (u16, u16), facts: &Facts, keys: &[KeyCode]) -> String {
    let mut place = Place::default();
    for key in keys {
        place.press(KeyEvent::from(*key), facts.servers.len());
    }
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| draw(frame, facts, &place))
        .expect("drawn");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content.chunks(usize::from(width)).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_lost_server_is_seen_on_the_smallest_terminal() {
    let drawn = screen((80, 24), &shown(&config()), &[]);
    assert_eq!(drawn, SMALL, "\n{drawn}");
}

#[test]
fn a_wide_terminal_shows_every_column() {
    let drawn = screen((140, 45), &shown(&config()), &[]);
    for word in [
        "clients",
        "p50",
        "records/s",
        "syncs/s",
        "free",
        "leads",
        "last entry",
    ] {
        assert!(drawn.contains(word), "{word} in\n{drawn}");
    }
    for value in [
        "128 us", "256 us", "1,000", "5.00 MiB", "40.0 MiB", "400", "64.0 KiB",
    ] {
        assert!(drawn.contains(value), "{value} in\n{drawn}");
    }
}

#[test]
fn the_chosen_server_is_told_of() {
    let facts = shown(&config());
    let well = screen((80, 24), &facts, &[KeyCode::Down, KeyCode::Enter]);
    assert!(
        well.contains("[mserver-2]") && well.contains("> \u{25cf} mserver-2"),
        "{well}"
    );
    assert!(
        well.contains("Waiting") && well.contains("version 0.1.0"),
        "{well}"
    );
    let lost = [
        KeyCode::Down,
        KeyCode::Down,
        KeyCode::Down,
        KeyCode::Down,
        KeyCode::Enter,
    ];
    let lost = screen((80, 24), &facts, &lost);
    assert!(
        lost.contains("as seen by") && lost.contains("no answer within 900 ms"),
        "{lost}"
    );
}

#[test]
fn no_size_is_too_small_to_draw() {
    let facts = shown(&config());
    for size in [(1, 1), (3, 40), (20, 5), (40, 12), (300, 2)] {
        for keys in [
            &[][..],
            &[KeyCode::Tab],
            &[KeyCode::BackTab],
            &[KeyCode::Char('?')],
        ] {
            screen(size, &facts, keys);
        }
    }
    let help = screen((80, 24), &facts, &[KeyCode::Char('?')]);
    assert!(
        help.contains("q, ctrl-c") && help.contains("bytes that wait"),
        "{help}"
    );
    screen(
        (80, 24),
        &Facts::default(),
        &[KeyCode::Down, KeyCode::Enter],
    );
}

const SMALL: &str =
    " sdfs  5 of 6 servers answer                            2026-11-29 19:20:01 UTC
 dserver-2 does not answer. 1 of 2 volumes takes no writes: waiting for
 dserver-2. 1 of 2 volumes misses a copy.

     server    state           rtt calls/s     p99     in/s    out/s    queue
 > ● mserver-1 up           400 us   1,000  256 us 5.00 MiB 40.0 MiB 64.0 KiB
   ● mserver-2 up           400 us   1,000  256 us 5.00 MiB 40.0 MiB 64.0 KiB
   ● mserver-3 up           400 us   1,000  256 us 5.00 MiB 40.0 MiB 64.0 KiB
   ● dserver-1 up           300 us   1,000  256 us 5.00 MiB 40.0 MiB 64.0 KiB
   ■ dserver-2 no answer         -       -       -        -        -        -
   ● dserver-3 up           300 us   1,000  256 us 5.00 MiB 40.0 MiB 64.0 KiB

 [cluster]  mserver-1   events
 group              leader       behind  1 of 2 volumes have every copy
 root               mserver-1         3  volume  missing at     healed    per s
 files of mserver-1 mserver-2         3  2       dserver-2       waits        -

         5 s ago ■ dserver-2 is lost dserver-1 and 4 more





 q end   arrows choose   tab panels   ? help";
