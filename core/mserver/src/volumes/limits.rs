//! Bounds of the volumes' part, each with its unit and reason.

use std::time::Duration;

/// A member whose connection broke without a goodbye may be back at once: writes stall this long
/// rather than have all its volumes synced again.
pub(crate) const FENCE_GRACE: Duration = Duration::from_millis(300);
/// A dserver that a new leader has never heard of has this long to connect before it is fenced:
/// both may just have been started.
pub(crate) const LEADER_GRACE: Duration = Duration::from_secs(2);
/// Dservers have this long to come up, and to register a new volume, before volumes are made and
/// used without those that are missing.
pub(crate) const FOUND_GRACE: Duration = Duration::from_secs(5);
/// The first wait before something a dserver did not do is asked again; it doubles up to
/// [`RETRY_MAX`].
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait before asking again: a dserver that can answer again is found this soon.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(2);
/// A member that fails while it is reachable is synced again after this, doubling each time up to
/// [`SYNC_AGAIN_MAX`]: a disk that fails on every write must not be copied to for ever.
pub(crate) const SYNC_AGAIN_MIN: Duration = Duration::from_secs(1);
/// The longest pause before a failing member is given another chance.
pub(crate) const SYNC_AGAIN_MAX: Duration = Duration::from_secs(60);
/// A sync that was begun is asked for again this often until its end is reported: the member
/// answers at once when it is at work, and begins anew when it had forgotten.
pub(crate) const SYNC_REMIND: Duration = Duration::from_secs(5);
/// Two reports of silence of a member that answers the leader count as one within this time: all
/// writes that waited for it report together.
pub(crate) const STRIKE_APART: Duration = Duration::from_secs(1);
/// Reports of silence older than this are forgotten.
pub(crate) const STRIKE_KEPT: Duration = Duration::from_secs(10);
/// This many separate reports fence a member that others cannot reach although the leader can.
pub(crate) const STRIKES_MAX: u32 = 3;
/// How often the supervisor looks at its clocks.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Bytes that stay free in a volume when files are placed: room for what is already on its way.
pub(crate) const FREE_BYTES_MIN: u64 = sdfs_types::ROOM_BYTES_MIN;
/// A volume that was full takes blocks again when its fullest member has this many bytes free.
pub(crate) const FREE_BYTES_AGAIN: u64 = 256 << 20;
/// Requests queued in a dserver that halve its share of new files: about one batch of its disk.
pub(crate) const QUEUE_HALVING: u32 = 64;
/// Volumes the blocks of one file are spread over at most: enough for all disks of a small
/// cluster to work together, few enough for one lost volume to touch few files.
pub(crate) const PLAN_VOLUMES_MAX: usize = 8;
/// Volumes of a file whose size is not known yet.
pub(crate) const PLAN_VOLUMES_UNKNOWN_SIZE: usize = 4;
/// A volume in which a member had no room is left alone for this long, whatever that dserver says
/// of its room as a whole: the room of one of its disks is used up.
pub(crate) const FULL_FOR: Duration = Duration::from_secs(30);

/// A dserver that has not accepted a file by then is taken for silent and another volume is tried:
/// many round trips, yet little against a client's patience.
pub(crate) const ACCEPT_SILENCE: Duration = Duration::from_millis(300);
/// A dserver that let an acceptance go unanswered gets no new files for this long, or until its
/// volumes are fenced.
pub(crate) const SILENT_FOR: Duration = Duration::from_millis(500);
/// How long a file waits for a volume in all: detection of a silent member, the election of a root
/// leader and the fencing fit in. A client waits longer for one mserver.
pub(crate) const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(5);
/// A file that found no volume looks again after this, whether the volumes have changed or not.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How often volumes are weighed anew: as often as loads arrive in a busy cluster.
pub(crate) const SHARES_EVERY: Duration = Duration::from_millis(100);
/// Files waiting to be asked about, over all dservers; more wait in their own tasks.
pub(crate) const ASKS_QUEUED_MAX: usize = 16_384;
/// Files in one batch: about 100 KiB, far below what one call may carry.
pub(crate) const ASKS_PER_BATCH_MAX: usize = 4_096;

/// Entries of a to-be-freed list looked at together.
pub(crate) const SWEEP_ENTRIES_MAX: usize = 256;
/// Blocks named in one call to free them: about 600 KiB.
pub(crate) const FREE_BLOCKS_PER_CALL: usize = 50_000;
/// The longest wait for a dserver to free blocks; not urgent, and told again.
pub(crate) const FREE_CALL_MAX: Duration = Duration::from_secs(10);
/// Between two pages of a to-be-freed list: sweeping must not compete with what people wait for.
pub(crate) const SWEEP_PACE: Duration = Duration::from_millis(20);
/// Between two looks at a list that was swept to its end.
pub(crate) const SWEEP_IDLE: Duration = Duration::from_millis(500);

/// The longest wait for the root group to commit a change; then the map tells what became of it.
pub(crate) const PROPOSE_MAX: Duration = Duration::from_secs(2);
/// The longest wait for a dserver to take a push or an order to sync.
pub(crate) const PUSH_MAX: Duration = Duration::from_secs(2);
