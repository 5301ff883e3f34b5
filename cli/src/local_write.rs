//! Bytes into a local file or to standard output, written on a thread of their own. A file
//! appears under its name only when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// Pieces that may wait for a slow disk or reader.
const PIECES_WAITING: usize = 8;

/// A local target of bytes.
#[derive(Debug)]
pub(crate) struct Target {
    pieces: mpsc::Sender<Bytes>,
    outcome: oneshot::Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
    place: Place,
}

/// Where the bytes go.
#[derive(Debug)]
enum Place {
    Stdout,
    File(Unfinished),
}

/// A file that has not its name yet; removed when it never gets it.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    part: PathBuf,
    is_replacing: bool,
    is_finished: bool,
}

impl Target {
    /// Standard output.
    pub(crate) fn stdout() -> Outcome<Target> {
        let fault = |error| Failure::system("write to standard output", &error);
        let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(fault)?;
        Target::start(File::from(descriptor), Place::Stdout)
    }

    /// A file at `path`.
    pub(crate) fn file(path: &Path, is_replacing: bool) -> Outcome<Target> {
        if path.is_dir() {
            let what = format!("{} is a folder", path.display());
            return Err(Failure::new(Code::Local, what));
        }
        if !is_replacing && path.exists() {
            let what = format!("{} exists already", path.display());
            return Err(Failure::new(Code::Refused, what));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let part = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)
            .map_err(|error| Failure::local("write", path, &error))?;
        let path = path.to_owned();
        let unfinished = Unfinished {
            path,
            part,
            is_replacing,
            is_finished: false,
        };
        Target::start(file, Place::File(unfinished))
    }

    fn start(mut file: File, place: Place) -> Outcome<Target> {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(PIECES_WAITING);
        let (ending, outcome) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("write".to_owned())
            .spawn(move || {
                let mut write = || -> io::Result<()> {
                    while let Some(piece) = waiting.blocking_recv() {
                        file.write_all(&piece)?;
                    }
                    file.flush()
                };
                // Nobody listens when the transfer was given up.
                ending.send(write()).unwrap_or(());
            })
            .map_err(|error| Failure::system("start a thread", &error))?;
        Ok(Target {
            pieces,
            outcome,
            thread,
            place,
        })
    }

    /// Hands over a piece; waits while too many wait. `false` when writing has failed, which
    /// [`Target::finish`] then tells.
    pub(crate) async fn write(&mut self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until all is written, and gives a file its name.
    pub(crate) async fn finish(self) -> Outcome {
        drop(self.pieces);
        let written = self
            .outcome
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        // It has told its outcome, so it is at its end.
        self.thread.join().unwrap_or(());
        match (self.place, written) {
            (Place::Stdout, Ok(())) => Ok(()),
            // The reader of the pipe has seen enough.
            (Place::Stdout, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            (Place::Stdout, Err(error)) => Err(Failure::system("write to standard output", &error)),
            (Place::File(file), Ok(())) => file.finish(),
            (Place::File(file), Err(error)) => Err(Failure::local("write", &file.path, &error)),
        }
    }
}

impl Unfinished {
    fn finish(mut self) -> Outcome {
        let fault = |error| Failure::local("write", &self.path, &error);
        if self.is_replacing {
            fs::rename(&self.part, &self.path).map_err(fault)?;
        } else {
            // Unlike a rename, a link never replaces what came up meanwhile.
            fs::hard_link(&self.part, &self.path).map_err(fault)?;
            fs::remove_file(&self.part).map_err(fault)?;
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // The transfer has failed already, which is what its user hears of.
            fs::remove_file(&self.part).unwrap_or(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_appears_only_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut target = Target::file(&path, true).expect("open");
        assert!(target.write(Bytes::from_static(b"half")).await);
        assert!(!path.exists());
        drop(target);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);

        let mut target = Target::file(&path, false).expect("open");
        assert!(target.write(Bytes::from_static(b"whole")).await);
        target.finish().await.expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"whole");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn an_existing_file_is_kept_when_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, b"old").expect("written");
        let refused = Target::file(&path, false).expect_err("refused");
        assert_eq!(refused.code, Code::Refused);
    }
}
