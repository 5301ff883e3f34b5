//! The door to the other servers: the mesh, or in tests a stand-in that can lose calls.

use bytes::Bytes;
use futures::future::BoxFuture;
use sdfs_server_group::{CallError, Deadline, Mesh, Payload, ReplyBody, ServerId};

/// What raft needs of the mesh.
pub(crate) trait Wire: Send + Sync + 'static {
    /// This server.
    fn me(&self) -> ServerId;
    /// Whether a call to that server can be sent now.
    fn is_up(&self, server: ServerId) -> bool;
    /// Asks a server; see [`Mesh::call`].
    fn call(
        &self,
        to: ServerId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>>;
}

/// One call as it is sent.
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) head: Bytes,
    pub(crate) payload: Payload,
}

impl Wire for Mesh {
    fn me(&self) -> ServerId {
        Mesh::me(self)
    }

    fn is_up(&self, server: ServerId) -> bool {
        Mesh::is_up(self, server)
    }

    fn call(
        &self,
        to: ServerId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
        let mesh = self.clone();
        let Request {
            kind,
            head,
            payload,
        } = request;
        Box::pin(async move { mesh.call(to, kind, head, payload, deadline).await })
    }
}
