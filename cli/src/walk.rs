//! A local folder with everything in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// What is in a folder; paths are relative to it, parents before what they hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The folder itself.
    pub(crate) root: PathBuf,
    /// Folders in it.
    pub(crate) folders: Vec<PathBuf>,
    /// Files in it.
    pub(crate) files: Vec<PathBuf>,
    /// Neither: links to folders (they may form circles), sockets, devices.
    pub(crate) skipped: Vec<PathBuf>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// Looks at everything in `root`, in order of the names.
pub(crate) fn walk(root: &Path) -> Outcome<Found> {
    if !root.is_dir() {
        let what = format!("{} is not a folder", root.display());
        return Err(Failure::new(Code::Local, what).advise("Leave out -r for a single file"));
    }
    let mut found = Found {
        root: root.to_owned(),
        ..Found::default()
    };
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        let fault = |error| Failure::local("read", &path, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            names.push((entry.file_name(), entry.file_type().map_err(fault)?));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            let relative = folder.join(&name);
            if kind.is_dir() {
                waiting.push(relative.clone());
                found.folders.push(relative);
                continue;
            }
            // Follows a link to a file; what is gone meanwhile or dangles counts as neither.
            let file = fs::metadata(root.join(&relative))
                .ok()
                .filter(fs::Metadata::is_file);
            if let Some(file) = file {
                found.bytes += file.len();
                found.files.push(relative);
            } else {
                found.skipped.push(relative);
            }
        }
    }
    found.folders.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("b/c")).expect("made");
        fs::create_dir(root.join("a")).expect("made");
        fs::write(root.join("b/c/file"), b"12345").expect("written");
        fs::write(root.join("top"), b"1").expect("written");
        std::os::unix::fs::symlink(root, root.join("a/circle")).expect("linked");
        let found = walk(root).expect("walked");
        assert_eq!(found.folders, ["a", "b", "b/c"].map(PathBuf::from));
        assert_eq!(found.files, ["top", "b/c/file"].map(PathBuf::from));
        assert_eq!(found.skipped, ["a/circle"].map(PathBuf::from));
        assert_eq!(found.bytes, 6);
    }
}
