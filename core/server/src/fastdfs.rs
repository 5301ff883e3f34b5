//! Opens the doors for FastDFS clients that the configuration wants: a tracker's on a mserver, a
//! storage's on a dserver, and there the one for HTTP.

use sdfs_fastdfs::{Doors, StorageOptions, TrackerOptions, start_storage, start_tracker};
use sdfs_server_group::{Config, LinkSecret, Mesh, Role, ServerConfig};
use std::sync::Arc;

use crate::error::ServerError;
use crate::role::RoleAtWork;

/// Reads what links to files of a dserver are signed with, if they are: before anything of the
/// server is started.
pub(crate) fn link_secret(
    config: &Config,
    me: &ServerConfig,
) -> Result<Option<LinkSecret>, ServerError> {
    match me.role {
        Role::Dserver => config.link_secret().map_err(ServerError::Secret),
        _ => Ok(None),
    }
}

/// FastDFS knows no TLS: its ports are plain unless the configuration wants TLS there, whatever the
/// cluster's own are.
pub(crate) async fn open(
    config: &Config,
    mesh: &Mesh,
    (role, link_secret): (&RoleAtWork, Option<LinkSecret>),
) -> Result<Option<Doors>, ServerError> {
    let Some(settings) = config.fastdfs.clone() else {
        return Ok(None);
    };
    let transport = config.fastdfs_transport()?;
    let mesh = mesh.clone();
    let opened = match role {
        RoleAtWork::Mserver(mserver) => {
            let mserver = mserver.clone();
            let options = TrackerOptions {
                mesh,
                settings,
                volumes: Arc::new(move || mserver.volumes()),
            };
            start_tracker(&*transport, options).await
        }
        RoleAtWork::Dserver(dserver) => {
            let options = StorageOptions {
                mesh,
                settings,
                files: dserver.anonymous(),
                link_secret,
            };
            start_storage(&*transport, options).await
        }
    };
    opened.map_err(ServerError::FastDfs)
}
