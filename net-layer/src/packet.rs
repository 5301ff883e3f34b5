//! One packet and its header's layout (little-endian, `docs/WIRE.md`).

use bytes::Bytes;

use crate::limits::{BEFORE_AUTH_BYTES_MAX, HEAD_BYTES_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX};

/// First four bytes of every packet, "sdfs" as text.
pub const MAGIC: u32 = u32::from_le_bytes(*b"sdfs");

/// Version of this framing. What the packets mean is versioned in the handshake.
pub const FRAMING_VERSION: u8 = 1;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketKind {
    /// Who the sender claims to be, and its nonce.
    Hello = 1,
    /// That the sender knows the key.
    Proof = 2,
    /// Why the sender will not go on.
    Refusal = 3,
    /// Is anybody there?
    Ping = 4,
    /// Yes.
    Pong = 5,
    /// A call.
    Request = 6,
    /// The answer to a call.
    Reply = 7,
    /// More of the payload of a request or reply.
    Chunk = 8,
    /// The caller waits no more.
    Cancel = 9,
    /// The sender closes in order.
    Goodbye = 10,
}

impl PacketKind {
    /// The kind a byte stands for.
    #[must_use]
    pub fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Proof,
            3 => Self::Refusal,
            4 => Self::Ping,
            5 => Self::Pong,
            6 => Self::Request,
            7 => Self::Reply,
            8 => Self::Chunk,
            9 => Self::Cancel,
            10 => Self::Goodbye,
            _ => return None,
        })
    }
}

/// Bits whose meaning depends on the kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// None set.
    pub const NONE: Self = Self(0);
    /// Chunks of the same request id follow.
    pub const MORE: Self = Self(1);
    /// A reply that refuses.
    pub const REFUSED: Self = Self(2);
    /// A chunk of a reply, not of a request.
    pub const OF_REPLY: Self = Self(4);
    /// A reply about an operation that the logs tell of.
    pub const TOLD: Self = Self(8);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One packet, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is for.
    pub kind: PacketKind,
    /// Bits whose meaning depends on the kind.
    pub flags: Flags,
    /// Which call it belongs to; chosen by the caller's end.
    pub request_id: u64,
    /// Control bytes, protected by a checksum.
    pub head: Bytes,
    /// Bulk bytes, protected end to end by whoever gives them a meaning.
    pub payload: Bytes,
}

impl Packet {
    /// A packet with a head only.
    #[must_use]
    pub fn control(kind: PacketKind, request_id: u64, head: Bytes) -> Self {
        Self {
            kind,
            flags: Flags::NONE,
            request_id,
            head,
            payload: Bytes::new(),
        }
    }
}

/// How large a received packet may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Head, in bytes.
    pub head_bytes_max: u32,
    /// Payload, in bytes.
    pub payload_bytes_max: u32,
}

impl PacketLimits {
    /// Before the other end has proven itself.
    pub const BEFORE_AUTH: Self = Self {
        head_bytes_max: BEFORE_AUTH_BYTES_MAX,
        payload_bytes_max: 0,
    };
}

impl Default for PacketLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        }
    }
}

/// The fixed part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: PacketKind,
    pub(crate) flags: Flags,
    pub(crate) request_id: u64,
    pub(crate) head_bytes: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) head_crc32c: u32,
}

impl Header {
    /// The header as it travels, its own checksum last.
    pub(crate) fn to_wire(self) -> [u8; HEADER_BYTES] {
        let mut wire = [0; HEADER_BYTES];
        wire[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        wire[4] = FRAMING_VERSION;
        wire[5] = self.kind as u8;
        wire[6..8].copy_from_slice(&self.flags.0.to_le_bytes());
        wire[8..16].copy_from_slice(&self.request_id.to_le_bytes());
        wire[16..20].copy_from_slice(&self.head_bytes.to_le_bytes());
        wire[20..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        wire[24..28].copy_from_slice(&self.head_crc32c.to_le_bytes());
        let crc = crc32c(&wire[..28]);
        wire[28..32].copy_from_slice(&crc.to_le_bytes());
        wire
    }
}

/// CRC-32C (Castagnoli), as iSCSI uses it.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}
