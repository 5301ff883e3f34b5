//! Transfers that get no further end; ones that get on go on, however long they take.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::await_holding_lock,
    reason = "a test fails by panicking; a held lock is what freezes the doubles"
)]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::kit::{Fault, Kit};
use bytes::Bytes;
use futures::future::{FutureExt, LocalBoxFuture, TryFutureExt};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sdfs_client::{BlockSize, CallOptions, Client, Error, PutOptions};
use sdfs_types::calls::CallKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

const BLOCK: usize = 65_536;
/// What the operations here are given.
const TIMEOUT: Duration = Duration::from_millis(400);
/// What they may take beyond it: the last words of a transfer, and a slow machine.
const SLACK: Duration = Duration::from_millis(1_500);

type Source = BoxStream<'static, io::Result<Bytes>>;

fn small_blocks() -> PutOptions {
    PutOptions {
        block_size: Some(BlockSize::from_bytes(BLOCK as u64).unwrap()),
        ..PutOptions::default()
    }
}

fn block() -> io::Result<Bytes> {
    Ok(vec![7; BLOCK].into())
}

async fn hasty(kit: &Kit) -> Client {
    kit.client().await.with(CallOptions {
        timeout: Some(TIMEOUT),
        ..CallOptions::default()
    })
}

/// Gives ever more.
fn endless() -> Source {
    stream::repeat_with(block).boxed()
}

/// Gives some and then nothing, without an end.
fn stuck() -> Source {
    stream::repeat_with(block)
        .take(3)
        .chain(stream::pending())
        .boxed()
}

/// Gives a little all the time, but hardly ever a block.
fn trickling() -> Source {
    let drops = stream::unfold((), |()| async {
        sleep(Duration::from_millis(10)).await;
        Some((Ok(Bytes::from_static(b"drop")), ()))
    });
    stream::repeat_with(block).take(3).chain(drops).boxed()
}

/// Gives each block so long after the one before.
fn slow(blocks: usize, every: Duration) -> Source {
    stream::iter(0..blocks)
        .then(move |_| sleep(every).map(|()| block()))
        .boxed()
}

async fn put(client: Client, mut source: Source) -> Result<(), Error> {
    let stored = client.put_stream("/f", &mut source, small_blocks()).await;
    stored.map(drop)
}

/// A source as a reader.
struct Reader {
    source: Source,
    piece: Bytes,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.source.poll_next_unpin(cx)) {
                Some(piece) => self.piece = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece.split_to(length));
        Poll::Ready(Ok(()))
    }
}

async fn put_from(client: Client, source: Source) -> Result<(), Error> {
    let piece = Bytes::new();
    let mut reader = Reader { source, piece };
    let stored = client.put_from("/f", &mut reader, small_blocks()).await;
    stored.map(drop)
}

async fn write(client: Client, mut source: Source) -> Result<(), Error> {
    let mut writer = client.create("/f", small_blocks()).await?;
    while let Some(piece) = source.try_next().await.unwrap() {
        if let Err(error) = writer.write_all(&piece).await {
            return Err(error.downcast().unwrap());
        }
    }
    writer.finish().await.map(drop)
}

/// The put ends in time once the cluster is not there any more.
async fn ends(put: impl Future<Output = Result<(), Error>>, within: Duration, what: &str) {
    let gone_at = Instant::now();
    let ended = timeout(within, put).await;
    let error = match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => panic!("{what}: done without a cluster"),
        Err(_) => panic!("{what}: hangs for {:?}", gone_at.elapsed()),
    };
    assert!(
        matches!(
            error,
            Error::Stalled { .. }
                | Error::Deadline { .. }
                | Error::Unreachable { .. }
                | Error::Lost { .. }
                | Error::Refused(_)
        ),
        "{what}: {error:?}"
    );
}

/// The longest that a put may go on once the cluster does nothing: without a block on the way it
/// finds out at its next look.
const END_WITHIN: Duration = Duration::from_millis(400 + 1_000 + 400 + 1_500);

type Putting = fn(Client, Source) -> LocalBoxFuture<'static, Result<(), Error>>;

fn doors() -> [(&'static str, Putting); 3] {
    [
        ("put_stream", |client, source| {
            put(client, source).boxed_local()
        }),
        ("put_from", |client, source| {
            put_from(client, source).boxed_local()
        }),
        ("create", |client, source| {
            write(client, source).boxed_local()
        }),
    ]
}

type Sourcing = fn() -> Source;

fn sources() -> [(&'static str, Sourcing); 3] {
    [
        ("endless", endless),
        ("stuck", stuck),
        ("trickling", trickling),
    ]
}

/// A put by that door is under way: some of its blocks are stored.
async fn under_way(
    kit: &Kit,
    mut putting: LocalBoxFuture<'static, Result<(), Error>>,
) -> LocalBoxFuture<'static, Result<(), Error>> {
    tokio::select! {
        ended = &mut putting => panic!("ended early: {ended:?}"),
        () = kit.until_served(CallKind::WriteBlock, 3) => putting,
    }
}

#[actix_rt::test]
async fn a_put_ends_when_its_cluster_vanishes() {
    for (door, putting) in doors() {
        for (name, source) in sources() {
            // A writer learns of what its blocks do when it writes or finishes.
            if (door, name) == ("create", "stuck") {
                continue;
            }
            let kit = Kit::start();
            let client = hasty(&kit).await;
            let putting = under_way(&kit, putting(client, source())).await;
            drop(kit);
            ends(putting, END_WITHIN, &format!("{door} {name}")).await;
        }
    }
}

#[actix_rt::test]
async fn a_put_ends_when_its_cluster_freezes() {
    for (door, putting) in doors() {
        for (name, source) in sources() {
            if (door, name) == ("create", "stuck") {
                continue;
            }
            let kit = Kit::start();
            let client = hasty(&kit).await;
            let putting = under_way(&kit, putting(client, source())).await;
            let frozen = kit.model();
            ends(putting, END_WITHIN, &format!("{door} {name}")).await;
            drop(frozen);
        }
    }
}

#[actix_rt::test]
async fn the_last_block_ends_with_its_cluster() {
    for size in [BLOCK / 2, 5 * BLOCK] {
        let kit = Kit::start();
        let client = hasty(&kit).await;
        kit.fault_everywhere(CallKind::WriteBlock, &Fault::Silence, 100);
        let put = client.put("/f", vec![7; size], small_blocks());
        ends(put.map_ok(drop), TIMEOUT + SLACK, &format!("{size} bytes")).await;
    }
}

#[actix_rt::test]
async fn reads_end_when_the_cluster_freezes() {
    let kit = Kit::start();
    let client = hasty(&kit).await;
    client
        .put("/f", vec![7; 9 * BLOCK], small_blocks())
        .await
        .unwrap();
    let mut file = client.open_for_write("/f").await.unwrap();
    let mut bytes = client.get_stream("/f").await.unwrap();
    let frozen = kit.model();
    let within = TIMEOUT + SLACK;
    ends(bytes.try_next().map_ok(drop), within, "get_stream").await;
    ends(file.read_at(0..9).map_ok(drop), within, "read_at").await;
    ends(file.write_at(7, "x").map_ok(drop), within, "write_at").await;
    ends(client.get("/f").map_ok(drop), within, "get").await;
    let mut all = Vec::new();
    let reading = file.read_to_end(&mut all);
    ends(
        reading
            .map_ok(drop)
            .map_err(|error| error.downcast().unwrap()),
        within,
        "read",
    )
    .await;
    drop(frozen);
}

#[actix_rt::test]
async fn a_put_that_gets_on_goes_on() {
    let kit = Kit::start();
    let client = hasty(&kit).await;
    let begin = Instant::now();
    // All at once, each stored so long after the one before: the last ones wait for ever longer.
    kit.fault_everywhere(CallKind::WriteBlock, &Fault::Slow(TIMEOUT / 4), 100);
    client
        .put("/f", vec![7; 16 * BLOCK], small_blocks())
        .await
        .unwrap();
    assert!(begin.elapsed() > 3 * TIMEOUT, "too fast to show anything");
    kit.no_more_faults();
    kit.fault_everywhere(CallKind::ReadBlock, &Fault::Slow(TIMEOUT / 4), 100);
    let begin = Instant::now();
    assert_eq!(client.get("/f").await.unwrap().len(), 16 * BLOCK);
    assert!(begin.elapsed() > 3 * TIMEOUT, "too fast to show anything");
}

#[actix_rt::test]
async fn a_slow_source_is_waited_for() {
    let kit = Kit::start();
    for (door, putting) in doors() {
        let client = hasty(&kit).await;
        let source = slow(4, TIMEOUT * 2);
        putting(client, source)
            .await
            .unwrap_or_else(|error| panic!("{door}: {error}"));
    }
}

#[actix_rt::test]
async fn a_put_outlives_its_grants() {
    let kit = Kit::start();
    for (door, putting) in doors() {
        let client = kit.client().await;
        let pass = kit.clock();
        // Each block comes when all grants given before are over.
        let source = slow(5, Duration::from_millis(1)).inspect(move |_| pass(70_000));
        let before = kit.model().begun.len();
        let outcome = putting(client.clone(), source.boxed()).await;
        outcome.unwrap_or_else(|error| panic!("{door}: {error}"));
        assert_eq!(kit.model().begun.len(), before + 1, "{door}");
        assert_eq!(client.get("/f").await.unwrap().len(), 5 * BLOCK, "{door}");
    }
}

#[actix_rt::test]
async fn a_grant_is_renewed_before_it_ends() {
    let kit = Kit::start();
    kit.model().grant_ms = 2_000;
    let client = kit.client().await;
    put(client, slow(8, Duration::from_millis(500)))
        .await
        .unwrap();
    assert!(kit.served(CallKind::RenewGrant) >= 2);
    assert_eq!(
        kit.model().refused,
        0,
        "no call came with a grant that was over"
    );
}

#[actix_rt::test]
async fn a_repeated_put_writes_nothing_twice() {
    let kit = Kit::start();
    let client = kit.client().await;
    let options = CallOptions {
        request: Some(client.next_request()),
        ..CallOptions::default()
    };
    let repeated = client.with(options);
    kit.fault_everywhere(CallKind::FinishPut, &Fault::LoseAnswer, 100);
    let lost = client.with(CallOptions {
        timeout: Some(TIMEOUT),
        ..options
    });
    let unknown = lost.put("/f", vec![7; 3 * BLOCK], small_blocks()).await;
    assert!(unknown.unwrap_err().is_unknown());
    kit.no_more_faults();
    let written = kit.served(CallKind::WriteBlock);
    let first = repeated
        .put("/f", vec![7; 3 * BLOCK], small_blocks())
        .await
        .unwrap();
    let mut source = slow(3, Duration::ZERO);
    let second = repeated
        .put_stream("/f", &mut source, small_blocks())
        .await
        .unwrap();
    write(repeated.clone(), slow(3, Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(kit.served(CallKind::WriteBlock), written);
    assert_eq!(client.stat("/f").await.unwrap().name, first);
    let model = kit.model();
    assert!(
        model
            .blocks
            .keys()
            .all(|(_, _, block)| block.file == first.descriptor)
    );
}
