//! Commands that only look: at this server, and at the others in their own words.

use std::collections::BTreeMap;

use sdfs_types::calls::activity::{Happened, Severity};
use sdfs_types::calls::call_name;
use sdfs_types::calls::names::ListUsers;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{MemberState, Outlook, PathRight, ServerId, clock};
use serde_json::{Value, json};

use super::Console;
use super::help::HELP;
use super::reply::Reply;
use crate::ask::{Told, on_behalf, statuses};
use crate::limits::NAMES_SHOWN_MAX;
use crate::observed::{GroupReading, MemberReading};
use crate::ready::not_ready;

pub(super) fn help(of: Option<&str>) -> Reply {
    let wanted = HELP
        .iter()
        .filter(|help| of.is_none_or(|of| of == help.name));
    let rows: Vec<_> = wanted
        .map(|help| [json!(help.usage), json!(help.what)])
        .collect();
    if rows.is_empty() {
        return Reply::refused(
            "unknown_command",
            "there is no such command; `help` lists them",
        );
    }
    Reply::rows(["command", "what"], rows)
}

pub(super) fn status(console: &Console) -> Reply {
    let status = console.server.status();
    let mesh = console.server.mesh();
    let election_ms = mesh.config().timers.election_ms;
    let why = not_ready(&status, &console.server.groups(), election_ms);
    let up = status.peers.iter().filter(|peer| peer.is_up());
    let leads = status
        .groups
        .iter()
        .filter(|group| group.leader == Some(status.server))
        .map(|group| group.group);
    let outlook = Outlook::of(&status.volumes, |server| status.hears(server));
    let no_writes = outlook.no_writes(&status.peers_without_room(), |id| status.name_of(id));
    let lately = console.lately.borrow();
    Reply::Fields(vec![
        ("name", json!(status.name)),
        ("role", json!(status.role.to_string())),
        ("address", json!(status.address)),
        ("version", json!(status.program)),
        ("up_s", json!(status.up_s)),
        ("ready", json!(why.is_empty())),
        ("not_ready", json!(why)),
        ("alone_since_ms", json!(lately.alone_since_ms)),
        ("peers_up", json!(up.count())),
        ("peers", json!(status.peers.len())),
        ("clients", json!(mesh.snapshot().clients)),
        ("leads", json!(leads.collect::<Vec<_>>())),
        ("volumes", json!(outlook.total)),
        ("whole_volumes", json!(outlook.whole)),
        ("writable_volumes", json!(outlook.writable)),
        ("no_writes", json!(no_writes)),
        ("missing", json!(outlook.missing())),
    ])
}

pub(super) async fn servers(console: &Console) -> Reply {
    let told = statuses(console.server.mesh()).await;
    let row = |(id, name, role, answer): &Told<ServerStatus>| {
        let begin = [json!(id.0), json!(name.as_str()), json!(role.to_string())];
        let rest = match answer {
            Ok(status) => {
                let up = status.peers.iter().filter(|peer| peer.is_up());
                let blocks: u64 = status.spaces.iter().map(|space| space.blocks).sum();
                let free: u64 = status.spaces.iter().map(|space| space.free_bytes).sum();
                [
                    json!(status.condition().to_string()),
                    json!(status.up_s),
                    json!(format!("{}/{}", up.count(), status.peers.len())),
                    json!(blocks),
                    json!(free),
                ]
            }
            Err(fault) => [
                json!(format!("no answer: {fault}")),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
            ],
        };
        let [id, name, role] = begin;
        let [state, up_s, peers, blocks, free_bytes] = rest;
        [id, name, role, state, up_s, peers, blocks, free_bytes]
    };
    Reply::rows(
        [
            "id",
            "name",
            "role",
            "state",
            "up_s",
            "peers",
            "blocks",
            "free_bytes",
        ],
        told.iter().map(row),
    )
}

pub(super) async fn rtt(console: &Console) -> Reply {
    let told = statuses(console.server.mesh()).await;
    let mut columns = vec!["from".to_owned()];
    columns.extend(told.iter().map(|(_, name, _, _)| name.to_string()));
    let row = |(_, name, _, answer): &Told<ServerStatus>| {
        let to = |server: ServerId| {
            let peers = &answer.as_ref().ok()?.peers;
            let peer = peers.iter().find(|peer| peer.server == server)?;
            peer.rtt_us.filter(|_| peer.is_up())
        };
        let times = told.iter().map(|(id, _, _, _)| json!(to(*id)));
        std::iter::once(json!(name.as_str())).chain(times).collect()
    };
    Reply::Rows {
        rows: told.iter().map(row).collect(),
        columns,
    }
}

pub(super) fn groups(console: &Console) -> Reply {
    let status = console.server.status();
    let groups = console.server.groups();
    if groups.is_empty() {
        return Reply::Said("a dserver has no raft groups; ask at a mserver".to_owned());
    }
    let rows = groups.iter().map(|group| {
        let members = group.members.iter();
        let members: Vec<_> = members.map(|one| status.name_of(one.server)).collect();
        let lags: Vec<_> = lags(group)
            .into_iter()
            .map(|(server, lag)| format!("{}:{lag}", status.name_of(server)))
            .collect();
        [
            json!(group.group),
            json!(group.state),
            json!(group.leader.map(|leader| status.name_of(leader))),
            json!(group.term),
            json!(group.last_index),
            json!(group.committed_index),
            json!(group.applied_index),
            json!(group.quorum_ms_ago),
            json!(lags),
            json!(members),
        ]
    });
    Reply::rows(
        [
            "group",
            "state",
            "leader",
            "term",
            "last",
            "committed",
            "applied",
            "quorum_ms_ago",
            "lag",
            "members",
        ],
        rows,
    )
}

/// How many entries each other member lacks of what is in the log here; known at the leader only.
fn lags(group: &GroupReading) -> Vec<(ServerId, u64)> {
    let lag = |member: &MemberReading| {
        // Of one that has never answered this leader nothing is known but that.
        let matched = member.matched_index.unwrap_or(0);
        (member.server, group.last_index.saturating_sub(matched))
    };
    let others = group.members.iter();
    let others = others.filter(|member| group.leader != Some(member.server));
    match group.members.iter().any(|one| one.matched_index.is_some()) {
        true => others.map(lag).collect(),
        false => Vec::new(),
    }
}

pub(super) fn slow(console: &Console) -> Reply {
    let slowest = console.server.mesh().snapshot().slowest;
    if slowest.is_empty() {
        return Reply::Said("no call has been slow in the last minutes".to_owned());
    }
    let rows = slowest.iter().map(|call| {
        [
            json!(call.ended_ms),
            json!(call.took_us),
            json!(call_name(call.kind)),
            json!(call.from),
            json!((!call.trace.is_none()).then(|| call.trace.to_string())),
        ]
    });
    Reply::rows(["ended_ms", "took_us", "call", "from", "trace"], rows)
}

pub(super) async fn locks(console: &Console) -> Reply {
    let (locks, count) = console.server.locks(NAMES_SHOWN_MAX).await;
    if locks.is_empty() {
        return Reply::Said("nothing is reserved or leased here".to_owned());
    }
    let status = console.server.status();
    let more = count.saturating_sub(locks.len());
    let rows = locks.into_iter().map(|lock| {
        [
            json!(lock.kind),
            json!(lock.what),
            json!(lock.holder.map(|holder| status.name_of(holder))),
            json!(lock.request),
            json!(lock.ends_in_ms),
        ]
    });
    let mut rows: Vec<_> = rows.collect();
    if more > 0 {
        let more = json!(format!("(and {more} more)"));
        rows.push([Value::Null, more, Value::Null, Value::Null, Value::Null]);
    }
    Reply::rows(["kind", "what", "holder", "request", "ends_in_ms"], rows)
}

pub(super) fn volumes(console: &Console) -> Reply {
    let status = console.server.status();
    let rows = status.volumes.iter().map(|volume| {
        let in_state = |wanted: MemberState| {
            let members = volume.members.iter();
            let members = members.filter(move |member| member.state == wanted);
            let names: Vec<_> = members
                .map(|member| status.name_of(member.server))
                .collect();
            json!(names)
        };
        [
            json!(volume.id.0),
            json!(volume.epoch.0),
            json!(format!("{:?}", volume.status).to_lowercase()),
            in_state(MemberState::InSync),
            in_state(MemberState::Syncing),
            in_state(MemberState::Out),
        ]
    });
    Reply::rows(
        ["volume", "epoch", "status", "in_sync", "syncing", "out"],
        rows,
    )
}

pub(super) fn spaces(console: &Console) -> Reply {
    let status = console.server.status();
    let rows = status.spaces.iter().map(|space| {
        [
            json!(space.path),
            json!(space.failed),
            json!(space.blocks),
            json!(space.live_bytes),
            json!(space.segment_bytes),
            json!(space.free_bytes),
            json!(space.room_bytes),
            json!(space.scrub.damaged),
            json!(space.scrub.repaired),
        ]
    });
    Reply::rows(
        [
            "path",
            "failed",
            "blocks",
            "live_bytes",
            "segment_bytes",
            "free_bytes",
            "room_bytes",
            "damaged",
            "repaired",
        ],
        rows,
    )
}

pub(super) fn events(console: &Console, count: usize) -> Reply {
    let lately = console.lately.borrow();
    let skipped = lately.events.len().saturating_sub(count);
    let rows = lately.events.iter().skip(skipped).map(event_row);
    Reply::rows(EVENT_COLUMNS, rows)
}

/// What is told of an event.
pub(super) const EVENT_COLUMNS: [&str; 3] = ["at_ms", "severity", "what"];

pub(super) fn event_row(event: &Happened) -> [Value; 3] {
    let severity = severity_name(event.severity);
    [json!(event.at_ms), json!(severity), json!(event.what)]
}

pub(super) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::News => "news",
        Severity::Warning => "warning",
        Severity::Trouble => "trouble",
    }
}

/// Everything but secrets, which are in files this does not open.
pub(super) fn config(console: &Console) -> Reply {
    let config = console.server.mesh().config();
    let (timers, storage) = (&config.timers, &config.storage);
    let path = |path: &std::path::Path| json!(path.display().to_string());
    let mut fields = vec![
        ("cluster", json!(config.cluster)),
        ("secret_file", path(&config.secret_file)),
        ("admin", json!(config.admin.name)),
        ("servers", json!(config.servers.len())),
        ("tls", json!(config.tls.is_some())),
        ("fastdfs", json!(config.fastdfs.is_some())),
        ("ping_every_ms", json!(timers.ping_every_ms)),
        ("silence_ms_max", json!(timers.silence_ms_max)),
        ("dial_ms_max", json!(timers.dial_ms_max)),
        ("handshake_ms_max", json!(timers.handshake_ms_max)),
        ("heartbeat_ms", json!(timers.heartbeat_ms)),
        ("election_ms", json!(timers.election_ms)),
        ("copies", json!(storage.copies)),
        ("copies_min", json!(storage.copies_min)),
        ("block_bytes", json!(storage.block_bytes)),
        ("segment_bytes", json!(storage.segment_bytes)),
        ("reserve_bytes", json!(storage.reserve_bytes)),
        ("volumes_per_dserver", json!(storage.volumes_per_dserver)),
        ("trash_s", json!(storage.trash_s)),
        ("replace_after_s", json!(storage.replace_after_s)),
    ];
    if let Some(operator) = &config.operator {
        fields.push(("listen", json!(operator.listen.to_string())));
        fields.push(("http_port", json!(operator.http_port)));
        fields.push(("console_port", json!(operator.console_port)));
    }
    Reply::Fields(fields)
}

pub(super) fn sessions(console: &Console) -> Reply {
    let people: BTreeMap<_, _> = console.people.borrow().clone();
    let rows = people.values().map(|person| {
        [
            json!("console"),
            json!(person.user),
            json!(person.from.to_string()),
            json!(clock::now_ms().saturating_sub(person.since_ms) / 1_000),
        ]
    });
    let clients = console.server.mesh().snapshot().clients;
    let clients = [
        json!("clients"),
        json!(format!("{clients} connected")),
        Value::Null,
        Value::Null,
    ];
    Reply::rows(["kind", "user", "from", "for_s"], rows.chain([clients]))
}

pub(super) async fn audit(console: &Console, count: usize) -> Reply {
    match console.hands.read_audit(count).await {
        Ok(lines) => {
            let rows = lines.into_iter().map(|line| {
                // A line this program has not written is shown as it stands.
                let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                let field = |name: &str| value.get(name).cloned().unwrap_or(Value::Null);
                match value.is_object() {
                    true => ["at_ms", "user", "from", "order", "outcome"].map(field),
                    false => [
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        json!(line),
                        Value::Null,
                    ],
                }
            });
            Reply::rows(["at_ms", "user", "from", "order", "outcome"], rows)
        }
        Err(error) => Reply::refused("no_audit", error),
    }
}

pub(super) async fn users(console: &Console, user: &str) -> Reply {
    match on_behalf(console.server.mesh(), user, &ListUsers {}).await {
        Ok(users) => {
            let right = |right: &PathRight| {
                let access = format!("{:?}", right.access).to_lowercase();
                format!("{access}:{}", right.path.as_str())
            };
            let rows = users.iter().map(|user| {
                let rights: Vec<_> = user.rights.iter().map(right).collect();
                [json!(&*user.name), json!(rights)]
            });
            Reply::rows(["name", "rights"], rows)
        }
        Err(fault) => Reply::unanswered(&fault),
    }
}
