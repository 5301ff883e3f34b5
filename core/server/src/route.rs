//! The way of a call to the part that answers it, and of a user's name to the key: both may be
//! asked for before the role stands, because the role is built on the mesh.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use sdfs_server_group::{IncomingCall, Role, Service, UserKey, UserKeys};
use sdfs_types::calls::{CallKind, call_name};
use sdfs_types::wire;

/// Raft's calls; their meaning is raft's own.
const RAFT_KINDS: std::ops::RangeInclusive<u16> = 0x0100..=0x01ff;

/// What a role gives the mesh.
#[async_trait]
pub(crate) trait Answers: Send + Sync {
    /// Takes a call.
    fn serve(&self, call: IncomingCall);
    /// The key of a user; `None` when there is no such user, or this role knows no users.
    fn key_of(&self, user: &str) -> Option<UserKey>;
    /// As [`UserKeys::caught_up`].
    async fn caught_up(&self) -> bool;
}

/// Hands calls on as long as there is somebody to take them.
#[derive(Clone, Default)]
pub(crate) struct Route {
    /// Weak, because the role holds the mesh and the mesh holds this way to the role: whoever
    /// drops the role must find it gone, with the files it has open.
    role: Arc<OnceLock<Weak<dyn Answers>>>,
}

impl Route {
    /// Sends everything to `role` from now on, for as long as the caller keeps it; only the first
    /// role counts.
    pub(crate) fn open(&self, role: &Arc<dyn Answers>) {
        if self.role.set(Arc::downgrade(role)).is_err() {
            tracing::error!("a server was given two roles; the first stays");
        }
    }

    fn role(&self) -> Option<Arc<dyn Answers>> {
        self.role.get()?.upgrade()
    }
}

impl Service for Route {
    fn is_allowed(&self, kind: u16, role: Role) -> bool {
        if RAFT_KINDS.contains(&kind) {
            return role != Role::Client;
        }
        CallKind::from_wire(kind).is_some_and(|kind| kind.is_allowed(role))
    }

    fn serve(&self, call: IncomingCall) {
        // Before the role stands, and when it is gone, a call is dropped unanswered: its sender
        // hears `Lost` and asks again, here or elsewhere.
        if let Some(role) = self.role() {
            role.serve(call);
        }
    }

    fn name_of(&self, kind: u16) -> String {
        call_name(kind)
    }

    fn outcome_of(&self, kind: u16, answer: &[u8]) -> String {
        if RAFT_KINDS.contains(&kind) {
            return "answered".to_owned();
        }
        wire::outcome(answer)
    }
}

#[async_trait]
impl UserKeys for Route {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        self.role()?.key_of(user)
    }

    async fn caught_up(&self) -> bool {
        match self.role() {
            Some(role) => role.caught_up().await,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_never_send_raft_calls() {
        let route = Route::default();
        for kind in [0x0100, 0x0155, 0x01ff] {
            assert!(!route.is_allowed(kind, Role::Client));
            assert!(route.is_allowed(kind, Role::Mserver));
        }
        assert!(!route.is_allowed(0x7777, Role::Mserver));
    }

    #[tokio::test]
    async fn nobody_is_judged_before_the_role() {
        assert!(Route::default().key_of("admin").is_none());
        assert!(!Route::default().caught_up().await);
    }
}
