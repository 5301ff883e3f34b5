//! The task that writes one connection: everything queued goes out in one vectored write.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};

use crate::close::CloseReason;
use crate::lazy_timer::LazyTimer;
use crate::limits::{BATCH_SLICES_MAX, DRAIN_MS_MAX};
use crate::out_queue::{Batch, OutQueue};
use crate::transport::Stream;

/// Writes until the connection ends and what was queued by then is out.
pub(crate) async fn write_all(
    mut stream: WriteHalf<Stream>,
    queue: Arc<OutQueue>,
    stall: Duration,
) {
    let mut batch = Batch::default();
    let mut stalled = LazyTimer::new(stall);
    loop {
        if !poll_fn(|context| queue.poll_work(context)).await {
            break;
        }
        // Tasks that are ready now add their packets to the same write.
        yield_once().await;
        queue.take_batch(&mut batch);
        if batch.bytes == 0 {
            continue;
        }
        let written = write_batch(&mut stream, &mut batch, &queue, &mut stalled).await;
        queue.written(&mut batch);
        if let Err(reason) = written {
            queue.close(reason);
            break;
        }
    }
    let end = end_in_order(stream, &queue);
    // The stream is closed either way; whoever is too slow for it misses the rest.
    tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), end)
        .await
        .unwrap_or_default();
    queue.abandon();
}

/// Says that nothing more comes and reads what the other end still sends until it says the same:
/// a stream closed over unread bytes is reset, and takes with it what the other end did not read.
async fn end_in_order(mut stream: WriteHalf<Stream>, queue: &OutQueue) {
    let is_over = stream.shutdown().await.is_err();
    if is_over || !queue.closed().is_some_and(CloseReason::is_in_order) {
        return;
    }
    let mut unread = queue.unread().await;
    let mut scratch = [0; 4096];
    while unread.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
}

async fn write_batch(
    stream: &mut WriteHalf<Stream>,
    batch: &mut Batch,
    queue: &OutQueue,
    stalled: &mut LazyTimer,
) -> Result<(), CloseReason> {
    let mut flat_written = 0;
    while flat_written < batch.flat.len() || !batch.pieces.is_empty() {
        let mut written = unless_stalled(queue, stalled, |context| {
            poll_write(stream, batch, flat_written, context)
        })
        .await?;
        if written == 0 {
            return Err(CloseReason::Io(io::ErrorKind::WriteZero));
        }
        queue.counters().note_write(written);
        let of_flat = written.min(batch.flat.len() - flat_written);
        flat_written += of_flat;
        written -= of_flat;
        while written > 0 {
            let Some(piece) = batch.pieces.front_mut() else {
                break;
            };
            let of_piece = written.min(piece.len());
            piece.advance(of_piece);
            written -= of_piece;
            if piece.is_empty() {
                batch.pieces.pop_front();
            }
        }
    }
    // TLS may keep the end of what it took.
    unless_stalled(queue, stalled, |context| {
        Pin::new(&mut *stream).poll_flush(context)
    })
    .await
}

/// Waits for one step of a write, as long as the other end may take for it.
async fn unless_stalled<T>(
    queue: &OutQueue,
    stalled: &mut LazyTimer,
    mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> Result<T, CloseReason> {
    let done = poll_fn(|context| {
        if let Poll::Ready(result) = step(context) {
            return Poll::Ready(result.map_err(|error| CloseReason::Io(error.kind())));
        }
        queue.wake_write_at_close(context.waker());
        // A closed connection drains for a while only, however slowly the other end reads.
        let wait_max = queue
            .is_closed()
            .then_some(Duration::from_millis(DRAIN_MS_MAX));
        stalled
            .poll_over(wait_max, context)
            .map(|()| Err(CloseReason::WriteStalled))
    })
    .await;
    stalled.rest();
    done
}

fn poll_write(
    stream: &mut WriteHalf<Stream>,
    batch: &Batch,
    flat_written: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut stream = Pin::new(stream);
    let flat = &batch.flat[flat_written..];
    if batch.pieces.is_empty() {
        return stream.as_mut().poll_write(context, flat);
    }
    let mut slices = [IoSlice::new(&[]); BATCH_SLICES_MAX];
    let mut used = 0;
    if !flat.is_empty() {
        slices[0] = IoSlice::new(flat);
        used = 1;
    }
    for (slice, piece) in slices[used..].iter_mut().zip(&batch.pieces) {
        *slice = IoSlice::new(piece);
        used += 1;
    }
    stream
        .as_mut()
        .poll_write_vectored(context, &slices[..used])
}

/// Lets every task that is ready now run first.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
