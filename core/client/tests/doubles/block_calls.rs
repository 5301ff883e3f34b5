//! The calls by block, at dservers that fail: a refusal, a loss, silence and a drop while blocks
//! are read, and while they are written, before anything is committed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use sdfs_client::{
    BlockIndex, BlockSize, CallOptions, Client, Error, File, OnConflict, PutOptions, Refusal,
};
use sdfs_types::calls::CallKind;
use sdfs_types::{FileDescriptor, ServerId, VolumeId};
use tokio::time::Instant;

use crate::calls::{LATENESS_MAX, given_up};
use crate::kit::{Fault, Kit};

const BLOCK: usize = 65_536;
/// Three blocks, the last one short.
const SIZE: usize = 2 * BLOCK + 18_928;

type Run = for<'a> fn(&'a Client, &'a File) -> LocalBoxFuture<'a, Result<Vec<Bytes>, Error>>;

/// One call by block and what it does with `/f`.
struct Call {
    name: &'static str,
    kind: CallKind,
    /// Which blocks it reads, or writes with these bytes.
    blocks: &'static [(u16, &'static str)],
    run: Run,
}

impl Call {
    fn is_read(&self) -> bool {
        self.kind == CallKind::ReadBlock
    }

    /// What it returns.
    fn returned(&self) -> Vec<Bytes> {
        let reads = self.blocks.iter().filter(|_| self.is_read());
        let read = |block: &u16| original().slice(begin_of(*block)..end_of(*block));
        reads.map(|(block, _)| read(block)).collect()
    }

    /// What the file is after it.
    fn left(&self) -> Bytes {
        let mut file = original().to_vec();
        for (block, bytes) in self.blocks.iter().filter(|_| !self.is_read()) {
            let (begin, end) = (begin_of(*block), end_of(*block));
            file[begin..end].fill(0);
            file[begin..begin + bytes.len()].copy_from_slice(bytes.as_bytes());
        }
        file.into()
    }
}

fn begin_of(block: u16) -> usize {
    usize::from(block) * BLOCK
}

fn end_of(block: u16) -> usize {
    SIZE.min(begin_of(block) + BLOCK)
}

/// Bytes that differ everywhere.
fn original() -> Bytes {
    (0..SIZE)
        .map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap())
        .collect()
}

fn calls() -> [Call; 6] {
    [
        Call {
            name: "read_block",
            kind: CallKind::ReadBlock,
            blocks: &[(1, "")],
            run: |client, file| {
                Box::pin(async move { Ok(vec![client.read_block(file, BlockIndex(1)).await?]) })
            },
        },
        Call {
            name: "read_block_array",
            kind: CallKind::ReadBlock,
            blocks: &[(1, ""), (2, "")],
            run: |client, file| Box::pin(client.read_block_array(file, BlockIndex(1), 2)),
        },
        Call {
            name: "read_blocks",
            kind: CallKind::ReadBlock,
            blocks: &[(2, ""), (0, "")],
            run: |client, file| Box::pin(client.read_blocks(file, &[BlockIndex(2), BlockIndex(0)])),
        },
        Call {
            name: "write_block",
            kind: CallKind::WriteBlock,
            blocks: &[(1, "changed")],
            run: |client, file| {
                Box::pin(async move {
                    let written = client.write_block(file, BlockIndex(1), "changed").await;
                    written.map(|_| Vec::new())
                })
            },
        },
        Call {
            name: "write_block_array",
            kind: CallKind::WriteBlock,
            blocks: &[(0, "a"), (1, "b")],
            run: |client, file| {
                Box::pin(async move {
                    let data = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
                    let written = client.write_block_array(file, BlockIndex(0), data).await;
                    written.map(|_| Vec::new())
                })
            },
        },
        Call {
            name: "write_blocks",
            kind: CallKind::WriteBlock,
            blocks: &[(2, "x"), (0, "y")],
            run: |client, file| {
                Box::pin(async move {
                    let data = vec![
                        (BlockIndex(2), Bytes::from_static(b"x")),
                        (BlockIndex(0), Bytes::from_static(b"y")),
                    ];
                    let written = client.write_blocks(file, data).await;
                    written.map(|_| Vec::new())
                })
            },
        },
    ]
}

/// A cluster with the file in it, and a client with these options.
async fn prepared(options: CallOptions) -> (Kit, Client) {
    let kit = Kit::start();
    let client = kit.client().await.with(options);
    let patient = client.with(CallOptions::default());
    put(&patient).await;
    (kit, client)
}

async fn put(client: &Client) {
    let options = PutOptions {
        block_size: BlockSize::from_bytes(BLOCK as u64).ok(),
        ..PutOptions::default()
    };
    client.put("/f", original(), options).await.unwrap();
}

/// The file, open; a busy machine may take longer for it than the call is to wait.
async fn opened(client: &Client) -> File {
    loop {
        match client.open_for_write("/f").await {
            Ok(file) => return file,
            Err(Error::Deadline { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// What the file is, read by somebody without faults.
async fn found(kit: &Kit, client: &Client) -> Bytes {
    kit.no_more_faults();
    let patient = client.with(CallOptions::default());
    patient.get("/f").await.unwrap()
}

#[actix_rt::test]
async fn every_block_call_does_what_it_says() {
    for call in calls() {
        let (kit, client) = prepared(CallOptions::default()).await;
        let file = opened(&client).await;
        let before = kit.served(call.kind);
        let returned = (call.run)(&client, &file).await.unwrap();
        assert!(returned == call.returned(), "{}", call.name);
        let asked = kit.served(call.kind) - before;
        assert_eq!(asked as usize, call.blocks.len(), "{}", call.name);
        assert!(found(&kit, &client).await == call.left(), "{}", call.name);
    }
}

#[actix_rt::test]
async fn a_definite_refusal_of_a_dserver_reaches_the_caller() {
    let careful = CallOptions {
        on_conflict: OnConflict::Fail,
        ..CallOptions::default()
    };
    let (kit, client) = prepared(careful).await;
    for call in calls() {
        // A new block has no other place to be looked for.
        let descriptor = FileDescriptor::default();
        let no_use = [Refusal::NoSuchBlock, Refusal::Gone { descriptor }];
        let no_use = no_use.into_iter().filter(|_| !call.is_read());
        for refusal in given_up().into_iter().chain(no_use) {
            let file = opened(&client).await;
            let before = kit.served(call.kind);
            kit.fault_everywhere(call.kind, &Fault::Refuse(refusal.clone()), 1_000);
            match (call.run)(&client, &file).await {
                Err(Error::Refused(told)) => assert_eq!(told, refusal, "{}", call.name),
                other => panic!("{} on {refusal}: {other:?}", call.name),
            }
            let asked = (kit.served(call.kind) - before) as usize;
            assert!(
                asked <= call.blocks.len(),
                "{}: no more than once",
                call.name
            );
            kit.no_more_faults();
        }
        assert!(found(&kit, &client).await == original(), "{}", call.name);
    }
}

/// What a dserver refuses that another place, another look or a moment makes good.
fn passing(kit: &Kit, is_read: bool) -> Vec<Refusal> {
    let (server, volume) = (ServerId(5), VolumeId(1));
    let why = || "reason".to_owned();
    let current = Box::new(kit.model().map.volumes[&volume].clone());
    let mut all = vec![
        Refusal::Busy { why: why() },
        Refusal::Unknown { why: why() },
        Refusal::NotServed,
        Refusal::NotGranted,
        Refusal::Corrupt,
        Refusal::StaleEpoch { current },
        Refusal::NoSuchVolume { volume },
        Refusal::NoSpace {
            server,
            free_bytes: 0,
        },
        Refusal::TooFewCopies {
            volume,
            in_sync: 1,
            needed: 2,
        },
        Refusal::CopyFailed { server, why: why() },
        Refusal::DiskFailed { server },
    ];
    all.push(if is_read {
        Refusal::NoSuchBlock
    } else {
        Refusal::BlockExists
    });
    all
}

#[actix_rt::test]
async fn a_passing_refusal_of_a_dserver_is_got_over() {
    for call in calls() {
        let (kit, client) = prepared(CallOptions::default()).await;
        for refusal in passing(&kit, call.is_read()) {
            put(&client).await;
            let file = opened(&client).await;
            let before = client.counters();
            kit.fault_everywhere(call.kind, &Fault::Refuse(refusal.clone()), 1);
            let returned = (call.run)(&client, &file).await;
            let returned = returned.unwrap_or_else(|error| panic!("{}: {error}", call.name));
            assert!(returned == call.returned(), "{} on {refusal}", call.name);
            let now = client.counters();
            let is_again = (now.retries, now.refreshes) != (before.retries, before.refreshes);
            assert!(is_again, "{} on {refusal}", call.name);
            let left = found(&kit, &client).await;
            assert!(left == call.left(), "{} on {refusal}", call.name);
        }
    }
}

#[actix_rt::test]
async fn a_lost_answer_of_a_dserver_is_asked_for_again() {
    for fault in [Fault::Lose, Fault::LoseAnswer] {
        for call in calls() {
            let (kit, client) = prepared(CallOptions::default()).await;
            let file = opened(&client).await;
            let outcomes = kit.model().outcomes.len();
            kit.fault_everywhere(call.kind, &fault, 1);
            let returned = (call.run)(&client, &file).await;
            let returned = returned.unwrap_or_else(|error| panic!("{}: {error}", call.name));
            assert!(returned == call.returned(), "{} {fault:?}", call.name);
            assert!(client.counters().retries > 0, "{} {fault:?}", call.name);
            let commits = usize::from(!call.is_read());
            assert_eq!(kit.model().outcomes.len(), outcomes + commits);
            let left = found(&kit, &client).await;
            assert!(left == call.left(), "{} {fault:?}", call.name);
        }
    }
}

#[actix_rt::test]
async fn every_block_call_ends_by_its_deadline() {
    let wait = Duration::from_millis(200);
    let hasty = CallOptions {
        timeout: Some(wait),
        ..CallOptions::default()
    };
    for call in calls() {
        let (kit, client) = prepared(hasty).await;
        let file = opened(&client).await;
        kit.fault_everywhere(call.kind, &Fault::Silence, 1_000);
        let outcomes = kit.model().outcomes.len();
        let begin = Instant::now();
        let outcome = (call.run)(&client, &file).await;
        assert!(begin.elapsed() < wait + LATENESS_MAX, "{}", call.name);
        // Nothing is seen before the commit, so the end is a definite one.
        assert!(
            matches!(outcome, Err(Error::Stalled { .. } | Error::Deadline { .. })),
            "{}: {outcome:?}",
            call.name
        );
        assert_eq!(kit.model().outcomes.len(), outcomes, "{}", call.name);
        assert!(found(&kit, &client).await == original(), "{}", call.name);
    }
}

#[actix_rt::test]
async fn a_dropped_block_call_is_cancelled_at_its_dservers() {
    let (kit, client) = prepared(CallOptions::default()).await;
    let mut kept = 0;
    for call in calls() {
        let file = opened(&client).await;
        kit.fault_everywhere(call.kind, &Fault::Silence, 1_000);
        kept += call.blocks.len();
        tokio::select! {
            outcome = (call.run)(&client, &file) => panic!("{}: {outcome:?}", call.name),
            () = kit.until_kept(kept) => {}
        }
        kit.until_cancelled(kept).await;
        assert!(found(&kit, &client).await == original(), "{}", call.name);
    }
}
