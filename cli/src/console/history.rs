//! Lines of former sessions, kept in a file of the user's own.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only the user reads what was typed.
const OWN_FOLDER: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

/// Where they are: `sdfs/history` in the user's state directory (XDG Base Directory Specification,
/// which has relative paths ignored); `None` for a user without a home.
pub(super) fn place(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let state = state.and_then(absolute);
    let of_home = || Some(home.and_then(absolute)?.join(".local/state"));
    Some(state.or_else(of_home)?.join("sdfs").join("history"))
}

/// Makes the file where there is none, readable by its owner alone.
pub(super) fn prepare(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(OWN_FOLDER)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(OWN_FILE);
    options.open(file).map(drop)
}

/// Whether a line is remembered: a login would be a proof, and one that begins with a blank is
/// not wanted, as in shells.
pub(super) fn is_kept(line: &str) -> bool {
    let first = line.split_whitespace().next();
    !line.starts_with(' ') && first.is_some_and(|first| !first.eq_ignore_ascii_case("login"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustyline::history::{FileHistory, History};

    use super::*;

    #[test]
    fn the_state_directory_is_the_users() {
        let place = |state: &str, home: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| OsString::from(text));
            super::place(given(state), given(home))
        };
        assert_eq!(place("/s", "/h"), Some("/s/sdfs/history".into()));
        assert_eq!(place("", "/h"), Some("/h/.local/state/sdfs/history".into()));
        assert_eq!(place("s", "/h"), place("", "/h"));
        assert_eq!(place("", ""), None);
    }

    #[test]
    fn nobody_else_reads_what_was_typed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("state/sdfs/history");
        for line in ["status", "stat /a b"] {
            prepare(&file).expect("made");
            let mode = |path: &Path| {
                let permissions = std::fs::metadata(path).expect("there").permissions();
                permissions.mode() & 0o777
            };
            let folder = file.parent().expect("a folder");
            assert_eq!((mode(&file), mode(folder)), (0o600, 0o700));
            let mut history = FileHistory::new();
            history.load(&file).expect("loaded");
            history.add(line).expect("added");
            history.append(&file).expect("kept");
        }
        let mut history = FileHistory::new();
        history.load(&file).expect("loaded");
        assert_eq!(history.iter().collect::<Vec<_>>(), ["status", "stat /a b"]);
    }

    #[test]
    fn proofs_are_not_remembered() {
        assert!(is_kept("stat /login"));
        assert!(!is_kept("login admin 00ff"));
        assert!(!is_kept("LOGIN admin 00ff"));
        assert!(!is_kept(" stat /a"));
        assert!(!is_kept(""));
    }
}
