//! Sizes, counts and times as people write and read them.

use std::time::Duration;

pub(crate) use sdfs_types::readable::{count, micros, moment, size, uptime};

/// Reads a size: `4096`, `4KiB`, `1.5GiB`, or decimal as in `10MB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| {
            format!("'{text}' is no size; write bytes or a number with KiB, MiB, GiB or TiB")
        })
}

/// Reads a time: `30s`, `500ms`, `2m`, `1.5s`, or seconds without a unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time; write a number with ms, s, m or h");
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "ms" => number / 1_000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && seconds < 1e9)
        .ok_or_else(wrong)
}

/// A rate in decimal megabytes: `512 MB/s`, `1,234 MB/s`.
pub(crate) fn rate(mb_per_s: f64) -> String {
    format!("{} MB/s", number(mb_per_s))
}

/// A number with thousands apart, decimals only below ten.
pub(crate) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    count(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_written() {
        let table = [
            ("0", Ok(0)),
            ("4096", Ok(4_096)),
            ("4KiB", Ok(4_096)),
            ("4 KiB", Ok(4_096)),
            ("1GiB", Ok(1 << 30)),
            ("1.5MiB", Ok(3 << 19)),
            ("10MB", Ok(10_000_000)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size(text), expected, "{text}");
        }
        for text in ["", "x", "-1", "4 apples"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_read_as_written() {
        let table = [
            ("500ms", 500),
            ("2", 2_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
        ];
        for (text, ms) in table {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in ["", "0", "0s", "-1s", "fast", "1 day", "1e40s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
