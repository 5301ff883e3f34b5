//! The two roles behind one face: started, asked, told apart, stopped.

use std::sync::Arc;
use std::time::Instant;

use sdfs_dserver::{Dserver, DserverOptions};
use sdfs_log::RealDisk;
use sdfs_server_group::{IncomingCall, Mesh, Payload, Role, ServerConfig, UserKey};
use sdfs_types::calls::CallKind;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{GrantKey, Refusal, wire};

use crate::error::ServerError;
use crate::route::Answers;
use crate::status::status_of;

/// What the key that clients' grants are made and checked with is derived for.
const GRANTS_LABEL: &str = "block grants";

/// A role at work.
pub(crate) enum RoleAtWork {
    /// Keeps blocks.
    Dserver(Dserver, Mesh, ServerConfig, Instant),
}

impl RoleAtWork {
    /// Starts the role of `me`.
    pub(crate) async fn start(
        me: &ServerConfig,
        mesh: &Mesh,
        begun: Instant,
    ) -> Result<RoleAtWork, ServerError> {
        let config = mesh.config();
        let grants = GrantKey::derive(&mesh.derive_key(GRANTS_LABEL));
        let dserver = sdfs_dserver::start(DserverOptions {
            mesh: mesh.clone(),
            grants,
            disk: Arc::new(RealDisk),
            spaces: me.space.clone(),
            segment_bytes: u32::try_from(config.storage.segment_bytes).unwrap_or(u32::MAX),
            reserve_bytes: config.storage.reserve_bytes,
        })
        .await?;
        Ok(RoleAtWork::Dserver(dserver, mesh.clone(), me.clone(), begun))
    }
}
