//! `heal`: which copies are missing, which are being made, and how far they are. Told from what
//! the servers say, so it answers on both sides of a partition.

use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::maintenance::{Maintenance, MaintenanceOrder};
use sdfs_types::calls::status::{ServerStatus, SyncStatus};
use sdfs_types::{MemberState, ServerId, ServerState, Volume};
use serde_json::json;

use crate::args::{Global, HealCommand};
use crate::commands::maintenance;
use crate::failure::Outcome;
use crate::output::{Ink, Output};
use crate::session;
use crate::table::{Cell, Table};
use crate::units;
use crate::view::{LOOK_EVERY, NO_VOLUMES, Seen, seen, server_name};

/// A copy that is not whole, that its server does not say it has, or that nobody is to have yet.
struct Missing {
    volume: Volume,
    server: Option<ServerId>,
    state: MemberState,
    /// Bytes its sources have of the volume.
    wanted_bytes: Option<u64>,
    sync: Option<SyncStatus>,
}

impl Missing {
    /// Bytes a second and seconds left, once there is something to reckon with.
    fn pace(&self) -> Option<(u64, u64)> {
        let sync = self.sync?;
        let rate = sync
            .done_bytes
            .saturating_mul(1_000)
            .checked_div(sync.for_ms)?;
        let left = self.wanted_bytes?.saturating_sub(sync.done_bytes);
        Some((rate, left.checked_div(rate)?))
    }
}

/// Runs `heal`.
pub(crate) async fn run(global: &Global, command: &HealCommand, out: Output) -> Outcome {
    let client = session::connect(global).await?;
    let order = match command {
        HealCommand::Status { wait } => return status(global, &client, *wait, out).await,
        HealCommand::Pause => MaintenanceOrder::PauseHealing,
        HealCommand::Start => MaintenanceOrder::StartHealing,
        HealCommand::Limit { rate } => MaintenanceOrder::LimitHealing {
            bytes_per_s: rate.0,
        },
    };
    let orders = client.maintain(order).await?;
    out.json(&json!({ "orders": orders }));
    out.say(match (&orders.healing_paused, orders.heal_bytes_per_s) {
        (Some(_), _) => "no copies are made until `sdfs heal start`",
        (None, Some(_)) => "copies are made, at the rate that was set",
        (None, None) => "copies are made, at the usual rate: lower while clients are served",
    });
    Ok(())
}

async fn status(global: &Global, client: &Client, wait: bool, out: Output) -> Outcome {
    loop {
        // Servers join and leave meanwhile.
        let list = session::list(client, global).await;
        let config = session::as_listed(session::config(global)?, &list);
        let (seen, orders) = tokio::join!(
            seen(client, &config, global.timeout),
            maintenance::orders(client, global.timeout),
        );
        // One that only is to join has nothing yet that could be missed.
        let mut staying = (*config).clone();
        staying.servers.retain(|server| {
            let record = list.named(server.name.as_str());
            record.is_none_or(|record| record.state != ServerState::Joining)
        });
        let missing = missing(&seen, orders.as_ref().map(|orders| (&staying, orders)));
        if is_healed(&seen, &missing) || !wait {
            show(&config, (&seen, orders.as_ref()), &missing, out);
            return Ok(());
        }
        out.say(&waited_for(&seen, &missing));
        maintenance::say_when_paused(orders.as_ref(), out);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the servers say, and whether every volume has every copy in sync, as a mserver says that
/// hears a majority.
pub(crate) async fn looked<'a>(
    client: &Client,
    config: &'a Config,
    within: Duration,
) -> (Seen<'a>, bool) {
    let (seen, orders) = tokio::join!(
        seen(client, config, within),
        maintenance::orders(client, within),
    );
    let missing = missing(&seen, orders.as_ref().map(|orders| (config, orders)));
    let is_whole = orders.is_some() && has_every_copy(&seen, &missing);
    (seen, is_whole)
}

fn has_every_copy(seen: &Seen<'_>, missing: &[Missing]) -> bool {
    missing.is_empty() && seen.hears_majority && !seen.volumes().is_empty()
}

/// Whether nothing is left to be healed, neither copies nor blocks of them.
fn is_healed(seen: &Seen<'_>, missing: &[Missing]) -> bool {
    let (damaged, repaired) = damage(seen);
    has_every_copy(seen, missing) && damaged == repaired
}

/// The copies that are missing of those the volumes have members for, and of those there are to be
/// by a configuration and the orders that stand.
fn missing(seen: &Seen<'_>, wanted: Option<(&Config, &Maintenance)>) -> Vec<Missing> {
    let known: Vec<_> = seen.known().collect();
    let mut missing = Vec::new();
    for volume in seen.volumes() {
        let sources = volume
            .readable()
            .filter_map(|server| seen.kept(server, volume.id));
        let wanted_bytes = sources.map(|kept| kept.bytes).max();
        for member in volume.missing(&known) {
            missing.push(Missing {
                volume: volume.clone(),
                server: Some(member.server),
                state: member.state,
                wanted_bytes,
                sync: seen
                    .kept(member.server, volume.id)
                    .and_then(|kept| kept.sync),
            });
        }
        let copies = wanted.map_or(0, |(config, orders)| copies_of(volume, config, orders));
        for _ in volume.members.len()..copies {
            missing.push(Missing {
                volume: volume.clone(),
                server: None,
                state: MemberState::Out,
                wanted_bytes,
                sync: None,
            });
        }
    }
    missing
}

/// Copies there are to be of a volume: no more than there are dservers of its group that stay.
fn copies_of(volume: &Volume, config: &Config, orders: &Maintenance) -> usize {
    let group_of = |server: &ServerConfig| config.groups.of(&server.name);
    let mut members = volume.members.iter();
    let home = members.find_map(|member| config.server(member.server).and_then(group_of));
    let stays = |server: &&ServerConfig| {
        !orders.draining.contains_key(&server.id) && (home.is_none() || group_of(server) == home)
    };
    let staying = config.servers_of(Role::Dserver).filter(stays).count();
    usize::from(config.storage.copies).min(staying)
}

fn show(
    config: &Config,
    (seen, orders): (&Seen<'_>, Option<&Maintenance>),
    missing: &[Missing],
    out: Output,
) {
    let (damaged, repaired) = damage(seen);
    if out.is_json() {
        let copies: Vec<_> = missing.iter().map(|copy| json_of(config, copy)).collect();
        out.json(&json!({
            "hears_majority": seen.hears_majority,
            "told_by": seen.told_by(),
            "volumes": seen.volumes().len(),
            "whole": is_healed(seen, missing),
            "missing": copies,
            "orders": orders,
            "damaged_blocks": damaged,
            "repaired_blocks": repaired,
            "no_answer": seen.silent().map(|server| server.name.to_string()).collect::<Vec<_>>(),
        }));
        return;
    }
    if let Some(name) = seen.told_by().filter(|_| seen.hears_majority) {
        out.say(&format!(
            "{name} tells, and hears a majority of the mservers"
        ));
    } else {
        let line = "no mserver that answers hears a majority: this side of the cut cannot heal, \
                    and what it knows may be old";
        out.say(&out.ink(Ink::Bad, line));
    }
    for server in seen.silent() {
        out.say(&out.ink(Ink::Bad, &format!("{}: no answer", server.name)));
    }
    for line in orders
        .iter()
        .flat_map(|orders| maintenance::sentences(config, orders, seen.volumes()))
    {
        out.say(&out.ink(Ink::Warn, &line));
    }
    let volumes = seen.volumes().len();
    if volumes == 0 {
        out.say(NO_VOLUMES);
    } else if missing.is_empty() && !seen.hears_majority {
        out.say(&format!(
            "all {volumes} volumes had every copy when that was last known"
        ));
    } else if missing.is_empty() {
        out.say(&format!("all {volumes} volumes have every copy"));
    } else {
        let mut broken: Vec<_> = missing.iter().map(|copy| copy.volume.id).collect();
        broken.dedup();
        let miss = if broken.len() == 1 { "misses" } else { "miss" };
        let broken = broken.len();
        out.say(&format!("{broken} of {volumes} volumes {miss} a copy"));
        table(config, missing).print(out, 0);
    }
    if damaged > 0 {
        out.say(&format!(
            "{damaged} damaged blocks found, {repaired} of them repaired"
        ));
    }
}

/// How far the copies are that are being made, for whoever waits; nothing when none is missing.
pub(crate) fn how_far(seen: &Seen<'_>) -> Option<String> {
    let missing = missing(seen, None);
    (!missing.is_empty()).then(|| sentence(&missing))
}

/// What a wait is for.
fn waited_for(seen: &Seen<'_>, missing: &[Missing]) -> String {
    let (damaged, repaired) = damage(seen);
    match damaged.saturating_sub(repaired) {
        _ if !missing.is_empty() => sentence(missing),
        0 => "no mserver that hears a majority tells of any volume".to_owned(),
        left => format!("{left} damaged blocks are not repaired yet"),
    }
}

fn sentence(missing: &[Missing]) -> String {
    let syncs = missing.iter().filter_map(|copy| copy.sync);
    let done: u64 = syncs.map(|sync| sync.done_bytes).sum();
    let wanted: u64 = missing.iter().filter_map(|copy| copy.wanted_bytes).sum();
    let paces = missing.iter().filter_map(Missing::pace);
    let rate: u64 = paces.map(|(rate, _)| rate).sum();
    let copies = match missing.len() {
        1 => "1 copy is".to_owned(),
        more => format!("{more} copies are"),
    };
    let left_s = wanted.saturating_sub(done).checked_div(rate);
    let pace = left_s.map_or_else(String::new, |left_s| {
        let (rate, left) = (units::size(rate), units::uptime(left_s));
        format!(", {rate}/s, {left} left")
    });
    let (done, wanted) = (units::size(done), units::size(wanted));
    format!("{copies} missing, {done} of {wanted} done{pace}")
}

fn table(config: &Config, missing: &[Missing]) -> Table {
    let mut table = Table::new(&[
        ">volume", "copy at", "state", ">done", ">of", ">copied", ">rate", ">left",
    ]);
    let dash = || "-".to_owned();
    for copy in missing {
        let state = match (copy.state, &copy.sync) {
            (MemberState::Syncing, Some(_)) => Cell::inked(Ink::Warn, "being made"),
            (MemberState::Syncing, None) => Cell::inked(Ink::Warn, "about to begin"),
            (MemberState::InSync, _) => Cell::inked(Ink::Bad, "its server does not say"),
            _ if copy.server.is_none() => Cell::inked(Ink::Bad, "waits for a dserver to have it"),
            _ => Cell::inked(Ink::Bad, "waits for its server"),
        };
        let sync = copy.sync;
        table.row([
            Cell::from(copy.volume.id.to_string()),
            copy.server
                .map_or_else(dash, |server| server_name(config, server))
                .into(),
            state,
            sync.map_or_else(dash, |sync| units::size(sync.done_bytes))
                .into(),
            copy.wanted_bytes.map_or_else(dash, units::size).into(),
            sync.map_or_else(dash, |sync| units::size(sync.copied_bytes))
                .into(),
            copy.pace()
                .map_or_else(dash, |(rate, _)| format!("{}/s", units::size(rate)))
                .into(),
            copy.pace()
                .map_or_else(dash, |(_, left_s)| units::uptime(left_s))
                .into(),
        ]);
    }
    table
}

fn json_of(config: &Config, copy: &Missing) -> serde_json::Value {
    json!({
        "volume": copy.volume.id,
        "epoch": copy.volume.epoch,
        "server": copy.server.map(|server| server_name(config, server)),
        "state": copy.state,
        "wanted_bytes": copy.wanted_bytes,
        "sync": copy.sync,
        "bytes_per_s": copy.pace().map(|(rate, _)| rate),
        "left_s": copy.pace().map(|(_, left_s)| left_s),
    })
}

/// Blocks found damaged and blocks repaired, over all disks that work: what one that has failed
/// kept is made anew elsewhere, as missing copies.
pub(crate) fn damage(seen: &Seen<'_>) -> (u64, u64) {
    let scrubs = seen
        .known()
        .flat_map(|status| &status.spaces)
        .filter(|space| space.failed.is_none())
        .map(|space| space.scrub);
    scrubs.fold((0, 0), |sum, scrub| {
        (sum.0 + scrub.damaged, sum.1 + scrub.repaired)
    })
}

/// The dservers among those that answered.
pub(crate) fn dservers<'a>(
    seen: &'a Seen<'_>,
) -> impl Iterator<Item = (&'a ServerConfig, &'a ServerStatus)> {
    let known = seen
        .told
        .iter()
        .filter_map(|(server, status)| status.as_ref().ok().map(|status| (*server, status)));
    known.filter(|(_, status)| status.role == Role::Dserver)
}

#[cfg(test)]
mod tests {
    use sdfs_types::calls::maintenance::Ordered;
    use sdfs_types::calls::status::{ScrubStatus, SpaceStatus, VolumeKept};
    use sdfs_types::{Epoch, VolumeId, VolumeMember, VolumeStatus};

    use super::*;

    fn copy(wanted_bytes: Option<u64>, sync: Option<SyncStatus>) -> Missing {
        Missing {
            volume: Volume {
                id: VolumeId(1),
                epoch: Epoch(1),
                members: Vec::new(),
                status: VolumeStatus::Writable,
            },
            server: Some(ServerId(4)),
            state: MemberState::Syncing,
            wanted_bytes,
            sync,
        }
    }

    #[test]
    fn a_volume_that_too_few_keep_misses_copies() {
        let text = r#"(cluster: "c", secret_file: "s", admin: (name: "admin", secret_file: "a"),
            servers: [
                (name: "m", role: Mserver, address: "127.0.0.1:1", space: ["m"]),
                (name: "d1", role: Dserver, address: "127.0.0.1:2", space: ["1"], group: "a"),
                (name: "d2", role: Dserver, address: "127.0.0.1:3", space: ["2"], group: "a"),
                (name: "d3", role: Dserver, address: "127.0.0.1:4", space: ["3"], group: "a"),
                (name: "d4", role: Dserver, address: "127.0.0.1:5", space: ["4"], group: "b"),
                (name: "d5", role: Dserver, address: "127.0.0.1:6", space: ["5"], group: "b"),
                (name: "d6", role: Dserver, address: "127.0.0.1:7", space: ["6"], group: "b"),
            ])"#;
        let config = Config::parse(text, std::path::Path::new("config.conf")).expect("sound");
        let volume = |members: &[u16]| Volume {
            members: members
                .iter()
                .map(|server| VolumeMember {
                    server: ServerId(*server),
                    state: MemberState::InSync,
                })
                .collect(),
            ..copy(None, None).volume
        };
        let mut orders = Maintenance::default();
        assert_eq!(copies_of(&volume(&[2, 3]), &config, &orders), 3);
        let ordered = Ordered {
            by: "ann".to_owned(),
            at_ms: 1,
        };
        orders.draining.insert(ServerId(4), ordered);
        assert_eq!(copies_of(&volume(&[2, 3]), &config, &orders), 2, "drained");
        assert_eq!(copies_of(&volume(&[5]), &config, &orders), 3, "elsewhere");
    }

    /// A server that answers, with one disk.
    fn told(server: u16, role: Role, scrub: ScrubStatus, failed: Option<String>) -> ServerStatus {
        let space = SpaceStatus {
            path: "/disk".to_owned(),
            failed,
            blocks: 0,
            live_bytes: 0,
            segment_bytes: 0,
            free_bytes: 0,
            room_bytes: 0,
            volumes: Vec::new(),
            scrub,
        };
        let whole = VolumeMember {
            server: ServerId(2),
            state: MemberState::InSync,
        };
        ServerStatus {
            server: ServerId(server),
            name: "s".to_owned(),
            role,
            address: String::new(),
            program: String::new(),
            up_s: 1,
            peers: Vec::new(),
            groups: Vec::new(),
            volumes: vec![Volume {
                members: vec![whole],
                ..copy(None, None).volume
            }],
            spaces: vec![space],
            kept: vec![VolumeKept {
                volume: VolumeId(1),
                epoch: Epoch(1),
                blocks: 1,
                bytes: 1,
                sync: None,
            }],
            hears_majority: true,
        }
    }

    #[test]
    fn what_is_damaged_is_not_healed() {
        let text = r#"(cluster: "c", secret_file: "s", admin: (name: "admin", secret_file: "a"),
            servers: [
                (name: "m", role: Mserver, address: "127.0.0.1:1", space: ["m"]),
                (name: "d", role: Dserver, address: "127.0.0.1:2", space: ["d"]),
            ])"#;
        let config = Config::parse(text, std::path::Path::new("config.conf")).expect("sound");
        let table = [
            ((0, 0), None, true),
            ((2, 1), None, false),
            ((2, 2), None, true),
            // What it kept is made anew elsewhere.
            ((2, 1), Some("EIO".to_owned()), true),
        ];
        for ((damaged, repaired), failed, expected) in table {
            let scrub = ScrubStatus {
                damaged,
                repaired,
                ..ScrubStatus::default()
            };
            let mserver = told(1, Role::Mserver, ScrubStatus::default(), None);
            let dserver = told(2, Role::Dserver, scrub, failed);
            let all = config.servers.iter().zip([Ok(mserver), Ok(dserver)]);
            let seen = Seen::of(all.collect());
            let missing = missing(&seen, None);
            assert!(has_every_copy(&seen, &missing));
            assert_eq!(is_healed(&seen, &missing), expected, "{damaged} {repaired}");
        }
    }

    #[test]
    fn whoever_waits_hears_the_rate_and_how_long() {
        let sync = |done_bytes| SyncStatus {
            for_ms: 2_000,
            done_bytes,
            ..SyncStatus::default()
        };
        let waits = copy(Some(1 << 20), None);
        assert_eq!(
            sentence(std::slice::from_ref(&waits)),
            "1 copy is missing, 0 B of 1.00 MiB done"
        );
        let copies = [
            waits,
            copy(Some(3 << 20), Some(sync(1 << 20))),
            copy(Some(4 << 20), Some(sync(1 << 20))),
        ];
        assert_eq!(
            sentence(&copies),
            "3 copies are missing, 2.00 MiB of 8.00 MiB done, 1.00 MiB/s, 6 s left"
        );
    }
}
