//! Looks at the whole cluster while somebody is watching: asks every server, once a second at most,
//! however many watch.

use std::sync::Arc;

use futures::future::join_all;
use sdfs_types::calls::activity::GetActivity;
use sdfs_types::calls::status::GetStatus;
use sdfs_types::{Role, clock};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::ask::ask;
use crate::lately::Lately;
use crate::limits::{STATUS_WAIT, VIEW_AGE_MAX, VIEW_WAIT};
use crate::observed::Observed;
use crate::view::{Seen, Teller, view};

/// The latest look: when, and its text.
type Latest = Option<(Instant, Arc<str>)>;

/// Where the page's looks come from.
pub(crate) struct Looking {
    latest: watch::Receiver<Latest>,
    wanted: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Looking {
    /// Looks when asked, on the runtime of the caller.
    pub(crate) fn start(server: Arc<dyn Observed>, lately: watch::Receiver<Arc<Lately>>) -> Self {
        let (seen, latest) = watch::channel(None);
        let wanted = Arc::new(Notify::new());
        let asked = Arc::clone(&wanted);
        let task = tokio::spawn(async move {
            loop {
                asked.notified().await;
                let text = look(&*server, &lately).await;
                seen.send_replace(Some((Instant::now(), text)));
            }
        });
        Looking {
            latest,
            wanted,
            task: task.abort_handle(),
        }
    }

    /// A look that is not old; `None` when there is none in time.
    pub(crate) async fn latest(&self) -> Option<Arc<str>> {
        let is_fresh = |latest: &Latest| match latest {
            Some((at, _)) => at.elapsed() < VIEW_AGE_MAX,
            None => false,
        };
        let mut latest = self.latest.clone();
        if !is_fresh(&latest.borrow()) {
            self.wanted.notify_one();
        }
        let fresh = timeout(VIEW_WAIT, latest.wait_for(is_fresh)).await;
        let fresh = fresh.ok()?.ok()?;
        fresh.as_ref().map(|(_, text)| Arc::clone(text))
    }
}

async fn look(server: &dyn Observed, lately: &watch::Receiver<Arc<Lately>>) -> Arc<str> {
    let mesh = server.mesh();
    let all = [Role::Mserver, Role::Dserver].map(|role| mesh.all(role));
    let looks = all.into_iter().flatten().filter_map(|id| {
        let known = mesh.server(id)?;
        Some(async move {
            let asked = async {
                let (status, activity) = (ask(mesh, id, &GetStatus {}), async {
                    ask(mesh, id, &GetActivity {}).await.ok()
                });
                tokio::join!(status, activity)
            };
            let (status, activity) = match timeout(STATUS_WAIT, asked).await {
                Ok((status, activity)) => (status.map_err(|fault| fault.to_string()), activity),
                Err(_) => (Err("no answer in time".to_owned()), None),
            };
            Seen {
                id,
                name: known.name.to_string(),
                role: known.role,
                address: known.address.to_string(),
                zone: known.zone.clone(),
                status,
                activity,
            }
        })
    });
    let seen = join_all(looks).await;
    let teller = Teller {
        cluster: mesh.config().cluster.clone(),
        name: mesh
            .server(mesh.me())
            .map_or_else(String::new, |me| me.name.to_string()),
        now_ms: clock::now_ms(),
        alone_since_ms: lately.borrow().alone_since_ms,
    };
    view(&teller, &seen).to_string().into()
}
