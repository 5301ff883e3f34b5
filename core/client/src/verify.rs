//! Whether bytes that came are the bytes that were stored: checksums of whole blocks and of
//! pieces.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use sdfs_server_group::Payload;
use sdfs_types::BlockEntry;
use sdfs_types::calls::blocks::BlockRange;
use sdfs_types::limits::PIECE_BYTES;

/// CRC-32C of a payload.
pub(crate) fn crc32c(payload: &Payload) -> u32 {
    match payload.pieces() {
        [piece] => crc_fast::crc32_iscsi(piece),
        pieces => {
            let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
            pieces.iter().for_each(|piece| digest.update(piece));
            low(digest.finalize())
        }
    }
}

/// The bytes `[offset, offset + length)` of a stored block out of an answer, shorter at the end
/// of what is stored. `None` when they are not what `entry` names.
pub(crate) fn checked(
    entry: &BlockEntry,
    range: &BlockRange,
    payload: Payload,
    wanted: (u32, u32),
) -> Option<Payload> {
    let begin = range.offset_bytes;
    let covered = u64::from(begin) + payload.len() as u64;
    let is_whole = begin == 0 && covered == u64::from(range.block_bytes);
    let (offset, length) = wanted;
    let end = (u64::from(offset) + u64::from(length)).min(u64::from(range.block_bytes));
    let is_covering = begin <= offset && covered >= end && covered <= range.block_bytes.into();
    if range.crc32c != entry.crc32c || !is_covering {
        return None;
    }
    let is_right = if is_whole {
        crc32c(&payload) == entry.crc32c
    } else {
        begin.is_multiple_of(PIECE_BYTES) && are_pieces_right(&payload, &range.piece_crc32c)
    };
    is_right.then(|| {
        let mut rest = payload;
        drop(rest.split_to(usize::try_from(offset - begin).unwrap_or(usize::MAX)));
        let length = end.saturating_sub(offset.into());
        rest.split_to(usize::try_from(length).unwrap_or(usize::MAX))
    })
}

/// Checks each piece of a payload that begins at a piece's boundary.
fn are_pieces_right(payload: &Payload, expected: &[u32]) -> bool {
    let mut expected = expected.iter();
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut open_bytes = 0;
    for bytes in payload.pieces() {
        let mut bytes: &[u8] = bytes;
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(PIECE_BYTES as usize - open_bytes));
            digest.update(head);
            open_bytes += head.len();
            bytes = tail;
            if open_bytes == PIECE_BYTES as usize {
                if expected.next() != Some(&low(digest.finalize_reset())) {
                    return false;
                }
                open_bytes = 0;
            }
        }
    }
    let is_last_right = open_bytes == 0 || expected.next() == Some(&low(digest.finalize()));
    is_last_right && expected.next().is_none()
}

/// The checksum is in the low half.
fn low(crc: u64) -> u32 {
    u32::try_from(crc & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Zeros of that length, all in shared memory.
pub(crate) fn zeros(bytes: u64) -> Payload {
    static ZEROS: [u8; crate::limits::ZEROS_BYTES] = [0; crate::limits::ZEROS_BYTES];
    let mut left = bytes;
    let mut payload = Payload::new();
    while left > 0 {
        let this = left.min(ZEROS.len() as u64);
        left -= this;
        let length = usize::try_from(this).unwrap_or(ZEROS.len());
        payload.push(Bytes::from_static(&ZEROS[..length]));
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sdfs_types::{BlockVersion, VolumeId};

    const BLOCK: usize = 200_000;

    fn block() -> Bytes {
        (0..BLOCK)
            .map(|at| u8::try_from(at % 251).expect("below 251"))
            .collect()
    }

    fn entry() -> BlockEntry {
        BlockEntry {
            version: BlockVersion(1),
            volume: VolumeId(1),
            length_bytes: 200_000,
            crc32c: crc_fast::crc32_iscsi(&block()),
        }
    }

    fn answer(offset: u32, length: u32) -> (BlockRange, Payload) {
        let piece = PIECE_BYTES as usize;
        let begin = offset as usize / piece * piece;
        let end = ((offset + length) as usize)
            .next_multiple_of(piece)
            .min(BLOCK);
        let bytes = block().slice(begin..end);
        let whole = begin == 0 && end == BLOCK;
        let pieces = bytes.chunks(piece).map(crc_fast::crc32_iscsi).collect();
        let range = BlockRange {
            offset_bytes: u32::try_from(begin).expect("small"),
            block_bytes: 200_000,
            crc32c: entry().crc32c,
            piece_crc32c: if whole { Vec::new() } else { pieces },
        };
        let cuts = bytes
            .chunks(10_007)
            .map(Bytes::copy_from_slice)
            .collect::<Vec<_>>();
        (range, Payload::from(cuts))
    }

    #[test]
    fn known_checksum() {
        assert_eq!(crc32c(&Payload::from(b"123456789".to_vec())), 0xe306_9283);
        let cut = vec![Bytes::from_static(b"1234"), Bytes::from_static(b"56789")];
        assert_eq!(crc32c(&Payload::from(cut)), 0xe306_9283);
        assert_eq!(crc32c(&Payload::new()), 0);
    }

    #[test]
    fn another_block_is_refused() {
        let (mut range, payload) = answer(0, 200_000);
        range.crc32c ^= 1;
        assert!(checked(&entry(), &range, payload, (0, 200_000)).is_none());
    }

    #[test]
    fn short_answers_are_refused() {
        let (range, mut payload) = answer(70_000, 10);
        let payload = payload.split_to(100);
        assert!(checked(&entry(), &range, payload, (70_000, 10)).is_none());
    }

    #[test]
    fn zeros_are_zeros() {
        assert_eq!(zeros(0).len(), 0);
        assert_eq!(zeros(200_001).to_bytes(), vec![0; 200_001]);
    }

    proptest! {
        #[test]
        fn right_ranges_pass_flipped_bits_do_not(
            offset in 0u32..200_000, length in 1u32..200_001, flip: prop::sample::Index
        ) {
            let end = (offset + length).min(200_000) as usize;
            let (range, payload) = answer(offset, length.min(200_000 - offset));
            let found = checked(&entry(), &range, payload.clone(), (offset, length));
            let found = found.expect("right bytes").to_bytes();
            prop_assert_eq!(found, block().slice(offset as usize..end));
            let mut bytes = payload.to_bytes().to_vec();
            let at = flip.index(bytes.len());
            bytes[at] ^= 4;
            let damaged = Payload::from(bytes);
            prop_assert!(checked(&entry(), &range, damaged, (offset, length)).is_none());
        }
    }
}
