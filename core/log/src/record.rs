//! What is appended and what comes back.

use bytes::Bytes;

use crate::crc::crc32c_of_pieces;
use crate::limits::{DATA_BYTES_MAX, HEAD_BYTES_MAX, RECORD_HEADER_BYTES};

/// A record to append.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What replay hands out for indexing; at most `limits::HEAD_BYTES_MAX`.
    pub head: Bytes,
    /// The data, in pieces that are written one behind the other; at most
    /// `limits::DATA_BYTES_MAX` together.
    pub data: Vec<Bytes>,
    /// CRC-32C of the data when the caller knows it already; else the log computes it.
    pub data_crc: Option<u32>,
    /// Whether this record may use the space held in reserve. For records that free space (a
    /// tombstone, a purge mark) and for the few a server cannot go on without.
    pub use_reserve: bool,
}

impl Record {
    /// A record of a head and one piece of data.
    #[must_use]
    pub fn new(head: Bytes, data: Bytes) -> Self {
        Self {
            head,
            data: vec![data],
            data_crc: None,
            use_reserve: false,
        }
    }

    /// Bytes of all pieces of data.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// Bytes of header, head and data, or nothing when the record is larger than a record may be.
    pub(crate) fn bytes(&self) -> Option<u32> {
        let head = u32::try_from(self.head.len())
            .ok()
            .filter(|n| *n <= HEAD_BYTES_MAX)?;
        let data = u32::try_from(self.data_bytes())
            .ok()
            .filter(|n| *n <= DATA_BYTES_MAX)?;
        Some(RECORD_HEADER_BYTES + head + data)
    }

    /// The data's checksum, computed if the caller gave none.
    pub(crate) fn crc(&self) -> u32 {
        self.data_crc
            .unwrap_or_else(|| crc32c_of_pieces(self.data.iter().map(AsRef::as_ref)))
    }
}

/// A record read back, both checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The head as appended.
    pub head: Bytes,
    /// The data as appended, in one piece.
    pub data: Bytes,
    /// CRC-32C of the data.
    pub data_crc: u32,
}
