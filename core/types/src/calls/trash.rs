//! Calls of clients to any mserver about the trash: files that were deleted or replaced and are
//! kept for a while.

use serde::{Deserialize, Serialize};

use super::names::FileDeleted;
use super::{Call, CallKind, call};
use crate::file::FileMetaMetaData;
use crate::ids::{FileDescriptor, RequestId};
use crate::path::FilePath;
use crate::user::UserName;

/// Deletes a file, or a directory, at once: nothing of it goes to the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteNow {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Its name.
    pub path: FilePath,
    /// Whether a directory may still have entries; they go with it.
    pub recursive: bool,
}
call!(DeleteNow => FileDeleted, DeleteNow, path);

/// Asks for one page of the trash: what the user may restore, in order of the paths' bytes, and
/// of one path in the order it was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTrash {
    /// Only what had this name or lay below it.
    pub path: FilePath,
    /// Begin after this path.
    pub after: Option<FilePath>,
    /// Look at no more than this many paths, at most `LIST_ENTRIES_MAX`.
    pub limit: u32,
}
call!(ListTrash => TrashPage, ListTrash, path);

/// A file in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// The name it had.
    pub path: FilePath,
    /// Its descriptor, by which it can be named too: a path may be in the trash several times.
    pub descriptor: FileDescriptor,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Who owns it.
    pub owner: UserName,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Who deleted or replaced it.
    pub deleted_by: UserName,
    /// When, milliseconds since the Unix epoch.
    pub deleted_ms: u64,
    /// When it goes for good, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// Files in the trash, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashPage {
    /// The files.
    pub entries: Vec<TrashEntry>,
    /// Where the next page begins, when there may be more.
    pub next: Option<FilePath>,
    /// Whether a large directory is still being taken apart, so that more is to come.
    pub is_growing: bool,
}

/// Which file of the trash is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrashName {
    /// The one of this path that was deleted last.
    Path(FilePath),
    /// The one with this descriptor.
    Descriptor(FileDescriptor),
}

impl std::fmt::Display for TrashName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TrashName::Path(path) => path.fmt(f),
            TrashName::Descriptor(descriptor) => write!(f, "file {descriptor}"),
        }
    }
}

/// Gives a file of the trash a name again. Missing directories are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTrash {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Which file.
    pub what: TrashName,
    /// The name it gets; else the one it had.
    pub to: Option<FilePath>,
    /// Whether a file of that name is replaced.
    pub replace: bool,
}
impl Call for RestoreTrash {
    type Reply = TrashRestored;
    const KIND: CallKind = CallKind::RestoreTrash;

    fn paths(&self) -> Vec<&FilePath> {
        let from = match &self.what {
            TrashName::Path(path) => Some(path),
            TrashName::Descriptor(_) => None,
        };
        from.into_iter().chain(&self.to).collect()
    }
}

/// A file is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashRestored {
    /// Its name.
    pub path: FilePath,
    /// What every mserver knows of it.
    pub name: FileMetaMetaData,
}

/// Takes files of the trash away for good, some at a time: what the user may restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyTrash {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// Only what had this name or lay below it.
    pub path: FilePath,
    /// Only what has been in the trash for so long, milliseconds.
    pub older_than_ms: u64,
    /// Go on after this path.
    pub after: Option<FilePath>,
}
call!(EmptyTrash => TrashEmptied, EmptyTrash, path);

/// What one step of emptying took away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEmptied {
    /// How many files.
    pub files: u64,
    /// Their declared sizes together, bytes.
    pub bytes: u64,
    /// Where the next step begins, when there may be more.
    pub next: Option<FilePath>,
}
