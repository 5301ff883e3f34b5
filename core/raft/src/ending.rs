//! Why raft stopped at this server, for whoever waits for it.

use crate::errors::StopReason;
use std::sync::Arc;
use tokio::sync::watch;

/// The reason, once there is one. All clones are the same.
#[derive(Clone)]
pub(crate) struct Ending(Arc<watch::Sender<Option<StopReason>>>);

impl Ending {
    pub(crate) fn not_yet() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }

    /// Notes why raft stopped; the first reason stays.
    pub(crate) fn with(&self, reason: StopReason) {
        self.0.send_if_modified(|stopped| {
            let is_first = stopped.is_none();
            if is_first {
                if reason != StopReason::Asked {
                    tracing::error!(%reason, "raft has stopped");
                }
                *stopped = Some(reason);
            }
            is_first
        });
    }

    /// Waits for it.
    pub(crate) async fn reason(&self) -> StopReason {
        let mut stopped = self.0.subscribe();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Asked),
            Err(_) => StopReason::Asked,
        }
    }
}
