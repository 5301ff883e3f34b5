//! Calls to dservers: blocks, and what mservers tell them. Block bytes travel as the call's or
//! the answer's payload, never inside the record.

use serde::{Deserialize, Serialize};

use super::call;
use crate::grant::Grant;
use crate::ids::{BlockDescriptor, Epoch, FileDescriptor, VolumeId};
use crate::refusal::Refusal;
use crate::traced::Traced;
use crate::volume::Volume;
use sdfs_server_group::ServerId;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// When it is fsynced on every copy.
    #[default]
    Synced,
    /// When every copy has it in memory and it is on its way to the disk.
    Replicated,
}

/// Stores one block on every member of its volume; the payload is the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteBlock {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch the writer knows.
    pub epoch: Epoch,
    /// The name of the bytes.
    pub block: BlockDescriptor,
    /// CRC-32C of the payload.
    pub crc32c: u32,
    /// When to acknowledge.
    pub durability: Durability,
    /// The right of a client; servers need none.
    pub grant: Option<Grant>,
}
call!(WriteBlock => BlockStored, WriteBlock);

/// The block is stored on every member that must have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockStored {
    /// How many copies there are.
    pub copies: u8,
}

/// Stores one copy; sent by the member a client has written to. The payload is the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteCopy {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch the sender knows.
    pub epoch: Epoch,
    /// The name of the bytes.
    pub block: BlockDescriptor,
    /// CRC-32C of the payload.
    pub crc32c: u32,
    /// When to acknowledge.
    pub durability: Durability,
}
call!(WriteCopy => (), WriteCopy);

/// Reads a range of a block. The answer's payload covers the range, widened to whole pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBlock {
    /// The volume.
    pub volume: VolumeId,
    /// The name of the bytes.
    pub block: BlockDescriptor,
    /// Where the range begins.
    pub offset_bytes: u32,
    /// How long it is; cut at the end of what is stored.
    pub length_bytes: u32,
    /// The right of a client; servers need none.
    pub grant: Option<Grant>,
}
call!(ReadBlock => BlockRange, ReadBlock);

/// What the payload of an answer to [`ReadBlock`] holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRange {
    /// Where in the block the payload begins: at or before what was asked, on a piece boundary.
    pub offset_bytes: u32,
    /// Length of the whole stored block.
    pub block_bytes: u32,
    /// CRC-32C of the whole stored block.
    pub crc32c: u32,
    /// CRC-32C of each piece of `PIECE_BYTES` in the payload, when it is not the whole block.
    pub piece_crc32c: Vec<u32>,
}

/// A file whose blocks are planned for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptAsk {
    /// The file.
    pub descriptor: FileDescriptor,
    /// The volume.
    pub volume: VolumeId,
    /// The epoch the main knows.
    pub epoch: Epoch,
    /// Room to reserve.
    pub reserve_bytes: u64,
}

/// Asks a dserver to keep blocks of files, many at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptFiles {
    /// The files.
    pub asks: Vec<Traced<AcceptAsk>>,
}
call!(AcceptFiles => Vec<Result<(), Refusal>>, AcceptFiles);

/// Tells a dserver that blocks are no longer any file's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeBlocks {
    /// The volume.
    pub volume: VolumeId,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
}
call!(FreeBlocks => (), FreeBlocks);

/// Tells a dserver that blocks are no file's, as far as somebody found who compared. Blocks that
/// are not surely old stay. Answered with how many were freed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeOldBlocks {
    /// The volume.
    pub volume: VolumeId,
    /// The blocks.
    pub blocks: Vec<BlockDescriptor>,
    /// Only what was written longer ago, seconds; what is from before the server was started is
    /// only as old as that.
    pub old_s: u64,
}
call!(FreeOldBlocks => u64, FreeOldBlocks);

/// Tells a dserver the present state of volumes it is or was a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushVolumes {
    /// Version of the map they are from; an older one than the last is ignored.
    pub map_version: u64,
    /// Every volume that names the receiver as a member.
    pub volumes: Vec<Volume>,
    /// Fewest copies in sync for a write.
    pub copies_min: u8,
}
call!(PushVolumes => VolumesKept, PushVolumes);

/// What a dserver says of the volumes pushed to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesKept {
    /// Volumes it is said to have in sync, but whose copy is gone or whose disk has failed.
    pub lost: Vec<VolumeId>,
}

/// Asks for one page of the blocks kept of a volume, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListVolume {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch the asker knows: the list holds all that was acknowledged in earlier ones.
    pub epoch: Epoch,
    /// Begin after this block.
    pub after: Option<BlockDescriptor>,
    /// At most this many.
    pub limit: u32,
}
call!(ListVolume => VolumePage, ListVolume);

/// A block that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockKept {
    /// Its name.
    pub block: BlockDescriptor,
    /// Its length.
    pub length_bytes: u32,
    /// Its CRC-32C.
    pub crc32c: u32,
}

/// Blocks of a volume in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePage {
    /// The blocks.
    pub blocks: Vec<BlockKept>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// Tells a syncing member to copy what it lacks from members in sync. Answered at once; the end
/// is reported by `ReportSync`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncVolume {
    /// The volume at the epoch that made the receiver syncing.
    pub volume: Volume,
    /// Members to copy from.
    pub sources: Vec<ServerId>,
}
call!(SyncVolume => (), SyncVolume);
