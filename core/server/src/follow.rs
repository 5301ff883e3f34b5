//! Follows the list of servers while a server runs: a mserver has it from its root group, a dserver
//! asks mservers for it. Every change goes to the mesh; a server that is no more in the list ends.

use std::sync::Arc;

use actix::Addr;
use sdfs_server_group::{
    AddServer, Deadline, Group, Mesh, Payload, RemoveServer, Role, ServerConfig,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::servers::GetServers;
use sdfs_types::{ServerList, wire};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::error::Outsider;
use crate::guest::Guest;
use crate::limits::{ALONE_MAX, FOLLOW_EVERY, LIST_ANSWER_MAX};
use crate::list::{Step, outsider, steps};

/// The list as a server knows it.
pub(crate) type ListWatch = watch::Receiver<Arc<ServerList>>;

/// Where a server has the list from.
pub(crate) enum Source {
    /// Its own root group.
    Root(ListWatch),
    /// Mservers that it asks; it publishes what they tell.
    Asked(watch::Sender<Arc<ServerList>>),
}

/// What follows the list; it ends when this is dropped.
pub(crate) struct Following {
    task: AbortHandle,
    outside: watch::Receiver<Option<Outsider>>,
}

impl Following {
    /// Waits until the server does not belong to the cluster any more, and says why.
    pub(crate) async fn outside(&self) -> Outsider {
        let mut outside = self.outside.clone();
        loop {
            if let Some(why) = &*outside.borrow_and_update() {
                return why.clone();
            }
            if outside.changed().await.is_err() {
                // The task ended with its runtime: nobody is told anything any more.
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One server that follows the list.
pub(crate) struct Follower {
    pub(crate) group: Addr<Group>,
    pub(crate) mesh: Mesh,
    pub(crate) me: ServerConfig,
    pub(crate) guest: Guest,
}

impl Follower {
    /// Brings the mesh in line with the list.
    pub(crate) async fn apply(&self, list: &ServerList) {
        let known = [Role::Mserver, Role::Dserver].map(|role| self.mesh.all(role));
        let others: Vec<_> = known
            .into_iter()
            .flatten()
            .filter(|id| *id != self.me.id)
            .filter_map(|id| self.mesh.server(id))
            .collect();
        for step in steps(self.me.id, &others, list) {
            // An actor that is gone has no connections any more.
            match step {
                Step::Add(server) => {
                    tracing::info!(server = %server.name, id = %server.id, "a server of the list");
                    self.group.send(AddServer(server)).await.unwrap_or(());
                }
                Step::Remove(id) => {
                    tracing::info!(%id, "this server is in the list no more");
                    self.group.send(RemoveServer(id)).await.unwrap_or(());
                }
            }
        }
    }

    /// Follows from now on.
    pub(crate) fn start(self, source: Source) -> Following {
        let (told, outside) = watch::channel(None);
        let task = tokio::spawn(async move {
            let why = self.follow(source).await;
            tracing::error!(%why, "this server ends");
            told.send_replace(Some(why));
        });
        Following {
            task: task.abort_handle(),
            outside,
        }
    }

    async fn follow(self, source: Source) -> Outsider {
        let mut heard = Instant::now();
        loop {
            let list = self.next(&source).await;
            if let Some(list) = &list {
                self.apply(list).await;
            }
            if self.is_heard() {
                heard = Instant::now();
            }
            let mut why = list.as_ref().and_then(|list| outsider(&self.me, list));
            if why.is_none() && heard.elapsed() > ALONE_MAX {
                let known_version = list.as_ref().map_or(0, |list| list.version);
                why = self.asked_as_guest(known_version).await;
            }
            if let Some(why) = why {
                return why;
            }
            sleep(FOLLOW_EVERY).await;
        }
    }

    /// Whether another mserver takes this server's connections.
    fn is_heard(&self) -> bool {
        let is_other = |id: &sdfs_server_group::ServerId| *id != self.me.id;
        let others = |ids: Vec<_>| ids.into_iter().filter(is_other).count();
        others(self.mesh.up(Role::Mserver)) > 0 || others(self.mesh.all(Role::Mserver)) == 0
    }

    /// The list as it is now, if anybody tells.
    async fn next(&self, source: &Source) -> Option<Arc<ServerList>> {
        match source {
            Source::Root(list) => Some(Arc::clone(&list.borrow())),
            Source::Asked(known) => {
                let known_version = known.borrow().version;
                if let Some(list) = self.asked(known_version).await {
                    known.send_replace(Arc::new(list));
                }
                Some(Arc::clone(&known.borrow()))
            }
        }
    }

    /// A newer list, from the nearest mserver.
    async fn asked(&self, known_version: u64) -> Option<ServerList> {
        let nearest = self.mesh.nearest(Role::Mserver)?;
        let head = wire::encode(&GetServers { known_version });
        let kind = GetServers::KIND.to_wire();
        let deadline = Deadline::after(LIST_ANSWER_MAX);
        let asked = self
            .mesh
            .call(nearest, kind, head, Payload::default(), deadline);
        let answer = asked.await.ok()?;
        let told = wire::decode_answer::<<GetServers as Call>::Reply>(&answer.head);
        match told {
            Ok(Ok(told)) => told.list.filter(|list| list.version > known_version),
            Ok(Err(_)) => None,
            Err(fault) => {
                tracing::warn!(%nearest, %fault, "a list of servers does not decode");
                None
            }
        }
    }

    /// Why the others may not take this server's connections any more. Who is gone
    /// stays so in every later list; that a server is not listed may also be said by a mserver that
    /// lags, so a majority must say it, by lists no older than the one known here.
    async fn asked_as_guest(&self, known_version: u64) -> Option<Outsider> {
        let mservers = self.mesh.all(Role::Mserver).into_iter();
        let others: Vec<_> = mservers.filter(|id| *id != self.me.id).collect();
        let mut unlisted = Vec::new();
        for server in others.iter().filter_map(|id| self.mesh.server(*id)) {
            let list = match self.guest.list(server.address).await {
                Ok(list) => list,
                Err(error) => {
                    tracing::debug!(server = %server.name, %error, "alone");
                    continue;
                }
            };
            match outsider(&self.me, &list) {
                Some(why @ Outsider::Gone { .. }) => return Some(why),
                Some(_) if list.version < known_version => {}
                Some(why @ Outsider::Unlisted { .. }) => unlisted.push(why),
                Some(why) => return Some(why),
                None => {}
            }
        }
        let is_majority = 2 * unlisted.len() > others.len();
        unlisted.pop().filter(|_| is_majority)
    }
}
