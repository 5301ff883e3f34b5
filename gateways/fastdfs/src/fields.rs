//! Reading and writing the fixed fields of bodies.

use bytes::{BufMut, BytesMut};

/// A body that is read from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|byte| byte[0])
    }

    /// A length, size or offset: a number of 64 bits that is not negative.
    pub(crate) fn length(&mut self) -> Option<u64> {
        let number: [u8; 8] = self.bytes(8)?.try_into().ok()?;
        u64::try_from(i64::from_be_bytes(number)).ok()
    }

    /// A text of a fixed width, filled up with zeros.
    pub(crate) fn text(&mut self, width: usize) -> Option<&'a str> {
        text_of(self.bytes(width)?)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// The text before the first zero.
pub(crate) fn text_of(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0);
    std::str::from_utf8(&field[..end.unwrap_or(field.len())]).ok()
}

/// Writes a text of a fixed width, cut or filled up with zeros.
pub(crate) fn put_text(out: &mut BytesMut, text: &str, width: usize) {
    let length = text.len().min(width);
    out.put_slice(&text.as_bytes()[..length]);
    out.put_bytes(0, width - length);
}

/// Whether a text may be an extension or a prefix: letters, digits, `-`, `_` and `.`.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_with_the_body() {
        let mut fields = Fields::of(b"\0\0\0\0\0\0\0\x05ab\0\0rest");
        assert_eq!(fields.length(), Some(5));
        assert_eq!(fields.text(4), Some("ab"));
        assert_eq!(fields.bytes(5), None);
        assert_eq!(fields.byte(), Some(b'r'));
        assert_eq!(fields.rest(), b"est");
        assert_eq!(fields.byte(), None);
        assert_eq!(Fields::of(&[255; 8]).length(), None, "a negative length");
    }

    #[test]
    fn texts_are_filled_up_and_cut() {
        let mut out = BytesMut::new();
        put_text(&mut out, "ab", 4);
        put_text(&mut out, "abcdef", 4);
        assert_eq!(&out[..], b"ab\0\0abcd");
    }
}
