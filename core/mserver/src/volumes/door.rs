//! What the volumes' actors need of the cluster: calls to other servers, and the root group.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{broadcast, watch};

use sdfs_raft::{GroupId, LeaderView, ProposeError, RaftGroups, ReadError};
use sdfs_server_group::{CallError, Deadline, GroupEvent, Load, Mesh, Payload, Role, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{Refusal, ServerRecord, ServerState};

use super::command::{VolumeAnswer, VolumeCommand};
use super::groups::Labels;
use crate::root::ServerWatch;

/// A dserver that may keep copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DserverListed {
    /// Its number.
    pub server: ServerId,
    /// What fails together with it.
    pub zone: String,
    /// Who keeps copies of its files, when that is not everybody.
    pub group: Option<Arc<str>>,
}

/// The other servers of the cluster. Implemented by [`Listed`], and by dservers that exist in a
/// test only.
pub trait Servers: Send + Sync + 'static {
    /// This server.
    fn me(&self) -> ServerId;
    /// Sends one call and waits for its encoded answer.
    fn call(
        &self,
        to: ServerId,
        kind: u16,
        head: Bytes,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
    /// Which connection with it stands, counted from the first one ever; `None` when none does.
    fn connection(&self, id: ServerId) -> Option<u64>;
    /// Whether calls to this server can be sent now.
    fn is_up(&self, id: ServerId) -> bool;
    /// The load it told last.
    fn load(&self, id: ServerId) -> Option<Load>;
    /// Every dserver that may keep copies, by number.
    fn dservers(&self) -> Vec<DserverListed>;
    /// Who comes and goes from now on.
    fn subscribe(&self) -> broadcast::Receiver<GroupEvent>;
}

/// The groups of the dservers.
pub(crate) fn labels_of(servers: &dyn Servers) -> Labels {
    let listed = servers.dservers().into_iter();
    let label = |one: DserverListed| Some((one.server, one.group?));
    listed.filter_map(label).collect()
}

/// The servers of the list, reached through the mesh.
#[derive(Clone)]
pub struct Listed {
    /// The way to them.
    pub mesh: Mesh,
    /// Who they are.
    pub list: ServerWatch,
}

impl Servers for Listed {
    fn me(&self) -> ServerId {
        self.mesh.me()
    }

    fn call(
        &self,
        to: ServerId,
        kind: u16,
        head: Bytes,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let mesh = self.mesh.clone();
        Box::pin(async move {
            let payload = Payload::default();
            Ok(mesh.call(to, kind, head, payload, deadline).await?.head)
        })
    }

    fn connection(&self, id: ServerId) -> Option<u64> {
        self.mesh.is_up(id).then(|| self.mesh.epoch(id))
    }

    fn is_up(&self, id: ServerId) -> bool {
        self.mesh.is_up(id)
    }

    fn load(&self, id: ServerId) -> Option<Load> {
        self.mesh.load(id)
    }

    fn dservers(&self) -> Vec<DserverListed> {
        let groups = &self.mesh.config().groups;
        let list = self.list.borrow();
        let keeps = |record: &&ServerRecord| {
            let is_here = matches!(record.state, ServerState::Member | ServerState::Leaving);
            record.role == Role::Dserver && is_here
        };
        let listed = list.present().filter(keeps);
        listed
            .map(|record| DserverListed {
                server: record.id,
                zone: record.zone.clone(),
                group: groups.of(&record.name).cloned(),
            })
            .collect()
    }

    fn subscribe(&self) -> broadcast::Receiver<GroupEvent> {
        self.mesh.subscribe()
    }
}

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskFault {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its answer does not decode.
    #[error(transparent)]
    Wire(#[from] WireFault),
}

/// Asks one server and decodes its answer.
pub(crate) async fn ask<C: Call>(
    servers: &dyn Servers,
    to: ServerId,
    call: &C,
    deadline: Deadline,
) -> Result<C::Reply, AskFault> {
    let answer = servers
        .call(to, C::KIND.to_wire(), wire::encode(call), deadline)
        .await?;
    Ok(wire::decode_answer(&answer)??)
}

/// Why the root group gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootFault {
    /// The command was not answered.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The read was not confirmed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The answer does not decode.
    #[error(transparent)]
    Wire(#[from] WireFault),
}

/// The root group, as far as volumes are concerned.
pub trait RootGroup: Send + Sync + 'static {
    /// Commits one change of the volume map.
    fn propose(
        &self,
        command: VolumeCommand,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<VolumeAnswer, RootFault>>;
    /// After this the map here holds every change answered before.
    fn read_barrier(&self, deadline: Deadline) -> BoxFuture<'static, Result<(), RootFault>>;
    /// Who leads, and every change of it.
    fn leadership(&self) -> watch::Receiver<LeaderView>;
}

/// The root group of this process.
#[derive(Clone)]
pub struct RaftRoot {
    groups: RaftGroups,
    leadership: watch::Receiver<LeaderView>,
    encode: fn(VolumeCommand) -> Bytes,
    decode: fn(&[u8]) -> Result<VolumeAnswer, WireFault>,
}

impl RaftRoot {
    /// `encode` puts a volume command into a command of the root group, `decode` takes its answer
    /// out again. `None` when this process has no root group.
    pub fn new(
        groups: RaftGroups,
        encode: fn(VolumeCommand) -> Bytes,
        decode: fn(&[u8]) -> Result<VolumeAnswer, WireFault>,
    ) -> Option<RaftRoot> {
        let leadership = groups.watch(GroupId::ROOT)?;
        Some(RaftRoot {
            groups,
            leadership,
            encode,
            decode,
        })
    }
}

impl RootGroup for RaftRoot {
    fn propose(
        &self,
        command: VolumeCommand,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<VolumeAnswer, RootFault>> {
        let (groups, command, decode) = (self.groups.clone(), (self.encode)(command), self.decode);
        Box::pin(async move {
            Ok(decode(
                &groups.propose(GroupId::ROOT, command, deadline).await?,
            )?)
        })
    }

    fn read_barrier(&self, deadline: Deadline) -> BoxFuture<'static, Result<(), RootFault>> {
        let groups = self.groups.clone();
        Box::pin(async move { Ok(groups.read_barrier(GroupId::ROOT, deadline).await?) })
    }

    fn leadership(&self) -> watch::Receiver<LeaderView> {
        self.leadership.clone()
    }
}
