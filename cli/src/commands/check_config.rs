//! `check-config`: a configuration checked without starting anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sdfs_server_group::{Config, Role, SecretError, ServerName};

use crate::args::Global;
use crate::failure::Outcome;
use crate::output::{Ink, Output};
use crate::session;
use crate::table::Table;

/// Checks the configuration and shows what it says.
pub(crate) fn run(global: &Global, out: Output) -> Outcome {
    let config = session::config(global)?;
    let secrets = [
        (&config.secret_file, config.cluster_secret().map(|_| ())),
        (&config.admin.secret_file, config.admin_key().map(|_| ())),
    ];
    let links = config.link_secret_file();
    let links = links.map(|file| (file, config.link_secret().map(|_| ())));
    let mut missing = Vec::new();
    for (path, read) in secrets.into_iter().chain(links) {
        match read {
            Ok(()) => {}
            Err(SecretError::Unreadable { .. }) if !path.exists() => missing.push(path),
            Err(error) => return Err(error.into()),
        }
    }
    show(&config, out);
    for path in &missing {
        let told = format!("{} is missing; `sdfs up` makes it", path.display());
        out.say(&out.ink(Ink::Warn, &told));
    }
    out.say("good");
    out.json(&serde_json::json!({
        "cluster": config.cluster,
        "servers": config.servers,
        "groups": groups(&config),
        "ports": doors(&config),
        "missing_secret_files": missing,
    }));
    Ok(())
}

/// The groups of dservers, with the names of their members.
fn groups(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::<String, Vec<String>>::new();
    for server in config.servers_of(Role::Dserver) {
        if let Some(group) = config.groups.of(&server.name) {
            let members = groups.entry(group.to_string()).or_default();
            members.push(server.name.to_string());
        }
    }
    groups
}

/// The ports of each server beside its own: the key that opens each, and where it is.
fn doors(config: &Config) -> BTreeMap<&ServerName, BTreeMap<&'static str, SocketAddr>> {
    let servers = config.servers.iter();
    let doors = servers.map(|server| (&server.name, config.doors(server).into_iter().collect()));
    doors.collect()
}

fn show(config: &Config, out: Output) {
    let count = |role| config.servers_of(role).count();
    out.say(&format!(
        "cluster {}: {} mservers, {} dservers, {} copies",
        config.cluster,
        count(Role::Mserver),
        count(Role::Dserver),
        config.storage.copies,
    ));
    let groups = groups(config);
    if !groups.is_empty() {
        let named: Vec<_> = groups
            .iter()
            .map(|(group, members)| format!("{group} ({})", members.join(", ")))
            .collect();
        out.say(&format!("groups {}", named.join(", ")));
    }
    let doors = doors(config);
    let keys: BTreeSet<_> = doors.values().flat_map(BTreeMap::keys).collect();
    let heads = keys.iter().map(|key| key.trim_end_matches("_port"));
    let heads = ["server", ">id", "address"].into_iter().chain(heads);
    let heads: Vec<_> = heads.chain(["zone", "space"]).collect();
    let mut table = Table::new(&heads);
    for server in &config.servers {
        let space: Vec<_> = server
            .space
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let port = |key: &&&str| {
            let door = doors.get(&server.name).and_then(|doors| doors.get(**key));
            door.map_or_else(String::new, |door| door.port().to_string())
        };
        let known = [
            server.name.to_string(),
            server.id.to_string(),
            server.address.to_string(),
        ];
        let rest = [server.zone.clone(), space.join(", ")];
        table.row(known.into_iter().chain(keys.iter().map(port)).chain(rest));
    }
    table.print(out, 2);
}
