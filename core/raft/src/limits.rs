//! Bounds of raft, each with its unit and reason.

use std::time::Duration;

/// Bytes of one command. Metadata is small; file contents never travel through raft.
pub(crate) const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Bytes of entries in one record of the log. An entry that has left memory is read back with its
/// whole record, so records stay small.
pub(crate) const RECORD_BYTES_MAX: usize = 256 << 10;

/// Bytes of entries a group keeps in memory behind its end, so that members that are a little
/// behind and the state machine never wait for the disk.
pub(crate) const RECENT_BYTES_MAX: usize = 1 << 20;

/// Entries kept in memory likewise; bounds what many tiny entries cost beside their bytes.
pub(crate) const RECENT_ENTRIES_MAX: usize = 16_384;

/// What an entry costs in memory beside its command, in bytes, roughly.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Bytes and entries in one append to a member: long enough to fill a link, short enough that an
/// append is confirmed well before the next heartbeat is due.
pub(crate) const APPEND_BYTES_MAX: usize = 512 << 10;
pub(crate) const APPEND_ENTRIES_MAX: u64 = 2_048;

/// How long an append with entries may take; a member that is gone is noticed sooner by the mesh.
pub(crate) const APPEND_WAIT: Duration = Duration::from_secs(3);

/// Entries applied before the runtime may do something else; about 2 ms of work.
pub(crate) const APPLY_ENTRIES_MAX: usize = 256;

/// Changes to the store after which a batch is committed, so that it stays small and a machine's
/// cache always holds what is not committed yet.
pub(crate) const APPLY_CHANGES_MAX: usize = 4_096;

/// Entries after which a snapshot (a sync of the store) is due, so that the log can shrink.
pub(crate) const SNAPSHOT_ENTRIES: u64 = 30_000;

/// Entries kept in the log behind the snapshot, so that a member that was away for seconds gets
/// entries and not a snapshot.
pub(crate) const KEEP_ENTRIES: u64 = 5_000;

/// Entries purged together: each purge is a record in the log.
pub(crate) const PURGE_ENTRIES: u64 = 1_024;

/// Size of a full-grown segment of the log. All groups share it; a few of them hold what busy
/// groups need between two snapshots, and all of them are read at a start.
pub(crate) const SEGMENT_BYTES: u32 = 16 << 20;

/// Segments the log may have before the oldest is emptied by writing what is still needed again.
pub(crate) const SEGMENTS_MAX: usize = 4;

/// Entries of the oldest segment that may be written again at once, if they are no more than a
/// quarter of it. More than this means a busy group, most likely, whose next purge frees the
/// segment without any copying.
pub(crate) const COPY_ENTRIES_MAX: u32 = 4_096;

/// Segments the log may have while it waits for that purge. A group that is idle purges nothing:
/// however many entries it has there, they are written again then, as long as that makes room.
pub(crate) const SEGMENTS_PINNED_MAX: usize = 2 * SEGMENTS_MAX;

/// What an entry that is written again costs in the log beside its bytes: it is a record by itself.
pub(crate) const COPY_OVERHEAD_BYTES: u64 = 192;

/// Entries read together when they are written again; neighbours share a record.
pub(crate) const COPY_CHUNK_ENTRIES: usize = 256;

/// Bytes waiting for the log's disk before appends wait too.
pub(crate) const LOG_QUEUE_BYTES_MAX: u64 = 64 << 20;

/// Free bytes below which no commands are taken; votes, purges and what is on its way still fit.
pub(crate) const LOG_RESERVE_BYTES: u64 = 128 << 20;

/// Free bytes from which they are taken again.
pub(crate) const LOG_ROOM_BYTES: u64 = LOG_RESERVE_BYTES + 4 * SEGMENT_BYTES as u64;

/// How long a group may take to end before the log is closed under it.
pub(crate) const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// Tries to read entries that move while they are read (their segment was emptied meanwhile).
pub(crate) const READ_TRIES: u32 = 4;

/// Bytes of a piece of a snapshot: one call, answered before the next.
pub(crate) const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;

/// Bytes a receiver of a snapshot puts into its store at once, before it lets others run.
pub(crate) const SNAPSHOT_BATCH_BYTES: usize = 128 << 10;

/// How long one piece of a snapshot, or its installation, may take.
pub(crate) const SNAPSHOT_PIECE_WAIT: Duration = Duration::from_secs(20);

/// Proposals in one call to the leader, and their bytes.
pub(crate) const FORWARD_ENTRIES_MAX: usize = 1_024;
pub(crate) const FORWARD_BYTES_MAX: usize = 1 << 20;

/// Calls with proposals to one group's leader at a time. While all are on their way the next
/// proposals gather: two keep the leader busy, more would only make the batches smaller.
pub(crate) const FORWARD_CALLS_MAX: usize = 2;

/// Proposals of a group that wait to be forwarded; beyond it callers are told so.
pub(crate) const FORWARD_QUEUE_MAX: usize = 65_536;

/// Reads of a group that wait for a barrier; beyond it callers wait before they wait.
pub(crate) const BARRIER_QUEUE_MAX: usize = 65_536;

/// Waits between tries while there is no leader, doubling from the first to the last.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(5);
pub(crate) const RETRY_LAST: Duration = Duration::from_millis(80);

/// How long one try of a forwarded batch or a read round may take before the leader is asked for
/// again: longer than an election, so that a slow leader is not asked twice at once.
pub(crate) const TRY_WAIT: Duration = Duration::from_secs(3);

/// How often each group is looked after: leadership, learners, segments.
pub(crate) const TEND_EVERY: Duration = Duration::from_millis(500);

/// How long the preferred leader must have been up before leadership returns to it, and the least
/// time between two tries.
pub(crate) const RETURN_AFTER: Duration = Duration::from_secs(2);

/// Entries the preferred leader may lack when leadership returns: it gets them in one append.
pub(crate) const RETURN_LAG_MAX: u64 = 256;

/// Entries a learner may lack when it is made a voter.
pub(crate) const PROMOTE_LAG_MAX: u64 = 512;

/// How often a server that lacks a group asks the others who they are.
pub(crate) const INTRODUCE_EVERY: Duration = Duration::from_millis(200);

/// How long one such question may take.
pub(crate) const INTRODUCE_WAIT: Duration = Duration::from_secs(2);

/// How long the asked server may take to make sure what its groups have agreed on about the
/// asker: less than the asker waits.
pub(crate) const VERDICT_WAIT: Duration = Duration::from_millis(1_500);

/// Lines of the grid of openraft's sleeps in a heartbeat, about its ticks in one: the ticks of all
/// groups of a process are one wakeup, and elections and heartbeats come a tick later at most.
pub(crate) const SLEEPS_PER_HEARTBEAT: u32 = 5;

/// A sleep of openraft so short ends at once: tokio would make a millisecond of it.
pub(crate) const SLEEP_SHORTEST: Duration = Duration::from_micros(2);

/// When a snapshot somebody waits for is asked for again.
pub(crate) const SNAPSHOT_AGAIN: Duration = Duration::from_secs(2);
