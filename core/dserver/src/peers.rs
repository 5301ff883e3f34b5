//! What a data-server needs of the cluster. Implemented by the mesh, and by servers that exist in
//! a test only.

use bytes::Bytes;
use futures::future::BoxFuture;
use sdfs_server_group::{CallError, Deadline, Load, Mesh, Payload, ReplyBody, Role, ServerId};
use sdfs_types::Refusal;
use sdfs_types::calls::Call;
use sdfs_types::wire;

/// The other servers of the cluster.
pub trait Peers: Send + Sync + 'static {
    /// This server.
    fn me(&self) -> ServerId;
    /// Sends one call, its head and its payload, and waits for its answer.
    fn call(
        &self,
        to: ServerId,
        kind: u16,
        sent: (Bytes, Payload),
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>>;
    /// The mservers that can be asked now, the nearest first.
    fn mservers(&self) -> Vec<ServerId>;
    /// The dservers that can be asked now.
    fn dservers(&self) -> Vec<ServerId>;
    /// Sets the load the other servers see.
    fn set_load(&self, load: Load);
    /// The load a server told last.
    fn load(&self, of: ServerId) -> Option<Load>;
}

impl Peers for Mesh {
    fn me(&self) -> ServerId {
        Mesh::me(self)
    }

    fn call(
        &self,
        to: ServerId,
        kind: u16,
        (head, payload): (Bytes, Payload),
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        let mesh = self.clone();
        Box::pin(async move { Mesh::call(&mesh, to, kind, head, payload, deadline).await })
    }

    fn mservers(&self) -> Vec<ServerId> {
        let nearest = self.nearest(Role::Mserver);
        let others = self
            .up(Role::Mserver)
            .into_iter()
            .filter(|id| Some(*id) != nearest);
        nearest.into_iter().chain(others).collect()
    }

    fn dservers(&self) -> Vec<ServerId> {
        self.up(Role::Dserver)
    }

    fn set_load(&self, load: Load) {
        Mesh::set_load(self, load);
    }

    fn load(&self, of: ServerId) -> Option<Load> {
        Mesh::load(self, of)
    }
}

/// What came of a call to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskFault {
    /// No answer.
    Call(CallError),
    /// It refused.
    Refused(Refusal),
    /// Its answer does not decode.
    Malformed,
}

/// Asks a server and decodes its answer.
pub(crate) async fn ask<C: Call>(
    peers: &dyn Peers,
    to: ServerId,
    (call, payload): (&C, Payload),
    deadline: Deadline,
) -> Result<(C::Reply, Payload), AskFault> {
    let sent = (wire::encode(call), payload);
    let answer = peers
        .call(to, C::KIND.to_wire(), sent, deadline)
        .await
        .map_err(AskFault::Call)?;
    match wire::decode_answer(&answer.head) {
        Ok(Ok(reply)) => Ok((reply, answer.payload)),
        Ok(Err(refusal)) => Err(AskFault::Refused(refusal)),
        Err(fault) => {
            tracing::warn!(%to, %fault, "an answer does not decode");
            Err(AskFault::Malformed)
        }
    }
}
