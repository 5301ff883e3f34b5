//! Sizes, counts and times as people write and read them.

use std::time::Duration;

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

/// A size with a binary unit and three digits: `4.00 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", digits(value), UNITS[unit])
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

/// A count with thousands apart: `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with a unit a person likes: `85 us`, `1.25 ms`, `2.10 s`.
pub(crate) fn micros(us: u64) -> String {
    let value = us as f64;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", digits(value / 1e3)),
        _ => format!("{} s", digits(value / 1e6)),
    }
}

/// Seconds of up-time: `12 s`, `5 min`, `3 h 20 min`, `2 d 4 h`.
pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A moment in UTC: `2026-03-01 17:05:09`.
pub(crate) fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`, for days after 1970).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn digits(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
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

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(4 << 20), "4.00 MiB");
        assert_eq!(size(1_073_741_824), "1.00 GiB");
        assert_eq!(size(150 << 20), "150 MiB");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(micros(1_250), "1.25 ms");
        assert_eq!(micros(999), "999 us");
        assert_eq!(uptime(12_000), "3 h 20 min");
    }

    #[test]
    fn moments_follow_the_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_782_399_000), "2000-02-28 23:59:59");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(moment(1_772_384_709_000), "2026-03-01 17:05:09");
    }
}
