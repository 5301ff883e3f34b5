//! Lives of files: which record is meant when two requests work on one name.

use serde::{Deserialize, Serialize};

use sdfs_types::{FileDescriptor, RequestId};

/// One life of a file. A descriptor belongs to one request for ever, so naming both is a check:
/// what a request gives up is removed only if that request made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileLife {
    /// The descriptor.
    pub descriptor: FileDescriptor,
    /// The request that made the file.
    pub request: RequestId,
}
