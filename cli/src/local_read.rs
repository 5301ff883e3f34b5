//! Bytes of local files and of standard input as a stream, read on a thread of their own so that
//! a slow disk or pipe stops nothing else.

use std::fs::File;
use std::io::{self, Read, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// One piece: large enough that a piece costs nothing, small enough to begin at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Pieces read ahead of the network.
const PIECES_AHEAD: usize = 8;

/// A local source of bytes.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    /// Its size, when it is a plain file.
    pub(crate) bytes: Option<u64>,
}

impl Source {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Outcome<Source> {
        let fault = |error| Failure::local("read", path, &error);
        let file = File::open(path).map_err(fault)?;
        let known = file.metadata().map_err(fault)?;
        if known.is_dir() {
            let what = format!("{} is a folder", path.display());
            return Err(Failure::new(crate::exit::Code::Usage, what).advise("-r stores folders"));
        }
        Ok(Source {
            file,
            bytes: known.is_file().then_some(known.len()),
        })
    }

    /// Standard input.
    pub(crate) fn stdin() -> Outcome<Source> {
        use std::os::fd::AsFd;
        let fault = |error| Failure::system("read standard input", &error);
        let descriptor = io::stdin().as_fd().try_clone_to_owned().map_err(fault)?;
        Ok(Source {
            file: File::from(descriptor),
            bytes: None,
        })
    }

    /// Its bytes to the end; `progress` hears of each piece taken.
    pub(crate) fn stream(
        mut self,
        progress: Progress,
    ) -> Outcome<impl Stream<Item = io::Result<Bytes>> + Send + Unpin> {
        let (pieces, mut pieces_read) = mpsc::channel(PIECES_AHEAD);
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn(move || {
                loop {
                    let piece = read_piece(&mut self.file);
                    let is_last = piece.as_ref().map_or(true, Bytes::is_empty);
                    let is_end = piece.as_ref().is_ok_and(Bytes::is_empty);
                    if is_end || pieces.blocking_send(piece).is_err() || is_last {
                        return;
                    }
                }
            })
            .map_err(|error| Failure::system("start a thread", &error))?;
        Ok(poll_fn(move |context| {
            pieces_read.poll_recv(context).map(|piece| {
                if let Some(Ok(piece)) = &piece {
                    progress.advance(piece.len() as u64);
                }
                piece
            })
        }))
    }

    /// Its bytes, from anywhere and more than once; `progress` hears how far it is read.
    pub(crate) fn reader(self, progress: Progress) -> Outcome<Reader> {
        if self.bytes.is_none() {
            let what = "what is read twice must be a plain file";
            return Err(Failure::new(crate::exit::Code::Usage, what).advise("leave out --instant"));
        }
        Ok(Reader {
            file: tokio::fs::File::from_std(self.file),
            progress,
        })
    }
}

/// A plain file that can be read more than once.
#[derive(Debug)]
pub(crate) struct Reader {
    file: tokio::fs::File,
    progress: Progress,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.file).poll_read(context, into);
        let bytes = into.filled().len() - before;
        self.progress.advance(bytes as u64);
        read
    }
}

impl AsyncSeek for Reader {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        if let SeekFrom::Start(bytes) = to {
            self.progress.reach(bytes);
        }
        Pin::new(&mut self.file).start_seek(to)
    }

    fn poll_complete(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.file).poll_complete(context)
    }
}

/// A full piece, or what is left; empty at the end.
fn read_piece(file: &mut File) -> io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(PIECE_BYTES);
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn a_file_streams_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for bytes in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 5] {
            let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &content).expect("written");
            let source = Source::open(&path).expect("open");
            assert_eq!(source.bytes, Some(bytes as u64));
            let stream = source
                .stream(Progress::new("", None, false))
                .expect("started");
            let read: Vec<Bytes> = stream.try_collect().await.expect("read");
            assert_eq!(read.concat(), content);
        }
    }

    #[test]
    fn a_folder_is_no_source() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Source::open(folder.path()).is_err());
        assert!(Source::open(&folder.path().join("none")).is_err());
    }
}
