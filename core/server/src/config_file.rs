//! The configuration file of a cluster on one machine.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::cluster::ClusterOptions;
use crate::error::ClusterError;
use crate::ports::{free_port_row, free_ports};

/// Writes `config.conf` of a cluster on free loopback ports with all its files in `folder`.
/// Returns the path of the file.
///
/// # Errors
/// When there are no free ports or the file cannot be written.
pub fn write_config(folder: &Path, options: &ClusterOptions) -> Result<PathBuf, ClusterError> {
    let servers = usize::from(options.mservers) + usize::from(options.dservers);
    let mut ports = free_ports(servers).map_err(ClusterError::Ports)?;
    let path = folder.join("config.conf");
    let mut text = config_text(options, &ports);
    if options.fastdfs {
        text.push_str(&fastdfs_text(options, &mut ports).map_err(ClusterError::Ports)?);
    }
    if options.operator {
        text.push_str(&operator_text(servers, &mut ports).map_err(ClusterError::Ports)?);
    }
    text.push_str(")\n");
    std::fs::write(&path, text).map_err(|source| ClusterError::Folder {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

fn config_text(options: &ClusterOptions, ports: &[u16]) -> String {
    let mut servers = String::new();
    let roles = [
        ("Mserver", "mserver", options.mservers),
        ("Dserver", "dserver", options.dservers),
    ];
    let named = roles.iter().flat_map(|(role, name, count)| {
        (1..=*count).map(move |number| (role, format!("{name}-{number}")))
    });
    let loopback = std::iter::repeat(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let hosts = options.hosts.iter().copied().chain(loopback);
    let no_group = (0..options.mservers).map(|_| String::new());
    let groups = options.groups.iter();
    let groups = no_group.chain(groups.map(|group| format!(", group: \"{group}\"")));
    let groups = groups.chain(std::iter::repeat(String::new()));
    let named = named.zip(ports).zip(hosts).zip(groups);
    for ((((role, name), port), host), group) in named {
        let address = SocketAddr::new(host, *port);
        let line = format!(
            "        (name: \"{name}\", role: {role}, address: \"{address}\", \
             space: [\"data/{name}\"], zone: \"{name}\"{group}),\n"
        );
        servers.push_str(&line);
    }
    let mut text = format!(
        "(\n    cluster: \"{}\",\n    secret_file: \"secret\",\n    \
         admin: (name: \"admin\", secret_file: \"admin.secret\"),\n    \
         servers: [\n{servers}    ],\n",
        options.name
    );
    for part in [&options.timers, &options.storage].into_iter().flatten() {
        // Writing to a string cannot fail.
        writeln!(text, "    {part},").unwrap_or(());
    }
    text
}

/// The part that lets FastDFS clients in: for each door a port for every server of its role, in a
/// row.
fn fastdfs_text(options: &ClusterOptions, chosen: &mut Vec<u16>) -> std::io::Result<String> {
    let mservers = usize::from(options.mservers);
    let dservers = usize::from(options.dservers);
    let first = free_port_row(mservers + 2 * dservers, chosen)?;
    let storage_port = usize::from(first) + mservers;
    let http_port = storage_port + dservers;
    let instant = &options.instant;
    Ok(format!(
        "    fastdfs: (tracker_port: {first}, storage_port: {storage_port}, \
         http_port: {http_port}, instant: {instant:?}),\n"
    ))
}

/// The part that lets operators in: for each door a port for every server, in a row.
fn operator_text(servers: usize, chosen: &mut Vec<u16>) -> std::io::Result<String> {
    let first = free_port_row(2 * servers, chosen)?;
    let console_port = usize::from(first) + servers;
    Ok(format!(
        "    operator: (http_port: {first}, console_port: {console_port}),\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::{Config, Role};

    #[test]
    fn written_configuration_reads_back() {
        let options = ClusterOptions {
            storage: Some("storage: (copies: 2, copies_min: 1)".to_owned()),
            hosts: vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9))],
            groups: ["group1", "group1", "group1"].map(str::to_owned).into(),
            fastdfs: true,
            operator: true,
            ..ClusterOptions::default()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = write_config(folder.path(), &options).expect("written");
        let config = Config::load(&path).expect("read back");
        assert_eq!(config.servers_of(Role::Mserver).count(), 3);
        assert_eq!(config.servers_of(Role::Dserver).count(), 3);
        assert_eq!(config.storage.copies, 2);
        let group = config.groups.of(&"dserver-3".into());
        assert_eq!(group.map(|group| &**group), Some("group1"));
        let hosts: Vec<_> = config
            .servers
            .iter()
            .map(|server| server.address.ip().to_string())
            .collect();
        assert_eq!(hosts[..2], ["127.0.0.9", "127.0.0.1"]);
        let fastdfs = config.fastdfs.as_ref().expect("wanted");
        assert_eq!(fastdfs.storage_port, fastdfs.tracker_port + 3);
        assert_eq!(fastdfs.http_port, Some(fastdfs.tracker_port + 6));
        let operator = config.operator.as_ref().expect("wanted");
        let servers = config.servers.iter();
        let http = servers.filter_map(|server| operator.http_address(&config, server));
        let http: Vec<_> = http.map(|address| address.port()).collect();
        assert_eq!(http.len(), 6);
        assert_eq!(http[5], http[0] + 5);
        let first = &config.servers[0];
        let console = operator.console_address(&config, first).expect("open");
        assert_eq!(console.port(), http[5] + 1);
    }
}
