//! A new file written through [`AsyncWrite`].

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use futures::future::BoxFuture;
use sdfs_types::{FileMetaMetaData, FilePath};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::limits::LEFT_ALONE;
use crate::options::PutOptions;
use crate::upload::{Beginning, Upload};

/// A new file on its way. Nobody sees it before [`FileWriter::finish`] or `shutdown`; dropped
/// before, nothing of it stays: what was stored is freed, by a task of the runtime it is dropped
/// in.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
/// # let config = cluster.config().clone();
/// # let client = sdfs_client::Client::connect_admin(config).await?;
/// use sdfs_client::PutOptions;
/// use tokio::io::AsyncWriteExt;
///
/// let mut writer = client.create("/log", PutOptions::default()).await?;
/// writer.write_all(b"one\n").await?;
/// writer.write_all(b"two\n").await?;
/// writer.finish().await?;
/// assert_eq!(client.get("/log").await?, "one\ntwo\n");
/// # Ok(()) }
/// ```
pub struct FileWriter {
    state: State,
    block: BytesMut,
    /// Since when it is the caller's turn.
    left_at: Option<Instant>,
}

enum State {
    Writing(Box<Upload>),
    Finishing(BoxFuture<'static, Result<FileMetaMetaData, Error>>),
    /// A put of the same request has made the file before: what is written goes nowhere.
    Known(Box<FileMetaMetaData>),
    Finished,
    Failed,
}

impl Client {
    /// Begins a new file that is written bit by bit.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn create(&self, path: &str, options: PutOptions) -> Result<FileWriter, Error> {
        let state = match Upload::begin(self, FilePath::parse(path)?, &options).await? {
            Beginning::Begun(upload) => State::Writing(upload),
            Beginning::Finished(name) => State::Known(Box::new(name)),
        };
        Ok(FileWriter {
            state,
            block: BytesMut::new(),
            left_at: None,
        })
    }
}

impl FileWriter {
    /// Waits until all is durable and makes it a file that everybody sees.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn finish(mut self) -> Result<FileMetaMetaData, Error> {
        if let State::Known(name) = self.state {
            return Ok(*name);
        }
        self.look_again();
        self.seal()?;
        match mem::replace(&mut self.state, State::Finished) {
            State::Finishing(finishing) => finishing.await,
            _ => Err(Error::WriterFailed),
        }
    }

    /// Sends the last block off and begins to finish.
    fn seal(&mut self) -> Result<(), Error> {
        let State::Writing(mut upload) = mem::replace(&mut self.state, State::Failed) else {
            return Err(Error::WriterFailed);
        };
        if !self.block.is_empty() {
            upload.add(self.block.split().freeze().into())?;
        }
        self.state = State::Finishing(Box::pin(upload.end(Ok(()))));
        Ok(())
    }

    /// Blocks that nobody looked after meanwhile are not late for that.
    fn look_again(&mut self) {
        let gap = self.left_at.take().map(|at| at.elapsed());
        if let (State::Writing(upload), Some(gap)) = (&self.state, gap)
            && gap > LEFT_ALONE
        {
            upload.leave_out(gap);
        }
    }

    /// Waits until blocks on their way are few enough, or until there are none.
    fn poll_stored(&mut self, cx: &mut Context<'_>, all: bool) -> Poll<Result<(), Error>> {
        let State::Writing(upload) = &mut self.state else {
            return Poll::Ready(Err(Error::WriterFailed));
        };
        loop {
            match upload.poll_stored(cx) {
                Poll::Ready(Err(error)) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) => {}
                Poll::Pending if all && upload.is_busy() => return Poll::Pending,
                Poll::Pending if !upload.has_room() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let State::Writing(_) = &self.state {
            self.seal()?;
        }
        match &mut self.state {
            State::Finishing(finishing) => {
                let outcome = ready!(finishing.as_mut().poll(cx));
                self.state = if outcome.is_ok() {
                    State::Finished
                } else {
                    State::Failed
                };
                Poll::Ready(outcome.map(drop))
            }
            State::Finished | State::Known(_) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Error::WriterFailed)),
        }
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Writing(_) => "writing",
            State::Finishing(_) => "finishing",
            State::Known(_) => "known",
            State::Finished => "finished",
            State::Failed => "failed",
        };
        f.debug_struct("FileWriter")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl AsyncWrite for FileWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let State::Known(_) = &this.state {
            return Poll::Ready(Ok(bytes.len()));
        }
        this.look_again();
        ready!(this.poll_stored(cx, false))?;
        let State::Writing(upload) = &mut this.state else {
            return Poll::Ready(Err(Error::WriterFailed.into()));
        };
        let block_bytes = upload.block_bytes();
        let taken = bytes.len().min(block_bytes - this.block.len());
        this.block.put_slice(&bytes[..taken]);
        if this.block.len() == block_bytes {
            upload.add(this.block.split().freeze().into())?;
            // Woken by what was just sent off, not only by the caller's next write.
            if let Poll::Ready(Err(error)) = this.poll_stored(cx, false) {
                return Poll::Ready(Err(error.into()));
            }
        }
        this.left_at = Some(Instant::now());
        Poll::Ready(Ok(taken))
    }

    /// Waits until all full blocks are durable; they are still nobody's file.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Finishing(_) | State::Known(_) | State::Finished = &self.state {
            return Poll::Ready(Ok(()));
        }
        self.look_again();
        ready!(self.poll_stored(cx, true))?;
        self.left_at = Some(Instant::now());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look_again();
        self.poll_finish(cx).map_err(io::Error::from)
    }
}
