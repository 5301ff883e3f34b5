//! The bytes of a value, and which value some bytes are.
//!
//! A file is cells of 16 bytes: the value, and a number made of the value, the cell's place and
//! the file's length. So any part of it tells whose it is, and bytes of two writes, of another
//! place or of another length do not pass for one write's.

use bytes::Bytes;

use super::history::{Outcome, Value};
use super::random::mixed;

/// Clients a run may have: each makes values of its own.
pub(super) const CLIENTS_MAX: u32 = 64;
/// Bytes of a cell.
pub(super) const CELL_BYTES: u64 = 16;
/// Block size of the files that have several blocks.
pub(super) const SMALL_BLOCK_BYTES: u64 = 64 << 10;
/// Lengths of files: most small, as files are, some of several small blocks, one of several
/// large ones.
const LENGTHS: [u64; 16] = [
    16,
    64,
    512,
    1_024,
    2_000,
    4_096,
    4_112,
    6_000,
    8_192,
    10_000,
    16_000,
    32_768,
    65_536,
    65_552,
    3 * SMALL_BLOCK_BYTES + 160,
    1 << 20,
];

/// A value of `client`, its `serial`-th, of the same length as `like` if given.
pub(super) fn value(client: u32, serial: u64, like: Option<Value>) -> Value {
    let number = numbered(client, serial);
    let class = like.map_or(mixed(number), |value| value >> 1) % LENGTHS.len() as u64;
    (number * LENGTHS.len() as u64 + class) << 1
}

/// A value that is a file of zeros, told apart by its length alone.
pub(super) fn hole(client: u32, serial: u64) -> Value {
    numbered(client, serial) << 1 | 1
}

fn numbered(client: u32, serial: u64) -> u64 {
    (serial + 1) * u64::from(CLIENTS_MAX) + u64::from(client % CLIENTS_MAX)
}

/// Whether a value reads as zeros.
pub(super) fn is_hole(value: Value) -> bool {
    value & 1 == 1
}

/// How long the file of a value is.
pub(super) fn length(value: Value) -> u64 {
    if is_hole(value) {
        return value >> 1;
    }
    let class = (value >> 1) % LENGTHS.len() as u64;
    usize::try_from(class).map_or(0, |class| LENGTHS[class])
}

/// The bytes of a value that is no hole.
pub(super) fn content(value: Value) -> Bytes {
    let bytes = length(value);
    let cells = (0..bytes / CELL_BYTES).flat_map(|place| cell(value, place, bytes));
    cells.collect::<Vec<u8>>().into()
}

fn cell(value: Value, place: u64, length: u64) -> [u8; 16] {
    let proof = mixed(value ^ mixed(place.wrapping_mul(0x9e37_79b9) ^ length));
    let mut cell = [0; 16];
    cell[..8].copy_from_slice(&value.to_le_bytes());
    cell[8..].copy_from_slice(&proof.to_le_bytes());
    cell
}

/// What a whole file turned out to be.
pub(super) fn whole(bytes: &[u8]) -> Outcome {
    let length_read = bytes.len() as u64;
    if length_read > 0 && bytes.iter().all(|byte| *byte == 0) {
        return Outcome::Saw(length_read << 1 | 1);
    }
    match part(bytes, 0) {
        Outcome::Saw(value) if length(value) != length_read => {
            Outcome::Garbled(format!("{length_read} bytes of value {value}"))
        }
        outcome => outcome,
    }
}

/// What a part of a file that begins at cell `first` turned out to be.
pub(super) fn part(bytes: &[u8], first: u64) -> Outcome {
    if bytes.iter().all(|byte| *byte == 0) && !bytes.is_empty() {
        return Outcome::SawZeros;
    }
    let Some(number) = bytes.first_chunk::<8>() else {
        return Outcome::Garbled(format!("{} bytes", bytes.len()));
    };
    let value = Value::from_le_bytes(*number);
    let cells = bytes.chunks_exact(16);
    let is_cut = !cells.remainder().is_empty();
    let wrong = (first..)
        .zip(cells)
        .find(|(place, bytes)| **bytes != cell(value, *place, length(value)));
    match wrong {
        Some((place, _)) => Outcome::Garbled(format!("cell {place} is not of value {value}")),
        None if is_cut => Outcome::Garbled(format!("{} bytes of value {value}", bytes.len())),
        None => Outcome::Saw(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell_their_value() {
        for serial in 0..64 {
            let value = value(3, serial, None);
            let bytes = content(value);
            assert_eq!(bytes.len() as u64, length(value));
            assert_eq!(whole(&bytes), Outcome::Saw(value));
            assert_eq!(
                part(&bytes[bytes.len() - 16..], bytes.len() as u64 / 16 - 1),
                Outcome::Saw(value)
            );
        }
        let hole = hole(3, 7);
        let zeros = vec![0; usize::try_from(length(hole)).expect("small")];
        assert_eq!(whole(&zeros), Outcome::Saw(hole));
        assert_eq!(part(&zeros, 0), Outcome::SawZeros);
    }

    #[test]
    fn values_differ_and_keep_lengths() {
        let mut all = std::collections::BTreeSet::new();
        for client in 0..CLIENTS_MAX {
            for serial in 0..20 {
                assert!(all.insert(value(client, serial, None)));
                assert!(all.insert(hole(client, serial)));
            }
        }
        let first = value(1, 1, None);
        let second = value(2, 9, Some(first));
        assert_ne!(first, second);
        assert_eq!(length(first), length(second));
    }

    #[test]
    fn what_nobody_stored_is_garbled() {
        let long = |client| {
            let mut values = (0..).map(|serial| value(client, serial, None));
            content(
                values
                    .find(|value| length(*value) == 4_096)
                    .expect("endless"),
            )
        };
        let (one, other) = (long(1), long(2));
        let mut mixed = one.to_vec();
        mixed[2_048..].copy_from_slice(&other[2_048..]);
        let mut moved = one.to_vec();
        moved.rotate_left(16);
        let mut flipped = one.to_vec();
        flipped[4_095] ^= 1;
        let holed = [&one[..2_048], &[0; 2_048][..]].concat();
        for bytes in [
            &mixed[..],
            &moved,
            &flipped,
            &holed,
            &one[..2_048],
            &one[..4_095],
            &[],
        ] {
            assert!(matches!(whole(bytes), Outcome::Garbled(_)));
        }
    }
}
