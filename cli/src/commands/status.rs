//! `status`: how every server is, in its own words.

use std::time::Duration;

use sdfs_client::{CallOptions, Client, Sharing};
use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{
    Condition, MemberState, ServerId, ServerList, ServerState, Volume, newest_map, outlook_of,
};
use serde_json::{Value, json};

use crate::args::{Global, StatusArgs};
use crate::commands::maintenance;
use crate::commands::servers::json_of as json_of_record;
use crate::failure::Outcome;
use crate::output::{Ink, Output};
use crate::session;
use crate::table::{Cell, Table};
use crate::units;
use crate::view::{ANSWER_WITHIN, NO_VOLUMES, group_name, server_name, told_by_all};

/// What a server told, or why not.
type Told<'a> = (&'a ServerConfig, Result<ServerStatus, sdfs_client::Error>);

/// Shows how every server is.
pub(crate) async fn run(global: &Global, args: &StatusArgs, out: Output) -> Outcome {
    let configured = session::config(global)?;
    let client = session::connect(global).await?;
    let list = session::list(&client, global).await;
    let config = session::as_listed(configured, &list);
    let (told, orders, shared) = tokio::join!(
        told_by_all(&client, &config, global.timeout.min(ANSWER_WITHIN)),
        maintenance::orders(&client, global.timeout),
        sharing(&client, global.timeout),
    );
    if out.is_json() {
        let servers: Vec<_> = told.iter().map(json_of).collect();
        let listed: Vec<_> = list.servers.values().map(json_of_record).collect();
        let list = json!({ "version": list.version, "servers": listed });
        out.json(&json!({
            "cluster": config.cluster, "servers": servers, "list": list, "orders": orders,
            "shared": shared,
        }));
        return Ok(());
    }
    servers(&config, &told, &list).print(out, 0);
    let known: Vec<_> = told
        .iter()
        .filter_map(|(_, status)| status.as_ref().ok())
        .collect();
    let volumes = newest_map(known.iter().copied()).map_or(&[][..], |status| &status.volumes);
    out.say("");
    out.say(&sentence(&config, &known, volumes));
    if let Some(shared) = shared.filter(|shared| shared.contents > 0) {
        out.say(&shared_sentence(&shared));
    }
    for line in orders
        .iter()
        .flat_map(|orders| maintenance::sentences(&config, orders, volumes))
    {
        out.say(&out.ink(Ink::Warn, &line));
    }
    for (server, status) in &told {
        if let Err(error) = status {
            out.say(&out.ink(Ink::Bad, &format!("{}: {error}", server.name)));
        }
        for space in status.iter().flat_map(|status| &status.spaces) {
            if let Some(why) = &space.failed {
                let line = format!(
                    "{}: the disk at {} is closed: {why}",
                    server.name, space.path
                );
                out.say(&out.ink(Ink::Bad, &line));
            }
        }
    }
    if args.volumes {
        out.say("");
        volume_table(&config, volumes).print(out, 0);
    }
    if args.rtt {
        out.say("");
        let known: Vec<_> = known.into_iter().cloned().collect();
        rtt_matrix(&known).print(out, 0);
    }
    Ok(())
}

/// What names share; unknown while no mserver tells.
async fn sharing(client: &Client, timeout: Duration) -> Option<Sharing> {
    let options = CallOptions {
        timeout: Some(timeout.min(ANSWER_WITHIN)),
        ..CallOptions::default()
    };
    client.clone().with(options).sharing().await.ok()
}

fn shared_sentence(shared: &Sharing) -> String {
    let Sharing {
        contents,
        names,
        bytes,
        saved_bytes,
    } = *shared;
    format!(
        "{} names share {} contents of {}: {} saved in each copy",
        units::count(names),
        units::count(contents),
        units::size(bytes),
        units::size(saved_bytes)
    )
}

fn json_of((server, status): &Told<'_>) -> Value {
    match status {
        Ok(status) => json!({
            "name": server.name, "role": server.role, "address": server.address.to_string(),
            "answers": true, "status": status,
        }),
        Err(error) => json!({
            "name": server.name, "role": server.role, "address": server.address.to_string(),
            "answers": false, "error": error.to_string(),
        }),
    }
}

fn servers(config: &Config, told: &[Told<'_>], list: &ServerList) -> Table {
    let mut table = Table::new(&[
        "server", "address", "is", "state", "up for", ">peers", "leads", ">blocks", ">free",
    ]);
    for (server, status) in told {
        let begin = [
            Cell::from(server.name.to_string()),
            server.address.to_string().into(),
            belongs(list, server.id),
        ];
        match status {
            Ok(status) => table.row(begin.into_iter().chain(answered(config, status))),
            Err(_) => {
                let state = Cell::inked(Ink::Bad, "no answer");
                table.row(begin.into_iter().chain([state]));
            }
        }
    }
    table
}

/// How far a server is in belonging to the cluster, by the list.
fn belongs(list: &ServerList, server: ServerId) -> Cell {
    match list.servers.get(&server).map(|record| record.state) {
        Some(ServerState::Member) => "member".into(),
        Some(state) => Cell::inked(Ink::Warn, state.to_string()),
        None => "-".into(),
    }
}

fn answered(config: &Config, status: &ServerStatus) -> [Cell; 6] {
    let up = status.peers.iter().filter(|peer| peer.is_up()).count();
    let condition = status.condition();
    let ink = match condition {
        Condition::Up => Ink::Good,
        Condition::NoRoom | Condition::CutOff => Ink::Warn,
        Condition::DiskFailed => Ink::Bad,
    };
    let state = Cell::inked(ink, condition.to_string());
    let led = status
        .groups
        .iter()
        .filter(|group| group.leader == Some(status.server));
    let led: Vec<_> = led.map(|group| group_name(config, group.group)).collect();
    let blocks: u64 = status.spaces.iter().map(|space| space.blocks).sum();
    let free = status.spaces.iter().map(|space| space.free_bytes).max();
    let is_keeping = status.role == Role::Dserver;
    [
        state,
        units::uptime(status.up_s).into(),
        format!("{up}/{}", status.peers.len()).into(),
        if led.is_empty() {
            "-".into()
        } else {
            led.join(", ").into()
        },
        if is_keeping {
            units::count(blocks).into()
        } else {
            "-".into()
        },
        free.map_or_else(|| "-".to_owned(), units::size).into(),
    ]
}

/// The volumes in one sentence.
fn sentence(config: &Config, answering: &[&ServerStatus], volumes: &[Volume]) -> String {
    if volumes.is_empty() {
        return NO_VOLUMES.to_owned();
    }
    let (outlook, said) = outlook_of(answering, |server| server_name(config, server));
    if outlook.is_good() {
        return format!(
            "all {} volumes take writes and have every copy",
            outlook.total
        );
    }
    said.join("; ")
}

fn volume_table(config: &Config, volumes: &[Volume]) -> Table {
    let mut table = Table::new(&[">volume", ">epoch", "status", "copies"]);
    for volume in volumes {
        let copies = volume.members.iter().map(|member| {
            let name = server_name(config, member.server);
            match member.state {
                MemberState::InSync => name,
                MemberState::Syncing => format!("{name} (syncing)"),
                MemberState::Out => format!("{name} (out)"),
            }
        });
        table.row([
            volume.id.to_string(),
            volume.epoch.to_string(),
            format!("{:?}", volume.status).to_lowercase(),
            copies.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

/// Smoothed round-trip times in microseconds, from the server of the row to that of the column.
pub(crate) fn rtt_matrix(told: &[ServerStatus]) -> Table {
    let mut heads = vec!["rtt us".to_owned()];
    heads.extend(told.iter().map(|status| format!(">{}", status.name)));
    let heads: Vec<_> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    for from in told {
        let to = |server: ServerId| {
            let peer = from.peers.iter().find(|peer| peer.server == server)?;
            peer.rtt_us.filter(|_| peer.is_up()).map(units::count)
        };
        let times = told
            .iter()
            .map(|status| to(status.server).unwrap_or_else(|| "-".to_owned()));
        table.row(std::iter::once(from.name.clone()).chain(times));
    }
    table
}
