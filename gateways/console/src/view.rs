//! The cluster in one JSON object, as one server sees it: what the live page is drawn from. Pure.

use std::collections::BTreeMap;

use sdfs_types::calls::activity::Activity;
use sdfs_types::calls::call_name;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{Condition, MemberState, Role, ServerId, Volume, newest_map, outlook_of};
use serde_json::{Value, json};

/// Volumes shown that miss a copy; of more only the number is told.
const BROKEN_SHOWN_MAX: usize = 50;

/// One server and what it told.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: ServerId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) address: String,
    pub(crate) zone: String,
    /// What it told, or why not.
    pub(crate) status: Result<ServerStatus, String>,
    /// What it has been doing, when it told.
    pub(crate) activity: Option<Activity>,
}

/// Who tells, and when.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) now_ms: u64,
    pub(crate) alone_since_ms: Option<u64>,
}

/// The object.
pub(crate) fn view(teller: &Teller, servers: &[Seen]) -> Value {
    let known: Vec<_> = servers
        .iter()
        .filter_map(|seen| seen.status.as_ref().ok())
        .collect();
    json!({
        "cluster": teller.cluster,
        "told_by": teller.name,
        "now_ms": teller.now_ms,
        "alone_since_ms": teller.alone_since_ms,
        "servers": servers.iter().map(server).collect::<Vec<_>>(),
        "groups": groups(servers, &known),
        "volumes": volumes(servers, &known),
    })
}

fn server(seen: &Seen) -> Value {
    let mut value = json!({
        "id": seen.id,
        "name": seen.name,
        "role": seen.role,
        "address": seen.address,
        "zone": seen.zone,
        "answers": seen.status.is_ok(),
    });
    match &seen.status {
        Ok(status) => {
            let mut status = json!(status);
            // Told once for all, and long.
            for long in ["volumes", "kept", "groups"] {
                status[long] = Value::Null;
            }
            value["status"] = status;
            value["state"] = json!(state(seen));
            value["activity"] = json!(seen.activity.as_ref().map(activity));
        }
        Err(why) => {
            value["error"] = json!(why);
            value["state"] = json!(state(seen));
        }
    }
    value
}

/// How a server is, in a word or two.
fn state(seen: &Seen) -> String {
    let Ok(status) = &seen.status else {
        return "no answer".to_owned();
    };
    let is_ready = seen.activity.iter().all(|one| one.not_ready.is_empty());
    match status.condition() {
        Condition::Up if !is_ready => "not ready".to_owned(),
        condition => condition.to_string(),
    }
}

fn activity(activity: &Activity) -> Value {
    let mut value = json!(activity);
    let named = activity.calls.iter().map(|calls| {
        json!({
            "kind": calls.kind, "name": call_name(calls.kind),
            "counts": calls.counts, "sum_us": calls.sum_us,
        })
    });
    value["calls"] = named.collect();
    let slowest = activity.slowest.iter().map(|call| {
        json!({
            "name": call_name(call.kind), "took_us": call.took_us, "ended_ms": call.ended_ms,
            "from": call.from, "trace": (!call.trace.is_none()).then(|| call.trace.to_string()),
        })
    });
    value["slowest"] = slowest.collect();
    value
}

/// Each raft group in the words of its leader, or else of whoever is in the newest term.
fn groups(servers: &[Seen], known: &[&ServerStatus]) -> Vec<Value> {
    let mut best: BTreeMap<u8, (bool, u64, usize, usize)> = BTreeMap::new();
    for (at, status) in known.iter().enumerate() {
        for (place, group) in status.groups.iter().enumerate() {
            let is_leader = group.leader == Some(status.server);
            let rank = (is_leader, group.term, at, place);
            let best = best.entry(group.group).or_insert(rank);
            if (group.term, is_leader) > (best.1, best.0) {
                *best = rank;
            }
        }
    }
    let told = best.values().map(|(_, _, at, place)| {
        let group = &known[*at].groups[*place];
        let applied = known.iter().flat_map(|status| &status.groups);
        let applied = applied.filter(|one| one.group == group.group);
        let slowest = applied.map(|one| one.applied).min();
        let behind = slowest.map(|slowest| group.last_log.saturating_sub(slowest));
        let name = |id: ServerId| servers.iter().find(|one| one.id == id);
        json!({
            "group": group.group,
            "leader": group.leader,
            "leader_name": group.leader.and_then(name).map(|one| &one.name),
            "term": group.term,
            "last": group.last_log,
            "behind": behind,
        })
    });
    told.collect()
}

fn volumes(servers: &[Seen], known: &[&ServerStatus]) -> Value {
    let all = newest_map(known.iter().copied()).map_or(&[][..], |status| &status.volumes);
    let broken: Vec<_> = all.iter().filter(|volume| !volume.is_whole()).collect();
    let shown = broken.iter().take(BROKEN_SHOWN_MAX);
    let (outlook, said) = outlook_of(known, |id| name_of(servers, id));
    json!({
        "total": outlook.total,
        "whole": outlook.whole,
        "writable": outlook.writable,
        "full": outlook.full,
        "says": said,
        "broken": shown.map(|volume| missing(volume, servers, known)).collect::<Vec<_>>(),
    })
}

fn name_of(servers: &[Seen], id: ServerId) -> String {
    let server = servers.iter().find(|one| one.id == id);
    server.map_or_else(|| format!("server {id}"), |one| one.name.clone())
}

fn missing(volume: &Volume, servers: &[Seen], known: &[&ServerStatus]) -> Value {
    let away = volume
        .members
        .iter()
        .filter(|one| one.state != MemberState::InSync);
    let syncs: Vec<_> = known
        .iter()
        .flat_map(|status| &status.kept)
        .filter(|kept| kept.volume == volume.id)
        .filter_map(|kept| kept.sync)
        .collect();
    json!({
        "id": volume.id,
        "status": format!("{:?}", volume.status).to_lowercase(),
        "missing": away.map(|one| name_of(servers, one.server)).collect::<Vec<_>>(),
        "syncing": !syncs.is_empty(),
        "done_bytes": syncs.iter().map(|sync| sync.done_bytes).sum::<u64>(),
    })
}

#[cfg(test)]
mod tests {
    use sdfs_types::calls::status::GroupStatus;
    use sdfs_types::{Epoch, VolumeId, VolumeMember, VolumeStatus};

    use super::*;
    use crate::ready::tests::{peer, status};

    fn group(leader: u16, term: u64, applied: u64) -> GroupStatus {
        GroupStatus {
            group: 0,
            leader: Some(ServerId(leader)),
            term,
            last_log: 9,
            applied,
            voters: Vec::new(),
        }
    }

    fn seen(id: u16, status: Result<ServerStatus, String>) -> Seen {
        Seen {
            id: ServerId(id),
            name: format!("mserver-{id}"),
            role: Role::Mserver,
            address: String::new(),
            zone: "a".to_owned(),
            status: status.map(|status| ServerStatus {
                server: ServerId(id),
                ..status
            }),
            activity: None,
        }
    }

    #[test]
    fn the_newest_word_counts() {
        let told = |leader, term, applied, epoch, state| {
            let mut status = status(Role::Mserver, vec![peer(9, Role::Mserver, "Up")]);
            status.groups = vec![group(leader, term, applied)];
            status.volumes = vec![Volume {
                id: VolumeId(4),
                epoch: Epoch(epoch),
                members: vec![VolumeMember {
                    server: ServerId(2),
                    state,
                }],
                status: VolumeStatus::Writable,
            }];
            Ok(status)
        };
        let servers = [
            seen(1, told(1, 3, 9, 1, MemberState::InSync)),
            seen(2, told(2, 4, 7, 2, MemberState::Out)),
            seen(3, Err("gone".to_owned())),
        ];
        let teller = Teller {
            cluster: "c".to_owned(),
            name: "mserver-1".to_owned(),
            now_ms: 1,
            alone_since_ms: None,
        };
        let view = view(&teller, &servers);
        assert_eq!(view["groups"][0]["leader_name"], "mserver-2");
        assert_eq!(view["groups"][0]["behind"], 2);
        assert_eq!(view["volumes"]["whole"], 0);
        assert_eq!(view["volumes"]["broken"][0]["missing"][0], "mserver-2");
        assert_eq!(view["servers"][2]["error"], "gone");
        assert_eq!(view["servers"][0]["status"]["volumes"], Value::Null);
    }
}
