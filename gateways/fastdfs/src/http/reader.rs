//! The other side of an HTTP connection, whose patience hyper does not bound: who hardly reads what
//! is sent is cut off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sdfs_net_layer::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::pace::Pace;

/// A stream whose writes fail as timed out when too little of them is taken.
pub(crate) struct Reader {
    stream: Stream,
    pace: Pace,
    /// Since when it is waited for room, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Reader {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            pace: Pace::of_reader(),
            waiting: None,
        }
    }

    /// Notes how a write went, `moved` bytes of it; waits no longer than may be.
    fn note<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        moved: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Ok(told)) => {
                let since = self.waiting.take().map(|(since, _)| since);
                let waited = since.map(|since| since.elapsed()).unwrap_or_default();
                match self.pace.note(waited, moved(&told)) {
                    true => Poll::Ready(Ok(told)),
                    false => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => loop {
                let left = self.pace.left();
                let (since, until) = self.waiting.get_or_insert_with(|| {
                    let now = Instant::now();
                    (now, Box::pin(sleep_until(now + left)))
                });
                ready!(until.as_mut().poll(cx));
                let waited = since.elapsed();
                self.waiting = None;
                if !self.pace.note(waited, 0) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            },
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Reader {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(cx, written, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note(cx, written, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(cx, ended, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::READER_WINDOW;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_cut_off() {
        let (near, mut far) = duplex(1 << 10);
        let mut reader = Reader::new(Box::new(near));
        let begun = Instant::now();
        // Far away, but it reads.
        let taking = async {
            let mut piece = [0; 1_000];
            for _ in 0..100 {
                tokio::time::sleep(READER_WINDOW / 60).await;
                far.read_exact(&mut piece).await.expect("read");
            }
        };
        let (sent, ()) = tokio::join!(reader.write_all(&[7; 100_000]), taking);
        sent.expect("all of it is taken");
        assert!(begun.elapsed() > READER_WINDOW);
        // It reads no more.
        let error = reader.write_all(&[7; 100_000]).await.expect_err("cut off");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
