//! `drain` and `rebalance`, and the orders for the volumes' upkeep in words.

use std::time::Duration;

use sdfs_client::{CallOptions, Client};
use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::maintenance::{Maintenance, MaintenanceOrder, Ordered};
use sdfs_types::{ServerId, Volume, clock};
use serde_json::json;

use crate::args::{DrainArgs, Global, RebalanceArgs};
use crate::commands::heal;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::session;
use crate::units;
use crate::view::{ANSWER_WITHIN, LOOK_EVERY, Seen, seen, server_name};

/// Runs `drain`.
pub(crate) async fn drain(global: &Global, args: &DrainArgs, out: Output) -> Outcome {
    let (client, config) = session::cluster(global).await?;
    if args.stop {
        return stop_drain(&client, &config, &args.server, out).await;
    }
    let server = dserver(&config, &args.server)?;
    let id = server.id;
    client
        .maintain(MaintenanceOrder::Drain { server: id })
        .await?;
    loop {
        let now = seen(&client, &config, global.timeout).await;
        let left = volumes_of(now.volumes(), id);
        let is_told = now.hears_majority && !now.volumes().is_empty();
        let is_done = is_told && left == 0;
        if is_done || !args.wait {
            out.json(&json!({
                "server": server.name, "draining": true, "drained": is_done, "volumes_left": left,
            }));
            out.say(&drain_sentence(server.name.as_str(), left));
            if !is_done {
                out.say("sdfs heal status shows how far the copies are");
            }
            return Ok(());
        }
        out.say(&drain_sentence(server.name.as_str(), left));
        say_how_far(&now, out);
        say_when_paused(orders(&client, global.timeout).await.as_ref(), out);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A server that has left the configuration is known by its number alone.
async fn stop_drain(client: &Client, config: &Config, name: &str, out: Output) -> Outcome {
    let known = dserver(config, name).map(|server| server.id);
    let server = match known {
        Ok(server) => server,
        Err(unknown) => {
            let standing = client.maintain(MaintenanceOrder::Show).await?;
            let mut draining = standing.draining.keys().copied();
            let named = draining.find(|server| server_name(config, *server) == name);
            named.ok_or(unknown)?
        }
    };
    client
        .maintain(MaintenanceOrder::StopDrain { server })
        .await?;
    out.json(&json!({ "server": name, "draining": false }));
    out.say(&format!("{name} stays and gets volumes again"));
    Ok(())
}

/// Tells who waits for copies how many bytes are made, how fast, and how long the rest takes.
fn say_how_far(seen: &Seen<'_>, out: Output) {
    if let Some(line) = heal::how_far(seen) {
        out.say(&line);
    }
}

/// Tells who waits for copies that none are made.
pub(crate) fn say_when_paused(orders: Option<&Maintenance>, out: Output) {
    if let Some(ordered) = orders.and_then(|orders| orders.healing_paused.as_ref()) {
        let line = format!(
            "nothing moves: healing is paused, {}; `sdfs heal start` ends that",
            given(ordered)
        );
        out.say(&out.ink(Ink::Warn, &line));
    }
}

/// Runs `rebalance`.
pub(crate) async fn rebalance(global: &Global, args: &RebalanceArgs, out: Output) -> Outcome {
    let (client, config) = session::cluster(global).await?;
    if args.stop {
        client.maintain(MaintenanceOrder::StopRebalance).await?;
        out.json(&json!({ "rebalancing": false }));
        out.say("no more copies are moved to spread them");
        return Ok(());
    }
    let mut orders = client.maintain(MaintenanceOrder::Rebalance).await?;
    while args.wait && orders.rebalancing.is_some() {
        out.say("copies are being spread");
        say_how_far(&seen(&client, &config, global.timeout).await, out);
        say_when_paused(Some(&orders), out);
        tokio::time::sleep(LOOK_EVERY).await;
        orders = client.maintain(MaintenanceOrder::Show).await?;
    }
    let now = seen(&client, &config, global.timeout).await;
    let counts = config.servers_of(Role::Dserver).map(|server| {
        let volumes = volumes_of(now.volumes(), server.id);
        (server.name.to_string(), volumes)
    });
    let counts: Vec<_> = counts.collect();
    let by_server: serde_json::Map<_, _> = counts
        .iter()
        .map(|(name, volumes)| (name.clone(), json!(volumes)))
        .collect();
    out.json(&json!({ "rebalancing": orders.rebalancing.is_some(), "volumes": by_server }));
    for (name, volumes) in counts {
        out.say(&format!("{name}: {volumes} volumes"));
    }
    if orders.rebalancing.is_some() {
        out.say("sdfs heal status shows how far the copies are");
    }
    Ok(())
}

/// The dserver with this name.
fn dserver<'a>(config: &'a Config, name: &str) -> Outcome<&'a ServerConfig> {
    let named = config.server_named(name);
    named
        .filter(|server| server.role == Role::Dserver)
        .ok_or_else(|| {
            let all = config.servers_of(Role::Dserver);
            let names: Vec<_> = all.map(|server| server.name.to_string()).collect();
            Failure::new(Code::Usage, format!("there is no dserver {name}"))
                .advise(format!("The dservers are {}", names.join(", ")))
        })
}

/// The orders that stand, when a mserver tells.
pub(crate) async fn orders(client: &Client, within: Duration) -> Option<Maintenance> {
    let options = CallOptions {
        timeout: Some(within.min(ANSWER_WITHIN)),
        ..CallOptions::default()
    };
    let client = client.with(options);
    client.maintain(MaintenanceOrder::Show).await.ok()
}

/// The volumes a dserver is a member of.
pub(crate) fn volumes_of(volumes: &[Volume], server: ServerId) -> usize {
    let is_its = |volume: &&Volume| volume.state_of(server).is_some();
    volumes.iter().filter(is_its).count()
}

fn drain_sentence(name: &str, left: usize) -> String {
    match left {
        0 => format!("{name} keeps no volume any more and may be stopped"),
        1 => format!("{name} is being drained: 1 volume is left"),
        left => format!("{name} is being drained: {left} volumes are left"),
    }
}

/// The orders in words, one a line.
pub(crate) fn sentences(config: &Config, orders: &Maintenance, volumes: &[Volume]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(ordered) = &orders.healing_paused {
        lines.push(format!("healing is paused, {}", given(ordered)));
    }
    if let Some(rate) = orders.heal_bytes_per_s {
        let rate = units::size(rate);
        lines.push(format!("each dserver heals at {rate}/s at most"));
    }
    // The order for one that is gone stays, so that no volume is ever planned there.
    let present = |server: &&ServerId| config.server(**server).is_some();
    for server in orders.draining.keys().filter(present) {
        let ordered = &orders.draining[server];
        let name = server_name(config, *server);
        let sentence = drain_sentence(&name, volumes_of(volumes, *server));
        lines.push(format!("{sentence}, {}", given(ordered)));
    }
    if let Some(ordered) = &orders.rebalancing {
        lines.push(format!("copies are being spread, {}", given(ordered)));
    }
    lines
}

fn given(ordered: &Ordered) -> String {
    let ago_s = clock::now_ms().saturating_sub(ordered.at_ms) / 1_000;
    format!("ordered by {} {} ago", ordered.by, units::uptime(ago_s))
}
