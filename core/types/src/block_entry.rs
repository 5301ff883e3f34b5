//! What file-meta-data knows of one block.

use serde::{Deserialize, Serialize};

use crate::ids::{BlockVersion, VolumeId};

/// The committed version of one block of a file and where its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// [`BlockVersion::NONE`] for a hole, which reads as zeros.
    pub version: BlockVersion,
    /// The volume that keeps the bytes.
    pub volume: VolumeId,
    /// How many bytes are stored; what the file holds beyond them in this block is zeros.
    pub length_bytes: u32,
    /// CRC-32C of the stored bytes.
    pub crc32c: u32,
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
