//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the one checksum of everything on disk.

use crc_fast::CrcAlgorithm;

/// CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// CRC-32C of bytes that come in runs.
#[derive(Clone)]
pub struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Crc32c {
        Crc32c(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything so far.
    #[must_use]
    pub fn sum(&self) -> u32 {
        narrow(self.0.finalize())
    }
}

impl Default for Crc32c {
    fn default() -> Crc32c {
        Crc32c::new()
    }
}

/// CRC-32C of pieces laid end to end.
pub(crate) fn crc32c_of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut sum = Crc32c::new();
    for piece in pieces {
        sum.update(piece);
    }
    sum.sum()
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
        let combined = crc32c_of_pieces([first, second]);
        assert_eq!(combined, crc32c(b"hello segment"));
    }
}
