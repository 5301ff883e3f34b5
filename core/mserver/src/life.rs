//! Lives of files: which record is meant when two requests work on one name.

use serde::{Deserialize, Serialize};

use sdfs_types::{FileDescriptor, RequestId};

/// One life of a file. Two puts may write under the next descriptor of one name; only one of them
/// gets the name, and what the other wrote is removed without touching the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileLife {
    /// The descriptor.
    pub descriptor: FileDescriptor,
    /// The request that made the file.
    pub request: RequestId,
}
