//! Why connections end and packets are not taken.

use std::io;

use thiserror::Error;

use crate::codec::PacketFault;

/// Why a connection ended. The first reason counts; there is exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This end closed in order.
    #[error("closed by this end")]
    Ours,
    /// The other end closed in order.
    #[error("closed by the other end")]
    Theirs,
    /// What came is not a packet.
    #[error("bad packet: {0}")]
    BadPacket(PacketFault),
    /// A packet that has no place in the protocol at this moment.
    #[error("unexpected packet")]
    Unexpected,
    /// A packet begun was not finished in time.
    #[error("a packet took too long to arrive")]
    PacketTooSlow,
    /// The other end stopped reading.
    #[error("the other end stopped reading")]
    WriteStalled,
    /// More was queued for the other end than may ever be.
    #[error("too much is queued for the other end")]
    Overflow,
    /// Nothing came for too long.
    #[error("silent for too long")]
    Silent,
    /// The handshake failed.
    #[error("refused")]
    Refused,
    /// The handshake took too long.
    #[error("not proven in time")]
    NotProven,
    /// A newer connection took its place.
    #[error("replaced by a newer connection")]
    Replaced,
    /// This process was stopped for a while: what came meanwhile is too old to be done.
    #[error("this end was stopped for a while")]
    Stopped,
    /// The stream failed.
    #[error("stream error: {0}")]
    Io(io::ErrorKind),
}

impl CloseReason {
    /// The names counters use, in the order of `index`.
    pub(crate) const NAMES: [&'static str; 20] = [
        "ours",
        "theirs",
        "unexpected",
        "packet_too_slow",
        "write_stalled",
        "overflow",
        "silent",
        "refused",
        "not_proven",
        "replaced",
        "io",
        "bad_magic",
        "bad_version",
        "bad_kind",
        "bad_header_checksum",
        "bad_head_checksum",
        "head_too_large",
        "payload_too_large",
        "truncated",
        "stopped",
    ];

    /// The name counters use.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Whether the other end should get all that was sent before the end.
    pub(crate) fn is_in_order(self) -> bool {
        matches!(
            self,
            Self::Ours | Self::Refused | Self::NotProven | Self::Replaced
        )
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Ours => 0,
            Self::Theirs => 1,
            Self::Unexpected => 2,
            Self::PacketTooSlow => 3,
            Self::WriteStalled => 4,
            Self::Overflow => 5,
            Self::Silent => 6,
            Self::Refused => 7,
            Self::NotProven => 8,
            Self::Replaced => 9,
            Self::Io(_) => 10,
            Self::BadPacket(PacketFault::Magic) => 11,
            Self::BadPacket(PacketFault::Version(_)) => 12,
            Self::BadPacket(PacketFault::Kind(_)) => 13,
            Self::BadPacket(PacketFault::HeaderChecksum) => 14,
            Self::BadPacket(PacketFault::HeadChecksum) => 15,
            Self::BadPacket(PacketFault::HeadTooLarge(_)) => 16,
            Self::BadPacket(PacketFault::PayloadTooLarge(_)) => 17,
            Self::BadPacket(PacketFault::Truncated) => 18,
            Self::Stopped => 19,
        }
    }
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendFault {
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// The packet is above the limits of every connection.
    #[error("the packet is too large")]
    TooLarge,
}
