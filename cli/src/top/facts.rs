//! What the full screen shows, out of two looks at all servers. Pure.

use std::collections::BTreeMap;

use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::activity::{Activity, Severity};
use sdfs_types::calls::status::{GroupStatus, PeerStatus, ServerStatus};
use sdfs_types::{Condition, MemberState, Outlook, ServerId, Volume, outlook_of};

use super::look::Done;
use super::rates::{Rates, rates};
use crate::view::{Seen, group_name, server_name};

/// The same seen by several servers within this is one event, milliseconds.
const SAME_WITHIN_MS: u64 = 4_000;

/// How something is, worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// As it should be.
    #[default]
    Good,
    /// Worth a look.
    Warn,
    /// Lost, or standing still.
    Bad,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) cluster: String,
    /// By the clocks of the servers; 0 when none answers.
    pub(super) now_ms: u64,
    /// How the cluster is, in sentences.
    pub(super) banner: (Health, Vec<String>),
    pub(super) servers: Vec<ServerFacts>,
    pub(super) groups: Vec<GroupFacts>,
    pub(super) volumes: usize,
    /// Volumes that miss a copy.
    pub(super) broken: Vec<CopyFacts>,
    /// Newest first.
    pub(super) events: Vec<EventFacts>,
}

/// A server.
#[derive(Debug)]
pub(super) struct ServerFacts {
    pub(super) name: String,
    pub(super) zone: String,
    pub(super) address: String,
    pub(super) health: Health,
    /// How it is, in a word or two.
    pub(super) state: String,
    /// Why it is not as it should be.
    pub(super) why: Vec<String>,
    /// The one in the middle of its round trips to others that are up.
    pub(super) rtt_us: Option<u64>,
    /// The groups it leads.
    pub(super) leads: Vec<String>,
    pub(super) status: Option<ServerStatus>,
    pub(super) activity: Option<Activity>,
    pub(super) rates: Option<Rates>,
    /// Bytes that wait for its disks.
    pub(super) queued_bytes: Option<u64>,
    /// Its round trips; when it does not answer, what the others say of it.
    pub(super) peers: Vec<PeerStatus>,
}

/// A raft group in the words of its leader, or else of whoever is in the newest term.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupFacts {
    pub(super) name: String,
    pub(super) leader: Option<String>,
    pub(super) leader_answers: bool,
    pub(super) term: u64,
    pub(super) last_log: u64,
    /// Entries the slowest of its members has still to apply.
    pub(super) behind: u64,
}

/// A volume that misses a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CopyFacts {
    pub(super) volume: String,
    pub(super) is_writable: bool,
    /// Who has none in sync.
    pub(super) missing: Vec<String>,
    /// What is done of the copy being made: bytes, and bytes a second.
    pub(super) done: Option<(u64, u64)>,
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventFacts {
    pub(super) at_ms: u64,
    pub(super) severity: Severity,
    pub(super) what: String,
    /// Who saw it.
    pub(super) by: Vec<String>,
}

/// Puts together what was told now, and what moved since `before`.
pub(super) fn facts(config: &Config, seen: &Seen<'_>, (before, now): (&Done, &Done)) -> Facts {
    let known: Vec<_> = seen.known().collect();
    let groups = groups(config, &known);
    let servers = seen.told.iter().map(|(server, status)| {
        let name = server.name.as_str();
        let activity = now.get(name);
        let rates = activity.and_then(|now| rates(before.get(name)?, now));
        let mut facts = server_facts(server, status.as_ref().ok(), activity);
        if let Err(error) = status {
            facts.why = vec![error.to_string()];
            facts.peers = seen_by_others(server.id, &known);
        }
        let led = groups
            .iter()
            .filter(|group| group.leader.as_deref() == Some(name));
        facts.leads = led.map(|group| group.name.clone()).collect();
        ServerFacts { rates, ..facts }
    });
    let servers: Vec<_> = servers.collect();
    let volumes = seen.volumes();
    let broken = volumes.iter().filter(|volume| !volume.is_whole());
    let broken: Vec<_> = broken
        .map(|volume| copy_facts(config, seen, volume))
        .collect();
    let (outlook, said) = outlook_of(&known, |server| server_name(config, server));
    Facts {
        cluster: config.cluster.clone(),
        now_ms: now
            .values()
            .map(|activity| activity.now_ms)
            .max()
            .unwrap_or(0),
        banner: banner(seen, &servers, (&outlook, said)),
        servers,
        groups,
        volumes: volumes.len(),
        broken,
        events: events(now),
    }
}

fn server_facts(
    server: &ServerConfig,
    status: Option<&ServerStatus>,
    activity: Option<&Activity>,
) -> ServerFacts {
    let not_ready = activity.map_or(&[][..], |activity| &activity.not_ready);
    let (health, state) = match status.map(ServerStatus::condition) {
        None => (Health::Bad, "no answer".to_owned()),
        Some(Condition::Up) if !not_ready.is_empty() => (Health::Warn, "not ready".to_owned()),
        Some(Condition::Up) => (Health::Good, Condition::Up.to_string()),
        Some(condition) => (Health::Warn, condition.to_string()),
    };
    let peers = status.map_or_else(Vec::new, |status| status.peers.clone());
    let queued = |activity: &Activity| activity.logs.iter().map(|log| log.queued_bytes).sum();
    ServerFacts {
        name: server.name.to_string(),
        zone: server.zone.clone(),
        address: server.address.to_string(),
        health,
        state,
        why: not_ready.to_vec(),
        rtt_us: middle_us(&peers),
        leads: Vec::new(),
        status: status.cloned(),
        activity: activity.cloned(),
        rates: None,
        queued_bytes: activity.map(queued),
        peers,
    }
}

fn middle_us(peers: &[PeerStatus]) -> Option<u64> {
    let up = peers.iter().filter(|peer| peer.is_up());
    let mut times: Vec<_> = up.filter_map(|peer| peer.rtt_us).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// What the others say of a server, each under its own name.
fn seen_by_others(server: ServerId, known: &[&ServerStatus]) -> Vec<PeerStatus> {
    let said = known.iter().filter_map(|status| {
        let peer = status.peers.iter().find(|peer| peer.server == server)?;
        Some(PeerStatus {
            name: status.name.clone(),
            ..peer.clone()
        })
    });
    said.collect()
}

fn groups(config: &Config, known: &[&ServerStatus]) -> Vec<GroupFacts> {
    // Of each group the best word, and the least that is applied.
    let mut best: BTreeMap<u8, ((u64, bool), &GroupStatus, u64)> = BTreeMap::new();
    for status in known {
        for group in &status.groups {
            let rank = (group.term, group.leader == Some(status.server));
            let best = best
                .entry(group.group)
                .or_insert((rank, group, group.applied));
            best.2 = best.2.min(group.applied);
            if rank > best.0 {
                (best.0, best.1) = (rank, group);
            }
        }
    }
    let told = best.values().map(|(_, group, slowest)| GroupFacts {
        name: group_name(config, group.group),
        leader: group.leader.map(|leader| server_name(config, leader)),
        leader_answers: known
            .iter()
            .any(|status| Some(status.server) == group.leader),
        term: group.term,
        last_log: group.last_log,
        behind: group.last_log.saturating_sub(*slowest),
    });
    told.collect()
}

fn copy_facts(config: &Config, seen: &Seen<'_>, volume: &Volume) -> CopyFacts {
    let away = volume
        .members
        .iter()
        .filter(|one| one.state != MemberState::InSync);
    let away: Vec<_> = away.map(|one| one.server).collect();
    let syncs = away
        .iter()
        .filter_map(|server| seen.kept(*server, volume.id)?.sync);
    let done = syncs.map(|sync| {
        (
            sync.done_bytes,
            sync.done_bytes * 1_000 / sync.for_ms.max(1),
        )
    });
    CopyFacts {
        volume: volume.id.to_string(),
        is_writable: volume.is_writable(),
        missing: away
            .iter()
            .map(|server| server_name(config, *server))
            .collect(),
        done: done.reduce(|one, other| (one.0 + other.0, one.1 + other.1)),
    }
}

/// How the cluster is, the most important first.
fn banner(
    seen: &Seen<'_>,
    servers: &[ServerFacts],
    (volumes, said): (&Outlook, Vec<String>),
) -> (Health, Vec<String>) {
    let mut lines = Vec::new();
    let away = servers.iter().filter(|server| server.status.is_none());
    let away: Vec<_> = away.map(|server| server.name.as_str()).collect();
    if !seen.hears_majority {
        lines.push("No majority of the mservers is heard: nothing can be changed.".to_owned());
    }
    if !away.is_empty() {
        let do_not = if away.len() == 1 {
            "does not"
        } else {
            "do not"
        };
        lines.push(format!("{} {do_not} answer.", away.join(", ")));
    }
    lines.extend(said.into_iter().map(|sentence| format!("{sentence}.")));
    let troubled = servers
        .iter()
        .filter(|server| server.health == Health::Warn);
    lines.extend(troubled.map(|server| format!("{}: {}.", server.name, server.state)));
    let is_bad = !seen.hears_majority || !away.is_empty() || volumes.writable < volumes.total;
    match (lines.is_empty(), is_bad) {
        (true, _) => {
            let count = servers.len();
            let well = match volumes.total {
                0 => format!("All {count} servers answer. There are no volumes yet."),
                total => {
                    format!("All {count} servers answer, and all {total} volumes have every copy.")
                }
            };
            (Health::Good, vec![well])
        }
        (false, true) => (Health::Bad, lines),
        (false, false) => (Health::Warn, lines),
    }
}

/// The same seen by several at about the same time is told once.
fn events(now: &Done) -> Vec<EventFacts> {
    let all = now
        .iter()
        .flat_map(|(name, activity)| activity.events.iter().map(move |event| (event, name)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(event, name)| (std::cmp::Reverse(event.at_ms), name.as_str()));
    let mut told: Vec<EventFacts> = Vec::new();
    for (event, name) in all {
        let is_near =
            |one: &&mut EventFacts| one.at_ms.saturating_sub(event.at_ms) < SAME_WITHIN_MS;
        let mut near = told.iter_mut().rev().take_while(is_near);
        match near.find(|one| one.what == event.what) {
            Some(same) if same.by.contains(name) => {}
            Some(same) => same.by.push(name.clone()),
            None => told.push(EventFacts {
                at_ms: event.at_ms,
                severity: event.severity,
                what: event.what.clone(),
                by: vec![name.clone()],
            }),
        }
    }
    told
}

/// Whether a server keeps blocks.
pub(super) fn keeps_blocks(server: &ServerFacts) -> bool {
    server
        .status
        .as_ref()
        .is_some_and(|status| status.role == Role::Dserver)
}
