//! `doctor`: looks at every server, says what is likely wrong and what to do, and can write all
//! that it saw to a file for whoever helps. No secret is read for it but the one that logs in.

mod causes;

use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{Config, Operator, OperatorTls, ServerConfig, Storage, Timers};
use sdfs_types::ServerList;
use sdfs_types::calls::maintenance::Maintenance;
use serde_json::{Value, json};

use crate::args::{DoctorArgs, Global};
use crate::commands::maintenance;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::session;
use crate::view::{ANSWER_WITHIN, done_by_all, told_by_all};
use causes::{Cause, Looked, causes};

/// Looks at the cluster. Exit code 9 when something keeps it from working.
pub(crate) async fn run(global: &Global, args: &DoctorArgs, out: Output) -> Outcome {
    let configured = session::config(global)?;
    let (nobody, client) = match session::connect(global).await {
        Ok(client) => (None, Some(client)),
        Err(failure) if failure.code == Code::Unreachable => (Some(failure), None),
        Err(failure) => return Err(failure),
    };
    let list = match &client {
        Some(client) => session::list(client, global).await,
        None => ServerList::default(),
    };
    let config = session::as_listed(configured, &list);
    let (looked, orders) = match &client {
        Some(client) => look(client, &config, global.timeout).await,
        None => (config.servers.iter().map(silent).collect(), None),
    };
    let is_paused = orders.iter().any(|orders| orders.healing_paused.is_some());
    let causes = causes(&looked, is_paused);
    if let Some(file) = &args.bundle {
        let bundle = bundle(&config, &list, &looked, &json!(orders));
        let text = format!("{bundle:#}\n");
        std::fs::write(file, text).map_err(|error| Failure::local("write", file, &error))?;
    }
    for cause in &causes {
        let ink = if cause.is_grave { Ink::Bad } else { Ink::Warn };
        out.say(&out.ink(ink, &cause.what));
        out.say(&format!("    {}", cause.advice));
    }
    if causes.is_empty() {
        out.say(&out.ink(Ink::Good, "nothing is wrong that can be seen from here"));
    }
    if let Some(file) = &args.bundle {
        out.say(&format!("all of it is in {}", file.display()));
    }
    out.json(&json!({ "causes": causes.iter().map(json_of).collect::<Vec<_>>() }));
    if let Some(nobody) = nobody {
        return Err(nobody);
    }
    let grave = causes.iter().filter(|cause| cause.is_grave).count();
    if grave > 0 {
        let what = format!("{grave} things keep the cluster from working as it should");
        return Err(Failure::new(Code::NotNow, what));
    }
    Ok(())
}

/// Asks every server for what it knows, and a mserver for the orders that stand.
async fn look(
    client: &Client,
    config: &Config,
    timeout: Duration,
) -> (Vec<Looked>, Option<Maintenance>) {
    let within = timeout.min(ANSWER_WITHIN);
    let (told, done, orders) = tokio::join!(
        told_by_all(client, config, within),
        done_by_all(client, config, within),
        maintenance::orders(client, timeout),
    );
    let looked = told.into_iter().zip(done);
    let looked = looked.map(|((server, status), (_, activity))| Looked {
        name: server.name.to_string(),
        role: server.role,
        status: status.map_err(|error| error.to_string()),
        // A server that does not answer is told by its status.
        activity: activity.ok(),
    });
    (looked.collect(), orders)
}

/// A server nobody could be asked of.
fn silent(server: &ServerConfig) -> Looked {
    Looked {
        name: server.name.to_string(),
        role: server.role,
        status: Err("no mserver lets anybody in".to_owned()),
        activity: None,
    }
}

fn json_of(cause: &Cause) -> Value {
    json!({ "grave": cause.is_grave, "what": cause.what, "advice": cause.advice })
}

/// Everything that was seen. Of the configuration the paths of secrets, never what is in them.
fn bundle(config: &Config, list: &ServerList, looked: &[Looked], orders: &Value) -> Value {
    let servers = looked.iter().map(|one| {
        json!({
            "name": one.name,
            "status": one.status.as_ref().ok(),
            "error": one.status.as_ref().err(),
            "activity": one.activity,
        })
    });
    let read = |path: &str| std::fs::read_to_string(path).ok();
    json!({
        "program": env!("CARGO_PKG_VERSION"),
        "system": read("/proc/version"),
        "memory": read("/proc/meminfo"),
        "load": read("/proc/loadavg"),
        "config": {
            "cluster": config.cluster,
            "secret_file": config.secret_file,
            "admin": config.admin.name,
            "servers": config.servers,
            "timers": timers(&config.timers),
            "storage": storage(&config.storage),
            "tls": config.tls.is_some(),
            "fastdfs": config.fastdfs.is_some(),
            "operator": config.operator.as_ref().map(operator),
        },
        "list": list.servers.values().collect::<Vec<_>>(),
        "orders": orders,
        "servers": servers.collect::<Vec<_>>(),
    })
}

// Taken apart, so that nothing added to them is left out.

fn timers(timers: &Timers) -> Value {
    let Timers {
        ping_every_ms,
        silence_ms_max,
        dial_ms_max,
        handshake_ms_max,
        heartbeat_ms,
        election_ms,
    } = timers;
    json!({
        "ping_every_ms": ping_every_ms,
        "silence_ms_max": silence_ms_max,
        "dial_ms_max": dial_ms_max,
        "handshake_ms_max": handshake_ms_max,
        "heartbeat_ms": heartbeat_ms,
        "election_ms": election_ms,
    })
}

fn storage(storage: &Storage) -> Value {
    let Storage {
        copies,
        copies_min,
        block_bytes,
        segment_bytes,
        reserve_bytes,
        volumes_per_dserver,
        trash_s,
        replace_after_s,
    } = storage;
    json!({
        "copies": copies,
        "copies_min": copies_min,
        "block_bytes": block_bytes,
        "segment_bytes": segment_bytes,
        "reserve_bytes": reserve_bytes,
        "volumes_per_dserver": volumes_per_dserver,
        "trash_s": trash_s,
        "replace_after_s": replace_after_s,
    })
}

fn operator(operator: &Operator) -> Value {
    let Operator {
        listen,
        http_port,
        console_port,
        allow,
        tls,
        spans_to,
    } = operator;
    json!({
        "listen": listen,
        "http_port": http_port,
        "console_port": console_port,
        "allow": allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tls": match tls {
            OperatorTls::Off => "off",
            OperatorTls::Server => "server",
            OperatorTls::Mutual => "mutual",
        },
        "spans_to": spans_to,
    })
}

#[cfg(test)]
mod tests {
    use sdfs_server_group::{Role, ServerId};
    use sdfs_types::{ServerRecord, ServerState};

    use super::*;

    #[test]
    fn a_bundle_has_no_words_of_the_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = sdfs_server::ClusterOptions {
            operator: true,
            ..Default::default()
        };
        let file = sdfs_server::write_config(folder.path(), &options).expect("written");
        let config = Config::load(&file).expect("read back");
        let record = ServerRecord {
            id: ServerId(4),
            name: "dserver-1".into(),
            role: Role::Dserver,
            address: ([127, 0, 0, 1], 7_201).into(),
            zone: "a".to_owned(),
            state: ServerState::Member,
            change: 1,
        };
        let list = ServerList {
            version: 1,
            servers: [(record.id, record)].into(),
        };
        let bundle = bundle(&config, &list, &[], &Value::Null);
        assert_eq!(bundle["config"]["timers"]["ping_every_ms"], 500);
        assert_eq!(bundle["config"]["storage"]["copies"], 3);
        assert_eq!(bundle["config"]["operator"]["tls"], "off");
        assert_eq!(bundle["list"][0]["name"], "dserver-1");
        let text = bundle.to_string();
        for word in ["Some(", "None", "ServerId(", "ServerRecord", "Timers {"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}
