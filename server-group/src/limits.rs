//! Every bound of the server group, with its unit and its reason.

use std::time::Duration;

/// Version of what packets mean between ends; differing ends refuse each other.
pub const PROTOCOL_VERSION: u8 = 8;

/// The target of the log's lines about single operations.
pub const TRACE_TARGET: &str = "sdfs::trace";

/// Payload of one call: the largest block, with slack for what describes it.
pub const PAYLOAD_BYTES_MAX: usize = (64 << 20) + (64 << 10);

/// Payloads above this travel in chunks, so that no packet holds up others for long.
pub(crate) const WHOLE_PAYLOAD_BYTES_MAX: usize = sdfs_net_layer::limits::CHUNK_BYTES;

/// Announced bytes of the payloads one link is assembling: four of the largest at once.
pub(crate) const ASSEMBLY_BYTES_MAX: usize = 4 * PAYLOAD_BYTES_MAX;

/// Payloads one link is assembling, each of which has an entry even before its first byte.
pub(crate) const ASSEMBLIES_MAX: usize = 4096;

/// Calls of this end without an answer, on one link: some hundred bytes each.
pub(crate) const CALLS_MAX: usize = 65_536;

/// Calls of the other end being served, on one link.
pub(crate) const SERVED_MAX: usize = 16_384;

/// Cancelled calls remembered by one link, so that their answers need not be sent.
pub(crate) const CANCELLED_KEPT: usize = 256;

/// Packets handled before other tasks of the thread get their turn.
pub(crate) const PACKETS_PER_TURN: usize = 256;

/// Events a subscriber may lag behind.
pub(crate) const EVENTS_KEPT: usize = 1024;

/// Longest name of a user, in bytes: it travels in the handshake.
pub(crate) const USER_BYTES_MAX: usize = 255;

/// The first wait before a peer is dialed again, and the longest.
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(50);
/// See [`REDIAL_MIN`].
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(2);

/// Between a client's pings: often enough to know the nearest server.
pub(crate) const CLIENT_PING_EVERY: Duration = Duration::from_millis(500);
/// A client gives a silent server up after this.
pub(crate) const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(3);
/// A server gives a silent client up after this: longer, for a client may be busy computing, but
/// not so long that what it sent before a cut is done when nobody expects it any more.
pub(crate) const SERVER_SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often a server notes that it runs.
pub(crate) const AWAKE_BEAT: Duration = Duration::from_millis(500);
/// A server that has not run for so long has been stopped: longer than a busy machine keeps a
/// thread waiting. By then clients and servers alike have given it up; what was given up in less
/// time and asked of others is known by its request id.
pub(crate) const STOPPED_MIN: Duration = Duration::from_secs(3);

/// How long a ticket is good. A removed user keeps the access of a ticket until it ends.
pub(crate) const TICKET_MS: u64 = 60 * 60 * 1000;

/// Calls kept of those that took longest.
pub(crate) const SLOW_CALLS_KEPT: usize = 16;
/// A call that is answered sooner is not slow, whatever else there is.
pub(crate) const SLOW_CALL_MIN: Duration = Duration::from_millis(20);
/// A slow call is kept for this long at least, and for twice as long at most.
pub(crate) const SLOW_CALLS_SPAN: Duration = Duration::from_secs(300);
