//! Where the files of a group that have a record are: below the reserved directory.

use sdfs_types::FASTDFS_FOLDER;

/// The directories of a group.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    group: String,
}

impl Folders {
    pub(crate) fn of(group: &str) -> Self {
        Self {
            group: group.to_owned(),
        }
    }

    fn folder(&self, folder: &str) -> String {
        format!("/{FASTDFS_FOLDER}/{}/{folder}", self.group)
    }

    /// The slashes of a name stand at fixed places, so no two names share a path.
    fn path(&self, folder: &str, name: &str) -> String {
        format!("{}/{}", self.folder(folder), name.replace('/', "-"))
    }

    /// The content of a file.
    pub(crate) fn data(&self, name: &str) -> String {
        self.path("data", name)
    }

    /// Its metadata.
    pub(crate) fn meta(&self, name: &str) -> String {
        self.path("meta", name)
    }

    /// Content that has no name yet.
    pub(crate) fn draft(&self, draft: &str) -> String {
        self.path("draft", draft)
    }

    /// The directory of all content.
    pub(crate) fn all_data(&self) -> String {
        self.folder("data")
    }

    /// A directory that is there since files of another FastDFS were brought in. They lie among
    /// the others: what is done to a file does not depend on where it came from.
    pub(crate) fn imported(&self) -> String {
        self.folder("imported")
    }
}
