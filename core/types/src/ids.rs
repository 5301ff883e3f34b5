//! Identifiers. Each is a type of its own so that no integer travels alone.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::limits::{
    BLOCK_SIZE_LOG2_DEFAULT, BLOCK_SIZE_LOG2_MAX, BLOCK_SIZE_LOG2_MIN, FILE_BLOCKS_MAX,
};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id!(
    /// Half of a file descriptor; never issued twice with one [`FileVersion`].
    FileId(u32)
);
integer_id!(
    /// Counts the lives of one file id: a re-created or replaced name comes back with the next.
    FileVersion(u32)
);
integer_id!(
    /// Position of a block in its file.
    BlockIndex(u16)
);
integer_id!(
    /// A block's version; 0 means never written.
    BlockVersion(u16)
);
integer_id!(
    /// The unit of placement.
    VolumeId(u32)
);
integer_id!(
    /// Counts the memberships a volume has had; requests of another epoch are refused.
    Epoch(u32)
);

/// Names one life of one file for ever: 8 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FileDescriptor {
    /// The file.
    pub id: FileId,
    /// Which life of it.
    pub version: FileVersion,
}

impl FileDescriptor {
    /// The 8 bytes used in keys: both halves big-endian, so that keys sort like descriptors.
    pub fn to_key(self) -> [u8; 8] {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.id.0.to_be_bytes());
        key[4..].copy_from_slice(&self.version.0.to_be_bytes());
        key
    }

    /// Reads back [`FileDescriptor::to_key`]; `None` when `key` is not 8 bytes.
    pub fn from_key(key: &[u8]) -> Option<FileDescriptor> {
        let (id, version) = key.split_at_checked(4)?;
        Some(FileDescriptor {
            id: FileId(u32::from_be_bytes(id.try_into().ok()?)),
            version: FileVersion(u32::from_be_bytes(version.try_into().ok()?)),
        })
    }
}

impl fmt::Display for FileDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.version)
    }
}

/// Names the same bytes for ever: 12 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BlockDescriptor {
    /// The file the block belongs to.
    pub file: FileDescriptor,
    /// Where in the file.
    pub block: BlockIndex,
    /// Which content.
    pub version: BlockVersion,
}

impl BlockDescriptor {
    /// The 12 bytes used in keys and on disk; keys sort like descriptors.
    pub fn to_key(self) -> [u8; 12] {
        let mut key = [0; 12];
        key[..8].copy_from_slice(&self.file.to_key());
        key[8..10].copy_from_slice(&self.block.0.to_be_bytes());
        key[10..].copy_from_slice(&self.version.0.to_be_bytes());
        key
    }

    /// Reads back [`BlockDescriptor::to_key`]; `None` when `key` is not 12 bytes.
    pub fn from_key(key: &[u8]) -> Option<BlockDescriptor> {
        let (file, rest) = key.split_at_checked(8)?;
        let (block, version) = rest.split_at_checked(2)?;
        Some(BlockDescriptor {
            file: FileDescriptor::from_key(file)?,
            block: BlockIndex(u16::from_be_bytes(block.try_into().ok()?)),
            version: BlockVersion(u16::from_be_bytes(version.try_into().ok()?)),
        })
    }
}

impl fmt::Display for BlockDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.file, self.block, self.version)
    }
}

impl BlockVersion {
    /// Never written.
    pub const NONE: BlockVersion = BlockVersion(0);

    /// The version after this one; a wrap skips 0, which means never written.
    pub fn next(self) -> BlockVersion {
        match self.0.wrapping_add(1) {
            0 => BlockVersion(1),
            version => BlockVersion(version),
        }
    }

    /// Whether the block holds bytes.
    pub fn is_written(self) -> bool {
        self != BlockVersion::NONE
    }
}

impl Epoch {
    /// The epoch of the next membership.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// Size of a file's blocks: a power of two from 64 KiB to 64 MiB, fixed at create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct BlockSize {
    log2: u8,
}

/// A block size outside 64 KiB to 64 MiB, or not a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block size is a power of two from 64 KiB to 64 MiB")]
pub struct BlockSizeFault;

impl BlockSize {
    /// From a size in bytes.
    ///
    /// # Errors
    /// [`BlockSizeFault`] when `bytes` is no power of two or out of range.
    pub fn from_bytes(bytes: u64) -> Result<BlockSize, BlockSizeFault> {
        if !bytes.is_power_of_two() {
            return Err(BlockSizeFault);
        }
        u8::try_from(bytes.trailing_zeros())
            .map_err(|_| BlockSizeFault)?
            .try_into()
    }

    /// The smallest block size that is at least the default and can hold a file of `size_bytes`.
    pub fn for_declared_size(size_bytes: u64) -> BlockSize {
        BlockSize::default().grown_for(size_bytes)
    }

    /// This size, or the least larger one with which a file of `size_bytes` has few enough blocks.
    #[must_use]
    pub fn grown_for(self, size_bytes: u64) -> BlockSize {
        let log2 = (self.log2..BLOCK_SIZE_LOG2_MAX)
            .find(|log2| size_bytes.div_ceil(1 << log2) <= u64::from(FILE_BLOCKS_MAX))
            .unwrap_or(BLOCK_SIZE_LOG2_MAX);
        BlockSize { log2 }
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        1 << self.log2
    }

    /// How many blocks a file of `size_bytes` has.
    pub fn blocks_in(self, size_bytes: u64) -> u64 {
        size_bytes.div_ceil(self.bytes())
    }

    /// The largest file with this block size, bytes.
    pub fn file_bytes_max(self) -> u64 {
        self.bytes() * u64::from(FILE_BLOCKS_MAX)
    }
}

impl Default for BlockSize {
    fn default() -> Self {
        BlockSize {
            log2: BLOCK_SIZE_LOG2_DEFAULT,
        }
    }
}

impl TryFrom<u8> for BlockSize {
    type Error = BlockSizeFault;

    fn try_from(log2: u8) -> Result<Self, Self::Error> {
        if (BLOCK_SIZE_LOG2_MIN..=BLOCK_SIZE_LOG2_MAX).contains(&log2) {
            Ok(BlockSize { log2 })
        } else {
            Err(BlockSizeFault)
        }
    }
}

impl From<BlockSize> for u8 {
    fn from(size: BlockSize) -> u8 {
        size.log2
    }
}

/// Names one mutation; repeating it to any server returns the first outcome.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId {
    /// Random, one per client instance.
    pub client: u64,
    /// Counts that client's mutations.
    pub sequence: u64,
}

impl RequestId {
    /// The 16 bytes used in keys.
    pub fn to_key(self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.client.to_be_bytes());
        key[8..].copy_from_slice(&self.sequence.to_be_bytes());
        key
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.client, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn block_counts_are_exact() {
        let mib4 = BlockSize::default();
        let table: &[(u64, u64)] = &[
            (0, 0),
            (1, 1),
            (mib4.bytes() - 1, 1),
            (mib4.bytes(), 1),
            (mib4.bytes() + 1, 2),
            ((4 << 30) - 1, 1_024),
            (4 << 30, 1_024),
            ((4 << 30) + 1, 1_025),
            (1 << 40, 262_144),
        ];
        for (size_bytes, blocks) in table {
            assert_eq!(mib4.blocks_in(*size_bytes), *blocks, "{size_bytes} bytes");
        }
    }

    #[test]
    fn declared_size_grows_the_block() {
        assert_eq!(BlockSize::for_declared_size(0), BlockSize::default());
        assert_eq!(BlockSize::for_declared_size(256 << 30).bytes(), 4 << 20);
        assert_eq!(
            BlockSize::for_declared_size((256 << 30) + 1).bytes(),
            8 << 20
        );
        let largest = BlockSize::for_declared_size(4 << 40);
        assert_eq!(largest.bytes(), 64 << 20);
        assert_eq!(largest.blocks_in(4 << 40), 65_536);
    }

    #[test]
    fn block_version_wrap_skips_zero() {
        assert_eq!(BlockVersion(65_535).next(), BlockVersion(1));
        assert_eq!(BlockVersion(0).next(), BlockVersion(1));
    }

    #[test]
    fn odd_block_sizes_are_refused() {
        for bytes in [0, 1, 65_535, 65_537, 1 << 15, 1 << 27, 3 << 20] {
            assert_eq!(BlockSize::from_bytes(bytes), Err(BlockSizeFault), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn descriptor_keys_sort_like_descriptors(
            a: (u32, u32, u16, u16), b: (u32, u32, u16, u16)
        ) {
            let descriptor = |(id, version, block, block_version)| BlockDescriptor {
                file: FileDescriptor { id: FileId(id), version: FileVersion(version) },
                block: BlockIndex(block),
                version: BlockVersion(block_version),
            };
            let (a, b) = (descriptor(a), descriptor(b));
            prop_assert_eq!(a.cmp(&b), a.to_key().cmp(&b.to_key()));
            prop_assert_eq!(BlockDescriptor::from_key(&a.to_key()), Some(a));
        }
    }
}
