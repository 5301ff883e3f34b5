//! What happened at this server of late: it looks at itself once a second and tells what changed.

use std::collections::VecDeque;
use std::sync::Arc;

use sdfs_types::calls::activity::{Happened, Severity};
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::clock;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::changes::changes;
use crate::limits::{EVENTS_KEPT, EVENTS_WAITING_MAX, LOOK_EVERY};
use crate::observed::Observed;

/// What happened of late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// Oldest first.
    pub events: VecDeque<Happened>,
    /// How many were told in all, those that are forgotten too.
    pub told: u64,
    /// Since when no majority of the mservers is heard, milliseconds since the Unix epoch.
    pub alone_since_ms: Option<u64>,
}

impl Lately {
    fn tell(&mut self, at_ms: u64, (severity, what): (Severity, String)) {
        self.told += 1;
        if self.events.len() >= EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Happened {
            at_ms,
            severity,
            what,
        });
    }

    /// Those that are still known of the ones told after the first `told`.
    pub(crate) fn since(&self, told: u64) -> impl Iterator<Item = &Happened> {
        let new = usize::try_from(self.told.saturating_sub(told)).unwrap_or(usize::MAX);
        self.events
            .iter()
            .skip(self.events.len().saturating_sub(new))
    }

    fn look(&mut self, now: &ServerStatus, at_ms: u64) {
        if now.hears_majority {
            self.alone_since_ms = None;
        } else {
            self.alone_since_ms.get_or_insert(at_ms);
        }
    }
}

/// The looking. Dropped, it ends; what was seen stays readable.
pub struct Watching {
    /// What happened.
    pub lately: watch::Receiver<Arc<Lately>>,
    /// Tells of something the server cannot see by looking, such as what a person did.
    pub tell: mpsc::Sender<(Severity, String)>,
    task: AbortHandle,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks from now on, on the runtime of the caller.
#[must_use]
pub fn watch(server: Arc<dyn Observed>) -> Watching {
    let (seen, lately) = watch::channel(Arc::default());
    let (tell, told) = mpsc::channel(EVENTS_WAITING_MAX);
    let task = tokio::spawn(look_on(server, seen, told)).abort_handle();
    Watching { lately, tell, task }
}

async fn look_on(
    server: Arc<dyn Observed>,
    seen: watch::Sender<Arc<Lately>>,
    mut told: mpsc::Receiver<(Severity, String)>,
) {
    let mut before = server.status();
    let mut lately = Lately::default();
    let started = format!("{} is started, version {}", before.name, before.program);
    lately.tell(clock::now_ms(), (Severity::News, started));
    loop {
        lately.look(&before, clock::now_ms());
        seen.send_replace(Arc::new(lately.clone()));
        tokio::select! {
            () = sleep(LOOK_EVERY) => {
                let now = server.status();
                for change in changes(&before, &now) {
                    lately.tell(clock::now_ms(), change);
                }
                before = now;
            }
            Some(change) = told.recv() => lately.tell(clock::now_ms(), change),
        }
    }
}

#[cfg(test)]
mod tests {
    use sdfs_types::Role;

    use super::*;
    use crate::ready::tests::{peer, status};

    #[test]
    fn the_oldest_events_go_first() {
        let mut lately = Lately::default();
        for number in 0..=EVENTS_KEPT {
            lately.tell(number as u64, (Severity::News, number.to_string()));
        }
        assert_eq!(lately.events.len(), EVENTS_KEPT);
        assert_eq!(lately.events[0].what, "1");
        let since = |told| lately.since(told).count();
        let all = lately.told;
        assert_eq!((since(all), since(all - 2), since(0)), (0, 2, EVENTS_KEPT));
    }

    #[test]
    fn a_minority_knows_since_when() {
        let mut lately = Lately::default();
        let with = |state| status(Role::Mserver, vec![peer(2, Role::Mserver, state)]);
        lately.look(&with("Up"), 5);
        assert_eq!(lately.alone_since_ms, None);
        lately.look(&with("Waiting"), 6);
        lately.look(&with("Dialing"), 7);
        assert_eq!(lately.alone_since_ms, Some(6));
        lately.look(&with("Up"), 8);
        assert_eq!(lately.alone_since_ms, None);
    }
}
