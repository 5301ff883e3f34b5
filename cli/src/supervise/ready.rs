//! Whether a whole cluster is up: every server established with every other, metadata and data
//! taking writes.

use std::sync::Arc;
use std::time::Duration;

use sdfs_client::{Client, ClientOptions, PutOptions};
use sdfs_server::missing_of;
use sdfs_server_group::Config;
use tokio::time::{Instant, sleep, timeout};

use super::Holds;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::view::told_by_all;

/// Often enough that nobody waits for it, seldom enough to cost nothing.
const ASKED_EVERY: Duration = Duration::from_millis(50);
/// How long one look at the servers may take.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// How long the first write may take: a disk busy with other things syncs a few times a second.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

/// Waits until the servers of `holds` run and the cluster takes writes, for `within` at most.
/// Connects as its administrator.
pub(crate) async fn wait_ready(
    config: &Arc<Config>,
    holds: &Holds,
    within: Duration,
) -> Outcome<Client> {
    let begin = Instant::now();
    let mut options = ClientOptions::of_admin(Arc::clone(config))?;
    options.timeout = WRITE_WITHIN;
    loop {
        let why = match look(&options, config, holds).await {
            Ok(client) => return Ok(client),
            Err(why) => why,
        };
        if begin.elapsed() > within {
            let what = format!("the cluster takes no writes after {within:?}: {why}");
            return Err(Failure::new(Code::NotNow, what)
                .advise("`sdfs status` and the servers' logs tell more"));
        }
        tracing::debug!(%why, "not ready");
        sleep(ASKED_EVERY).await;
    }
}

/// A client of the cluster, or the sentence of what is missing.
async fn look(
    options: &ClientOptions,
    config: &Arc<Config>,
    holds: &Holds,
) -> Result<Client, String> {
    if let Some(space) = holds.missing() {
        return Err(format!("nobody uses {} yet", space.display()));
    }
    let client = Client::connect(options.clone())
        .await
        .map_err(|error| error.to_string())?;
    let mut told = Vec::with_capacity(config.servers.len());
    for (server, status) in told_by_all(&client, config, LOOK_WITHIN).await {
        told.push(status.map_err(|error| format!("{}: {error}", server.name))?);
    }
    if let Some(missing) = missing_of(&told) {
        return Err(missing);
    }
    match timeout(WRITE_WITHIN, write_once(&client)).await {
        Ok(written) => written.map_err(|error| error.to_string()).map(|()| client),
        Err(_) => Err("a first write takes too long".to_owned()),
    }
}

/// Stores a byte under a name nobody else has and takes it away again.
async fn write_once(client: &Client) -> Result<(), sdfs_client::Error> {
    let name = format!("/.sdfs-ready-{}", client.next_request());
    client.put(&name, "r", PutOptions::default()).await?;
    client.delete_now(&name).await?;
    Ok(())
}
