//! How long a transfer goes on without progress.

use std::time::Duration;

use sdfs_server_group::Deadline;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::limits::LAST_WORDS;

/// The patience of one transfer: it ends when the cluster has done nothing for it for so long. Time
/// in which it waits for its caller, who has yet to give or take bytes, does not count.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Since when the cluster is waited for; `None` while the caller is.
    since: watch::Sender<Option<Instant>>,
}

impl Patience {
    /// With nothing to wait for yet.
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience {
            limit,
            since: watch::Sender::new(None),
        }
    }

    /// The cluster is waited for from now on, if it was not before.
    pub(crate) fn begin(&self) {
        self.since.send_if_modified(|since| {
            let is_first = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_first
        });
    }

    /// The cluster has done something and is waited for on.
    pub(crate) fn progressed(&self) {
        self.since.send_replace(Some(Instant::now()));
    }

    /// The caller is waited for.
    pub(crate) fn rest(&self) {
        self.since.send_replace(None);
    }

    /// Time that does not count, because nobody could notice what the cluster did.
    pub(crate) fn leave_out(&self, gap: Duration) {
        self.since.send_modify(|since| {
            *since = since.map(|since| (since + gap).min(Instant::now()));
        });
    }

    /// Whether the cluster is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.since.borrow().is_some()
    }

    /// When it ends unless there is progress.
    pub(crate) fn deadline(&self) -> Deadline {
        let since = *self.since.borrow();
        Deadline::at(since.unwrap_or_else(Instant::now) + self.limit)
    }

    /// Waits until it has ended. Whoever finds out why nothing goes on has the time to say so
    /// before.
    pub(crate) async fn over(&self) -> Error {
        let mut changes = self.since.subscribe();
        loop {
            let since = *changes.borrow_and_update();
            let changed = changes.changed();
            let Some(since) = since else {
                // The sender is `self`, so it does not end before.
                changed.await.unwrap_or(());
                continue;
            };
            if timeout_at(since + self.limit + LAST_WORDS, changed)
                .await
                .is_err()
            {
                return Error::Stalled {
                    waited: since.elapsed(),
                };
            }
        }
    }

    /// Does `work` for as long as it gets on.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            error = self.over() => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn progress_gives_new_patience() {
        let patience = Patience::new(LIMIT);
        patience.begin();
        let first = patience.deadline();
        patience.begin();
        assert_eq!(patience.deadline(), first, "the wait has begun before");
        while Instant::now() == first.instant() - LIMIT {}
        patience.progressed();
        assert!(patience.deadline() > first);
    }

    #[test]
    fn the_caller_is_waited_for() {
        let patience = Patience::new(LIMIT);
        assert!(!patience.is_waiting());
        patience.begin();
        assert!(patience.is_waiting());
        let waiting = patience.deadline();
        patience.rest();
        assert!(!patience.is_waiting());
        while Instant::now() == waiting.instant() - LIMIT {}
        assert!(patience.deadline() > waiting, "it would begin now");
    }

    #[test]
    fn time_left_out_does_not_count() {
        let patience = Patience::new(LIMIT);
        patience.begin();
        let first = patience.deadline();
        patience.leave_out(Duration::from_nanos(1));
        assert!(patience.deadline() > first);
        patience.leave_out(LIMIT);
        let latest = Instant::now() + LIMIT;
        assert!(
            patience.deadline().instant() <= latest,
            "it never lies ahead"
        );
    }
}
