//! The two roles behind one face: started, asked how they are, stopped.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sdfs_dserver::{Dserver, DserverOptions};
use sdfs_mserver::{Mserver, MserverOptions};
use sdfs_server_group::{IncomingCall, Mesh, Payload, Role, ServerConfig, UserKey, UserKeys};
use sdfs_store::Store;
use sdfs_types::calls::CallKind;
use sdfs_types::calls::servers::GetServers;
use sdfs_types::calls::status::{ScrubStatus, ServerStatus, SpaceStatus};
use sdfs_types::limits::GRANT_MS;
use sdfs_types::{GrantKey, Refusal, wire};
use tokio::sync::watch;

use crate::error::ServerError;
use crate::follow::{ListWatch, Source};
use crate::operator::LatelySeen;
use crate::route::Answers;
use crate::running::Outside;
use crate::status::Known;

/// What the key that clients' grants are made and checked with is derived for.
const GRANTS_LABEL: &str = "block grants";
/// Below a mserver's space: the raft log.
const RAFT_FOLDER: &str = "raft";
/// Below a mserver's space: the state of the groups.
const STORE_FOLDER: &str = "store";

/// A role at work. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) enum RoleAtWork {
    /// Agrees on names.
    Mserver(Mserver),
    /// Keeps blocks.
    Dserver(Dserver),
}

impl RoleAtWork {
    /// Starts the role of `me`.
    pub(crate) async fn start(
        me: &ServerConfig,
        mesh: &Mesh,
        outside: Outside,
    ) -> Result<RoleAtWork, ServerError> {
        let grants = GrantKey::derive(&mesh.derive_key(GRANTS_LABEL));
        match (me.role, me.space.first()) {
            (Role::Mserver, Some(space)) => {
                let started = mserver(mesh, grants, space, outside).await?;
                Ok(RoleAtWork::Mserver(started))
            }
            (Role::Dserver, Some(_)) => {
                let started = dserver(mesh, grants, me, outside).await?;
                Ok(RoleAtWork::Dserver(started))
            }
            // The configuration was checked: every server has a role of its own and a space.
            _ => unreachable!("{} has neither role nor space", me.name),
        }
    }

    /// Where the list of servers comes from, and how it is read.
    pub(crate) fn list(&self) -> (Source, ListWatch) {
        match self {
            RoleAtWork::Mserver(mserver) => {
                let list = mserver.servers();
                (Source::Root(list.clone()), list)
            }
            RoleAtWork::Dserver(_) => {
                let (known, list) = watch::channel(Arc::default());
                (Source::Asked(known), list)
            }
        }
    }

    /// Adds to a status what only the role knows.
    pub(crate) fn tell(&self, status: &mut ServerStatus, known: &Known) {
        match self {
            RoleAtWork::Mserver(mserver) => {
                status.groups = mserver.groups();
                status.spaces = vec![space_of(mserver, known)];
                status.volumes = mserver.volumes().volumes.values().cloned().collect();
            }
            RoleAtWork::Dserver(dserver) => {
                status.volumes = dserver.volumes();
                status.spaces = dserver.spaces();
                status.kept = dserver.kept();
            }
        }
    }

    /// Waits until the role cannot go on, and says why.
    pub(crate) async fn failed(&self) -> ServerError {
        match self {
            RoleAtWork::Mserver(mserver) => ServerError::Raft(mserver.stopped().await),
            // A dserver whose disks fail says so and is healed around.
            RoleAtWork::Dserver(_) => std::future::pending().await,
        }
    }

    /// Finishes what is in hand and brings it to disk.
    pub(crate) async fn stop(&self) {
        match self {
            RoleAtWork::Mserver(mserver) => mserver.stop().await,
            RoleAtWork::Dserver(dserver) => dserver.stop().await,
        }
    }
}

/// The disk of a mserver: what it has taken is names and records, no blocks.
fn space_of(mserver: &Mserver, known: &Known) -> SpaceStatus {
    let free_bytes = mserver.raft().log.free_bytes;
    let reserve_bytes = known.mesh.config().storage.reserve_bytes;
    let path = known.me.space.first();
    SpaceStatus {
        path: path
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        failed: None,
        blocks: 0,
        live_bytes: 0,
        segment_bytes: 0,
        free_bytes,
        room_bytes: free_bytes.saturating_sub(reserve_bytes),
        volumes: Vec::new(),
        scrub: ScrubStatus::default(),
    }
}

async fn mserver(
    mesh: &Mesh,
    grants: GrantKey,
    space: &Path,
    outside: Outside,
) -> Result<Mserver, ServerError> {
    let store = match outside.store {
        Some(store) => store,
        None => Store::open(&space.join(STORE_FOLDER))?,
    };
    let options = MserverOptions {
        mesh: mesh.clone(),
        disk: outside.disk,
        raft_dir: space.join(RAFT_FOLDER),
        store,
        grants,
        grant_ms: GRANT_MS,
        kept: outside.kept,
    };
    Ok(sdfs_mserver::start(options).await?)
}

async fn dserver(
    mesh: &Mesh,
    grants: GrantKey,
    me: &ServerConfig,
    outside: Outside,
) -> Result<Dserver, ServerError> {
    let storage = mesh.config().storage;
    let options = DserverOptions {
        peers: Arc::new(mesh.clone()),
        cluster: mesh.config().cluster.clone(),
        grants,
        disk: outside.disk,
        spaces: me.space.clone(),
        segment_bytes: u32::try_from(storage.segment_bytes).unwrap_or(u32::MAX),
        reserve_bytes: storage.reserve_bytes,
    };
    Ok(sdfs_dserver::start(options).await?)
}

/// What the doors for FastDFS clients count.
pub(crate) struct FastDfsCounters {
    /// Of the protocol's door.
    pub(crate) protocol: Arc<sdfs_fastdfs::Counters>,
    /// Of the HTTP door, where there is one.
    pub(crate) http: Option<Arc<sdfs_fastdfs::Counters>>,
}

/// Answers the calls of a server: those about its status and the other servers here, the rest in
/// the role.
pub(crate) struct Answering {
    /// What answers the others.
    pub(crate) role: RoleAtWork,
    /// What a status is put together from.
    pub(crate) known: Known,
    /// What happened here of late.
    pub(crate) lately: LatelySeen,
    /// What the doors for FastDFS clients count, once they are open.
    pub(crate) fastdfs: OnceLock<FastDfsCounters>,
}

#[async_trait]
impl Answers for Answering {
    fn serve(&self, call: IncomingCall) {
        if call.kind == CallKind::GetStatus.to_wire() {
            let mut status = self.known.status();
            self.role.tell(&mut status, &self.known);
            call.reply
                .send(wire::encode_answer(&Ok(status)), Payload::new());
            return;
        }
        if call.kind == CallKind::GetActivity.to_wire() {
            let told = wire::encode_answer(&Ok(self.activity()));
            call.reply.send(told, Payload::new());
            return;
        }
        if call.kind == CallKind::GetServers.to_wire() {
            let asked = wire::decode::<GetServers>(&call.head);
            let told = asked.map(|asked| {
                let mut told = self.known.servers(&asked);
                if let RoleAtWork::Mserver(mserver) = &self.role {
                    mserver.tell(&mut told);
                }
                told
            });
            let told = told.map_err(|fault| Refusal::Malformed {
                why: fault.to_string(),
            });
            call.reply.send(wire::encode_answer(&told), Payload::new());
            return;
        }
        match &self.role {
            RoleAtWork::Mserver(mserver) => mserver.serve(call),
            RoleAtWork::Dserver(dserver) => dserver.serve(call),
        }
    }

    fn key_of(&self, user: &str) -> Option<UserKey> {
        match &self.role {
            RoleAtWork::Mserver(mserver) => mserver.key_of(user),
            RoleAtWork::Dserver(_) => None,
        }
    }

    async fn caught_up(&self) -> bool {
        match &self.role {
            RoleAtWork::Mserver(mserver) => mserver.caught_up().await,
            // There is nothing it could learn.
            RoleAtWork::Dserver(_) => true,
        }
    }
}
