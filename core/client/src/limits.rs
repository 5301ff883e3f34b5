//! Every bound of the client, with its unit and its reason.

use std::time::Duration;

/// How long one operation may take, and a transfer may go without progress, when the caller says
/// nothing: longer than a leader election with a volume's fencing after it, short enough that a
/// person still waits.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// After its deadline, whoever knows why a transfer goes no further has this long to say so.
pub const LAST_WORDS: Duration = Duration::from_millis(500);
/// Between two renewals of a grant, at least: covers a clock so far ahead that each grant looks
/// over.
pub const RENEW_EVERY_MIN: Duration = Duration::from_secs(1);
/// A writer that comes back later than this has left its blocks alone meanwhile.
pub const LEFT_ALONE: Duration = Duration::from_secs(1);
/// Block bytes one transfer has in flight: fills three disks and a 10 Gbit/s wire at 50 ms.
pub const WINDOW_BYTES: u64 = 64 << 20;
/// Parts in flight however large they are, so that the next one travels while one is consumed.
pub const PARTS_IN_FLIGHT_MIN: usize = 2;
/// Parts in flight however small they are: above it a part costs more than it brings.
pub const PARTS_IN_FLIGHT_MAX: usize = 256;
/// First read of an open file at a new place: the piece around it and the next three.
pub const READ_AHEAD_FIRST_BYTES: u64 = 256 << 10;
/// A server that has not answered a question for this long is asked elsewhere.
pub const ATTEMPT_READ: Duration = Duration::from_secs(2);
/// A server that has not answered a change for this long is asked elsewhere, by the same request
/// id; longer than a leader election so that a slow one is not made slower by repetitions, and than
/// the five seconds a mserver looks for dservers before it says that there are none.
pub const ATTEMPT_CHANGE: Duration = Duration::from_secs(8);
/// How long the blocks on their way of a put that failed are waited for, so that they are freed
/// too. Its caller may wait for the reason meanwhile.
pub const STORED_WITHIN: Duration = Duration::from_secs(2);
/// How long freeing what was written for it may take after that: one mserver may be silent.
pub const ABORT_WITHIN: Duration = Duration::from_secs(3);
/// The slowest a block may travel before it is tried elsewhere, bytes a second.
pub const BLOCK_BYTES_PER_S_MIN: u64 = 8 << 20;
/// First pause before a repetition.
pub const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Longest pause before a repetition.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a server that was silent, lost or out of order is asked only when no other is left.
pub const AVOID: Duration = Duration::from_secs(3);
/// A dial with its handshake.
pub const DIAL: Duration = Duration::from_secs(3);
/// Between two measurements of the way to each mserver, while the client is used.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);
/// A ticket is renewed this long before it ends, milliseconds: covers clocks that differ.
pub const TICKET_MARGIN_MS: u64 = 60_000;
/// Block versions tried when one after the other is taken by writers that never committed.
pub const VERSIONS_TRIED_MAX: u32 = 256;
/// How often a file's metadata is asked again for one part of it: once because it was replaced,
/// and some for writers that replace it while it is read.
pub const REFRESHES_MAX: u32 = 8;
/// One piece of the zeros that holes read as, bytes.
pub const ZEROS_BYTES: usize = 64 << 10;

/// Bytes of a reader digested at a time.
pub(crate) const DIGEST_READ_BYTES: usize = 256 << 10;
/// Challenges about a content tried one after the other: a proof that comes too late is asked for
/// anew.
pub(crate) const CHALLENGES_MAX: usize = 4;
/// The slowest a file may be digested where it is kept before that is tried elsewhere, bytes a
/// second.
pub(crate) const DIGEST_BYTES_PER_S_MIN: u64 = 32 << 20;
