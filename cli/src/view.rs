//! What all servers of a configuration tell of themselves, and which of them run here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use sdfs_client::{CallOptions, Client, Error};
use sdfs_server_group::{Config, ServerConfig};
use sdfs_types::calls::status::ServerStatus;

/// Asks every server of `config` how it is, all at once.
pub(crate) async fn told_by_all<'a>(
    client: &Client,
    config: &'a Config,
    within: Duration,
) -> Vec<(&'a ServerConfig, Result<ServerStatus, Error>)> {
    let options = CallOptions {
        timeout: Some(within),
        ..CallOptions::default()
    };
    let client = client.with(options);
    let asks = config.servers.iter().map(|server| {
        let client = client.clone();
        async move { (server, client.status(server.name.as_str()).await) }
    });
    join_all(asks).await
}

/// The server that uses a space, when one does on this machine.
pub(crate) fn pid_in(space: &Path) -> Option<u32> {
    let text = fs::read_to_string(space.join(sdfs_server::LOCK_FILE)).ok()?;
    text.trim().parse().ok()
}
