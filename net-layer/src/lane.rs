//! One bulk transfer that waits to be written: a packet, and the chunks its payload is cut into.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::PacketParts;
use crate::limits::{CHUNK_BYTES, HEADER_BYTES};
use crate::packet::{Flags, Header, PacketKind, crc32c};

/// A transfer. Chunks are cut only when they are written, so a queued one costs its pieces and
/// no more.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The kind and request id of the first packet: ids of requests and of replies are chosen by
    /// different ends and may be equal.
    call: (PacketKind, u64),
    /// Header and head of the first packet, until written.
    front: Option<Bytes>,
    pieces: VecDeque<Bytes>,
    left: usize,
    cut: Cut,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The pieces are the payload of the first packet.
    Whole,
    /// The pieces travel as chunks with these flags.
    Chunks(Flags),
}

impl Lane {
    /// One packet with its payload.
    pub(crate) fn whole(header: &[u8; HEADER_BYTES], parts: &PacketParts<'_>) -> Self {
        Self {
            call: (parts.kind, parts.request_id),
            front: Some(front(header, parts)),
            pieces: parts.payload.iter().cloned().collect(),
            left: parts.payload_bytes(),
            cut: Cut::Whole,
        }
    }

    /// A packet without payload and then the pieces in chunks.
    pub(crate) fn chunked(
        header: &[u8; HEADER_BYTES],
        parts: &PacketParts<'_>,
        pieces: Vec<Bytes>,
        chunk_flags: Flags,
    ) -> Self {
        Self {
            call: (parts.kind, parts.request_id),
            front: Some(front(header, parts)),
            left: pieces.iter().map(Bytes::len).sum(),
            pieces: pieces.into(),
            cut: Cut::Chunks(chunk_flags),
        }
    }

    pub(crate) fn is_of(&self, kind: PacketKind, request_id: u64) -> bool {
        self.call == (kind, request_id)
    }

    /// Bytes still to be written, headers of chunks included.
    pub(crate) fn bytes(&self) -> usize {
        let front = self.front.as_ref().map_or(0, Bytes::len);
        front + self.left + self.chunks() * HEADER_BYTES
    }

    fn chunks(&self) -> usize {
        match self.cut {
            Cut::Whole => 0,
            Cut::Chunks(_) => self.left.div_ceil(CHUNK_BYTES),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.front.is_none() && self.left == 0
    }

    /// Moves the next packet's pieces to the end of `batch`; says how many bytes they are.
    pub(crate) fn take_packet(&mut self, batch: &mut VecDeque<Bytes>) -> usize {
        let front = self.front.take();
        let mut bytes = front.as_ref().map_or(0, Bytes::len);
        let is_first = front.is_some();
        batch.extend(front);
        match self.cut {
            Cut::Whole => {
                bytes += self.left;
                self.left = 0;
                batch.extend(self.pieces.drain(..));
            }
            Cut::Chunks(_) if is_first => {}
            Cut::Chunks(flags) => bytes += self.take_chunk(flags, batch),
        }
        bytes
    }

    fn take_chunk(&mut self, flags: Flags, batch: &mut VecDeque<Bytes>) -> usize {
        let chunk_bytes = self.left.min(CHUNK_BYTES);
        self.left -= chunk_bytes;
        let header = Header {
            kind: PacketKind::Chunk,
            flags: if self.left > 0 {
                flags.with(Flags::MORE)
            } else {
                flags
            },
            request_id: self.call.1,
            head_bytes: 0,
            payload_bytes: u32::try_from(chunk_bytes).expect("a chunk is far below 4 GiB"),
            head_crc32c: crc32c(&[]),
        };
        batch.push_back(Bytes::copy_from_slice(&header.to_wire()));
        let mut room = chunk_bytes;
        while room > 0 {
            let Some(mut piece) = self.pieces.pop_front() else {
                break;
            };
            if piece.len() > room {
                self.pieces.push_front(piece.split_off(room));
            }
            room -= piece.len();
            batch.push_back(piece);
        }
        HEADER_BYTES + chunk_bytes
    }
}

fn front(header: &[u8; HEADER_BYTES], parts: &PacketParts<'_>) -> Bytes {
    let mut front = BytesMut::with_capacity(HEADER_BYTES + parts.prefix.len() + parts.head.len());
    front.put_slice(header);
    front.put_slice(parts.prefix);
    front.put_slice(parts.head);
    front.freeze()
}
