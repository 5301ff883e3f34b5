//! The base64 of file names, mostly 20 bytes as 27 letters: `-` and `_` for `+` and `/`, no
//! padding.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bytes of the coded part of a name.
pub(crate) const RAW_BYTES: usize = 20;
/// Letters they take.
pub(crate) const CODED_BYTES: usize = 27;

/// Writes bytes as letters, the last one filled up with zeros.
pub(crate) fn encode(raw: &[u8]) -> String {
    let byte = |at: usize| u16::from(raw.get(at).copied().unwrap_or(0));
    let letter = |bit: usize| {
        let pair = byte(bit / 8) << 8 | byte(bit / 8 + 1);
        char::from(ALPHABET[usize::from(pair >> (10 - bit % 8) & 63)])
    };
    (0..raw.len() * 8).step_by(6).map(letter).collect()
}

/// Reads 27 letters back; nothing when they are not what [`encode`] writes.
pub(crate) fn decode(coded: &[u8]) -> Option<[u8; RAW_BYTES]> {
    if coded.len() != CODED_BYTES {
        return None;
    }
    let mut raw = [0; RAW_BYTES];
    let (mut bits, mut held) = (0_u32, 0);
    let mut next = 0;
    for letter in coded {
        bits = bits << 6 | u32::from(value_of(*letter)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            let byte = u8::try_from(bits >> held & 0xff).ok()?;
            bits &= (1 << held) - 1;
            *raw.get_mut(next)? = byte;
            next += 1;
        }
    }
    // Two bits are left over; with others the same bytes would have two names.
    (bits == 0).then_some(raw)
}

fn value_of(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_of_the_original_reads_back() {
        let coded = b"fwAAAmsAIJ6AC9vbAAATiNzyTgQ";
        let raw = decode(coded).expect("27 letters");
        assert_eq!(raw[..4], [0x7f, 0, 0, 2], "the storage's address");
        assert_eq!(raw[12..16], 5_000_u32.to_be_bytes(), "the size");
        assert_eq!(encode(&raw).as_bytes(), coded);
    }

    #[test]
    fn other_letters_and_lengths_are_refused() {
        for coded in [
            &b"fwAAAmsAIJ6AC9vbAAATiNzyTg+"[..],
            b"fwAAAmsAIJ6AC9vbAAATiNzyTg",
            b"fwAAAmsAIJ6AC9vbAAATiNzyTgQQ",
            b"fwAAAmsAIJ6AC9vbAAATiNzyTgR",
            b"",
        ] {
            assert_eq!(decode(coded), None, "{coded:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(raw: [u8; RAW_BYTES]) {
            prop_assert_eq!(decode(encode(&raw).as_bytes()), Some(raw));
        }
    }
}
