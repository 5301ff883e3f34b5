//! Orders to tell in the logs what is done for some paths: given to each mserver by the server
//! whose console they were typed at.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::call;
use crate::path::{FilePath, PathFault};

/// Has a mserver tell of what is done for a path, or no more, or say what it tells of. Only of
/// administrators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePaths {
    /// Who orders it.
    pub user: String,
    /// What is to be done.
    pub order: TraceOrder,
}
call!(TracePaths => Vec<TracedNow>, TracePaths);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceOrder {
    /// Tell from now on, for as long as it may last.
    On(TracedPath),
    /// Tell no more.
    Off(TracedPath),
    /// Say what is told of.
    Show,
}

/// A path, or a directory with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TracedPath {
    /// The path.
    pub path: FilePath,
    /// Whether what is below it is meant too.
    pub is_with_below: bool,
}

impl TracedPath {
    /// Reads a path; one that ends with a slash is meant with all that is below it.
    ///
    /// # Errors
    /// [`PathFault`] as [`FilePath::parse`].
    pub fn parse(text: &str) -> Result<TracedPath, PathFault> {
        Ok(TracedPath {
            path: FilePath::parse(text)?,
            is_with_below: text.ends_with('/'),
        })
    }

    /// Whether that path is meant.
    pub fn means(&self, path: &FilePath) -> bool {
        *path == self.path || self.is_with_below && path.is_within(&self.path)
    }
}

impl fmt::Display for TracedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.is_with_below && !self.path.is_root() {
            "/"
        } else {
            ""
        };
        write!(f, "{}{slash}", self.path)
    }
}

/// A path that is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedNow {
    /// Which.
    pub what: TracedPath,
    /// Who ordered it.
    pub by: String,
    /// Since when, milliseconds of Unix time.
    pub since_ms: u64,
    /// Until when.
    pub until_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_means_all_below() {
        let path = |text| FilePath::parse(text).expect("a path");
        for (traced, meant, others) in [
            ("/a/b", vec!["/a/b"], vec!["/a", "/a/b/c", "/a/bc"]),
            (
                "/a/",
                vec!["/a", "/a/b", "/a/b/c"],
                vec!["/", "/ab", "/b/a"],
            ),
            ("/", vec!["/", "/a", "/a/b"], vec![]),
        ] {
            let read = TracedPath::parse(traced).expect("a path");
            assert_eq!(read.to_string(), traced);
            for one in meant {
                assert!(read.means(&path(one)), "{traced} means {one}");
            }
            for one in others {
                assert!(!read.means(&path(one)), "{traced} does not mean {one}");
            }
        }
    }
}
