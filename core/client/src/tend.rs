//! What a put needs beside its blocks, however long it takes.

use std::sync::Arc;

use sdfs_types::Refusal;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::error::Error;
use crate::limits::RENEW_EVERY_MIN;
use crate::target::Target;

/// Keeps the grant of a put good, and looks now and then whether the cluster is still there while
/// there are no blocks to find it out. Ends with why the put cannot go on.
pub(crate) async fn tend(client: Client, target: Arc<Target>) -> Error {
    tokio::select! {
        error = target.patience.over() => error,
        error = keep(&client, &target) => error,
    }
}

async fn keep(client: &Client, target: &Target) -> Error {
    loop {
        let now = Instant::now();
        let look_at = now + client.timeout();
        sleep_until(look_at.min(target.half_at()).max(now + RENEW_EVERY_MIN)).await;
        let deadline = client.deadline();
        let looked = if Instant::now() >= target.half_at() {
            target.renew(client, deadline).await
        } else if target.patience.is_waiting() {
            Ok(())
        } else {
            client.refresh_volumes(deadline).await
        };
        let Err(error) = looked else { continue };
        let is_final = matches!(
            &error,
            Error::Refused(Refusal::NotGranted | Refusal::Denied { .. } | Refusal::Gone { .. })
        );
        if is_final || !target.patience.is_waiting() {
            return error;
        }
        tracing::debug!(%error, "a put under way was not looked after");
    }
}
