//! How the copies are: what is missing, what is being made, what was verified, what was ordered.

use std::collections::BTreeSet;

use sdfs_types::calls::maintenance::{Maintain, MaintenanceOrder, Ordered};
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{MemberState, ServerId, Volume, newest_map};
use serde_json::{Value, json};

use super::Console;
use super::reply::Reply;
use crate::ask::{Told, on_behalf, statuses};

/// Also on the minority side: the newest map that anybody who answers knows.
pub(super) async fn heal(console: &Console) -> Reply {
    let told = statuses(console.server.mesh()).await;
    let known: Vec<_> = told.iter().filter_map(known).collect();
    let Some(map) = newest_map(known.iter().copied()) else {
        return Reply::refused("no_mserver", "no mserver tells of the volumes");
    };
    let misses = |one: &&Volume| one.missing(&known).next().is_some();
    let broken: Vec<_> = map.volumes.iter().filter(misses).collect();
    if broken.is_empty() {
        let count = map.volumes.len();
        return Reply::Said(format!("all {count} volumes have every copy"));
    }
    let rows = broken
        .into_iter()
        .flat_map(|volume| row(volume, &known, map));
    let columns = [
        "volume",
        "status",
        "member",
        "state",
        "done_bytes",
        "copied_bytes",
        "for_ms",
    ];
    Reply::rows(columns, rows)
}

fn known(told: &Told<ServerStatus>) -> Option<&ServerStatus> {
    told.3.as_ref().ok()
}

fn row(volume: &Volume, known: &[&ServerStatus], map: &ServerStatus) -> Vec<[Value; 7]> {
    let sync_at = |server: ServerId| {
        let at = known.iter().find(|status| status.server == server)?;
        let kept = at.kept.iter().find(|kept| kept.volume == volume.id)?;
        kept.sync
    };
    let missing: BTreeSet<_> = volume.missing(known).map(|one| one.server).collect();
    let member = |member: &sdfs_types::VolumeMember| {
        let sync = sync_at(member.server);
        [
            json!(volume.id.0),
            json!(format!("{:?}", volume.status).to_lowercase()),
            json!(map.name_of(member.server)),
            json!(match member.state {
                MemberState::InSync if missing.contains(&member.server) => "not_told",
                state => state_name(state),
            }),
            json!(sync.map(|sync| sync.done_bytes)),
            json!(sync.map(|sync| sync.copied_bytes)),
            json!(sync.map(|sync| sync.for_ms)),
        ]
    };
    volume.members.iter().map(member).collect()
}

fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::InSync => "in_sync",
        MemberState::Syncing => "syncing",
        MemberState::Out => "out",
    }
}

pub(super) async fn scrub(console: &Console) -> Reply {
    let told = statuses(console.server.mesh()).await;
    let known = told.iter().filter_map(known);
    let rows = known.flat_map(|status| {
        status.spaces.iter().map(|space| {
            [
                json!(status.name),
                json!(space.path),
                json!(space.scrub.passes),
                json!(space.scrub.checked_bytes),
                json!(space.scrub.is_hurried),
                json!(space.scrub.damaged),
                json!(space.scrub.repaired),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let columns = [
        "server",
        "space",
        "passes",
        "checked_bytes",
        "hurried",
        "damaged",
        "repaired",
    ];
    Reply::rows(columns, rows)
}

pub(super) async fn maintenance(console: &Console, user: &str) -> Reply {
    let asked = Maintain {
        order: MaintenanceOrder::Show,
    };
    let standing = match on_behalf(console.server.mesh(), user, &asked).await {
        Ok(standing) => standing,
        Err(fault) => return Reply::unanswered(&fault),
    };
    let status = console.server.status();
    let mut rows = Vec::new();
    let mut row = |order: String, ordered: Option<&Ordered>| {
        let by = json!(ordered.map(|ordered| &ordered.by));
        rows.push([
            json!(order),
            by,
            json!(ordered.map(|ordered| ordered.at_ms)),
        ]);
    };
    for (server, ordered) in &standing.draining {
        row(format!("drain {}", status.name_of(*server)), Some(ordered));
    }
    if let Some(ordered) = &standing.healing_paused {
        row("heal pause".to_owned(), Some(ordered));
    }
    if let Some(rate) = standing.heal_bytes_per_s {
        row(format!("heal limit {rate}"), None);
    }
    if let Some(ordered) = &standing.rebalancing {
        row("rebalance".to_owned(), Some(ordered));
    }
    if rows.is_empty() {
        return Reply::Said("no orders stand".to_owned());
    }
    Reply::rows(["order", "by", "at_ms"], rows)
}
