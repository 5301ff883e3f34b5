//! Commands that change something. Each is in the audit log before it is done, and again with what
//! became of it.

use sdfs_server_group::Mesh;
use sdfs_types::calls::activity::Severity;
use sdfs_types::calls::maintenance::{Maintain, MaintenanceOrder};
use sdfs_types::calls::names::Scrub;
use sdfs_types::calls::servers::{ChangeServers, ServerOrder};
use sdfs_types::{Role, ServerId, clock};
use serde_json::json;

use super::command::{Change, Newcomer};
use super::reply::Reply;
use super::{Console, Person, trace};
use crate::ask::on_behalf;

pub(super) fn denied(user: &str) -> Reply {
    Reply::refused("denied", format!("{user} is no administrator"))
}

/// Why a change cannot be, known before its name has to be typed.
pub(super) fn objection(console: &Console, change: &Change) -> Option<Reply> {
    let mesh = console.server.mesh();
    let me = console.server.status().name;
    match change {
        Change::Stop(name) if *name != me => Some(match server_named(mesh, name) {
            None => unknown_server(name),
            Some(_) => Reply::refused(
                "elsewhere",
                format!("this is {me}: stop {name} at its own console"),
            ),
        }),
        Change::Drain(name) => must_be(mesh, name, Role::Dserver, "is drained"),
        Change::TransferLeader { to: name, .. } => must_be(mesh, name, Role::Mserver, "leads"),
        Change::Replace(name) => must_be(mesh, name, Role::Mserver, "is replaced"),
        Change::Leave(name) if server_named(mesh, name).is_none() => Some(unknown_server(name)),
        _ => None,
    }
}

/// Only a server of that role `is` it.
fn must_be(mesh: &Mesh, name: &str, role: Role, is: &str) -> Option<Reply> {
    let Some(server) = server_named(mesh, name) else {
        return Some(unknown_server(name));
    };
    let wrong = !mesh.all(role).contains(&server);
    wrong.then(|| Reply::refused("refused", format!("{name} is no {role}: only one {is}")))
}

fn unknown_server(name: &str) -> Reply {
    Reply::refused("no_such_server", format!("no server is called {name:?}"))
}

fn server_named(mesh: &Mesh, name: &str) -> Option<ServerId> {
    let all = [Role::Mserver, Role::Dserver].map(|role| mesh.all(role));
    all.into_iter().flatten().find(|id| {
        let server = mesh.server(*id);
        server.is_some_and(|server| server.name.as_str() == name)
    })
}

/// Does it.
pub(super) async fn carry_out(console: &Console, who: &Person, change: &Change) -> Reply {
    let order = text_of(change);
    let begun = audit(console, who, (&order, "begun")).await;
    let unwritten = begun.map_err(|error| format!("the audit log cannot be written: {error}"));
    let reply = match (unwritten, change) {
        (Ok(()), _) => done(console, &who.user, change).await,
        // A server must be stoppable also when its disk is full or gone.
        (Err(why), Change::Stop(_)) => Reply::Said(format!("stopping; {why}")),
        (Err(why), _) => return Reply::refused("no_audit", format!("nothing was done: {why}")),
    };
    let outcome = reply.outcome();
    tracing::info!(user = %who.user, from = %who.from, %order, outcome, "at the console");
    if let Err(error) = audit(console, who, (&order, outcome)).await {
        tracing::error!(%error, %order, outcome, "the audit log cannot be written");
    }
    let told = format!("{} ordered: {order} ({outcome})", who.user);
    // Events are a convenience: the audit log has it.
    console.tell.try_send((Severity::News, told)).unwrap_or(());
    reply
}

async fn audit(
    console: &Console,
    who: &Person,
    (order, outcome): (&str, &str),
) -> std::io::Result<()> {
    let line = json!({
        "at_ms": clock::now_ms(),
        "user": who.user,
        "from": who.from.to_string(),
        "server": console.server.status().name,
        "order": order,
        "outcome": outcome,
    });
    console.hands.write_audit(line.to_string()).await
}

/// The change as it is typed.
fn text_of(change: &Change) -> String {
    match change {
        Change::HealPause => "heal pause".to_owned(),
        Change::HealStart => "heal start".to_owned(),
        Change::HealLimit(None) => "heal limit off".to_owned(),
        Change::HealLimit(Some(rate)) => format!("heal limit {rate}"),
        Change::ScrubStart => "scrub start".to_owned(),
        Change::Drain(server) => format!("drain {server}"),
        Change::DrainStop(server) => format!("drain stop {server}"),
        Change::Rebalance => "rebalance".to_owned(),
        Change::RebalanceStop => "rebalance stop".to_owned(),
        Change::Join(Newcomer {
            name,
            role,
            address,
            zone,
        }) => format!("join {name} {role} {address} {zone}"),
        Change::Leave(server) => format!("leave {server}"),
        Change::Replace(server) => format!("replace {server}"),
        Change::TransferLeader { group, to } => format!("transfer-leader {group} {to}"),
        Change::Log { level, target } => format!("log {level} {target}"),
        Change::LogUsual => "log usual".to_owned(),
        Change::Snapshot => "snapshot".to_owned(),
        Change::TraceOn(what) => format!("trace on {what}"),
        Change::TraceOff(what) => format!("trace off {what}"),
        Change::Stop(server) => format!("stop {server}"),
    }
}

async fn done(console: &Console, user: &str, change: &Change) -> Reply {
    let mesh = console.server.mesh();
    match change {
        Change::HealPause => maintain(console, user, MaintenanceOrder::PauseHealing).await,
        Change::HealStart => maintain(console, user, MaintenanceOrder::StartHealing).await,
        Change::HealLimit(bytes_per_s) => {
            let bytes_per_s = *bytes_per_s;
            maintain(
                console,
                user,
                MaintenanceOrder::LimitHealing { bytes_per_s },
            )
            .await
        }
        Change::ScrubStart => scrub(console, user).await,
        Change::Drain(name) => match server_named(mesh, name) {
            Some(server) => maintain(console, user, MaintenanceOrder::Drain { server }).await,
            None => unknown_server(name),
        },
        Change::DrainStop(name) => {
            // One that has left the configuration is known by its number alone.
            let number = name.parse().ok().map(ServerId);
            match server_named(mesh, name).or(number) {
                Some(server) => {
                    maintain(console, user, MaintenanceOrder::StopDrain { server }).await
                }
                None => unknown_server(name),
            }
        }
        Change::Rebalance => maintain(console, user, MaintenanceOrder::Rebalance).await,
        Change::RebalanceStop => maintain(console, user, MaintenanceOrder::StopRebalance).await,
        Change::Join(newcomer) => {
            let order = ServerOrder::Join {
                name: newcomer.name.as_str().into(),
                role: newcomer.role,
                address: newcomer.address,
                zone: newcomer.zone.clone(),
            };
            change_servers(console, user, order).await
        }
        Change::Leave(name) => {
            let name = name.as_str().into();
            change_servers(console, user, ServerOrder::Leave { name }).await
        }
        Change::Replace(name) => {
            let name = name.as_str().into();
            change_servers(console, user, ServerOrder::Replace { name }).await
        }
        Change::TransferLeader { group, to } => transfer(console, *group, to).await,
        Change::Log { level, target } => log(console, Some((target, level))),
        Change::LogUsual => log(console, None),
        Change::Snapshot => snapshot(console).await,
        Change::TraceOn(what) => trace::on(console, user, what).await,
        Change::TraceOff(what) => trace::off(console, user, what).await,
        // By the session, once this is said.
        Change::Stop(_) => Reply::Said("stopping".to_owned()),
    }
}

async fn maintain(console: &Console, user: &str, order: MaintenanceOrder) -> Reply {
    match on_behalf(console.server.mesh(), user, &Maintain { order }).await {
        Ok(_) => Reply::Done,
        Err(fault) => Reply::unanswered(&fault),
    }
}

async fn scrub(console: &Console, user: &str) -> Reply {
    let status = console.server.status();
    match on_behalf(console.server.mesh(), user, &Scrub {}).await {
        Ok(begun) => {
            let names = |ids: &[ServerId]| {
                let names = ids.iter().map(|id| status.name_of(*id));
                json!(names.collect::<Vec<_>>())
            };
            Reply::Fields(vec![
                ("begun", names(&begun.begun)),
                ("unreached", names(&begun.unreached)),
            ])
        }
        Err(fault) => Reply::unanswered(&fault),
    }
}

async fn change_servers(console: &Console, user: &str, order: ServerOrder) -> Reply {
    match on_behalf(console.server.mesh(), user, &ChangeServers { order }).await {
        Ok(record) => Reply::Fields(vec![
            ("id", json!(record.id.0)),
            ("name", json!(record.name.as_str())),
            ("role", json!(record.role.to_string())),
            ("address", json!(record.address.to_string())),
            ("zone", json!(record.zone)),
            ("state", json!(record.state.to_string())),
        ]),
        Err(fault) => Reply::unanswered(&fault),
    }
}

async fn transfer(console: &Console, group: u8, to: &str) -> Reply {
    let Some(to_id) = server_named(console.server.mesh(), to) else {
        return unknown_server(to);
    };
    match console.hands.transfer_leader(group, to_id).await {
        Ok(()) => Reply::Said(format!(
            "{to} is asked to lead; `groups` shows whether it does"
        )),
        Err(fault) => Reply::refused("not_done", fault),
    }
}

/// Each group or disk for itself: refused only when none of them was brought to disk.
async fn snapshot(console: &Console) -> Reply {
    let made = console.hands.snapshot().await;
    let is_any = made.iter().any(|(_, made)| made.is_ok());
    let told = made.into_iter().map(|(what, made)| {
        let outcome = made.unwrap_or_else(|fault| format!("not done: {fault}"));
        (what, outcome)
    });
    if is_any {
        let rows = told.map(|(what, outcome)| [json!(what), json!(outcome)]);
        return Reply::rows(["what", "outcome"], rows);
    }
    let all: Vec<_> = told
        .map(|(what, outcome)| format!("{what}: {outcome}"))
        .collect();
    match all.is_empty() {
        true => Reply::refused("not_done", "no disk works here"),
        false => Reply::refused("not_done", all.join("; ")),
    }
}

fn log(console: &Console, level: Option<(&str, &str)>) -> Reply {
    let before = console.log_levels.borrow().clone();
    let mut levels = before;
    match level {
        Some((target, level)) => drop(levels.insert(target.to_owned(), level.to_owned())),
        None => levels.clear(),
    }
    let beside: Vec<_> = levels
        .iter()
        .map(|(target, level)| format!("{target}={level}"))
        .collect();
    match console.hands.set_log(&beside) {
        Ok(()) => {
            console.log_levels.send_replace(levels);
            Reply::Done
        }
        Err(fault) => Reply::refused("not_done", fault),
    }
}
