//! Answers without a file: each a status and one line that says why.

use hyper::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::{Body, body_of};
use super::link::LinkFault;
use crate::counters::Counted;
use crate::errno::Errno;

/// When it may be asked again for what cannot be read now, seconds: as long as a silent member is
/// waited for.
const RETRY_AFTER_S: &str = "2";

/// What is answered where no file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Something is to be changed.
    NotAllowed,
    /// The group is not of this cluster.
    NoSuchGroup,
    /// That is no file's name.
    WrongName,
    /// The link is not good.
    Forbidden(LinkFault),
    /// A server of the file's group has it.
    SentOn(String),
    /// None of them is heard.
    NobodyThere,
    /// The file is of this size: the range is outside.
    Outside(u64),
    /// It is not to be had.
    Failed(Errno),
}

impl From<Errno> for Instead {
    fn from(errno: Errno) -> Self {
        Instead::Failed(errno)
    }
}

impl Instead {
    /// The answer, and how it is counted.
    pub(crate) fn answer(&self) -> (Counted, Response<Body>) {
        let (counted, status, why) = self.told();
        let mut response = Response::new(body_of(format!("{why}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        if counted == Counted::Failed {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        let (name, value) = match self {
            Instead::NotAllowed => (ALLOW, "GET, HEAD".to_owned()),
            Instead::SentOn(to) => (LOCATION, to.clone()),
            Instead::Outside(size) => (CONTENT_RANGE, format!("bytes */{size}")),
            _ => return (counted, response),
        };
        // Made of digits and of what was the head of a request.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
        (counted, response)
    }

    fn told(&self) -> (Counted, StatusCode, String) {
        let (counted, status, why) = match self {
            Instead::NotAllowed => (
                Counted::Refused,
                StatusCode::METHOD_NOT_ALLOWED,
                "nothing is changed here: GET and HEAD only",
            ),
            Instead::NoSuchGroup => (
                Counted::NotFound,
                StatusCode::NOT_FOUND,
                "there is no such group: a path is /GROUP/M00/00/00/NAME",
            ),
            Instead::WrongName => (
                Counted::Refused,
                StatusCode::BAD_REQUEST,
                "that is no file's name: a path is /GROUP/M00/00/00/NAME",
            ),
            Instead::Forbidden(fault) => {
                let why = fault.to_string();
                return (Counted::Forbidden, StatusCode::FORBIDDEN, why);
            }
            Instead::SentOn(_) => (
                Counted::SentOn,
                StatusCode::FOUND,
                "a server of the file's group has it",
            ),
            Instead::NobodyThere => (
                Counted::Failed,
                StatusCode::SERVICE_UNAVAILABLE,
                "no server of the file's group is heard now",
            ),
            Instead::Outside(_) => (
                Counted::Refused,
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the range is outside of the file",
            ),
            Instead::Failed(Errno::NotFound) => (
                Counted::NotFound,
                StatusCode::NOT_FOUND,
                "there is no such file",
            ),
            Instead::Failed(Errno::Io) => (
                Counted::Failed,
                StatusCode::BAD_GATEWAY,
                "no copy of the file can be read as it was stored",
            ),
            Instead::Failed(_) => (
                Counted::Failed,
                StatusCode::SERVICE_UNAVAILABLE,
                "the file cannot be reached now",
            ),
        };
        (counted, status, why.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_status() {
        let table = [
            (Instead::NotAllowed, 405, Some(("allow", "GET, HEAD"))),
            (Instead::NoSuchGroup, 404, None),
            (Instead::WrongName, 400, None),
            (Instead::Forbidden(LinkFault::Expired), 403, None),
            (
                Instead::SentOn("http://10.0.0.1:8888/b/M00?ts=1".to_owned()),
                302,
                Some(("location", "http://10.0.0.1:8888/b/M00?ts=1")),
            ),
            (Instead::NobodyThere, 503, Some(("retry-after", "2"))),
            (
                Instead::Outside(7),
                416,
                Some(("content-range", "bytes */7")),
            ),
            (Instead::Failed(Errno::NotFound), 404, None),
            (Instead::Failed(Errno::Io), 502, Some(("retry-after", "2"))),
            (
                Instead::Failed(Errno::Again),
                503,
                Some(("retry-after", "2")),
            ),
            (
                Instead::Failed(Errno::Denied),
                503,
                Some(("retry-after", "2")),
            ),
        ];
        for (instead, status, header) in table {
            let (_, response) = instead.answer();
            assert_eq!(response.status().as_u16(), status, "{instead:?}");
            for name in ["allow", "location", "retry-after", "content-range"] {
                let expected = header.filter(|(expected, _)| *expected == name);
                let found = response.headers().get(name);
                let found = found.and_then(|value| value.to_str().ok());
                assert_eq!(
                    found,
                    expected.map(|(_, value)| value),
                    "{instead:?} {name}"
                );
            }
        }
    }
}
