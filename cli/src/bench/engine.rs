//! The load generator: so many futures on this one thread, no task an operation, so that it
//! takes as little as it can from the cluster it shares the machine with.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered, TryStreamExt};
use sdfs_client::{Client, CreateOptions, Error, PutOptions};
use sdfs_types::limits::LIST_ENTRIES_MAX;

use super::args::{Extent, Work, prepared_files};
use super::cpu::CpuTime;
use super::listing::Listing;
use super::mix::{Dice, Operation, operation, random_bytes};
use super::recorder::{Measured, Recorder};
use super::report::Shape;
use super::turns::Turns;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::warn;

/// Operations at the same time while preparing.
const PREPARED_AT_ONCE: usize = 64;
/// One piece of a large file.
const PIECE_BYTES: usize = 1024 * 1024;
/// Files up to here are stored and read in one piece of memory.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Pause of a worker after a failure: a server that is gone must not make it spin.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// A work on a cluster.
pub(crate) struct Bench {
    /// Used in turn; each talks to a mserver of its own.
    pub(crate) clients: Vec<Client>,
    /// Where everything is made.
    pub(crate) directory: String,
    /// Size of each file.
    pub(crate) size_bytes: u64,
    /// Operations at the same time.
    pub(crate) concurrency: usize,
    /// Process ids of local servers.
    pub(crate) servers: Vec<u32>,
}

/// What the workers of one run share.
struct Run<'a> {
    bench: &'a Bench,
    work: Work,
    /// Names that are in the directory all the time.
    made: u64,
    piece: Bytes,
    turns: Turns,
    recorder: Recorder,
    /// Files put by this run that may be deleted.
    deletable: RefCell<Vec<String>>,
}

impl Bench {
    /// Makes the directory and what `work` reads.
    pub(crate) async fn prepare(&self, work: Work, names: u64) -> Outcome {
        self.clients[0].mkdir_all(&self.directory).await?;
        match work {
            Work::Create | Work::Put => Ok(()),
            Work::Get | Work::Mixed => {
                let piece = piece(self.size_bytes);
                let puts = (0..prepared_files(self.size_bytes)).map(|file| {
                    let (name, piece) = (self.prepared(file), piece.clone());
                    async move { self.put(self.client(file), &name, piece).await }
                });
                self.all(puts).await
            }
            Work::Ls => {
                let creates = (0..names).map(|name| {
                    let path = format!("{}/n{name:09}", self.directory);
                    async move { self.create(self.client(name), &path).await }
                });
                self.all(creates).await
            }
        }
    }

    async fn all(
        &self,
        works: impl Iterator<Item = impl Future<Output = Result<(), Error>>>,
    ) -> Outcome {
        let mut works = stream::iter(works).buffer_unordered(PREPARED_AT_ONCE);
        while let Some(done) = works.next().await {
            match done {
                Err(error) if error.is_exists() => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Works until `extent` is reached in a directory prepared for so many names.
    pub(crate) async fn run(&self, work: Work, names: u64, extent: Extent) -> Measured {
        let Some(recorder) = Recorder::new() else {
            unreachable!("the histogram's bounds fit")
        };
        let begin = Instant::now();
        let run = Run {
            bench: self,
            work,
            made: match work {
                Work::Ls => names,
                Work::Get | Work::Mixed => prepared_files(self.size_bytes),
                Work::Create | Work::Put => 0,
            },
            piece: piece(self.size_bytes),
            turns: Turns::begin(extent),
            recorder,
            deletable: RefCell::new(Vec::new()),
        };
        let cpu_before = CpuTime::now(&self.servers);
        let mut workers: FuturesUnordered<_> = (0..self.concurrency)
            .map(|worker| run.worker(worker as u64))
            .collect();
        while workers.next().await.is_some() {}
        drop(workers);
        let cpu = CpuTime::now(&self.servers).since(cpu_before);
        run.recorder.finish(begin.elapsed(), cpu)
    }

    /// Takes away everything that was made; a failure is told and that is all.
    pub(crate) async fn clean(&self) {
        if let Err(error) = self.clients[0].delete_all_now(&self.directory).await {
            let failure = Failure::new(Code::NotNow, error.to_string());
            warn(&format!("sdfs: {} stays: {failure}", self.directory));
        }
    }

    /// What `work` is here.
    pub(crate) fn shape(&self, work: Work, copies: u16) -> Shape {
        Shape {
            name: work.name(),
            like: work,
            concurrency: self.concurrency,
            size_bytes: self.size_bytes,
            copies,
        }
    }

    fn client(&self, turn: u64) -> &Client {
        &self.clients[turn as usize % self.clients.len()]
    }

    fn prepared(&self, file: u64) -> String {
        format!("{}/g{file:09}", self.directory)
    }

    async fn create(&self, client: &Client, path: &str) -> Result<(), Error> {
        let options = CreateOptions {
            size_bytes: self.size_bytes,
            ..CreateOptions::default()
        };
        client.create_file_meta_data(path, options).await?;
        Ok(())
    }

    async fn put(&self, client: &Client, path: &str, piece: Bytes) -> Result<(), Error> {
        let options = PutOptions {
            size_bytes: Some(self.size_bytes),
            ..PutOptions::default()
        };
        if self.size_bytes <= piece.len() as u64 {
            client.put(path, piece, options).await?;
            return Ok(());
        }
        let mut left = self.size_bytes;
        let pieces = std::iter::from_fn(move || {
            let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            left -= bytes as u64;
            (bytes > 0).then(|| Ok(piece.slice(..bytes)))
        });
        client
            .put_stream(path, &mut stream::iter(pieces), options)
            .await?;
        Ok(())
    }

    async fn get(&self, client: &Client, path: &str) -> Result<u64, Error> {
        if self.size_bytes <= WHOLE_BYTES_MAX {
            return Ok(client.get(path).await?.len() as u64);
        }
        let mut bytes = client.get_stream(path).await?;
        let mut read = 0;
        while let Some(piece) = bytes.try_next().await? {
            read += piece.len() as u64;
        }
        Ok(read)
    }
}

impl Run<'_> {
    /// One operation after the other until the work is done.
    async fn worker(&self, worker: u64) {
        let mut dice = Dice::new(worker + 1);
        let mut listing = Listing::default();
        while let Some(turn) = self.next_turn(&listing) {
            let client = self.bench.client(worker);
            let operation = operation(self.work, dice.roll());
            let begin = Instant::now();
            let done = match operation {
                Operation::List => self.list(client, &mut listing).await,
                operation => {
                    let done = self.one(client, operation, turn, dice.roll()).await;
                    done.map_err(Failure::from)
                }
            };
            match done {
                Ok((operations, bytes)) => self.recorder.done(begin.elapsed(), operations, bytes),
                Err(failure) => {
                    self.recorder.failed(&failure.what);
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// The number of the next operation. Only a whole walk shows whether a name is missing, so one
    /// that is begun goes to its end.
    fn next_turn(&self, listing: &Listing) -> Option<u64> {
        let goes_on = self.work == Work::Ls && listing.is_begun();
        self.turns.next().or_else(|| goes_on.then_some(u64::MAX))
    }

    /// How many operations it was, and the bytes they moved.
    async fn one(
        &self,
        client: &Client,
        operation: Operation,
        turn: u64,
        dice: u64,
    ) -> Result<(u64, u64), Error> {
        let bench = self.bench;
        let file = bench.prepared(dice % prepared_files(bench.size_bytes));
        match operation {
            Operation::Create => {
                bench
                    .create(client, &format!("{}/c{turn:09}", bench.directory))
                    .await?;
                Ok((1, 0))
            }
            Operation::Put => {
                let path = format!("{}/p{turn:09}", bench.directory);
                bench.put(client, &path, self.piece.clone()).await?;
                if self.work == Work::Mixed {
                    self.deletable.borrow_mut().push(path);
                }
                Ok((1, bench.size_bytes))
            }
            Operation::Get => Ok((1, bench.get(client, &file).await?)),
            Operation::Stat => client.stat(&file).await.map(|_| (1, 0)),
            Operation::Delete => {
                let path = self.deletable.borrow_mut().pop();
                match path {
                    Some(path) => client.delete_now(&path).await.map(|_| (1, 0)),
                    None => Ok((0, 0)),
                }
            }
            Operation::List => Ok((0, 0)),
        }
    }

    /// The next page; after the last one it begins again.
    async fn list(&self, client: &Client, listing: &mut Listing) -> Outcome<(u64, u64)> {
        // Gone when the page does not come, or is wrong.
        let walk = std::mem::take(listing);
        let page = client
            .list_page(&self.bench.directory, walk.last(), LIST_ENTRIES_MAX)
            .await?;
        let names = page.entries.len() as u64;
        let entries = page.entries.into_iter().map(|entry| entry.name);
        *listing = walk.take(entries, page.more, self.made)?;
        // In a mixed work a page is one operation among others.
        Ok((if self.work == Work::Ls { names } else { 1 }, 0))
    }
}

/// As long as one piece of a file of that size.
fn piece(size_bytes: u64) -> Bytes {
    random_bytes(if size_bytes <= WHOLE_BYTES_MAX {
        size_bytes
    } else {
        PIECE_BYTES as u64
    })
}
