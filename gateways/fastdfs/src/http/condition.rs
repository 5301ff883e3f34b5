//! What a request wants of a file, given what the client has of it (RFC 9110, 13). Pure.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

use super::range::{Ranged, ranged};

/// What tells the bytes of a file from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    /// A strong entity tag, with its quotation marks.
    pub(crate) etag: String,
    /// When it last changed, seconds since the Unix epoch.
    pub(crate) modified_s: u64,
    /// Whether its name never stands for other bytes. Of other files the time says too little: they
    /// may change twice within a second.
    pub(crate) is_fixed: bool,
}

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: the client has it.
    NotModified,
    /// All of the file.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// Bytes that are not in it.
    Outside,
}

/// Reads the headers of a request for a file of this size. `takes_ranges` where a range has a
/// meaning: that is with GET.
pub(crate) fn wanted(
    headers: &HeaderMap,
    file: &Validators,
    (size, takes_ranges): (u64, bool),
) -> Wanted {
    if has_it(headers, file) {
        return Wanted::NotModified;
    }
    let mut ranges = headers.get_all(RANGE).iter();
    let range = match (ranges.next(), ranges.next()) {
        (Some(range), None) if takes_ranges && range_is_of(headers, file) => range,
        _ => return Wanted::Whole,
    };
    match ranged(range.to_str().unwrap_or(""), size) {
        Ranged::Whole => Wanted::Whole,
        Ranged::Part(part) => Wanted::Part(part),
        Ranged::Outside => Wanted::Outside,
    }
}

/// Whether the client has what there is.
fn has_it(headers: &HeaderMap, file: &Validators) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        let lists = headers.get_all(IF_NONE_MATCH).iter();
        let mut tags = lists.flat_map(|list| list.to_str().unwrap_or("").split(','));
        // Compared weakly, as is meant there.
        return tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == file.etag
        });
    }
    let since = headers.get(IF_MODIFIED_SINCE);
    let since_s = since.and_then(|since| second_of(since.to_str().ok()?));
    since_s.is_some_and(|since_s| file.is_fixed && file.modified_s <= since_s)
}

/// Whether a range is meant for the file as it is.
fn range_is_of(headers: &HeaderMap, file: &Validators) -> bool {
    let Some(had) = headers.get(IF_RANGE) else {
        return true;
    };
    let had = had.to_str().unwrap_or("").trim();
    let is_its_second = file.is_fixed && second_of(had) == Some(file.modified_s);
    had == file.etag || is_its_second
}

/// A second since the Unix epoch as HTTP writes it.
pub(crate) fn date_of(second: u64) -> String {
    // The years that HTTP can write end before those of the clock.
    let year_9999 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second.min(year_9999)))
}

fn second_of(date: &str) -> Option<u64> {
    let moment = httpdate::parse_http_date(date).ok()?;
    Some(moment.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    const MODIFIED_S: u64 = 1_700_000_000;
    const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(name, value);
        }
        headers
    }

    fn file(is_fixed: bool) -> Validators {
        Validators {
            etag: "\"a\"".to_owned(),
            modified_s: MODIFIED_S,
            is_fixed,
        }
    }

    #[test]
    fn dates_read_back() {
        assert_eq!(date_of(MODIFIED_S), MODIFIED);
        assert_eq!(second_of(MODIFIED), Some(MODIFIED_S));
        assert_eq!(second_of("yesterday"), None);
        assert!(date_of(u64::MAX).contains("9999"));
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        // If-None-Match, If-Modified-Since, whether it is had of a fixed file and of another.
        let table = [
            ("\"a\"", "", true, true),
            ("W/\"a\"", "", true, true),
            ("\"b\", \"a\"", "", true, true),
            ("*", "", true, true),
            ("\"b\"", "", false, false),
            ("a", "", false, false),
            ("", MODIFIED, true, false),
            ("", AFTER, true, false),
            ("", BEFORE, false, false),
            ("", "yesterday", false, false),
            // The tag counts alone.
            ("\"b\"", AFTER, false, false),
            ("\"a\"", BEFORE, true, true),
        ];
        for (tags, since, fixed, other) in table {
            let lines = [(IF_NONE_MATCH, tags), (IF_MODIFIED_SINCE, since)];
            let lines: Vec<_> = lines
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let headers = headers(&lines);
            for (is_fixed, is_had) in [(true, fixed), (false, other)] {
                let expected = match is_had {
                    true => Wanted::NotModified,
                    false => Wanted::Whole,
                };
                let found = wanted(&headers, &file(is_fixed), (10, true));
                assert_eq!(found, expected, "{tags} {since} {is_fixed}");
            }
        }
    }

    #[test]
    fn ranges_are_of_the_file_as_it_is() {
        let range = (RANGE, "bytes=2-5");
        let part = || Wanted::Part(2..6);
        let table = [
            (vec![range.clone()], part(), part()),
            (vec![range.clone(), (IF_RANGE, "\"a\"")], part(), part()),
            (
                vec![range.clone(), (IF_RANGE, "W/\"a\"")],
                Wanted::Whole,
                Wanted::Whole,
            ),
            (
                vec![range.clone(), (IF_RANGE, "\"b\"")],
                Wanted::Whole,
                Wanted::Whole,
            ),
            (
                vec![range.clone(), (IF_RANGE, MODIFIED)],
                part(),
                Wanted::Whole,
            ),
            (
                vec![range.clone(), (IF_RANGE, AFTER)],
                Wanted::Whole,
                Wanted::Whole,
            ),
            (
                vec![range.clone(), range.clone()],
                Wanted::Whole,
                Wanted::Whole,
            ),
            (vec![(RANGE, "bytes=10-")], Wanted::Outside, Wanted::Outside),
            (
                vec![range.clone(), (IF_NONE_MATCH, "\"a\"")],
                Wanted::NotModified,
                Wanted::NotModified,
            ),
        ];
        for (lines, fixed, other) in table {
            let headers = headers(&lines);
            assert_eq!(
                wanted(&headers, &file(true), (10, true)),
                fixed,
                "{lines:?}"
            );
            assert_eq!(
                wanted(&headers, &file(false), (10, true)),
                other,
                "{lines:?}"
            );
        }
        let headers = headers(&[range]);
        assert_eq!(wanted(&headers, &file(true), (10, false)), Wanted::Whole);
    }
}
