//! What waits to be written on one connection: small packets flat, bulk in lanes.
//!
//! The mutex guards a few vectors between the threads that send and the task that writes; it is
//! never held across a wait, and nothing is decided under it but the order of packets.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::task::AtomicWaker;
use tokio::io::ReadHalf;
use tokio::sync::Notify;

use crate::close::{CloseReason, SendFault};
use crate::codec::PacketParts;
use crate::counters::Counters;
use crate::lane::Lane;
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_SLICES_MAX, FLAT_BYTES_KEPT, INLINE_BYTES_MAX, QUEUE_BYTES_HARD_MAX,
};
use crate::packet::{PacketKind, PacketLimits};
use crate::transport::Stream;

/// How sending treats a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Refuse.
    Bounded,
    /// Take it unless the hard bound is reached, which closes the connection.
    Forced,
}

/// The queue of one connection.
pub(crate) struct OutQueue {
    inner: Mutex<Inner>,
    /// Queued or being written.
    queued_bytes: AtomicUsize,
    queue_bytes_max: usize,
    is_closed: AtomicBool,
    /// Nothing will be written any more.
    is_drained: AtomicBool,
    /// Wakes who waits for room or for the end.
    changed: Notify,
    /// The reading task, and the writing task inside a write: both end at a close.
    reader: AtomicWaker,
    writing: AtomicWaker,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Inner {
    flat: Vec<u8>,
    flat_packets: u64,
    lanes: VecDeque<Lane>,
    writer: Option<Waker>,
    closed: Option<CloseReason>,
    /// The reading half, once nobody reads packets from it any more.
    unread: Option<ReadHalf<Stream>>,
}

/// What one vectored write takes: the flat part, then the pieces.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) flat: Vec<u8>,
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) packets: u64,
}

impl fmt::Debug for OutQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutQueue")
            .field("queued_bytes", &self.queued_bytes())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}

impl OutQueue {
    pub(crate) fn new(queue_bytes_max: usize, counters: Arc<Counters>) -> Self {
        counters.note_opened();
        Self {
            inner: Mutex::default(),
            queued_bytes: AtomicUsize::new(0),
            queue_bytes_max,
            is_closed: AtomicBool::new(false),
            is_drained: AtomicBool::new(false),
            changed: Notify::new(),
            reader: AtomicWaker::new(),
            writing: AtomicWaker::new(),
            counters,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the vectors whole: every change to them is a single push.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queued_bytes() < self.queue_bytes_max
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Why the connection ended, once it has.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        if self.is_closed() {
            self.lock().closed
        } else {
            None
        }
    }

    /// Takes a packet. A small one goes ahead of all bulk.
    pub(crate) fn push(
        &self,
        parts: &PacketParts<'_>,
        pressure: Pressure,
    ) -> Result<(), SendFault> {
        let header = parts
            .header(PacketLimits::default())
            .map_err(|_| SendFault::TooLarge)?
            .to_wire();
        let bytes = parts.bytes();
        self.check_room(pressure)?;
        let writer = {
            let mut inner = self.lock();
            if inner.closed.is_some() {
                return Err(SendFault::Closed);
            }
            if bytes <= INLINE_BYTES_MAX {
                inner.flat.reserve(bytes);
                inner.flat_packets += 1;
                inner.flat.extend_from_slice(&header);
                inner.flat.extend_from_slice(parts.prefix);
                inner.flat.extend_from_slice(parts.head);
                for piece in parts.payload {
                    inner.flat.extend_from_slice(piece);
                }
            } else {
                inner.lanes.push_back(Lane::whole(&header, parts));
            }
            self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
            inner.writer.take()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    /// Takes a packet and the chunks that follow it, cut when they are written.
    pub(crate) fn push_lane(&self, lane: Lane, pressure: Pressure) -> Result<(), SendFault> {
        self.check_room(pressure)?;
        let writer = {
            let mut inner = self.lock();
            if inner.closed.is_some() {
                return Err(SendFault::Closed);
            }
            self.queued_bytes.fetch_add(lane.bytes(), Ordering::Relaxed);
            inner.lanes.push_back(lane);
            inner.writer.take()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    fn check_room(&self, pressure: Pressure) -> Result<(), SendFault> {
        match pressure {
            Pressure::Bounded if !self.has_room() => Err(SendFault::Full),
            Pressure::Forced if self.queued_bytes() >= QUEUE_BYTES_HARD_MAX => {
                self.close(CloseReason::Overflow);
                Err(SendFault::Closed)
            }
            _ => Ok(()),
        }
    }

    /// Takes back the bulk of a request or reply that is not written yet.
    pub(crate) fn withdraw(&self, kind: PacketKind, request_id: u64) {
        let mut inner = self.lock();
        let place = inner
            .lanes
            .iter()
            .position(|lane| lane.is_of(kind, request_id));
        let Some(place) = place else { return };
        if let Some(lane) = inner.lanes.remove(place) {
            self.queued_bytes.fetch_sub(lane.bytes(), Ordering::Relaxed);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Ends the connection: nothing more is taken, what is queued is still written for a while.
    pub(crate) fn close(&self, reason: CloseReason) {
        let writer = {
            let mut inner = self.lock();
            if inner.closed.is_some() {
                return;
            }
            inner.closed = Some(reason);
            self.is_closed.store(true, Ordering::Release);
            inner.writer.take()
        };
        self.counters.note_closed(reason);
        if let Some(writer) = writer {
            writer.wake();
        }
        self.changed.notify_waiters();
        self.reader.wake();
        self.writing.wake();
    }

    /// Wakes this task when the connection ends.
    pub(crate) fn wake_reader_at_close(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Wakes the task inside a write when the connection ends.
    pub(crate) fn wake_write_at_close(&self, waker: &Waker) {
        self.writing.register(waker);
    }

    /// Waits for room; `Err` when the connection has ended.
    pub(crate) async fn room(&self) -> Result<(), SendFault> {
        loop {
            let changed = self.changed.notified();
            if self.is_closed() {
                return Err(SendFault::Closed);
            }
            if self.has_room() {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Waits for the end of the connection.
    pub(crate) async fn until_closed(&self) -> CloseReason {
        loop {
            let changed = self.changed.notified();
            if let Some(reason) = self.closed() {
                return reason;
            }
            changed.await;
        }
    }

    /// Waits until the connection has ended and what was queued is written or given up.
    pub(crate) async fn until_drained(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_drained.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until there is something to write (true) or nothing will ever be (false).
    pub(crate) fn poll_work(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut inner = self.lock();
        if !inner.flat.is_empty() || !inner.lanes.is_empty() {
            return Poll::Ready(true);
        }
        if inner.closed.is_some() {
            return Poll::Ready(false);
        }
        inner.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Moves what one write takes into `batch`, whose flat buffer is empty: all small packets and,
    /// so that neither waits for the other's end, a bounded share of the bulk, lane by lane.
    pub(crate) fn take_batch(&self, batch: &mut Batch) {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.flat, &mut batch.flat);
        batch.bytes = batch.flat.len();
        batch.packets = std::mem::take(&mut inner.flat_packets);
        while batch.bytes < BATCH_BYTES_MAX && batch.pieces.len() < BATCH_SLICES_MAX {
            let Some(mut lane) = inner.lanes.pop_front() else {
                break;
            };
            batch.bytes += lane.take_packet(&mut batch.pieces);
            batch.packets += 1;
            if !lane.is_done() {
                inner.lanes.push_back(lane);
            }
        }
    }

    /// Accounts for a batch that was written, or given up.
    pub(crate) fn written(&self, batch: &mut Batch) {
        self.counters.note_packets_out(batch.packets);
        batch.flat.clear();
        if batch.flat.capacity() > FLAT_BYTES_KEPT {
            batch.flat = Vec::new();
        }
        batch.pieces.clear();
        let before = self.queued_bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
        if before >= self.queue_bytes_max && before - batch.bytes < self.queue_bytes_max {
            self.changed.notify_waiters();
        }
    }

    /// Leaves the reading half to the task that ends the connection.
    pub(crate) fn leave_unread(&self, unread: ReadHalf<Stream>) {
        if !self.is_drained.load(Ordering::Acquire) {
            self.lock().unread = Some(unread);
            self.changed.notify_waiters();
        }
    }

    /// The reading half, once its reader is gone.
    pub(crate) async fn unread(&self) -> ReadHalf<Stream> {
        loop {
            let changed = self.changed.notified();
            if let Some(unread) = self.lock().unread.take() {
                return unread;
            }
            changed.await;
        }
    }

    /// Drops all that is queued, when nobody will write it any more.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.flat = Vec::new();
        inner.lanes.clear();
        inner.unread = None;
        drop(inner);
        self.queued_bytes.store(0, Ordering::Relaxed);
        self.is_drained.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}
