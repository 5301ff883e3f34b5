//! The log file of a child: in its first space, kept within bounds at each start.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sdfs_server_group::ServerConfig;

use crate::failure::{Failure, Outcome};

/// A longer log is set aside at the next start: two of these tell enough of the past.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Where the last sentence of a server is looked for.
const TAIL_BYTES: u64 = 4 * 1024;
/// What a sentence for people begins with, in a log and on a terminal.
const WORD_PREFIX: &str = "sdfs: ";

/// Opens the log of `server` for appending.
pub(super) fn open(server: &ServerConfig) -> Outcome<(PathBuf, File)> {
    let space = server.space.first().cloned().unwrap_or_default();
    fs::create_dir_all(&space).map_err(|error| {
        let advice = format!("Check `space` of {} in config.conf", server.name);
        Failure::local("make the space", &space, &error).advise(advice)
    })?;
    let path = space.join("server.log");
    let fault = |error| Failure::local("write the log", &path, &error);
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(&path, path.with_extension("log.old")).map_err(fault)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(fault)?;
    Ok((path, file))
}

/// The last sentence for people in a log; `None` when there is none or it cannot be read, as
/// then the exit code must do.
pub(super) fn last_word(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))
        .ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let word = tail
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(WORD_PREFIX))?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server.log");
        let log = format!(
            "{}\nsdfs: first\nINFO x\nsdfs: port 1 is taken\nINFO y\n",
            "z".repeat(9_000)
        );
        fs::write(&path, log).expect("written");
        assert_eq!(last_word(&path).as_deref(), Some("port 1 is taken"));
        assert_eq!(last_word(&folder.path().join("none")), None);
    }
}
