//! A connection: a stream with packets on it, read by whoever holds the receiver and written by a
//! task of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::buffers::Buffers;
use crate::close::{CloseReason, SendFault};
use crate::codec::PacketParts;
use crate::counters::Counters;
use crate::lane::Lane;
use crate::lazy_timer::LazyTimer;
use crate::limits::{PACKET_MS_MAX, QUEUE_BYTES_MAX, WRITE_MS_MAX};
use crate::out_queue::{OutQueue, Pressure};
use crate::packet::{Flags, Packet, PacketKind, PacketLimits};
use crate::receiver::PacketReceiver;
use crate::transport::Stream;
use crate::writer;

/// What a connection is held to.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// How large received packets may be, until changed.
    pub limits: PacketLimits,
    /// How long a packet begun may take to arrive, in milliseconds.
    pub packet_ms_max: u64,
    /// How long a write may make no progress, in milliseconds.
    pub write_ms_max: u64,
    /// Queued bytes above which senders wait.
    pub queue_bytes_max: usize,
    /// Where the connection is counted.
    pub counters: Arc<Counters>,
    /// The memory of its bulk payloads, shared with others.
    pub buffers: Arc<Buffers>,
}

impl ConnectionOptions {
    /// The usual bounds, for an end that has not proven itself yet.
    #[must_use]
    pub fn before_auth(counters: Arc<Counters>, buffers: Arc<Buffers>) -> Self {
        Self {
            limits: PacketLimits::BEFORE_AUTH,
            packet_ms_max: PACKET_MS_MAX,
            write_ms_max: WRITE_MS_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            counters,
            buffers,
        }
    }
}

/// Puts packets on a stream. Its writer runs on the current tokio runtime.
#[must_use]
pub fn open(stream: Stream, options: ConnectionOptions) -> (PacketSender, PacketReceiver) {
    let (reading, writing) = tokio::io::split(stream);
    let queue = Arc::new(OutQueue::new(options.queue_bytes_max, options.counters));
    let stall = Duration::from_millis(options.write_ms_max);
    tokio::spawn(writer::write_all(writing, Arc::clone(&queue), stall));
    let unfinished = LazyTimer::new(Duration::from_millis(options.packet_ms_max));
    let receiver = PacketReceiver::new(
        reading,
        Arc::clone(&queue),
        options.limits,
        options.buffers,
        unfinished,
    );
    (PacketSender { queue }, receiver)
}

/// Queues packets on a connection, from any thread.
///
/// Bulk keeps its order and so do small packets, but a small one overtakes all bulk before it.
#[derive(Debug, Clone)]
pub struct PacketSender {
    queue: Arc<OutQueue>,
}

impl PacketSender {
    /// Queues a packet, waiting for room.
    ///
    /// # Errors
    /// When the connection has ended or the packet is above every limit.
    pub async fn send(&self, packet: Packet) -> Result<(), SendFault> {
        loop {
            match self.try_send_parts(&parts_of(&packet)) {
                Err(SendFault::Full) => self.room().await?,
                done => return done,
            }
        }
    }

    /// Queues a packet.
    ///
    /// # Errors
    /// When there is no room, the connection has ended or the packet is above every limit.
    pub fn try_send(&self, packet: Packet) -> Result<(), SendFault> {
        self.try_send_parts(&parts_of(&packet))
    }

    /// Queues a packet given in parts.
    ///
    /// # Errors
    /// As [`PacketSender::try_send`].
    pub fn try_send_parts(&self, parts: &PacketParts<'_>) -> Result<(), SendFault> {
        self.queue.push(parts, Pressure::Bounded)
    }

    /// Queues a packet that cannot wait, room or not. An end that lets such packets pile up to the
    /// hard bound is cut off.
    ///
    /// # Errors
    /// When the connection has ended or the packet is above every limit.
    pub fn force_send_parts(&self, parts: &PacketParts<'_>) -> Result<(), SendFault> {
        self.queue.push(parts, Pressure::Forced)
    }

    /// Queues a packet without payload and, after it, `pieces` as chunks of the same request id,
    /// interleaved with all else that is queued.
    ///
    /// # Errors
    /// As [`PacketSender::try_send`].
    pub fn try_send_chunked(
        &self,
        parts: &PacketParts<'_>,
        pieces: Vec<Bytes>,
        chunk_flags: Flags,
    ) -> Result<(), SendFault> {
        self.push_chunked(parts, pieces, chunk_flags, Pressure::Bounded)
    }

    /// As [`PacketSender::try_send_chunked`], room or not.
    ///
    /// # Errors
    /// As [`PacketSender::force_send_parts`].
    pub fn force_send_chunked(
        &self,
        parts: &PacketParts<'_>,
        pieces: Vec<Bytes>,
        chunk_flags: Flags,
    ) -> Result<(), SendFault> {
        self.push_chunked(parts, pieces, chunk_flags, Pressure::Forced)
    }

    fn push_chunked(
        &self,
        parts: &PacketParts<'_>,
        pieces: Vec<Bytes>,
        chunk_flags: Flags,
        pressure: Pressure,
    ) -> Result<(), SendFault> {
        let header = parts
            .header(PacketLimits::default())
            .map_err(|_| SendFault::TooLarge)?;
        let lane = Lane::chunked(&header.to_wire(), parts, pieces, chunk_flags);
        self.queue.push_lane(lane, pressure)
    }

    /// Waits until there is room for bulk.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn room(&self) -> Result<(), SendFault> {
        self.queue.room().await
    }

    /// Whether there is room for bulk now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Takes back what is queued in bulk for a request (or a reply) and not written yet. The other
    /// end must be told when a part of it may be.
    pub fn withdraw(&self, kind: PacketKind, request_id: u64) {
        self.queue.withdraw(kind, request_id);
    }

    /// Bytes queued or being written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.queued_bytes()
    }

    /// Ends the connection: what is queued is still written for a second at most. The first reason
    /// counts.
    pub fn close(&self, reason: CloseReason) {
        self.queue.close(reason);
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until the connection has ended and what was queued is written or given up.
    pub async fn drained(&self) {
        self.queue.until_drained().await;
    }

    /// Why the connection ended, once it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.queue.closed()
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> CloseReason {
        self.queue.until_closed().await
    }
}

fn parts_of(packet: &Packet) -> PacketParts<'_> {
    PacketParts {
        kind: packet.kind,
        flags: packet.flags,
        request_id: packet.request_id,
        prefix: &[],
        head: &packet.head,
        payload: std::slice::from_ref(&packet.payload),
    }
}
