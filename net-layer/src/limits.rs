//! Every bound of the net layer, with its unit and its reason.

use std::time::Duration;

/// Bytes of a packet's header, fixed by the wire.
pub const HEADER_BYTES: usize = 32;

/// Head of one packet: holds the meta-data page of a large file, far above any control message.
pub const HEAD_BYTES_MAX: u32 = 4 << 20;

/// Payload of one packet: one chunk, with slack for a peer that cuts coarser than this end.
pub const PAYLOAD_BYTES_MAX: u32 = (1 << 20) + (64 << 10);

/// Head and payload together before the other end has proven itself: a handshake packet is some
/// hundred bytes.
pub const BEFORE_AUTH_BYTES_MAX: u32 = 4 << 10;

/// Payload of a packet cut from a longer transfer: long enough that system calls do not count,
/// short enough that a control packet waits behind it for microseconds only.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Payloads up to this are copied into the queue's flat buffer: below it, a copy costs less than
/// another entry of a vectored write.
pub(crate) const INLINE_BYTES_MAX: usize = 16 << 10;

/// Received pieces up to this are copied out of the read buffer, so that somebody who keeps a
/// small piece does not keep the whole buffer.
pub(crate) const COPY_BYTES_MAX: usize = 8 << 10;

/// Payloads from this on are read straight into memory of their own; below, they take their part
/// of the read buffer with them.
pub(crate) const BULK_BYTES_MIN: usize = 64 << 10;

/// Chunk buffers kept for use again, in all connections of one end: 8 MiB, what a busy disk has in
/// hand.
pub(crate) const BUFFERS_KEPT: usize = 32;

/// The read buffer of an idle connection, and of one in a bulk transfer: a header and a head.
pub(crate) const READ_BYTES_MIN: usize = 4 << 10;

/// The read buffer of a busy connection: some hundred packets for one system call.
pub(crate) const READ_BYTES_MAX: usize = 128 << 10;

/// Reads that used little of the buffer before it shrinks.
pub(crate) const SMALL_READS_BEFORE_SHRINK: u32 = 64;

/// Bulk bytes of one vectored write: what follows waits at most this long behind.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Entries of one vectored write; the system takes 1024 at most.
pub(crate) const BATCH_SLICES_MAX: usize = 64;

/// Room kept in the flat buffer between bursts.
pub(crate) const FLAT_BYTES_KEPT: usize = 64 << 10;

/// Queued bytes above which senders wait: some round trips' worth on a fast network.
pub const QUEUE_BYTES_MAX: usize = 8 << 20;

/// Queued bytes above which a connection is closed. Reached only by answers, which cannot wait,
/// towards an end that asks without reading.
pub const QUEUE_BYTES_HARD_MAX: usize = 512 << 20;

/// A packet begun is finished within this time, or its sender dribbles on purpose.
pub const PACKET_MS_MAX: u64 = 10_000;

/// A write makes progress within this time, or the reader has stopped for good.
pub const WRITE_MS_MAX: u64 = 30_000;

/// What is queued at a close is written within this time.
pub(crate) const DRAIN_MS_MAX: u64 = 1_000;

/// Accepted connections that have not proven themselves yet; more wait in the system's backlog.
pub const UNPROVEN_MAX: usize = 256;

/// Pause after a failed accept (out of file descriptors), so that it does not spin.
pub(crate) const ACCEPT_PAUSE_MS: u64 = 50;

/// Descriptors kept for files: of the process's limit one in so many ...
pub(crate) const FILE_DESCRIPTORS_SHARE: u64 = 2;

/// ... and this many at most: the open segments of a dozen disks and a store.
pub(crate) const FILE_DESCRIPTORS_MAX: u64 = 4_096;

/// Silence after which the kernel asks a peer that dialed whether it is there: with the two below
/// it is given up after two minutes, well before anything else would notice.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);

/// How long the kernel waits before it asks again.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Questions without an answer after which the peer is gone.
pub const KEEP_ALIVE_COUNT: u32 = 4;
