//! `join` and `leave`: who belongs to the cluster.

use sdfs_client::Client;
use sdfs_server_group::ServerName;
use sdfs_types::calls::servers::ServerOrder;
use sdfs_types::{ServerRecord, ServerState};
use serde_json::{Value, json};

use crate::args::{Global, JoinArgs, LeaveArgs};
use crate::commands::maintenance::volumes_of;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session;
use crate::view::LOOK_EVERY;

/// Runs `join`.
pub(crate) async fn join(global: &Global, args: &JoinArgs, out: Output) -> Outcome {
    let client = session::connect(global).await?;
    if let Some(name) = &args.replace {
        return replace(&client, name, args.wait, out).await;
    }
    let (Some(name), Some(role), Some(address)) = (&args.name, args.role, args.address) else {
        let what = "--name, --role and --address, or --replace, must be given";
        return Err(Failure::new(Code::Usage, what));
    };
    let order = ServerOrder::Join {
        name: ServerName::from(name.as_str()),
        role: role.into(),
        address,
        zone: args.zone.clone(),
    };
    let record = client.change_servers(order).await?;
    out.json(&json!({ "server": json_of(&record) }));
    let name = &record.name;
    out.say(&match record.state {
        ServerState::Joining => format!(
            "{name} is expected as server {}: start it with `sdfs serve --name {name} --join \
             MSERVER`, MSERVER being the address of any mserver",
            record.id
        ),
        state => format!("{name} is server {} already, a {state}", record.id),
    });
    Ok(())
}

async fn replace(client: &Client, name: &str, wait: bool, out: Output) -> Outcome {
    let name = ServerName::from(name);
    let order = ServerOrder::Replace { name };
    let mut record = client.change_servers(order).await?;
    while wait && record.state == ServerState::Lost {
        tokio::time::sleep(LOOK_EVERY).await;
        let list = client.servers().await?;
        record = list.servers.get(&record.id).cloned().unwrap_or(record);
    }
    out.json(&json!({ "server": json_of(&record) }));
    let name = &record.name;
    out.say(&match record.state {
        ServerState::Lost => format!(
            "{name} is being forgotten; when `sdfs status` says that it is joining, start it with \
             an empty space: `sdfs serve --name {name}`"
        ),
        _ => format!("{name} may be started with an empty space: `sdfs serve --name {name}`"),
    });
    Ok(())
}

/// Runs `leave`.
pub(crate) async fn leave(global: &Global, args: &LeaveArgs, out: Output) -> Outcome {
    let client = session::connect(global).await?;
    let name = ServerName::from(args.server.as_str());
    let mut record = client.change_servers(ServerOrder::Leave { name }).await?;
    loop {
        let is_gone = record.state == ServerState::Gone;
        let left = if is_gone {
            0
        } else {
            volumes_left(&client, &record).await?
        };
        if is_gone || !args.wait {
            out.json(&json!({ "server": json_of(&record), "volumes_left": left }));
            out.say(&sentence(&record, left));
            return Ok(());
        }
        if record.state != ServerState::Leaving {
            let what = format!("{} is {} again: it stays", record.name, record.state);
            return Err(Failure::new(Code::NotNow, what));
        }
        out.say(&sentence(&record, left));
        tokio::time::sleep(LOOK_EVERY).await;
        let list = client.servers().await?;
        record = list.servers.get(&record.id).cloned().unwrap_or(record);
    }
}

async fn volumes_left(client: &Client, record: &ServerRecord) -> Outcome<usize> {
    let map = client.volume_map().await?;
    let volumes: Vec<_> = map.volumes.into_values().collect();
    Ok(volumes_of(&volumes, record.id))
}

fn sentence(record: &ServerRecord, left: usize) -> String {
    let (name, id) = (&record.name, record.id);
    match (record.state, left) {
        (ServerState::Gone, _) => {
            format!("{name} is gone; its number {id} is never given again")
        }
        (_, 1) => format!("{name} is leaving: 1 volume is left"),
        (_, left) => format!("{name} is leaving: {left} volumes are left"),
    }
}

/// A record as scripts read it.
pub(crate) fn json_of(record: &ServerRecord) -> Value {
    json!({
        "id": record.id, "name": record.name, "role": record.role,
        "address": record.address.to_string(), "zone": record.zone,
        "state": record.state.to_string(), "change": record.change,
    })
}
