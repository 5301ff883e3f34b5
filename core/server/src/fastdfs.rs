//! Opens the doors for FastDFS clients that the configuration wants: a tracker's on a mserver, a
//! storage's on a dserver.

use sdfs_fastdfs::{Doors, StorageOptions, TrackerOptions, start_storage, start_tracker};
use sdfs_server_group::{Config, Mesh};
use std::sync::Arc;

use crate::error::ServerError;
use crate::role::RoleAtWork;

/// FastDFS knows no TLS: its ports are plain unless the configuration wants TLS there, whatever the
/// cluster's own are.
pub(crate) async fn open(
    config: &Config,
    mesh: &Mesh,
    role: &RoleAtWork,
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
            };
            start_storage(&*transport, options).await
        }
    };
    opened.map_err(ServerError::FastDfs)
}
