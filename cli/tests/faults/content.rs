//! Bytes that can be made again from a number, so that no test has to keep what it stored.

use bytes::Bytes;
use futures::Stream;

/// `length` bytes that differ for each `seed` and do not repeat.
pub(crate) fn bytes(seed: u64, length: usize) -> Bytes {
    let mut made = Vec::with_capacity(length + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while made.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(length);
    made.into()
}

/// `length` bytes as a stream of pieces of 1 MiB, and what they hash to.
pub(crate) fn stream(seed: u64, length: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    const PIECE: u64 = 1 << 20;
    let pieces = length.div_ceil(PIECE);
    futures::stream::iter((0..pieces).map(move |piece| {
        let left = length - piece * PIECE;
        Ok(bytes(seed + piece, left.min(PIECE) as usize))
    }))
}

/// The hash of what [`stream`] makes.
pub(crate) fn stream_hash(seed: u64, length: u64) -> blake3::Hash {
    const PIECE: u64 = 1 << 20;
    let mut hasher = blake3::Hasher::new();
    for piece in 0..length.div_ceil(PIECE) {
        let left = length - piece * PIECE;
        hasher.update(&bytes(seed + piece, left.min(PIECE) as usize));
    }
    hasher.finalize()
}
