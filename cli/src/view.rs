//! What all servers of a configuration tell of themselves, and which of them run here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use sdfs_client::{CallOptions, Client, Error};
use sdfs_server_group::{Config, Role, ServerConfig};
use sdfs_types::calls::activity::Activity;
use sdfs_types::calls::status::{ServerStatus, VolumeKept};
use sdfs_types::{ServerId, Volume, VolumeId, newest_map};

/// A server that does not answer within this is told as not answering.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How often one who waits for copies looks again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Asks every server of `config` how it is, all at once.
pub(crate) async fn told_by_all<'a>(
    client: &Client,
    config: &'a Config,
    within: Duration,
) -> Vec<(&'a ServerConfig, Result<ServerStatus, Error>)> {
    ask_all(client, config, within, async |client, name| {
        client.status(name).await
    })
    .await
}

/// Asks every server of `config` what it has been doing, all at once.
pub(crate) async fn done_by_all<'a>(
    client: &Client,
    config: &'a Config,
    within: Duration,
) -> Vec<(&'a ServerConfig, Result<Activity, Error>)> {
    ask_all(client, config, within, async |client, name| {
        client.activity(name).await
    })
    .await
}

async fn ask_all<'a, T>(
    client: &Client,
    config: &'a Config,
    within: Duration,
    ask: impl AsyncFn(&Client, &str) -> Result<T, Error>,
) -> Vec<(&'a ServerConfig, Result<T, Error>)> {
    let options = CallOptions {
        timeout: Some(within),
        ..CallOptions::default()
    };
    let (client, ask) = (&client.with(options), &ask);
    let asks = config
        .servers
        .iter()
        .map(|server| async move { (server, ask(client, server.name.as_str()).await) });
    join_all(asks).await
}

/// What the servers of a configuration say, put together.
pub(crate) struct Seen<'a> {
    pub(crate) told: Vec<(&'a ServerConfig, Result<ServerStatus, Error>)>,
    /// Whether a mserver that answered hears a majority of them.
    pub(crate) hears_majority: bool,
    /// The mserver whose volume map counts: it hears a majority if any does, and has seen most.
    mserver: Option<usize>,
}

/// Asks every server of `config` how it is.
pub(crate) async fn seen<'a>(client: &Client, config: &'a Config, within: Duration) -> Seen<'a> {
    Seen::of(told_by_all(client, config, within.min(ANSWER_WITHIN)).await)
}

impl<'a> Seen<'a> {
    /// Puts together what was told.
    pub(crate) fn of(told: Vec<(&'a ServerConfig, Result<ServerStatus, Error>)>) -> Seen<'a> {
        let answered = told.iter().filter_map(|(_, status)| status.as_ref().ok());
        let best = newest_map(answered).map(|status| (status.server, status.hears_majority));
        let place = |id: ServerId| told.iter().position(|(server, _)| server.id == id);
        Seen {
            hears_majority: best.is_some_and(|(_, hears_majority)| hears_majority),
            mserver: best.and_then(|(server, _)| place(server)),
            told,
        }
    }
}

impl Seen<'_> {
    /// The servers that answered.
    pub(crate) fn known(&self) -> impl Iterator<Item = &ServerStatus> {
        self.told
            .iter()
            .filter_map(|(_, status)| status.as_ref().ok())
    }

    /// The servers that did not.
    pub(crate) fn silent(&self) -> impl Iterator<Item = &ServerConfig> {
        let silent = self.told.iter().filter(|(_, status)| status.is_err());
        silent.map(|(server, _)| *server)
    }

    /// Every volume, as the mserver that counts has it.
    pub(crate) fn volumes(&self) -> &[Volume] {
        let status = self.mserver.and_then(|at| self.told[at].1.as_ref().ok());
        status.map_or(&[], |status| &status.volumes)
    }

    /// The name of that mserver.
    pub(crate) fn told_by(&self) -> Option<String> {
        self.mserver.map(|at| self.told[at].0.name.to_string())
    }

    /// What a dserver keeps of a volume.
    pub(crate) fn kept(&self, server: ServerId, volume: VolumeId) -> Option<VolumeKept> {
        let status = self.known().find(|status| status.server == server)?;
        status
            .kept
            .iter()
            .find(|kept| kept.volume == volume)
            .copied()
    }
}

/// What is said of the volumes when nobody tells of any.
pub(crate) const NO_VOLUMES: &str = "no volumes yet: no dserver is up, or no mserver tells";

/// The name of a server, or its number when the configuration has none.
pub(crate) fn server_name(config: &Config, server: ServerId) -> String {
    let known = config.server(server);
    known.map_or_else(|| server.to_string(), |server| server.name.to_string())
}

/// `root` for group 0, else the name of the mserver whose files the group keeps.
pub(crate) fn group_name(config: &Config, group: u8) -> String {
    match usize::from(group).checked_sub(1) {
        None => "root".to_owned(),
        Some(place) => match config.servers_of(Role::Mserver).nth(place) {
            Some(server) => format!("files of {}", server.name),
            None => format!("group {group}"),
        },
    }
}

/// The server that uses a space, when one does on this machine.
pub(crate) fn pid_in(space: &Path) -> Option<u32> {
    let text = fs::read_to_string(space.join(sdfs_server::LOCK_FILE)).ok()?;
    text.trim().parse().ok()
}
