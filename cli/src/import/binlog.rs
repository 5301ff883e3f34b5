//! The files a storage has, from the lines of its log: `<unix time> <op> <name> [other name]`.
//! Pure.

use std::collections::BTreeSet;

use sdfs_fastdfs::FileName;

use super::listed::{Listed, is_metadata};

/// Longest line taken, bytes: two names and little more.
const LINE_BYTES_MAX: usize = 1 << 10;

/// What was logged so far.
#[derive(Debug, Default)]
pub(super) struct Binlog {
    names: BTreeSet<String>,
    /// The beginning of a line.
    begun: Vec<u8>,
    passed_over: u64,
}

impl Binlog {
    /// Takes the next bytes, however they are cut.
    pub(super) fn take(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            let mut whole = std::mem::take(&mut self.begun);
            whole.extend_from_slice(line);
            self.line(&whole);
            rest = &after[1..];
        }
        self.begun.extend_from_slice(rest);
        // A line without an end is none: what is left of it is passed over as one.
        self.begun.truncate(LINE_BYTES_MAX);
    }

    /// Creates and links of a file, and renames: they make a name. What they take away is found
    /// missing where it is read.
    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(operation), Some(name)) = (words.next(), words.next()) else {
            self.passed_over += u64::from(!line.trim().is_empty());
            return;
        };
        match operation {
            "C" | "c" | "L" | "l" | "R" | "r" => {
                if FileName::parse(name.as_bytes()).is_ok() {
                    self.names.insert(name.to_owned());
                } else {
                    self.passed_over += 1;
                }
            }
            "D" | "d" => {
                self.names.remove(name);
            }
            // Appended to, changed, truncated: it is there already.
            _ => {}
        }
    }

    /// Whether what came so far ends within a line: there is more of it.
    pub(super) fn is_within_a_line(&self) -> bool {
        !self.begun.is_empty()
    }

    /// The ids of all files that are left.
    pub(super) fn finish(self, group: &str, listed: &mut Listed) {
        let has = |name: &str| self.names.contains(name);
        let files = self.names.iter().filter(|name| !is_metadata(name, has));
        listed
            .ids
            .extend(files.map(|name| format!("{group}/{name}")));
        listed.passed_over += self.passed_over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin";
    const SECOND: &str = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ806.bin";
    const THIRD: &str = "M00/00/01/fwAAAmsAIJ6AC9vbAAATiNzyTgQ807.bin";

    fn gathered(text: &str, pieces: usize) -> Listed {
        let mut binlog = Binlog::default();
        text.as_bytes()
            .chunks(pieces)
            .for_each(|piece| binlog.take(piece));
        assert!(!binlog.is_within_a_line(), "{text}");
        let mut listed = Listed::default();
        binlog.finish("group1", &mut listed);
        listed
    }

    #[test]
    fn creates_count_unless_deleted_later() {
        let table: &[(String, &[&str], u64)] = &[
            (
                format!("1700000000 C {FIRST}\n1700000001 c {SECOND}\n"),
                &[FIRST, SECOND],
                0,
            ),
            (
                format!("1 C {FIRST}\n2 C {SECOND}\n3 D {FIRST}\n4 d {THIRD}\n"),
                &[SECOND],
                0,
            ),
            (
                format!("1 D {FIRST}\n2 C {FIRST}\n3 C {FIRST}\n"),
                &[FIRST],
                0,
            ),
            (
                format!("1 L {FIRST} {SECOND}\n2 l {SECOND} {THIRD}\n"),
                &[FIRST, SECOND],
                0,
            ),
            (format!("1 R {FIRST} {SECOND}\n"), &[FIRST], 0),
            (
                format!("1 A {FIRST} 10 20\n2 M {FIRST}\n3 T {FIRST}\n4 U {FIRST}\n"),
                &[],
                0,
            ),
            // Metadata is logged as files are.
            (
                format!("1 C {FIRST}\n2 C {FIRST}-m\n3 C {SECOND}-m\n"),
                &[FIRST],
                0,
            ),
            (
                format!("1 C\nnonsense\n\n2 C M00/x\n3 C {FIRST}\r\n"),
                &[FIRST],
                3,
            ),
            (String::new(), &[], 0),
        ];
        for (text, expected, passed_over) in table {
            for pieces in [1, 7, 100_000] {
                let listed = gathered(text, pieces);
                let expected: BTreeSet<String> = expected
                    .iter()
                    .map(|name| format!("group1/{name}"))
                    .collect();
                assert_eq!(listed.ids, expected, "{text}");
                assert_eq!(listed.passed_over, *passed_over, "{text}");
            }
        }
    }

    #[test]
    fn a_log_that_is_cut_off_is_seen() {
        let mut binlog = Binlog::default();
        binlog.take(format!("1 C {FIRST}\n2 C {}", &SECOND[..20]).as_bytes());
        assert!(binlog.is_within_a_line());
        binlog.take(format!("{}\n", &SECOND[20..]).as_bytes());
        assert!(!binlog.is_within_a_line());
    }
}
