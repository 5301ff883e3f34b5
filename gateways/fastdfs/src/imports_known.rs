//! Whether a group has files of another FastDFS, as it was seen a moment ago: so that who makes up
//! names has nobody asked for each.

use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::errno::Errno;
use crate::limits::COMMAND_WAIT;

/// What was seen, and who looks.
pub(crate) struct ImportsKnown {
    seen: watch::Sender<Option<Seen>>,
    /// For the one that looks; others wait for what it sees.
    turn: Semaphore,
    /// How long what was seen counts.
    counts_for: Duration,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    has_some: Result<bool, Errno>,
}

impl ImportsKnown {
    pub(crate) fn new(counts_for: Duration) -> Self {
        Self {
            seen: watch::Sender::new(None),
            turn: Semaphore::new(1),
            counts_for,
        }
    }

    /// Whether there are some; `look` is waited for only when it is long ago that one looked.
    pub(crate) async fn or(
        &self,
        look: impl Future<Output = Result<bool, Errno>>,
    ) -> Result<bool, Errno> {
        if let Some(has_some) = self.fresh() {
            return has_some;
        }
        let _turn = self.turn.acquire().await.map_err(|_| Errno::Again)?;
        if let Some(has_some) = self.fresh() {
            return has_some;
        }
        let looked = timeout(COMMAND_WAIT, look).await;
        let looked = looked.unwrap_or(Err(Errno::Again));
        let before = self.seen.borrow().and_then(|seen| seen.has_some.ok());
        // While the cluster does not tell, it is as it was.
        let has_some = looked.or_else(|errno| before.ok_or(errno));
        let at = Instant::now();
        self.seen.send_replace(Some(Seen { at, has_some }));
        has_some
    }

    fn fresh(&self) -> Option<Result<bool, Errno>> {
        let seen = (*self.seen.borrow())?;
        (seen.at.elapsed() < self.counts_for).then_some(seen.has_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_looks_for_all() {
        let known = ImportsKnown::new(Duration::from_secs(3_600));
        let slow = async {
            tokio::task::yield_now().await;
            Ok(false)
        };
        let never = || async { unreachable!("it was seen just now") };
        let both = tokio::join!(known.or(slow), known.or(never()));
        assert_eq!(both, (Ok(false), Ok(false)), "the second waits");
        assert_eq!(known.or(never()).await, Ok(false));
    }

    #[tokio::test]
    async fn what_cannot_be_seen_is_as_it_was() {
        let known = ImportsKnown::new(Duration::ZERO);
        for (seen, told) in [
            (Err(Errno::Io), Err(Errno::Io)),
            (Ok(false), Ok(false)),
            (Err(Errno::Io), Ok(false)),
            (Ok(true), Ok(true)),
            (Err(Errno::Again), Ok(true)),
            (Ok(false), Ok(false)),
        ] {
            assert_eq!(known.or(async move { seen }).await, told, "{seen:?}");
        }
    }

    #[tokio::test]
    async fn a_cluster_that_is_silent_is_not_asked_for_each() {
        let known = ImportsKnown::new(Duration::from_secs(3_600));
        assert_eq!(known.or(async { Err(Errno::Io) }).await, Err(Errno::Io));
        assert_eq!(known.or(async { Ok(true) }).await, Err(Errno::Io));
    }
}
