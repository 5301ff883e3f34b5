//! Finding names: walking a path from the root directory down.

use std::sync::Arc;

use sdfs_store::StoreError;
use sdfs_types::{
    BlockSize, EntryKind, FileDescriptor, FileMetaMetaData, FilePath, Refusal, RequestId,
};

/// Where entries are looked up: the applying side sees uncommitted changes, readers do not.
pub(crate) trait Entries {
    /// What a name in a directory stands for.
    fn entry(
        &self,
        parent: FileDescriptor,
        name: &str,
    ) -> Result<Option<Arc<FileMetaMetaData>>, StoreError>;
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The name exists.
    Found {
        /// The directories above it, the root first; none for the root itself.
        above: Vec<FileDescriptor>,
        /// What it stands for.
        entry: Arc<FileMetaMetaData>,
    },
    /// The name, or a directory on the way, does not exist.
    Missing {
        /// The directories that exist on the way, the root first.
        above: Vec<FileDescriptor>,
    },
    /// A file stands where a directory is needed.
    Blocked {
        /// The file.
        path: FilePath,
    },
}

/// The root directory's entry: it has no name and is never made.
pub fn root_entry() -> Arc<FileMetaMetaData> {
    Arc::new(FileMetaMetaData {
        name: "".into(),
        descriptor: FileDescriptor::default(),
        kind: EntryKind::Directory,
        request: RequestId::default(),
        locate: None,
        size_bytes: 0,
        block_size: BlockSize::default(),
        owner: "".into(),
        created_ms: 0,
    })
}

/// Follows `path` from the root.
pub(crate) fn walk(entries: &impl Entries, path: &FilePath) -> Result<Walk, StoreError> {
    let mut above = Vec::with_capacity(8);
    let mut at: Option<Arc<FileMetaMetaData>> = None;
    for (depth, name) in path.names().enumerate() {
        if at
            .as_ref()
            .is_some_and(|entry| entry.kind == EntryKind::File)
        {
            return Ok(Walk::Blocked {
                path: prefix(path, depth),
            });
        }
        above.push(at.map_or_else(FileDescriptor::default, |entry| entry.descriptor));
        match entries.entry(above[above.len() - 1], name)? {
            Some(entry) => at = Some(entry),
            None => return Ok(Walk::Missing { above }),
        }
    }
    Ok(Walk::Found {
        above,
        entry: at.unwrap_or_else(root_entry),
    })
}

/// Whether what stands at `path` may make way for a file: never a directory.
pub(crate) fn may_replace(
    entry: &FileMetaMetaData,
    path: &FilePath,
    replace: bool,
) -> Result<(), Refusal> {
    let path = path.clone();
    match entry.kind {
        EntryKind::Directory => Err(Refusal::IsDirectory { path }),
        EntryKind::File if !replace => Err(Refusal::Exists {
            path,
            descriptor: entry.descriptor,
        }),
        EntryKind::File => Ok(()),
    }
}

/// The first `names` names of `path`.
pub(crate) fn prefix(path: &FilePath, names: usize) -> FilePath {
    let mut at = path.clone();
    for _ in names..path.names().count() {
        at = at
            .split_last()
            .map_or_else(FilePath::root, |(above, _)| above);
    }
    at
}

impl Walk {
    /// The entry, or the refusal that says what was found instead.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] or [`Refusal::NotDirectory`].
    pub fn found(
        self,
        path: &FilePath,
    ) -> Result<(Vec<FileDescriptor>, Arc<FileMetaMetaData>), Refusal> {
        match self {
            Walk::Found { above, entry } => Ok((above, entry)),
            Walk::Missing { above } => Err(Refusal::NotFound {
                path: prefix(path, above.len()),
            }),
            Walk::Blocked { path } => Err(Refusal::NotDirectory { path }),
        }
    }

    /// The file, or the refusal that says what was found instead.
    ///
    /// # Errors
    /// As [`Walk::found`], and [`Refusal::IsDirectory`].
    pub fn file(self, path: &FilePath) -> Result<Arc<FileMetaMetaData>, Refusal> {
        let (_, entry) = self.found(path)?;
        match entry.kind {
            EntryKind::File => Ok(entry),
            EntryKind::Directory => Err(Refusal::IsDirectory { path: path.clone() }),
        }
    }

    /// The directory, or the refusal that says what was found instead.
    ///
    /// # Errors
    /// As [`Walk::found`], and [`Refusal::NotDirectory`].
    pub fn directory(self, path: &FilePath) -> Result<Arc<FileMetaMetaData>, Refusal> {
        let (_, entry) = self.found(path)?;
        match entry.kind {
            EntryKind::Directory => Ok(entry),
            EntryKind::File => Err(Refusal::NotDirectory { path: path.clone() }),
        }
    }
}
