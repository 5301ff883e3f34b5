//! Bytes to packets and back, with no I/O. Refuses whatever is not a packet before allocating
//! anything for it.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use crate::limits::{COPY_BYTES_MAX, HEADER_BYTES};
use crate::packet::{
    FRAMING_VERSION, Flags, Header, MAGIC, Packet, PacketKind, PacketLimits, crc32c,
};

/// Why bytes are not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PacketFault {
    /// It does not begin as a packet does.
    #[error("no packet: wrong first bytes; the other end speaks TLS or something else")]
    Magic,
    /// Another version of the framing.
    #[error("framing version {0} is not spoken here")]
    Version(u8),
    /// A kind that does not exist.
    #[error("unknown packet kind {0}")]
    Kind(u8),
    /// The header was damaged.
    #[error("wrong header checksum")]
    HeaderChecksum,
    /// The head was damaged.
    #[error("wrong head checksum")]
    HeadChecksum,
    /// The head is above the limit.
    #[error("a head of {0} bytes is too large")]
    HeadTooLarge(u32),
    /// The payload is above the limit.
    #[error("a payload of {0} bytes is too large")]
    PayloadTooLarge(u32),
    /// The stream ended inside a packet.
    #[error("the stream ended inside a packet")]
    Truncated,
}

/// An error of the codec used on a stream: the fault, or the stream's own error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are no packet.
    #[error(transparent)]
    Fault(#[from] PacketFault),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Turns bytes into packets and back. After a fault the stream cannot be read on.
#[derive(Debug, Clone, Copy, Default)]
pub struct PacketCodec {
    limits: PacketLimits,
}

impl PacketCodec {
    /// A codec that refuses larger packets than these limits.
    #[must_use]
    pub fn new(limits: PacketLimits) -> Self {
        Self { limits }
    }

    /// Refuses larger packets than these from now on.
    pub fn set_limits(&mut self, limits: PacketLimits) {
        self.limits = limits;
    }

    /// The next packet, taken off the front; `None` while it is not whole, then with room reserved
    /// for the rest of it. A large payload shares the buffer's memory, small pieces are copied.
    ///
    /// # Errors
    /// When the bytes are no packet or a packet above the limits.
    pub fn take(&self, source: &mut BytesMut) -> Result<Option<Packet>, PacketFault> {
        Ok(match self.take_within(source, usize::MAX)? {
            Taken::Whole(packet) => Some(packet),
            Taken::Front { .. } | Taken::Nothing => None,
        })
    }

    /// As `take`, but of a packet whose payload is at least `bulk_bytes` long and not all there,
    /// only what precedes the payload is taken.
    pub(crate) fn take_within(
        &self,
        source: &mut BytesMut,
        bulk_bytes: usize,
    ) -> Result<Taken, PacketFault> {
        let Some(header) = self.header(source)? else {
            return Ok(Taken::Nothing);
        };
        let (head_bytes, payload_bytes) =
            (header.head_bytes as usize, header.payload_bytes as usize);
        let front_bytes = HEADER_BYTES + head_bytes;
        let bytes = front_bytes + payload_bytes;
        let is_front =
            source.len() < bytes && payload_bytes >= bulk_bytes && source.len() >= front_bytes;
        if source.len() < bytes && !is_front {
            let wanted = if payload_bytes >= bulk_bytes {
                front_bytes
            } else {
                bytes
            };
            source.reserve(wanted - source.len());
            return Ok(Taken::Nothing);
        }
        if crc32c(&source[HEADER_BYTES..front_bytes]) != header.head_crc32c {
            return Err(PacketFault::HeadChecksum);
        }
        source.advance(HEADER_BYTES);
        let head = piece(source, head_bytes);
        let payload = if is_front {
            Bytes::new()
        } else {
            piece(source, payload_bytes)
        };
        let Header {
            kind,
            flags,
            request_id,
            ..
        } = header;
        let packet = Packet {
            kind,
            flags,
            request_id,
            head,
            payload,
        };
        Ok(if is_front {
            Taken::Front {
                packet,
                payload_bytes,
            }
        } else {
            Taken::Whole(packet)
        })
    }

    fn header(&self, source: &[u8]) -> Result<Option<Header>, PacketFault> {
        // Garbage is refused at its first four bytes; nothing waits for the rest of a header.
        if source.len() >= 4 && u32_at(source, 0) != MAGIC {
            return Err(PacketFault::Magic);
        }
        let Some(source) = source.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        if source[4] != FRAMING_VERSION {
            return Err(PacketFault::Version(source[4]));
        }
        if crc32c(&source[..28]) != u32_at(source, 28) {
            return Err(PacketFault::HeaderChecksum);
        }
        let kind = PacketKind::from_wire(source[5]).ok_or(PacketFault::Kind(source[5]))?;
        let header = Header {
            kind,
            flags: Flags(u16::from_le_bytes([source[6], source[7]])),
            request_id: u64::from(u32_at(source, 8)) | u64::from(u32_at(source, 12)) << 32,
            head_bytes: u32_at(source, 16),
            payload_bytes: u32_at(source, 20),
            head_crc32c: u32_at(source, 24),
        };
        if header.head_bytes > self.limits.head_bytes_max {
            return Err(PacketFault::HeadTooLarge(header.head_bytes));
        }
        if header.payload_bytes > self.limits.payload_bytes_max {
            return Err(PacketFault::PayloadTooLarge(header.payload_bytes));
        }
        Ok(Some(header))
    }
}

/// What was taken off the front of the bytes that came.
pub(crate) enum Taken {
    /// A packet.
    Whole(Packet),
    /// A packet but for its payload, which begins with the bytes that are left.
    Front {
        packet: Packet,
        payload_bytes: usize,
    },
    /// Nothing yet.
    Nothing,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn piece(source: &mut BytesMut, bytes: usize) -> Bytes {
    match bytes {
        0 => Bytes::new(),
        1..=COPY_BYTES_MAX => {
            let copy = Bytes::copy_from_slice(&source[..bytes]);
            source.advance(bytes);
            copy
        }
        _ => source.split_to(bytes).freeze(),
    }
}

impl Decoder for PacketCodec {
    type Item = Packet;
    type Error = CodecError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
        Ok(self.take(source)?)
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
        match self.take(source)? {
            None if !source.is_empty() => Err(PacketFault::Truncated.into()),
            packet => Ok(packet),
        }
    }
}

impl Encoder<Packet> for PacketCodec {
    type Error = CodecError;

    fn encode(&mut self, packet: Packet, target: &mut BytesMut) -> Result<(), CodecError> {
        let parts = PacketParts {
            kind: packet.kind,
            flags: packet.flags,
            request_id: packet.request_id,
            prefix: &[],
            head: &packet.head,
            payload: std::slice::from_ref(&packet.payload),
        };
        target.reserve(parts.bytes());
        let header = parts.header(self.limits)?;
        target.put_slice(&header.to_wire());
        target.put_slice(&packet.head);
        target.put_slice(&packet.payload);
        Ok(())
    }
}

/// A packet to be sent, in borrowed parts, so that nothing is copied twice or allocated.
#[derive(Debug, Clone, Copy)]
pub struct PacketParts<'a> {
    /// What it is for.
    pub kind: PacketKind,
    /// Bits whose meaning depends on the kind.
    pub flags: Flags,
    /// Which call it belongs to.
    pub request_id: u64,
    /// First bytes of the head.
    pub prefix: &'a [u8],
    /// The other bytes of the head.
    pub head: &'a [u8],
    /// The payload, in pieces.
    pub payload: &'a [Bytes],
}

impl PacketParts<'_> {
    /// Bytes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.prefix.len() + self.head.len() + self.payload_bytes()
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// Its header, when it is within the limits.
    pub(crate) fn header(&self, limits: PacketLimits) -> Result<Header, PacketFault> {
        let head_bytes = saturated(self.prefix.len() + self.head.len());
        let payload_bytes = saturated(self.payload_bytes());
        if head_bytes > limits.head_bytes_max {
            return Err(PacketFault::HeadTooLarge(head_bytes));
        }
        if payload_bytes > limits.payload_bytes_max {
            return Err(PacketFault::PayloadTooLarge(payload_bytes));
        }
        let head_crc32c = if self.prefix.is_empty() {
            crc32c(self.head)
        } else {
            let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            digest.update(self.prefix);
            digest.update(self.head);
            u32::try_from(digest.finalize()).expect("a CRC of 32 bits")
        };
        Ok(Header {
            kind: self.kind,
            flags: self.flags,
            request_id: self.request_id,
            head_bytes,
            payload_bytes,
            head_crc32c,
        })
    }
}

/// Far above every limit, so that it is refused as too large.
fn saturated(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
