//! `check-config`: a configuration checked without starting anything.

use std::collections::BTreeMap;

use sdfs_server_group::{Config, Role, SecretError};

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
    let mut missing = Vec::new();
    for (path, read) in secrets {
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
    let mut table = Table::new(&["server", ">id", "address", "zone", "space"]);
    for server in &config.servers {
        let space: Vec<_> = server
            .space
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        table.row([
            server.name.to_string(),
            server.id.to_string(),
            server.address.to_string(),
            server.zone.clone(),
            space.join(", "),
        ]);
    }
    table.print(out, 2);
}
