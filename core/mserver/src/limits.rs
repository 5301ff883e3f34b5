//! Bounds of a mserver, each with its unit and reason. Those of the data model are in
//! `sdfs_types::limits`, those of volumes in `volumes::limits`.

use std::time::Duration;

/// How often a new cluster is looked at for its first administrator and its list of servers.
pub(crate) const FOUND_EVERY: Duration = Duration::from_millis(100);

/// How often the root leader looks after the list of servers: a newcomer waits for it once.
pub(crate) const MEMBERSHIP_EVERY: Duration = Duration::from_millis(500);

/// How long one change of a group's members may take before it is looked at anew: a learner that
/// catches up goes on meanwhile.
pub(crate) const MEMBERS_CHANGE_MAX: Duration = Duration::from_secs(10);

/// How long a mserver may take to say whom it hears: it answers from memory.
pub(crate) const HEAR_MAX: Duration = Duration::from_secs(2);

/// Requests of the root group whose outcome is remembered. At 25,000 mutations a second this is
/// five seconds of repetitions at full speed and hours of them at usual ones; 24 bytes of memory
/// and some 130 bytes of disk each.
pub(crate) const ROOT_OUTCOMES_MAX: u32 = 131_072;

/// Requests of one meta group whose outcome is remembered: only resizes, commits and attribute
/// changes, everything else there is idempotent by itself.
pub(crate) const META_OUTCOMES_MAX: u32 = 65_536;

/// Removed files and aborted puts a meta group remembers, so that a late creation of their record
/// is refused.
pub(crate) const REMOVED_FILES_MAX: u32 = 65_536;

/// Tombstones kept. Beyond it the oldest goes: its name comes back under a fresh id, which is as
/// unique; only the counting of versions starts anew.
pub(crate) const TOMBSTONES_MAX: u64 = 1_000_000;

/// How long a tombstone is kept, milliseconds: 30 days.
pub(crate) const TOMBSTONE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Tombstones that go with one deletion at most, so that expiry keeps up and no command is long.
pub(crate) const TOMBSTONES_EXPIRED_AT_ONCE: usize = 4;

/// Files kept in the trash. Beyond it the one that is due next goes early; some 400 bytes of every
/// mserver's disk each.
pub(crate) const TRASH_FILES_MAX: u64 = 4_000_000;

/// Files of one path kept in the trash. Beyond it the one deleted first goes early: a name that is
/// written anew every second must not fill the disks.
pub(crate) const TRASH_LIVES_MAX: usize = 16;

/// Files that leave the trash by one command.
pub(crate) const TRASH_STEP_FILES: u32 = 256;

/// Steps of sweeping that somebody who looks into the trash helps with, so that a directory just
/// deleted is seen whole: 10,000 files. Larger ones are told to be growing.
pub(crate) const TRASH_SWEEP_STEPS: usize = 20;

/// Directory entries kept decoded in memory, present and absent ones: a hot path costs no look
/// into the store. Some 300 bytes each.
pub(crate) const ENTRIES_CACHED: usize = 32_768;

/// Files whose meta-data is kept decoded in memory, per meta group. Some 400 bytes each.
pub(crate) const FILES_CACHED: usize = 16_384;

/// Entries counted at most when a quota is set on a directory, or a directory moves in or out of
/// one: counting happens inside one command, and this many take about 0.2 s.
pub(crate) const QUOTA_COUNT_MAX: usize = 200_000;

/// Directory entries removed by one step of sweeping an unlinked directory.
pub(crate) const SWEEP_STEP_ENTRIES: u32 = 512;

/// Files a meta group removes by one command.
pub(crate) const REMOVE_STEP_FILES: usize = 256;

/// Block entries kept in a file's record: a file of up to 64 MiB (at 4 MiB a block) needs one
/// look.
pub(crate) const RECORD_BLOCKS: u32 = 16;

/// Block entries in one page beside the record: about 2 KiB, rewritten when one of them changes.
pub(crate) const PAGE_BLOCKS: u32 = 128;

/// How long blocks nobody refers to any more stay readable: readers that have just fetched
/// metadata finish. A slower one finds the block gone and fetches metadata again.
pub(crate) const FREE_GRACE: Duration = Duration::from_secs(10);

/// Names reserved at one voter at a time: 5 s of creates at 20,000 a second. Beyond it creates
/// are told to try again.
pub(crate) const RESERVATIONS_MAX: usize = 100_000;

/// Back-off of a coordinator that was outranked: first, then doubled up to the longest.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(2);
/// The longest back-off: well below the time a person notices.
pub(crate) const BACKOFF_LONGEST: Duration = Duration::from_millis(128);

/// Items one batch to a peer or a group holds at most: bounds the size of one call.
pub(crate) const BATCH_ITEMS_MAX: usize = 512;

/// Bytes of commands in one entry of a group's log.
pub(crate) const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Items that may wait for a batch; beyond it callers are told to try again.
pub(crate) const BATCH_QUEUE_MAX: usize = 8_192;

/// Batches to one group or peer under way at once. Two: while one is being synced the next one is
/// on its way, and everything else gathers.
pub(crate) const BATCHES_IN_FLIGHT: usize = 2;

/// Calls served at once by this mserver; beyond it callers are told to try again.
pub(crate) const CALLS_MAX: usize = 16_384;

/// Volumes in the plan of one file: enough to spread a large file over every disk of a small
/// cluster, few enough for a record.
pub(crate) const PLAN_VOLUMES_MAX: usize = 8;

/// How long a duty (removing, sweeping) waits before it looks again without being told.
pub(crate) const DUTY_EVERY: Duration = Duration::from_millis(1_000);

/// How long one step of a duty may take.
pub(crate) const DUTY_STEP_MAX: Duration = Duration::from_secs(5);

/// How long a login whose proof does not fit waits for the users this mserver may not know yet:
/// less than the time a handshake has.
pub(crate) const LOGIN_BARRIER_MAX: Duration = Duration::from_secs(1);

/// How long a create or put goes on by itself after its client is gone, so that what was decided
/// is finished.
pub(crate) const FINISH_ALONE_MAX: Duration = Duration::from_secs(5);

/// Files in one page of records, or asked about at once.
pub(crate) const INSPECT_FILES_MAX: u32 = 4_096;

/// Blocks listed in one answer unless a single file has more: about 2 MiB, half of what a head may
/// have.
pub(crate) const INSPECT_BLOCKS_MAX: u32 = 131_072;

/// A record without a name is left alone for so long, milliseconds: a put writes its record before
/// its name, and may be finished by a repeated call for as long as its grants are renewed.
pub(crate) const UNNAMED_AGE_MS_MIN: u64 = 24 * 3_600 * 1_000;

/// Blocks one order to free what is nobody's may name: one page of a comparison, and a command of
/// the root group that is over at once.
pub(crate) const FREE_ORPHANS_MAX: usize = 4_096;

/// Blocks younger than this are never freed as nobody's, seconds, whatever an operator says: longer
/// than any call between a block and its record lasts. Puts that run for longer are ended by an
/// operator who asks for less than they take, and refused when they finish.
pub(crate) const ORPHAN_AGE_S_MIN: u64 = 60;

/// Files that were ever given up by repairs. Each is marked for good, with some 30 bytes of memory
/// and disk at every mserver; beyond it repairs are refused.
pub(crate) const GIVEN_UP_FILES_MAX: usize = 1_000_000;

/// Reservations looked at for somebody who asks which there are: every create waits meanwhile.
pub(crate) const RESERVATIONS_LOOKED_AT_MAX: usize = 10_000;

/// Timelines kept of the names that were asked for last: one of a create, two of a put.
pub(crate) const TIMELINES_KEPT: usize = 2_048;
/// Steps kept of each: a file of many volumes has more than anybody reads.
pub(crate) const TIMELINE_STEPS_MAX: usize = 64;

/// How long a challenge about a content stays the same, seconds: it is good for so long again, so
/// that a slow disk can read what is to be proven.
pub(crate) const CHALLENGE_S: u64 = 30;
/// Contents up to this size are proven whole, bytes.
pub(crate) const CHALLENGE_WHOLE_BYTES: u64 = 256 << 10;
/// Ranges of a larger one that are to be proven: who lacks half of it is found out in 255 of 256
/// challenges, and there is one in half a minute.
pub(crate) const CHALLENGE_RANGES: usize = 8;
/// Their length, bytes.
pub(crate) const CHALLENGE_RANGE_BYTES: u64 = 64 << 10;
/// Digests one call waits for at once: enough to keep the disks of a small cluster busy.
pub(crate) const DIGESTS_AT_ONCE: usize = 8;
/// How long one member may take for one digest before the next one is asked: a block of the largest
/// size from a busy disk.
pub(crate) const DIGEST_ATTEMPT: Duration = Duration::from_secs(5);
