//! Every bound of the data model, with its unit and its reason.

/// A path component, bytes: what every file system a file may come from or go to also holds.
pub const NAME_BYTES_MAX: usize = 255;
/// A whole path, bytes: Linux's `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Blocks in a file: a block index is 16 bits wide.
pub const FILE_BLOCKS_MAX: u32 = 65_536;
/// The smallest block is 2^16 bytes: below it a block's metadata weighs too much.
pub const BLOCK_SIZE_LOG2_MIN: u8 = 16;
/// The largest block is 2^26 bytes: 65,536 of them reach 4 TiB and one still fits in memory.
pub const BLOCK_SIZE_LOG2_MAX: u8 = 26;
/// The block size of a file whose size is not declared: 4 MiB.
pub const BLOCK_SIZE_LOG2_DEFAULT: u8 = 22;
/// The largest file, bytes.
pub const FILE_BYTES_MAX: u64 = (FILE_BLOCKS_MAX as u64) << BLOCK_SIZE_LOG2_MAX;
/// Bytes covered by one piece checksum inside a stored block: what a small range read verifies.
pub const PIECE_BYTES: u32 = 64 * 1024;
/// Block entries in one page of file-meta-data on the wire.
pub const BLOCK_PAGE_ENTRIES_MAX: u32 = 4_096;
/// Entries in one page of a listing.
pub const LIST_ENTRIES_MAX: u32 = 4_096;
/// Attributes of one file, bytes over all names and values.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;
/// A user's name, bytes.
pub const USER_NAME_BYTES_MAX: usize = 64;
/// How long a grant to read or write the blocks of one file is good for, milliseconds: long
/// enough that few transfers have to renew one, short enough that a right taken away is gone the
/// same hour.
pub const GRANT_MS: u64 = 15 * 60 * 1_000;
/// How long a reservation of a name lives without its decision, milliseconds.
pub const RESERVATION_MS: u64 = 5_000;
/// File ids leased to one coordinator at a time.
pub const FILE_ID_LEASE: u32 = 4_096;
/// Seconds of stamps leased to one dserver at a time: what it gives out is at most so far ahead of
/// its clock after a restart, and half of it outlasts a change of the root group's leader.
pub const STAMP_LEASE_S: u32 = 20;
/// How long a dserver may read anonymous files after it asked for leave, milliseconds: a deleted
/// one may be seen for so long at a member that was cut off, so a delete that such a member does
/// not take part in lasts so long. Longer than a change of the root group's leader takes.
pub const READ_LEASE_MS: u64 = 4_000;
/// How far ahead of a mserver's clock a dserver may lease stamps, seconds: a clock set wrong by
/// years must not take all stamps of those years.
pub const STAMP_AHEAD_S_MAX: u32 = 300;

/// Paths whose operations the logs tell of at once: people follow one or two.
pub const TRACED_PATHS_MAX: usize = 16;
/// How long the logs tell of a path, milliseconds: one that is forgotten must not fill them.
pub const TRACED_MS: u64 = 15 * 60 * 1_000;

/// The lowest bound that may be set on healing, bytes a second: a block of the usual size then
/// takes a minute. To stand still is an order of its own.
pub const HEAL_BYTES_PER_S_MIN: u64 = 64 << 10;
