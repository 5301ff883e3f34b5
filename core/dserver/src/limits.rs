//! Every bound of the data-server, with its unit and the reason for the number.

use std::time::Duration;

/// Entries in a leaf of the block index: 14 KiB, so that an insertion moves few microseconds'
/// worth of memory and what a leaf costs besides its entries does not count.
pub const LEAF_ENTRIES_MAX: usize = 512;

/// Room added to a full leaf, entries: what a leaf wastes at most.
pub const LEAF_GROWTH_ENTRIES: usize = 32;

/// The largest block, bytes.
pub const BLOCK_BYTES_MAX: u32 = 1 << sdfs_types::limits::BLOCK_SIZE_LOG2_MAX;

/// Blocks named in one record of freed ones: its head stays well below what a record's may be.
pub const FREED_BLOCKS_MAX: usize = 4096;

/// A block up to this size is written out on the calling thread when the page cache has it.
pub const INLINE_READ_BYTES_MAX: u32 = 256 << 10;

/// How long one copy may take before its member counts as silent. Longer than any healthy disk
/// needs for what can be queued before it; a dead member is told by the group long before.
pub const COPY_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a reservation of room is kept for a file that was accepted: the time in which its
/// first blocks arrive or the create was given up.
pub const RESERVATION_KEPT: Duration = Duration::from_secs(30);

/// Entries of a listing made under one lock: some tens of microseconds.
pub const LISTED_AT_ONCE: usize = 1024;

/// Entries in one page of a volume's inventory on the wire: about 100 KiB.
pub const INVENTORY_PAGE: u32 = 4096;

/// Blocks copied at the same time by a sync: enough to keep network and disk busy at once.
pub const SYNC_COPIES_AT_ONCE: usize = 8;

/// Bytes of blocks a sync holds in memory at the same time, unless a single one has more.
pub const SYNC_BYTES_AT_ONCE: u64 = 32 << 20;

/// Bytes a second that all syncs together read and copy at most unless an operator orders another
/// rate.
pub const SYNC_BYTES_PER_S: u64 = 256 << 20;

/// The same while clients are served, here or where is copied from: they keep most of the disks.
/// Not while a volume with a single copy in sync is at work, nor for what is present and verified.
pub const SYNC_BYTES_PER_S_SHARED: u64 = 40 << 20;

/// How long clients count that were seen once: the calls of a large put are seconds apart.
pub const CLIENTS_SEEN_FOR: Duration = Duration::from_secs(5);

/// A volume with fewer copies keeps others back only while it gets on: for so long after it last
/// asked for its turn.
pub const SYNC_URGENT_FOR: Duration = Duration::from_secs(1);

/// How long one call of a sync may take.
pub const SYNC_CALL_WAIT: Duration = Duration::from_secs(10);

/// How often a source of a sync is asked that cannot answer at the moment: it is not connected, an
/// epoch behind, or repairs a block. A sync that goes on without it has to ask mservers what it may
/// drop.
pub const SYNC_SOURCE_ASKS: u32 = 10;

/// Pause before such a source is asked again.
pub const SYNC_SOURCE_PAUSE: Duration = Duration::from_millis(200);

/// How long a mserver may take to say which of 1,024 blocks files need: a round at each metadata
/// group.
pub const NEEDED_WAIT: Duration = Duration::from_secs(10);

/// Pause before mservers are asked again.
pub const NEEDED_PAUSE: Duration = Duration::from_millis(500);

/// How long mservers are asked before a sync ends without their word: elections fit in. A volume
/// with one copy left must not wait for a metadata group that has lost its majority.
pub const NEEDED_ASKED_FOR: Duration = Duration::from_secs(30);

/// Pause before a sync that met trouble begins anew, and between two reports of its end.
pub const SYNC_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Moments of which the end of a disk's log is remembered, one each tick in which it moved: hours
/// of steady writing in 2 MiB.
pub const AGE_MARKS_MAX: usize = 65_536;

/// How often volumes left behind are looked for: nobody waits for their room.
pub const LEFT_BEHIND_EVERY: Duration = Duration::from_secs(2);

/// How long freeing a portion of a volume left behind may hold up all else the keeper does: on a
/// disk that is full to the last byte, or does not answer, it would for ever.
pub const LEFT_BEHIND_WAIT: Duration = Duration::from_secs(2);

/// How long a checkpoint or a compaction waits for the disk before it gives up until the next tick,
/// and a server that is to stop for both of them.
pub const BACKGROUND_SYNC_WAIT: Duration = Duration::from_secs(5);

/// Pause between two portions of blocks of a volume left behind, so that clients keep the disk.
pub const LEFT_BEHIND_PACE: Duration = Duration::from_millis(20);

/// How long a report to a mserver may take before it is sent to another.
pub const REPORT_WAIT: Duration = Duration::from_secs(2);

/// Pause before a report that nobody took is sent again.
pub const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// Reports of the same trouble with the same member are sent this far apart: all writes that met
/// it report at once.
pub const REPORT_APART: Duration = Duration::from_millis(500);

/// How often the actor looks at its spaces and tells their load.
pub const TICK: Duration = Duration::from_millis(500);

/// A checkpoint is due when so much was appended since the last one: about what is replayed in a
/// second.
pub const CHECKPOINT_BYTES: u64 = 1 << 30;

/// ... or so many records, which for tiny blocks take longer to replay than their bytes.
pub const CHECKPOINT_RECORDS: u64 = 1 << 20;

/// A segment is compacted when this share of it or less is live (percent) ...
pub const COMPACT_LIVE_PERCENT: u64 = 50;

/// ... or this share when less than a tenth of the disk is free.
pub const COMPACT_LIVE_PERCENT_TIGHT: u64 = 85;

/// Bytes a second that compaction copies at most.
pub const COMPACT_BYTES_PER_S: u64 = 64 << 20;

/// Every block is read and verified once in this time: a week finds rot before the other copies
/// are likely to rot too.
pub const SCRUB_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes a second a scrub that was asked for reads of one disk at most, so that clients keep most
/// of it.
pub const HURRIED_SCRUB_BYTES_PER_S: u64 = 128 << 20;

/// Blocks fetched anew from other members in one tick.
pub const REPAIRS_PER_TICK: usize = 16;

/// Reports of trouble that wait for a mserver; more of the same are dropped, since whatever is
/// not reported now happens again.
pub const REPORTS_WAITING_MAX: usize = 256;

/// Pause before an anonymous file that no volume took, or that was not freed everywhere, is tried
/// again: a failed member is fenced off in seconds.
pub const ANONYMOUS_PAUSE: Duration = Duration::from_millis(20);

/// How long an anonymous file waits while every volume for it is full: as long as it takes to found
/// one more where there is room.
pub const ANONYMOUS_FULL_WAIT: Duration = Duration::from_secs(3);

/// Pause before it is looked again whether stamps were leased: a lease takes a few milliseconds.
pub const STAMPS_PAUSE: Duration = Duration::from_millis(1);

/// How long stamps of the present second are waited for before older ones are given out.
pub const STAMPS_WAIT: Duration = Duration::from_secs(1);

/// How long a failed upload tries to take back what it has left on some members: longer than a
/// dead member takes to be fenced off.
pub const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);

/// Pause before it is looked again whether reads were leased: a lease takes a few milliseconds.
pub const LEASE_PAUSE: Duration = Duration::from_millis(1);

/// How long a read waits for a lease: a change of the root group's leader fits in, and a client of
/// a server that is cut off hears of it before it gives up.
pub const READ_LEASE_WAIT: Duration = Duration::from_secs(3);

/// How long another member may take to give an anonymous file before the next one is asked: a
/// large one from a slow disk comes in time, and one that is silent does not use up the deadline.
pub const ELSEWHERE_WAIT: Duration = Duration::from_secs(2);

/// Bytes of a block digested without a look at other calls: 0.3 ms.
pub(crate) const DIGEST_STEP_BYTES: usize = 512 << 10;
