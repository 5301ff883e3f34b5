//! The audit log: what was changed through this server's console, when and by whom. One line a
//! record, in the first space of the server, on disk before the change is made.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{AUDIT_BYTES_MAX, AUDIT_READ_BYTES_MAX};

/// Its name in the space.
const AUDIT_FILE: &str = "audit.log";
/// What it is called once it is full; the one before is lost then.
const FORMER_FILE: &str = "audit.log.1";

/// The audit log of a server. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub(crate) struct AuditLog {
    folder: PathBuf,
    /// Held while a line is written: two that find the file full must not both put it away.
    writing: Arc<Mutex<()>>,
}

impl AuditLog {
    pub(crate) fn in_space(folder: &Path) -> AuditLog {
        AuditLog {
            folder: folder.to_owned(),
            writing: Arc::default(),
        }
    }

    /// Writes a line and waits until it is on disk.
    pub(crate) async fn write(self, line: String) -> io::Result<()> {
        blocking(move || self.write_now(&line)).await
    }

    /// The last lines, oldest first.
    pub(crate) async fn read(self, count: usize) -> io::Result<Vec<String>> {
        blocking(move || self.read_now(count)).await
    }

    fn write_now(&self, line: &str) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(AUDIT_FILE);
        let is_full = match std::fs::metadata(&path) {
            Ok(file) => file.len() >= AUDIT_BYTES_MAX,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is_full {
            std::fs::rename(&path, self.folder.join(FORMER_FILE))?;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let is_new = file.metadata()?.len() == 0;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn read_now(&self, count: usize) -> io::Result<Vec<String>> {
        let mut file = match File::open(self.folder.join(AUDIT_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(AUDIT_READ_BYTES_MAX);
        file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        file.take(AUDIT_READ_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // Of what was cut the first line is half.
        let lines: Vec<_> = text.lines().skip(usize::from(skipped > 0)).collect();
        let last = lines.len().saturating_sub(count);
        Ok(lines[last..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect())
    }
}

/// The control thread waits for no disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = AuditLog::in_space(folder.path());
        assert_eq!(log.clone().read(5).await.expect("none"), [""; 0]);
        for line in ["one", "two", "three"] {
            log.clone().write(line.to_owned()).await.expect("written");
        }
        assert_eq!(log.read(2).await.expect("read"), ["two", "three"]);
    }

    #[tokio::test]
    async fn a_full_log_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(folder.path().join(AUDIT_FILE)).expect("made");
        file.set_len(AUDIT_BYTES_MAX).expect("grown");
        let log = AuditLog::in_space(folder.path());
        log.clone().write("next".to_owned()).await.expect("written");
        assert_eq!(log.read(9).await.expect("read"), ["next"]);
        assert!(folder.path().join(FORMER_FILE).exists());
    }

    #[tokio::test]
    async fn lines_written_at_once_keep_the_former_log() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().expect("a folder");
            let file = File::create(folder.path().join(AUDIT_FILE)).expect("made");
            file.set_len(AUDIT_BYTES_MAX).expect("grown");
            let log = AuditLog::in_space(folder.path());
            let lines = ["a", "b", "c", "d"].map(|line| log.clone().write(line.to_owned()));
            for written in futures::future::join_all(lines).await {
                written.expect("written");
            }
            let former = std::fs::metadata(folder.path().join(FORMER_FILE)).expect("kept");
            assert_eq!(former.len(), AUDIT_BYTES_MAX);
            assert_eq!(log.read(9).await.expect("read").len(), 4);
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = AuditLog::in_space(&folder.path().join("gone"));
        assert!(log.write("line".to_owned()).await.is_err());
    }
}
