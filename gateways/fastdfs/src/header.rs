//! The ten bytes in front of every request and response.

use crate::errno::Errno;
use crate::wire::{HEADER_BYTES, RESPONSE};

/// A request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes that follow.
    pub(crate) body_bytes: u64,
    pub(crate) command: u8,
    /// 0, but for flags of one command.
    pub(crate) status: u8,
}

impl Header {
    /// Reads a header; nothing when the length is negative.
    pub(crate) fn read(bytes: [u8; HEADER_BYTES]) -> Option<Header> {
        let [a, b, c, d, e, f, g, h, command, status] = bytes;
        let length = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Some(Header {
            body_bytes: u64::try_from(length).ok()?,
            command,
            status,
        })
    }
}

/// The header of an answer with so many bytes.
pub(crate) fn answer(body_bytes: u64) -> [u8; HEADER_BYTES] {
    write(body_bytes, 0)
}

/// A whole answer that says why nothing was done.
pub(crate) fn refusal(errno: Errno) -> [u8; HEADER_BYTES] {
    write(0, errno as u8)
}

fn write(body_bytes: u64, status: u8) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&body_bytes.to_be_bytes());
    header[8] = RESPONSE;
    header[9] = status;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_the_protocol_says() {
        let read = Header::read([0, 0, 0, 0, 0, 0, 1, 2, 11, 3]);
        let header = Header {
            body_bytes: 258,
            command: 11,
            status: 3,
        };
        assert_eq!(read, Some(header));
        assert_eq!(Header::read([255, 0, 0, 0, 0, 0, 0, 0, 11, 0]), None);
        assert_eq!(answer(258), [0, 0, 0, 0, 0, 0, 1, 2, 100, 0]);
        assert_eq!(refusal(Errno::NotFound), [0, 0, 0, 0, 0, 0, 0, 0, 100, 2]);
    }
}
