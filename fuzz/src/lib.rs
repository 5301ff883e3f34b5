//! What the targets share: cutting their input into parts, and the one law of every codec.

/// What bytes are read as must be written as bytes that are read as the same.
pub fn is_kept(bytes: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(written) = again(bytes) {
        assert_eq!(again(&written).as_ref(), Some(&written), "{bytes:?}");
    }
}

/// Parts of an input, taken off its front. At its end they are zero and empty.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a>(pub &'a [u8]);

impl<'a> Parts<'a> {
    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, the lower one first.
    pub fn short(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// So many bytes, or as many as are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A length of one byte and so many bytes.
    pub fn part(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.bytes(count.into())
    }

    /// A length of two bytes and so many bytes.
    pub fn long_part(&mut self) -> &'a [u8] {
        let count = self.short();
        self.bytes(count.into())
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
