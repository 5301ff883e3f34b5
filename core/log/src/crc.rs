//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the one checksum of everything on disk.

use crc_fast::CrcAlgorithm;

/// CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// CRC-32C of two runs of bytes laid end to end, from the checksum of each and the length of the
/// second. The bytes themselves are not needed.
#[must_use]
pub fn crc32c_combine(first: u32, second: u32, second_bytes: u64) -> u32 {
    narrow(crc_fast::checksum_combine(
        CrcAlgorithm::Crc32Iscsi,
        u64::from(first),
        u64::from(second),
        second_bytes,
    ))
}

/// CRC-32C of pieces laid end to end.
pub(crate) fn crc32c_of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    narrow(digest.finalize())
}

/// The crate gives every checksum as 64 bits; a 32-bit one fills the lower half.
fn narrow(wide: u64) -> u32 {
    (wide & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vector_of_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn combined_equals_whole() {
        let (first, second) = (b"hello ".as_slice(), b"segment".as_slice());
        let combined = crc32c_combine(crc32c(first), crc32c(second), second.len() as u64);
        assert_eq!(combined, crc32c(b"hello segment"));
        assert_eq!(combined, crc32c_of_pieces([first, second]));
    }
}
