//! The bytes of a segment: its header and the header of a record. Pure; `docs/DISK.md` describes
//! the same byte by byte.

use crate::crc::{crc32c, crc32c_of_pieces};
use crate::limits::{
    DATA_BYTES_MAX, HEAD_BYTES_MAX, RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES,
};
use crate::position::SegmentId;

/// Newest format written, and the newest read.
pub(crate) const FORMAT_VERSION: u16 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"SDFSSEG1";
const RECORD_MAGIC: u32 = 0x5243_4453;
const SEGMENT_HEADER_USED: usize = 28;
const RECORD_CRC_AT: usize = 36;

/// Identity of one use of a segment file. A file is used again under another number without
/// being cleared, and what it held before (among it bytes that callers chose) must never be taken
/// for records: `life` is random for each use and stands in every record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) segment: SegmentId,
    pub(crate) life: u64,
}

/// Why a segment header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// No header was written yet under this number: too little, or the header of the number the
    /// file had before it was used again.
    NotBegun,
    /// There are zeroes. Nothing was written yet if nothing but zeroes follows.
    Blank,
    /// There was a header and it is damaged.
    Damaged,
    /// Written by a newer program.
    Version { version: u16, known: u16 },
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![0; SEGMENT_HEADER_BYTES as usize];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.segment.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.life.to_le_bytes());
        let crc = crc32c(&out[..24]);
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header of a file that bears the number `expected`.
    pub(crate) fn decode(bytes: &[u8], expected: SegmentId) -> Result<Self, HeaderFault> {
        let used = bytes
            .first_chunk::<SEGMENT_HEADER_USED>()
            .ok_or(HeaderFault::NotBegun)?;
        if *used == [0; SEGMENT_HEADER_USED] {
            return Err(HeaderFault::Blank);
        }
        if used[..8] != SEGMENT_MAGIC || crc32c(&used[..24]) != u32_at(used, 24) {
            return Err(HeaderFault::Damaged);
        }
        let version = u16::from_le_bytes([used[8], used[9]]);
        if version > FORMAT_VERSION {
            return Err(HeaderFault::Version {
                version,
                known: FORMAT_VERSION,
            });
        }
        let header = Self {
            segment: SegmentId(u32_at(used, 12)),
            life: u64_at(used, 16),
        };
        if header.segment != expected {
            return Err(HeaderFault::NotBegun);
        }
        Ok(header)
    }
}

/// What stands at a record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A caller's record.
    Record = 1,
    /// Nothing follows in this segment.
    End = 2,
}

/// The fixed part in front of a record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) home: SegmentHeader,
    pub(crate) head_bytes: u32,
    pub(crate) data_bytes: u32,
    pub(crate) data_crc: u32,
    /// Everything of the segment before this offset was durable before this record was written.
    /// It tells rot (below it) from the torn remains of a group commit (from it on).
    pub(crate) synced_to: u32,
}

impl RecordHeader {
    pub(crate) fn end(home: SegmentHeader, synced_to: u32) -> Self {
        Self {
            kind: RecordKind::End,
            home,
            head_bytes: 0,
            data_bytes: 0,
            data_crc: 0,
            synced_to,
        }
    }

    /// Bytes of header, head and data.
    pub(crate) fn bytes(&self) -> u32 {
        RECORD_HEADER_BYTES + self.head_bytes + self.data_bytes
    }

    /// The header in front of `head`.
    pub(crate) fn encode(&self, head: &[u8]) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut out = [0; RECORD_HEADER_BYTES as usize];
        out[0..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        out[4] = self.kind as u8;
        out[8..16].copy_from_slice(&self.home.life.to_le_bytes());
        out[16..20].copy_from_slice(&self.home.segment.0.to_le_bytes());
        out[20..24].copy_from_slice(&self.head_bytes.to_le_bytes());
        out[24..28].copy_from_slice(&self.data_bytes.to_le_bytes());
        out[28..32].copy_from_slice(&self.data_crc.to_le_bytes());
        out[32..36].copy_from_slice(&self.synced_to.to_le_bytes());
        let crc = crc32c_of_pieces([&out[..RECORD_CRC_AT], head]);
        out[36..40].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the fixed part; `head_crc_fits` must be asked once the head is there too.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<{ RECORD_HEADER_BYTES as usize }>()?;
        if u32_at(fixed, 0) != RECORD_MAGIC || fixed[5..8] != [0; 3] {
            return None;
        }
        let kind = match fixed[4] {
            1 => RecordKind::Record,
            2 => RecordKind::End,
            _ => return None,
        };
        let header = Self {
            kind,
            home: SegmentHeader {
                segment: SegmentId(u32_at(fixed, 16)),
                life: u64_at(fixed, 8),
            },
            head_bytes: u32_at(fixed, 20),
            data_bytes: u32_at(fixed, 24),
            data_crc: u32_at(fixed, 28),
            synced_to: u32_at(fixed, 32),
        };
        // Lengths are checked before anything is read or allocated by them.
        let in_bounds = header.head_bytes <= HEAD_BYTES_MAX && header.data_bytes <= DATA_BYTES_MAX;
        in_bounds.then_some(header)
    }

    /// Whether the checksum over the fixed part and the head is right.
    pub(crate) fn head_crc_fits(fixed: &[u8], head: &[u8]) -> bool {
        fixed.len() >= RECORD_HEADER_BYTES as usize
            && crc32c_of_pieces([&fixed[..RECORD_CRC_AT], head]) == u32_at(fixed, RECORD_CRC_AT)
    }
}

/// Bytes a record takes with the padding behind it.
pub(crate) fn padded(bytes: u32) -> u32 {
    bytes.next_multiple_of(RECORD_ALIGN_BYTES)
}

/// Name of a segment's file.
pub(crate) fn segment_file_name(segment: SegmentId) -> String {
    format!("{segment}.seg")
}

/// The number of the segment whose file has this name.
pub(crate) fn segment_of_file_name(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 10).then(|| digits.parse().ok().map(SegmentId))?
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn home() -> SegmentHeader {
        SegmentHeader {
            segment: SegmentId(7),
            life: 0x0102_0304_0506_0708,
        }
    }

    #[test]
    fn segment_header_golden_bytes() {
        let bytes = home().encode();
        assert_eq!(bytes.len(), 4096);
        assert_eq!(
            &bytes[..24],
            b"SDFSSEG1\x01\0\0\0\x07\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01"
        );
        assert_eq!(SegmentHeader::decode(&bytes, SegmentId(7)), Ok(home()));
    }

    #[test]
    fn header_of_another_number_means_not_begun() {
        let bytes = home().encode();
        assert_eq!(
            SegmentHeader::decode(&bytes, SegmentId(8)),
            Err(HeaderFault::NotBegun)
        );
    }

    #[test]
    fn newer_segment_version_is_named() {
        let mut bytes = home().encode();
        bytes[8] = 9;
        let crc = crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        let fault = HeaderFault::Version {
            version: 9,
            known: FORMAT_VERSION,
        };
        assert_eq!(SegmentHeader::decode(&bytes, SegmentId(7)), Err(fault));
    }

    #[test]
    fn file_names_sort_and_parse_back() {
        assert_eq!(segment_file_name(SegmentId(42)), "0000000042.seg");
        assert_eq!(segment_of_file_name("0000000042.seg"), Some(SegmentId(42)));
        assert_eq!(segment_of_file_name("42.seg"), None);
        assert_eq!(segment_of_file_name("0000000042.spare"), None);
    }

    proptest! {
        #[test]
        fn record_header_round_trips(
            head in proptest::collection::vec(any::<u8>(), 0..200),
            data_bytes in 0..=DATA_BYTES_MAX, data_crc: u32, synced_to: u32,
        ) {
            let header = RecordHeader {
                kind: RecordKind::Record, home: home(), head_bytes: head.len() as u32,
                data_bytes, data_crc, synced_to,
            };
            let bytes = header.encode(&head);
            prop_assert_eq!(RecordHeader::decode(&bytes), Some(header));
            prop_assert!(RecordHeader::head_crc_fits(&bytes, &head));
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0..(RECORD_HEADER_BYTES as usize + 9) * 8) {
            let head = *b"some head";
            let header = RecordHeader {
                kind: RecordKind::Record, home: home(), head_bytes: 9, data_bytes: 5,
                data_crc: 1, synced_to: 4096,
            };
            let mut bytes = [header.encode(&head).as_slice(), &head].concat();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (fixed, head) = bytes.split_at(RECORD_HEADER_BYTES as usize);
            prop_assert!(!RecordHeader::head_crc_fits(fixed, head));
        }
    }
}
