//! Finding dservers for a new file: every member of the picked volume is asked and accepts, or
//! another volume is tried. Silence is never taken for acceptance.

use std::sync::Arc;

use tokio::time::Instant;

use sdfs_server_group::Deadline;
use sdfs_types::{BlockSize, FileDescriptor, Refusal, TraceStep, Volume, VolumeId};

use super::door::Servers;
use super::machine::VolumeWatch;

/// A new file that needs volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWanted {
    /// Which file.
    pub descriptor: FileDescriptor,
    /// Its declared size.
    pub size_bytes: u64,
    /// Size of its blocks.
    pub block_size: BlockSize,
    /// When its create began here: the steps count from it. `None` when nobody wants the steps.
    pub explain_from: Option<Instant>,
}

/// Dservers have accepted a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The volumes for its blocks, used in turn; every member of each has accepted.
    pub volumes: Vec<Volume>,
    /// What happened on the way, when asked for.
    pub steps: Vec<TraceStep>,
}

impl Accepted {
    /// The plan as file-meta-data keeps it.
    pub fn plan(&self) -> Vec<VolumeId> {
        self.volumes.iter().map(|volume| volume.id).collect()
    }
}

/// Finds volumes for new files. Cheap to clone; all clones share the batches to each dserver.
#[derive(Clone)]
pub struct Acceptor {}

impl Acceptor {
    /// Runs until the last clone is dropped. Call it on a tokio runtime.
    pub fn start(_servers: Arc<dyn Servers>, _map: VolumeWatch) -> Acceptor {
        Acceptor {}
    }

    /// Finds volumes whose members all accept the file.
    ///
    /// # Errors
    /// [`Refusal::NoVolume`] when none was found before the deadline.
    pub async fn accept(
        &self,
        _wanted: FileWanted,
        _deadline: Deadline,
    ) -> Result<Accepted, Refusal> {
        Err(Refusal::NoVolume { why: String::new() })
    }

    /// Volumes for a file to be written at once, whose dservers are asked by the writes
    /// themselves. Asks nobody.
    ///
    /// # Errors
    /// [`Refusal::NoVolume`] when no volume takes blocks now.
    pub fn plan(
        &self,
        _size_bytes: Option<u64>,
        _block_size: BlockSize,
    ) -> Result<Vec<Volume>, Refusal> {
        Err(Refusal::NoVolume { why: String::new() })
    }
}
