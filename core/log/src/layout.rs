//! Lays out a run of records for one `pwritev`: small pieces are copied together, large ones are
//! written from where they are.

use std::io::IoSlice;
use std::ops::Range;

use crate::limits::COPY_BYTES_MAX;

/// Pieces of a run in their order.
pub(crate) struct Layout<'a> {
    copied: Vec<u8>,
    stretches: Vec<Stretch<'a>>,
}

enum Stretch<'a> {
    Copied(Range<usize>),
    Whole(&'a [u8]),
}

impl<'a> Layout<'a> {
    /// An empty layout that copies into `buffer`, whose contents are dropped.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            copied: buffer,
            stretches: Vec::new(),
        }
    }

    /// Adds bytes that live long enough to be written from where they are.
    pub(crate) fn put(&mut self, bytes: &'a [u8]) {
        if bytes.len() > COPY_BYTES_MAX {
            self.stretches.push(Stretch::Whole(bytes));
        } else {
            self.copy(bytes);
        }
    }

    /// Adds a copy of bytes.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        let end = self.copied.len();
        match self.stretches.last_mut() {
            Some(Stretch::Copied(range)) if range.end == start => range.end = end,
            _ => self.stretches.push(Stretch::Copied(start..end)),
        }
    }

    /// Adds so many zeroes.
    pub(crate) fn zeroes(&mut self, count: u32) {
        let start = self.copied.len();
        self.copied.resize(start + count as usize, 0);
        let end = self.copied.len();
        match self.stretches.last_mut() {
            Some(Stretch::Copied(range)) if range.end == start => range.end = end,
            _ if count == 0 => {}
            _ => self.stretches.push(Stretch::Copied(start..end)),
        }
    }

    /// The pieces to write.
    pub(crate) fn pieces(&self) -> Vec<IoSlice<'_>> {
        self.stretches
            .iter()
            .map(|stretch| match stretch {
                Stretch::Whole(bytes) => IoSlice::new(bytes),
                Stretch::Copied(range) => IoSlice::new(&self.copied[range.clone()]),
            })
            .collect()
    }

    /// Gives the buffer back to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.copied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_order() {
        let large = vec![7_u8; COPY_BYTES_MAX + 1];
        let mut layout = Layout::new(b"old".to_vec());
        layout.copy(b"ab");
        layout.put(b"cd");
        layout.put(&large);
        layout.zeroes(3);
        layout.zeroes(0);
        let pieces = layout.pieces();
        assert_eq!(pieces.len(), 3);
        let all: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        assert_eq!(all, [b"abcd".as_slice(), &large, &[0; 3]].concat());
    }
}
