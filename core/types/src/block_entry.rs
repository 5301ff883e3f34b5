//! What file-meta-data knows of one block.

use serde::{Deserialize, Serialize};

use crate::ids::{BlockVersion, VolumeId};

/// Versions of a block that count as older than its present one: half of all.
const VERSIONS_BEHIND_MAX: u16 = 1 << 15;

/// The committed version of one block of a file and where its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// [`BlockVersion::NONE`] for a block that was never written. A block that was cut off keeps
    /// its version with length 0, so that the version is never given out again.
    pub version: BlockVersion,
    /// The volume that keeps the bytes.
    pub volume: VolumeId,
    /// How many of the stored bytes are the file's, all of them unless the file was cut within
    /// the block; what the file holds beyond them in this block is zeros. 0 is a hole: nothing is
    /// read from any dserver.
    pub length_bytes: u32,
    /// CRC-32C of all the stored bytes.
    pub crc32c: u32,
}

impl BlockEntry {
    /// Whether the block is all zeros and kept nowhere.
    pub fn is_hole(&self) -> bool {
        self.length_bytes == 0
    }

    /// Whether the file has left a version of this block, kept in a volume, behind for good. A
    /// version is committed only in the place of the one its writer had seen, so an older one
    /// never can be any more; nor can the present one in another volume, or once it was cut off.
    #[must_use]
    pub fn has_replaced(&self, version: BlockVersion, volume: VolumeId) -> bool {
        if self.version == version {
            return self.is_hole() || self.volume != volume;
        }
        // Versions wrap: what is far ahead is behind.
        self.version.0.wrapping_sub(version.0) < VERSIONS_BEHIND_MAX
    }
}

/// A run of block entries of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPage {
    /// Index of the first entry.
    pub first: u32,
    /// The entries, one a block, holes included; blocks after the last entry of the last page
    /// were never written.
    pub entries: Vec<BlockEntry>,
}
