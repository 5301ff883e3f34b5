//! Connections over real sockets: order, back-pressure, ends, and hostile other ends.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdfs_net_layer::limits::QUEUE_BYTES_MAX;
use sdfs_net_layer::{
    Buffers, CloseReason, ConnectionOptions, Counters, Duplex, Flags, Packet, PacketFault,
    PacketKind, PacketLimits, PacketParts, PacketReceiver, PacketSender, SendFault, Stream,
    TcpTransport, Transport, dial, open,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

type Half = (PacketSender, PacketReceiver);

fn options(counters: &Arc<Counters>) -> ConnectionOptions {
    let options = ConnectionOptions::before_auth(Arc::clone(counters), Arc::default());
    ConnectionOptions {
        limits: PacketLimits::default(),
        ..options
    }
}

async fn streams() -> (Stream, Stream) {
    let mut acceptor = TcpTransport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let (dialed, accepted) = tokio::join!(TcpTransport.connect(address), acceptor.accept());
    (dialed.unwrap(), accepted.unwrap().0)
}

async fn pair() -> (Half, Half, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let (one, other) = streams().await;
    (
        open(one, options(&counters)),
        open(other, options(&counters)),
        counters,
    )
}

/// One end a connection, the other end bytes as they are.
async fn raw(change: impl FnOnce(&mut ConnectionOptions)) -> (Half, Stream, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let (one, other) = streams().await;
    let mut options = options(&counters);
    change(&mut options);
    (open(one, options), other, counters)
}

fn bulk(request_id: u64, payload: Bytes) -> Packet {
    Packet {
        kind: PacketKind::Chunk,
        flags: Flags::NONE,
        request_id,
        head: Bytes::new(),
        payload,
    }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test]
async fn packets_arrive_as_they_were_sent() {
    let ((sender, _kept), (_, mut receiver), counters) = pair().await;
    let sizes = [
        0,
        1,
        100,
        8_192,
        8_193,
        16_384,
        65_535,
        65_536,
        262_144,
        1 << 20,
    ];
    for (id, bytes) in (0..).zip(sizes) {
        let packet = Packet {
            head: Bytes::from(vec![id as u8; bytes.min(5_000)]),
            ..bulk(id, Bytes::from(vec![id as u8; bytes]))
        };
        sender.send(packet.clone()).await.unwrap();
        assert_eq!(receiver.next().await.unwrap(), packet);
    }
    sender.close(CloseReason::Ours);
    assert_eq!(receiver.next().await, Err(CloseReason::Theirs));
    assert_eq!(counters.by_name()["packets_out"], 10);
}

#[tokio::test]
async fn gibibyte_survives_a_stalling_reader() {
    const QUEUE_MAX: usize = 1 << 20;
    let counters = Arc::new(Counters::default());
    let (one, other) = streams().await;
    let bounded = ConnectionOptions {
        queue_bytes_max: QUEUE_MAX,
        ..options(&counters)
    };
    let (sender, _kept) = open(one, bounded);
    let (_sender, mut receiver) = open(other, options(&counters));
    let block = Bytes::from(
        (0..1_u32 << 20)
            .map(|at| (at % 251) as u8)
            .collect::<Vec<_>>(),
    );
    let mut size_state = 77_u64;
    let sent = tokio::spawn(async move {
        let (mut left, mut crc) = (1_usize << 30, crc_fast::Digest::new(CRC));
        while left > 0 {
            // Not so small that it would overtake the others.
            let bytes = 32_768 + random(&mut size_state) as usize % 900_000;
            let bytes = if left < bytes + 32_768 { left } else { bytes };
            let piece = block.slice(..bytes);
            crc.update(&piece);
            sender.send(bulk(0, piece)).await.unwrap();
            assert!(sender.queued_bytes() <= QUEUE_MAX + (1 << 20) + 1024);
            left -= bytes;
        }
        sender.close(CloseReason::Ours);
        crc.finalize()
    });
    let (mut came, mut crc, mut stall_state) = (0, crc_fast::Digest::new(CRC), 5_u64);
    while let Ok(packet) = receiver.next().await {
        came += packet.payload.len();
        crc.update(&packet.payload);
        if random(&mut stall_state).is_multiple_of(64) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(came, 1 << 30);
    assert_eq!(crc.finalize(), sent.await.unwrap());
}

const CRC: crc_fast::CrcAlgorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;

#[tokio::test]
async fn reader_that_stops_grows_no_memory() {
    let ((sender, _kept), _other, _) = pair().await;
    let block = Bytes::from(vec![1; 1 << 20]);
    let mut taken = 0;
    // The system's own buffers fill first, then the queue.
    while timeout(
        Duration::from_millis(200),
        sender.send(bulk(0, block.clone())),
    )
    .await
    .is_ok()
    {
        taken += 1;
        assert!(taken < 64, "the queue is bounded");
    }
    assert!(sender.queued_bytes() < QUEUE_BYTES_MAX + (2 << 20));
    assert_eq!(sender.try_send(bulk(0, block)), Err(SendFault::Full));
}

#[tokio::test]
async fn control_overtakes_bulk() {
    let ((sender, _kept), (_, mut receiver), _) = pair().await;
    let block = Bytes::from(vec![1; 1 << 20]);
    for id in 0..8 {
        sender.try_send(bulk(id, block.clone())).unwrap();
    }
    let ping = Packet::control(PacketKind::Ping, 99, Bytes::new());
    // The queue is full for bulk, which is no reason not to answer a ping.
    let parts = PacketParts {
        kind: ping.kind,
        flags: ping.flags,
        request_id: ping.request_id,
        prefix: &[],
        head: &[],
        payload: &[],
    };
    sender.force_send_parts(&parts).unwrap();
    assert_eq!(receiver.next().await.unwrap(), ping);
    for _ in 0..8 {
        assert_eq!(receiver.next().await.unwrap().payload.len(), 1 << 20);
    }
}

#[tokio::test]
async fn transfers_take_turns_in_chunks() {
    let ((sender, _kept), (_, mut receiver), _) = pair().await;
    for id in [1, 2] {
        let parts = PacketParts {
            kind: PacketKind::Request,
            flags: Flags::MORE,
            request_id: id,
            prefix: b"pre",
            head: b"fix",
            payload: &[],
        };
        let pieces = vec![
            Bytes::from(vec![id as u8; 700_000]),
            Bytes::from(vec![9; 1]),
        ];
        sender
            .try_send_chunked(&parts, pieces, Flags::NONE)
            .unwrap();
    }
    let (mut order, mut came) = (Vec::new(), [0, 0]);
    for _ in 0..8 {
        let packet = receiver.next().await.unwrap();
        order.push(packet.request_id);
        came[packet.request_id as usize - 1] += packet.payload.len();
        match packet.kind {
            PacketKind::Request => assert_eq!(packet.head, "prefix"),
            _ => {
                let is_last = came[packet.request_id as usize - 1] == 700_001;
                assert_eq!(packet.flags.contains(Flags::MORE), !is_last);
            }
        }
    }
    assert_eq!(came, [700_001, 700_001]);
    assert_eq!(order, [1, 2, 1, 2, 1, 2, 1, 2]);
}

#[tokio::test]
async fn withdrawn_transfer_is_not_sent() {
    let ((sender, _kept), (_, mut receiver), _) = pair().await;
    for id in 0..4 {
        sender
            .try_send(bulk(id, Bytes::from(vec![1; 100_000])))
            .unwrap();
    }
    sender.withdraw(PacketKind::Reply, 1);
    sender.withdraw(PacketKind::Chunk, 2);
    for id in [0, 1, 3] {
        assert_eq!(receiver.next().await.unwrap().request_id, id);
    }
    sender.drained_soon().await;
}

trait DrainedSoon {
    async fn drained_soon(&self);
}

impl DrainedSoon for PacketSender {
    async fn drained_soon(&self) {
        self.close(CloseReason::Ours);
        timeout(Duration::from_secs(5), self.drained())
            .await
            .unwrap();
        assert_eq!(self.queued_bytes(), 0);
    }
}

#[tokio::test]
async fn queued_packets_precede_the_end() {
    let ((sender, _kept), (_, mut receiver), _) = pair().await;
    for id in 0..100 {
        sender
            .try_send(bulk(id, Bytes::from(vec![1; 50_000])))
            .unwrap();
    }
    sender.close(CloseReason::Ours);
    assert_eq!(
        sender.try_send(bulk(0, Bytes::new())),
        Err(SendFault::Closed)
    );
    for id in 0..100 {
        assert_eq!(receiver.next().await.unwrap().request_id, id);
    }
    assert_eq!(receiver.next().await, Err(CloseReason::Theirs));
}

#[tokio::test]
async fn first_reason_of_the_end_counts() {
    let ((sender, mut receiver), _other, counters) = pair().await;
    let told = tokio::spawn({
        let sender = sender.clone();
        async move { sender.closed().await }
    });
    let reading = tokio::spawn(async move { receiver.next().await });
    tokio::task::yield_now().await;
    sender.close(CloseReason::Silent);
    sender.close(CloseReason::Ours);
    assert_eq!(told.await.unwrap(), CloseReason::Silent);
    assert_eq!(reading.await.unwrap(), Err(CloseReason::Silent));
    assert_eq!(counters.closed_by(CloseReason::Silent), 1);
    assert_eq!(counters.closed_by(CloseReason::Ours), 0);
}

#[tokio::test]
async fn hostile_bytes_close_with_their_reason() {
    let whole_header_of = |kind: u8| {
        let mut header = [0_u8; 32];
        header[..4].copy_from_slice(b"sdfs");
        header[4] = 1;
        header[5] = kind;
        let crc = crc_fast::crc32_iscsi(&header[..28]).to_le_bytes();
        header[28..].copy_from_slice(&crc);
        header
    };
    let table: [(Vec<u8>, PacketFault); 4] = [
        (vec![0; 4], PacketFault::Magic),
        (vec![0xff; 100_000], PacketFault::Magic),
        (whole_header_of(200).to_vec(), PacketFault::Kind(200)),
        (whole_header_of(4)[..20].to_vec(), PacketFault::Truncated),
    ];
    for (bytes, fault) in table {
        let ((_sender, mut receiver), mut stream, counters) = raw(|_| {}).await;
        // The connection may be closed before all is written, which is the point.
        let _closed: io::Result<()> = stream.write_all(&bytes).await;
        let _closed: io::Result<()> = stream.shutdown().await;
        let reason = CloseReason::BadPacket(fault);
        assert_eq!(receiver.next().await, Err(reason));
        assert_eq!(counters.closed_by(reason), 1);
    }
}

#[tokio::test]
async fn dribbled_packet_is_cut_off() {
    let ((_sender, mut receiver), mut stream, _) = raw(|options| options.packet_ms_max = 100).await;
    let dribbling = tokio::spawn(async move {
        // Never the whole header, and never the end either.
        for byte in b"sdfs\x01\x04\x00\x00".iter().chain(&[b'a'; 23]) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stream.read_u8().await.unwrap_or(0);
    });
    assert_eq!(receiver.next().await, Err(CloseReason::PacketTooSlow));
    drop(receiver);
    dribbling.await.unwrap();
}

#[tokio::test]
async fn writer_gives_a_stuck_reader_up() {
    let ((sender, _kept), _stream, _) = raw(|options| options.write_ms_max = 100).await;
    for _ in 0..8 {
        sender
            .try_send(bulk(0, Bytes::from(vec![1; 1 << 20])))
            .unwrap();
    }
    let reason = timeout(Duration::from_secs(5), sender.closed())
        .await
        .unwrap();
    assert_eq!(reason, CloseReason::WriteStalled);
}

#[tokio::test]
async fn idle_connection_keeps_small_buffers() {
    let ((sender, _kept), (_, mut receiver), _) = pair().await;
    for _ in 0..200 {
        sender
            .try_send(bulk(0, Bytes::from(vec![1; 10_000])))
            .unwrap();
    }
    for _ in 0..200 {
        receiver.next().await.unwrap();
    }
    for id in 0..100 {
        sender
            .send(Packet::control(PacketKind::Ping, id, Bytes::new()))
            .await
            .unwrap();
        receiver.next().await.unwrap();
    }
    assert!(
        receiver.buffer_bytes() <= 16 << 10,
        "{}",
        receiver.buffer_bytes()
    );
}

#[tokio::test]
async fn ten_thousand_connects_leave_nothing() {
    let counters = Arc::new(Counters::default());
    let buffers = Arc::new(Buffers::default());
    let mut acceptor = TcpTransport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let files_before = files();
    for _ in 0..10_000 {
        let end = Instant::now() + Duration::from_secs(5);
        let (dialed, accepted) = tokio::join!(dial(&TcpTransport, address, end), acceptor.accept());
        let options =
            || ConnectionOptions::before_auth(Arc::clone(&counters), Arc::clone(&buffers));
        let (sender, _receiver) = open(dialed.unwrap(), options());
        let (_, mut receiver) = open(accepted.unwrap().0, options());
        sender.close(CloseReason::Ours);
        assert_eq!(receiver.next().await, Err(CloseReason::Theirs));
    }
    assert_eq!(counters.opened(), 20_000);
    assert_eq!(counters.closed(), 20_000);
    let end = Instant::now() + Duration::from_secs(5);
    while files() > files_before + 8 {
        assert!(Instant::now() < end, "descriptors leak");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn dial_ends_at_its_deadline() {
    struct Nowhere;
    impl Transport for Nowhere {
        fn connect(
            &self,
            _: std::net::SocketAddr,
        ) -> futures::future::BoxFuture<'static, io::Result<Stream>> {
            Box::pin(std::future::pending())
        }
        fn bind(
            &self,
            address: std::net::SocketAddr,
        ) -> futures::future::BoxFuture<'static, io::Result<Box<dyn sdfs_net_layer::Acceptor>>>
        {
            TcpTransport.bind(address)
        }
    }
    let end = Instant::now() + Duration::from_millis(50);
    let failed = dial(&Nowhere, "127.0.0.1:9".parse().unwrap(), end)
        .await
        .map(|_| ());
    assert!(failed.unwrap_err().to_string().contains("in time"));
}

#[tokio::test]
async fn refused_dial_fails_at_once() {
    let acceptor = TcpTransport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    drop(acceptor);
    let end = Instant::now() + Duration::from_secs(5);
    assert!(dial(&TcpTransport, address, end).await.is_err());
    assert!(Instant::now() < end);
}

#[tokio::test]
async fn stream_of_any_kind_serves() {
    let (one, other) = tokio::io::duplex(100);
    fn boxed(stream: impl Duplex + 'static) -> Stream {
        Box::new(stream)
    }
    let counters = Arc::new(Counters::default());
    let (sender, _kept) = open(boxed(one), options(&counters));
    let mut other = boxed(other);
    sender
        .try_send(bulk(0, Bytes::from(vec![3; 100_000])))
        .unwrap();
    sender.close(CloseReason::Ours);
    let mut all = Vec::new();
    other.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 100_032);
}
