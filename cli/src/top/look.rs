//! A look at every server: how it is, and what it has been doing.

use std::collections::BTreeMap;
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::Config;
use sdfs_types::calls::activity::Activity;

use crate::view::{Seen, done_by_all, seen};

/// What each server that answered has been doing, by name.
pub(super) type Done = BTreeMap<String, Activity>;

/// Asks every server what it has been doing. One that does not answer is not in it.
pub(super) async fn done(client: &Client, config: &Config, within: Duration) -> Done {
    let told = done_by_all(client, config, within).await;
    told.into_iter()
        .filter_map(|(server, activity)| Some((server.name.to_string(), activity.ok()?)))
        .collect()
}

/// Asks every server both.
pub(super) async fn look<'a>(
    client: &Client,
    config: &'a Config,
    within: Duration,
) -> (Seen<'a>, Done) {
    tokio::join!(seen(client, config, within), done(client, config, within))
}
