//! The `Range` of a request (RFC 9110, 14). Pure.

use std::ops::Range;

/// What a range comes to with a file of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranged {
    /// All of it: nothing else was asked for, or something that is not understood.
    Whole,
    /// These bytes, one at least.
    Part(Range<u64>),
    /// None of it is in the file.
    Outside,
}

/// Reads a header. Several ranges are answered with everything, as is allowed; so is any range of
/// an empty file, of which no part can be named.
pub(crate) fn ranged(text: &str, size: u64) -> Ranged {
    let Some(set) = text.trim().strip_prefix("bytes=") else {
        return Ranged::Whole;
    };
    match set.trim().split_once('-') {
        Some((first, last)) if size > 0 => part(first.trim(), last.trim(), size),
        _ => Ranged::Whole,
    }
}

fn part(first: &str, last: &str, size: u64) -> Ranged {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return Ranged::Whole;
    }
    // One beyond all numbers is beyond every file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        ("", "") => Ranged::Whole,
        ("", last) => match number(last) {
            0 => Ranged::Outside,
            count => Ranged::Part(size.saturating_sub(count)..size),
        },
        (first, "") => within(number(first), u64::MAX, size),
        (first, last) if number(last) < number(first) => Ranged::Whole,
        (first, last) => within(number(first), number(last), size),
    }
}

fn within(first: u64, last: u64, size: u64) -> Ranged {
    if first >= size {
        return Ranged::Outside;
    }
    Ranged::Part(first..last.saturating_add(1).min(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_understood() {
        let table = [
            ("bytes=0-0", Ranged::Part(0..1)),
            ("bytes=0-9", Ranged::Part(0..10)),
            ("bytes=2-5", Ranged::Part(2..6)),
            (" bytes= 2 - 5 ", Ranged::Part(2..6)),
            ("bytes=2-", Ranged::Part(2..10)),
            ("bytes=9-100", Ranged::Part(9..10)),
            ("bytes=-3", Ranged::Part(7..10)),
            ("bytes=-100", Ranged::Part(0..10)),
            ("bytes=0-99999999999999999999", Ranged::Part(0..10)),
            ("bytes=-99999999999999999999", Ranged::Part(0..10)),
            ("bytes=10-", Ranged::Outside),
            ("bytes=10-20", Ranged::Outside),
            ("bytes=99999999999999999999-", Ranged::Outside),
            ("bytes=-0", Ranged::Outside),
            ("bytes=5-2", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=--1", Ranged::Whole),
            ("bytes=+1-2", Ranged::Whole),
            ("bytes=0-1,4-5", Ranged::Whole),
            ("bytes=0-1, 2-", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
            ("", Ranged::Whole),
        ];
        for (text, expected) in table {
            assert_eq!(ranged(text, 10), expected, "{text}");
        }
        for text in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=7-"] {
            assert_eq!(ranged(text, 0), Ranged::Whole, "{text} of nothing");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "(bytes=)?[0-9,-]{0,12}", size in 0..2_000_u64) {
            if let Ranged::Part(part) = ranged(&text, size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
