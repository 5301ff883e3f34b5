//! Where a record lies.

use std::fmt;

/// Number of a segment, growing in the order of writing and never used twice in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// Where a record lies: its segment, the byte in it where its header begins, and the bytes of
/// header, head and data together (without the padding behind them). Ordered by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub segment: u32,
    /// Offset of the record's header in the segment, a multiple of 64.
    pub offset: u32,
    /// Bytes of header, head and data.
    pub bytes: u32,
}

impl Position {
    /// Bytes a position takes on disk and in messages.
    pub const ENCODED_BYTES: usize = 12;

    /// The segment this lies in.
    #[must_use]
    pub fn segment_id(self) -> SegmentId {
        SegmentId(self.segment)
    }

    /// Little-endian segment, offset, bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::ENCODED_BYTES] {
        let mut out = [0; Self::ENCODED_BYTES];
        out[0..4].copy_from_slice(&self.segment.to_le_bytes());
        out[4..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        out
    }

    /// The inverse of [`Position::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::ENCODED_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            segment: u32::from_le_bytes([a, b, c, d]),
            offset: u32::from_le_bytes([e, f, g, h]),
            bytes: u32::from_le_bytes([i, j, k, l]),
        }
    }
}
