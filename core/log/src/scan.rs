//! Walks through the records of one segment and finds where they end, or where they are damaged.

use std::io;
use std::sync::Arc;

use crate::crc::crc32c;
use crate::disk::DiskFile;
use crate::format::{RecordHeader, RecordKind, SegmentHeader, padded};
use crate::limits::{RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, REPLAY_READ_BYTES};
use crate::position::Position;

/// Takes a record found by replay: its position, head and data.
pub type OnRecord<'a> = &'a mut dyn FnMut(Position, &[u8], &[u8]);

/// What a walk through a segment found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) records: u64,
    /// End of the last valid record.
    pub(crate) end: u32,
    /// Whether the segment says itself that it ends there.
    pub(crate) is_ended: bool,
    /// Stretches without a valid record although one follows: start, length, and whether it had
    /// been durable.
    pub(crate) gaps: Vec<Gap>,
}

/// A stretch without a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) was_synced: bool,
}

/// Walks through the segment from `start`, handing out every valid record.
pub(crate) fn scan(
    file: &Arc<dyn DiskFile>,
    home: SegmentHeader,
    start: u32,
    on_record: OnRecord<'_>,
) -> io::Result<Scanned> {
    let mut window = Window::new(file)?;
    let mut found = Scanned {
        end: start,
        ..Scanned::default()
    };
    let mut offset = start;
    while let Some((at, header)) = window.next_record(home, offset)? {
        if at > offset {
            found.gaps.push(Gap {
                offset,
                bytes: at - offset,
                was_synced: false,
            });
        }
        for gap in &mut found.gaps {
            gap.was_synced |= header.synced_to > gap.offset;
        }
        offset = at + padded(header.bytes());
        found.end = offset;
        if header.kind == RecordKind::End {
            found.is_ended = true;
            break;
        }
        let body = window
            .bytes_at(u64::from(at), header.bytes() as usize)?
            .unwrap_or_default();
        let (head, data) =
            body[RECORD_HEADER_BYTES as usize..].split_at(header.head_bytes as usize);
        let segment = home.segment.0;
        on_record(
            Position {
                segment,
                offset: at,
                bytes: header.bytes(),
            },
            head,
            data,
        );
        found.records += 1;
    }
    Ok(found)
}

/// The part of a file in memory.
struct Window<'a> {
    file: &'a Arc<dyn DiskFile>,
    file_bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a Arc<dyn DiskFile>) -> io::Result<Self> {
        Ok(Self {
            file,
            file_bytes: file.bytes()?,
            start: 0,
            held: Vec::new(),
        })
    }

    /// The bytes there, or nothing when the file ends before.
    fn bytes_at(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + length as u64 > self.file_bytes {
            return Ok(None);
        }
        let end = self.start + self.held.len() as u64;
        if offset < self.start || offset + length as u64 > end {
            self.held = self.file.read_at(offset, length.max(REPLAY_READ_BYTES))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.held.get(from..from + length))
    }

    /// The first valid record at `offset` or behind it.
    fn next_record(
        &mut self,
        home: SegmentHeader,
        mut offset: u32,
    ) -> io::Result<Option<(u32, RecordHeader)>> {
        while u64::from(offset) + u64::from(RECORD_HEADER_BYTES) <= self.file_bytes {
            if let Some(header) = self.record_at(home, offset)? {
                return Ok(Some((offset, header)));
            }
            offset += RECORD_ALIGN_BYTES;
        }
        Ok(None)
    }

    fn record_at(&mut self, home: SegmentHeader, offset: u32) -> io::Result<Option<RecordHeader>> {
        let fixed = self.bytes_at(u64::from(offset), RECORD_HEADER_BYTES as usize)?;
        let header = fixed
            .and_then(RecordHeader::decode)
            .filter(|header| header.home == home);
        let Some(header) = header else {
            return Ok(None);
        };
        // The head first: its checksum tells whether the length of the data can be trusted.
        let head_end = (RECORD_HEADER_BYTES + header.head_bytes) as usize;
        let Some(front) = self.bytes_at(u64::from(offset), head_end)? else {
            return Ok(None);
        };
        let (fixed, head) = front.split_at(RECORD_HEADER_BYTES as usize);
        if !RecordHeader::head_crc_fits(fixed, head) {
            return Ok(None);
        }
        let whole = self.bytes_at(u64::from(offset), header.bytes() as usize)?;
        let is_valid = whole.is_some_and(|whole| crc32c(&whole[head_end..]) == header.data_crc);
        Ok(is_valid.then_some(header))
    }
}
