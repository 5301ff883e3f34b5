//! The reading half of a connection.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, ReadHalf};

use crate::buffers::{Buffer, Buffers};
use crate::close::CloseReason;
use crate::codec::{PacketCodec, PacketFault, Taken};
use crate::lazy_timer::LazyTimer;
use crate::limits::{
    BULK_BYTES_MIN, COPY_BYTES_MAX, READ_BYTES_MAX, READ_BYTES_MIN, SMALL_READS_BEFORE_SHRINK,
};
use crate::out_queue::OutQueue;
use crate::packet::{Packet, PacketLimits};
use crate::transport::Stream;

/// Yields the packets of one connection. Dropping it closes the connection.
pub struct PacketReceiver {
    /// There until dropped.
    stream: Option<ReadHalf<Stream>>,
    queue: Arc<OutQueue>,
    codec: PacketCodec,
    buffer: BytesMut,
    /// A packet whose payload is being read to where it stays.
    bulk: Option<Bulk>,
    buffers: Arc<Buffers>,
    /// How much the next read asks for: grows while reads fill it, shrinks when they do not.
    read_bytes: usize,
    small_reads: u32,
    packets: u64,
    /// Runs while a packet is begun and not whole.
    unfinished: LazyTimer,
}

struct Bulk {
    packet: Packet,
    payload: Buffer,
    filled: usize,
    payload_bytes: usize,
}

impl PacketReceiver {
    pub(crate) fn new(
        stream: ReadHalf<Stream>,
        queue: Arc<OutQueue>,
        limits: PacketLimits,
        buffers: Arc<Buffers>,
        unfinished: LazyTimer,
    ) -> Self {
        Self {
            stream: Some(stream),
            queue,
            codec: PacketCodec::new(limits),
            buffer: BytesMut::new(),
            bulk: None,
            buffers,
            read_bytes: READ_BYTES_MIN,
            small_reads: 0,
            packets: 0,
            unfinished,
        }
    }

    /// Refuses larger packets than these from now on.
    pub fn set_limits(&mut self, limits: PacketLimits) {
        self.codec.set_limits(limits);
    }

    /// The next packet. May be dropped and asked again without loss.
    ///
    /// # Errors
    /// Why the connection ended, whichever end ended it; the same at every later call.
    pub async fn next(&mut self) -> Result<Packet, CloseReason> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Memory the read buffer takes now.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next packet when it has arrived already.
    ///
    /// # Errors
    /// As [`PacketReceiver::next`].
    pub fn next_ready(&mut self) -> Result<Option<Packet>, CloseReason> {
        if let Some(reason) = self.queue.closed() {
            return Err(reason);
        }
        if let Some(bulk) = self.bulk.take_if(|bulk| bulk.filled == bulk.payload_bytes) {
            let mut packet = bulk.packet;
            packet.payload = bulk.payload.freeze(bulk.payload_bytes);
            return Ok(Some(self.taken(packet)));
        }
        if self.bulk.is_some() {
            return Ok(None);
        }
        match self.codec.take_within(&mut self.buffer, BULK_BYTES_MIN) {
            Ok(Taken::Whole(packet)) => Ok(Some(self.taken(packet))),
            Ok(Taken::Front {
                packet,
                payload_bytes,
            }) => {
                let mut payload = self.buffers.take(payload_bytes);
                let filled = self.buffer.len();
                payload.bytes()[..filled].copy_from_slice(&self.buffer);
                self.buffer.clear();
                self.bulk = Some(Bulk {
                    packet,
                    payload,
                    filled,
                    payload_bytes,
                });
                Ok(None)
            }
            Ok(Taken::Nothing) => Ok(None),
            Err(fault) => Err(self.end(CloseReason::BadPacket(fault))),
        }
    }

    /// Notes that a packet is whole.
    fn taken(&mut self, packet: Packet) -> Packet {
        self.unfinished.rest();
        self.packets += 1;
        if packet.payload.len() > COPY_BYTES_MAX {
            // Another one is likely: the next read takes little more than its header, so that
            // its bytes are read to where they stay.
            self.read_bytes = READ_BYTES_MIN;
            if self.buffer.is_empty() && self.buffer.capacity() > 2 * READ_BYTES_MIN {
                self.buffer = BytesMut::with_capacity(READ_BYTES_MIN);
            }
        }
        packet
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Packet, CloseReason>> {
        loop {
            match self.next_ready() {
                Ok(Some(packet)) => return Poll::Ready(Ok(packet)),
                Ok(None) => {}
                Err(reason) => return Poll::Ready(Err(reason)),
            }
            match self.poll_read(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(self.end(reason))),
                Poll::Pending => {
                    self.queue.wake_reader_at_close(context.waker());
                    if let Some(reason) = self.queue.closed() {
                        return Poll::Ready(Err(reason));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads once, as much as has come.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.packets > 0 {
            self.queue
                .counters()
                .note_packets_in(std::mem::take(&mut self.packets));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(CloseReason::Ours));
        };
        let read = match &mut self.bulk {
            Some(bulk) => {
                let target = &mut bulk.payload.bytes()[bulk.filled..bulk.payload_bytes];
                let mut target = ReadBuf::new(target);
                Pin::new(stream)
                    .poll_read(context, &mut target)
                    .map_ok(|()| {
                        let read = target.filled().len();
                        bulk.filled += read;
                        read
                    })
            }
            None => self.poll_read_buffer(context),
        };
        let is_between_packets = self.bulk.is_none() && self.buffer.is_empty();
        match read {
            Poll::Ready(Ok(0)) if is_between_packets => Poll::Ready(Err(CloseReason::Theirs)),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(CloseReason::BadPacket(PacketFault::Truncated))),
            Poll::Ready(Ok(read)) => {
                self.queue.counters().note_read(read);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(CloseReason::Io(error.kind()))),
            Poll::Pending if is_between_packets => Poll::Pending,
            Poll::Pending => {
                let over = self.unfinished.poll_over(None, context);
                over.map(|()| Err(CloseReason::PacketTooSlow))
            }
        }
    }

    fn poll_read_buffer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The codec reserved the rest of a packet it knows the length of.
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare == 0 || (self.buffer.is_empty() && spare < self.read_bytes) {
            self.buffer.reserve(self.read_bytes);
        }
        let asked = self.buffer.capacity() - self.buffer.len();
        let asked = if self.buffer.is_empty() {
            asked.min(self.read_bytes)
        } else {
            asked
        };
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        let mut target = (&mut self.buffer).limit(asked);
        let read = pin!(stream.read_buf(&mut target)).poll(context);
        if let Poll::Ready(Ok(read)) = read {
            self.adapt(read, asked);
        }
        read
    }

    /// Reads that fill the buffer make it larger, a row of small ones gives its memory back.
    fn adapt(&mut self, read: usize, asked: usize) {
        if read == asked && asked >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
            self.small_reads = 0;
        } else if read * 8 < self.read_bytes && self.read_bytes > READ_BYTES_MIN {
            self.small_reads += 1;
            if self.small_reads >= SMALL_READS_BEFORE_SHRINK {
                self.small_reads = 0;
                self.read_bytes = READ_BYTES_MIN;
                if self.buffer.capacity() > 2 * self.buffer.len() + READ_BYTES_MIN {
                    self.buffer = BytesMut::from(&self.buffer[..]);
                }
            }
        } else {
            self.small_reads = 0;
        }
    }

    fn end(&mut self, reason: CloseReason) -> CloseReason {
        self.queue.close(reason);
        self.queue.closed().unwrap_or(reason)
    }
}

impl fmt::Debug for PacketReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketReceiver")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Drop for PacketReceiver {
    fn drop(&mut self) {
        self.queue.close(CloseReason::Ours);
        if let Some(stream) = self.stream.take() {
            self.queue.leave_unread(stream);
        }
    }
}
