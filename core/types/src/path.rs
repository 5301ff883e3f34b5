//! Names and paths: UTF-8, a component at most 255 bytes, a path at most 4,096.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};

/// The directory below the root of the files with a record that FastDFS clients have stored: in it
/// one for each group, whose dservers keep what lies below.
pub const FASTDFS_FOLDER: &str = ".fastdfs";

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PathFault {
    /// A component longer than 255 bytes.
    #[error("the name `{begin}…` is {bytes} bytes long; a name has at most 255")]
    NameTooLong {
        /// Its first characters.
        begin: String,
        /// Its length.
        bytes: usize,
    },
    /// A path longer than 4,096 bytes.
    #[error("the path is {bytes} bytes long; a path has at most 4,096")]
    PathTooLong {
        /// Its length.
        bytes: usize,
    },
    /// An empty component, as in `a//b`.
    #[error("the path has an empty name between two slashes")]
    EmptyName,
    /// `.` or `..`.
    #[error("the names `.` and `..` are not kept; write the path in full")]
    DotName,
    /// A NUL byte.
    #[error("a name cannot hold a NUL byte")]
    NulByte,
    /// The root where a file is meant.
    #[error("`/` is the root directory, not a file")]
    IsRoot,
}

/// One component of a path.
pub type Name = Arc<str>;

/// An absolute path in normal form: `/` alone is the root, no slash at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath {
    text: Arc<str>,
}

impl FilePath {
    /// The root directory.
    pub fn root() -> FilePath {
        FilePath {
            text: Arc::from("/"),
        }
    }

    /// Reads a path; a missing first slash is added, one at the end is taken off.
    ///
    /// # Errors
    /// [`PathFault`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<FilePath, PathFault> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return if text.starts_with("//") {
                Err(PathFault::EmptyName)
            } else {
                Ok(Self::root())
            };
        }
        if inner.len() + 1 > PATH_BYTES_MAX {
            return Err(PathFault::PathTooLong {
                bytes: inner.len() + 1,
            });
        }
        for name in inner.split('/') {
            check_name(name)?;
        }
        Ok(FilePath {
            text: format!("/{inner}").into(),
        })
    }

    /// The text, beginning with a slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        &*self.text == "/"
    }

    /// The components from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|name| !name.is_empty())
    }

    /// The directory and the last component; `None` for the root.
    pub fn split_last(&self) -> Option<(FilePath, &str)> {
        let (parent, name) = self.text.rsplit_once('/')?;
        if name.is_empty() {
            return None;
        }
        let parent = if parent.is_empty() {
            FilePath::root()
        } else {
            FilePath {
                text: parent.into(),
            }
        };
        Some((parent, name))
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// [`PathFault`] when the name or the whole is too long or not a name.
    pub fn join(&self, name: &str) -> Result<FilePath, PathFault> {
        check_name(name)?;
        let text = if self.is_root() {
            format!("/{name}")
        } else {
            format!("{}/{name}", self.text)
        };
        if text.len() > PATH_BYTES_MAX {
            return Err(PathFault::PathTooLong { bytes: text.len() });
        }
        Ok(FilePath { text: text.into() })
    }

    /// Whether this path is `directory` or below it.
    pub fn is_within(&self, directory: &FilePath) -> bool {
        if directory.is_root() {
            return true;
        }
        self.text
            .strip_prefix(&*directory.text)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn check_name(name: &str) -> Result<(), PathFault> {
    match name {
        "" => Err(PathFault::EmptyName),
        "." | ".." => Err(PathFault::DotName),
        _ if name.contains('\0') => Err(PathFault::NulByte),
        _ if name.contains('/') => Err(PathFault::EmptyName),
        _ if name.len() > NAME_BYTES_MAX => Err(PathFault::NameTooLong {
            begin: name.chars().take(32).collect(),
            bytes: name.len(),
        }),
        _ => Ok(()),
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl std::str::FromStr for FilePath {
    type Err = PathFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FilePath::parse(text)
    }
}

impl TryFrom<String> for FilePath {
    type Error = PathFault;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        FilePath::parse(&text)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> String {
        path.text.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_hold_to_the_byte() {
        assert!(FilePath::parse("a").is_ok());
        assert!(FilePath::parse(&"a".repeat(255)).is_ok());
        assert!(matches!(
            FilePath::parse(&"a".repeat(256)),
            Err(PathFault::NameTooLong { bytes: 256, .. })
        ));
        let name = "b".repeat(255);
        let longest = format!("/{name}").repeat(16);
        assert_eq!(longest.len(), 4_096);
        assert!(FilePath::parse(&longest).is_ok());
        let most = format!("/{name}").repeat(15);
        for last in [127, 128, 129] {
            let (before, last) = ("c".repeat(127), "d".repeat(last));
            let path = format!("{most}/{before}/{last}");
            let bytes = path.len();
            let too_long = (bytes > 4_096).then_some(PathFault::PathTooLong { bytes });
            assert_eq!(FilePath::parse(&path).err(), too_long, "{bytes} bytes");
            // Without its slash at the begin it is the same path.
            assert_eq!(FilePath::parse(&path[1..]).err(), too_long);
        }
    }

    #[test]
    fn any_script_is_a_name() {
        let path = FilePath::parse("图片/文件").expect("UTF-8 is fine");
        assert_eq!(path.as_str(), "/图片/文件");
        assert_eq!(path.names().collect::<Vec<_>>(), ["图片", "文件"]);
    }

    #[test]
    fn odd_paths_are_refused() {
        assert_eq!(FilePath::parse("a//b").err(), Some(PathFault::EmptyName));
        assert_eq!(FilePath::parse("//").err(), Some(PathFault::EmptyName));
        assert_eq!(FilePath::parse("a/../b").err(), Some(PathFault::DotName));
        assert_eq!(FilePath::parse("a\0b").err(), Some(PathFault::NulByte));
    }

    #[test]
    fn within_needs_whole_names() {
        let dir = FilePath::parse("/a/b").expect("path");
        assert!(FilePath::parse("/a/b/c").expect("path").is_within(&dir));
        assert!(dir.is_within(&dir));
        assert!(!FilePath::parse("/a/bc").expect("path").is_within(&dir));
    }

    proptest! {
        #[test]
        fn parse_is_idempotent(text in "\\PC{0,64}") {
            if let Ok(path) = FilePath::parse(&text) {
                prop_assert_eq!(FilePath::parse(path.as_str()), Ok(path.clone()));
                if let Some((parent, name)) = path.split_last() {
                    prop_assert_eq!(parent.join(name), Ok(path.clone()));
                }
            }
        }
    }
}
