//! Lines out of bytes, bounded. Pure.

use crate::limits::LINE_BYTES_MAX;

/// Why bytes are no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// Longer than a line may be.
    TooLong,
    /// Not UTF-8, or with bytes in it that no keyboard sends.
    Garbage,
}

/// Bytes that have arrived and not been read as lines yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// How many of them are known to hold no end of a line.
    looked: usize,
}

impl Lines {
    /// Bytes have arrived. At most one read beyond a line's limit is kept.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether something waits that is no whole line.
    pub(crate) fn has_rest(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole line, without its end; `None` when more has to arrive.
    ///
    /// # Errors
    /// What stands there is no line and never will be.
    pub(crate) fn next(&mut self) -> Result<Option<String>, LineFault> {
        let unseen = &self.bytes[self.looked..];
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.looked = self.bytes.len();
            if self.looked > LINE_BYTES_MAX {
                return Err(LineFault::TooLong);
            }
            return Ok(None);
        };
        let end = self.looked + end;
        self.looked = 0;
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        // What telnet sends.
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(LineFault::TooLong);
        }
        match String::from_utf8(line) {
            Ok(line)
                if !line
                    .chars()
                    .any(|letter| letter.is_control() && letter != '\t') =>
            {
                Ok(Some(line))
            }
            _ => Err(LineFault::Garbage),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<LineFault>) {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for piece in pieces {
            lines.push(piece);
            loop {
                match lines.next() {
                    Ok(Some(line)) => told.push(line),
                    Ok(None) => break,
                    Err(fault) => return (told, Some(fault)),
                }
            }
        }
        (told, None)
    }

    #[test]
    fn half_lines_wait_for_the_rest() {
        let (lines, fault) = read(&[b"sta", b"tus\r", b"\n\nhel", b"p"]);
        assert_eq!(
            (lines, fault),
            (vec!["status".to_owned(), String::new()], None)
        );
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert_eq!(read(&[b"a\xff\n"]).1, Some(LineFault::Garbage));
        assert_eq!(read(&[b"a\0\n"]).1, Some(LineFault::Garbage));
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(read(&[&long]).1, Some(LineFault::TooLong));
        assert_eq!(read(&[&long, b"\n"]).1, Some(LineFault::TooLong));
        assert_eq!(read(&[&long[1..], b"\n"]).0.len(), 1);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[a-z \n]{0,60}", cut in 0..60_usize) {
            let cut = cut.min(text.len());
            let (begin, end) = text.as_bytes().split_at(cut);
            prop_assert_eq!(read(&[begin, end]), read(&[text.as_bytes()]));
        }
    }
}
