//! A new file on its way: its blocks are written as they come, several at once, and become a
//! file with one call at the end.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use sdfs_server_group::Payload;
use sdfs_types::calls::names::{
    AbortPut, BeginPut, FinishPut, PutBeginning, PutBegun, PutFinished,
};
use sdfs_types::limits::FILE_BLOCKS_MAX;
use sdfs_types::{
    BlockEntry, BlockIndex, BlockVersion, Digest, FileMetaMetaData, FilePath, Refusal,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::abort::{Abort, OneBlock, is_silent, set_entry};
use crate::client::Client;
use crate::error::{CopyCause, Error};
use crate::extent::Part;
use crate::fetch::{FetchFault, Wanted};
use crate::limits::{REFRESHES_MAX, WINDOW_BYTES};
use crate::options::PutOptions;
use crate::target::Target;
use crate::tend::tend;
use crate::version::VersionChoice;

/// How a put begins.
pub(crate) enum Beginning {
    /// With blocks to be written.
    Begun(Box<Upload>),
    /// A put of the same request has made the file before.
    Finished(FileMetaMetaData),
}

/// A put under way.
pub(crate) struct Upload {
    client: Client,
    begin: BeginPut,
    begun: PutBegun,
    target: Arc<Target>,
    entries: Vec<BlockEntry>,
    size_bytes: u64,
    hasher: Option<blake3::Hasher>,
    in_flight: FuturesUnordered<OneBlock>,
    in_flight_bytes: u64,
    /// Ends with why the put cannot go on, whatever its blocks do; there once it is waited for.
    tending: Option<BoxFuture<'static, Error>>,
    /// Whether it was asked to become a file: what is written may be one's from then on.
    is_finishing: bool,
}

impl Upload {
    /// Asks where the blocks go; the vote on the name runs meanwhile.
    pub(crate) async fn begin(
        client: &Client,
        path: FilePath,
        options: &PutOptions,
    ) -> Result<Beginning, Error> {
        let client = client.begin();
        let begin = BeginPut {
            request: client.request(),
            path,
            size_bytes: options.size_bytes,
            options: options.file(),
            replace: options.replace,
            may_be_repeated: client.options.request.is_some(),
        };
        let begun = match client.ask(&begin, Some(begin.request)).await? {
            PutBeginning::Begun(begun) => begun,
            PutBeginning::Finished { name } => return Ok(Beginning::Finished(name)),
        };
        client.take_volumes(&begun.plan).await;
        Ok(Beginning::Begun(Box::new(Upload {
            target: Arc::new(Target::of_put(&client, &begin, &begun)),
            client,
            begin,
            begun,
            entries: Vec::new(),
            size_bytes: 0,
            hasher: options.digest.then(blake3::Hasher::new),
            in_flight: FuturesUnordered::new(),
            in_flight_bytes: 0,
            tending: None,
            is_finishing: false,
        })))
    }

    /// Length of every block but the last.
    pub(crate) fn block_bytes(&self) -> usize {
        usize::try_from(self.begun.block_size.bytes()).unwrap_or(usize::MAX)
    }

    /// Whether one more block may be added now.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight_bytes < WINDOW_BYTES
    }

    /// Whether blocks are on their way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends the next block off. All but the last one are as long as blocks are.
    pub(crate) fn add(&mut self, data: Payload) -> Result<(), Error> {
        let Ok(index) = u16::try_from(self.entries.len()) else {
            return Err(Error::OutOfRange {
                what: "the number of blocks of this file",
                value: self.entries.len() as u64 + 1,
                max: FILE_BLOCKS_MAX.into(),
            });
        };
        self.digest(&data);
        let bytes = data.len() as u64;
        self.size_bytes += bytes;
        self.in_flight_bytes += bytes;
        self.target.patience.begin();
        self.entries.push(BlockEntry::default());
        let (client, target) = (self.client.clone(), Arc::clone(&self.target));
        self.in_flight.push(Box::pin(async move {
            let block = BlockIndex(index);
            let choice = VersionChoice::after(BlockVersion::NONE);
            (
                block,
                bytes,
                client.store(&target, block, choice, data).await,
            )
        }));
        Ok(())
    }

    /// The only block of a small file, without what several at once need.
    pub(crate) async fn only_block(&mut self, data: Payload) -> Result<(), Error> {
        self.digest(&data);
        self.size_bytes = data.len() as u64;
        let choice = VersionChoice::after(BlockVersion::NONE);
        let patience = &self.target.patience;
        patience.begin();
        let storing = self.client.store(&self.target, BlockIndex(0), choice, data);
        self.entries = vec![patience.guard(storing).await?];
        Ok(())
    }

    fn digest(&mut self, data: &Payload) {
        if let Some(hasher) = &mut self.hasher {
            for piece in data.pieces() {
                hasher.update(piece);
            }
        }
    }

    /// Nobody looked after the blocks under way for so long.
    pub(crate) fn leave_out(&self, gap: Duration) {
        self.target.patience.leave_out(gap);
    }

    /// Waits for one of the blocks under way. Without any, it ends only when the put cannot go
    /// on.
    pub(crate) fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let stored = self.in_flight.poll_next_unpin(cx);
        if let Poll::Ready(Some((block, bytes, outcome))) = stored {
            self.in_flight_bytes -= bytes;
            let entry = outcome?;
            set_entry(&mut self.entries, block, entry);
            if self.is_busy() {
                self.target.patience.progressed();
            } else {
                self.target.patience.rest();
            }
            return Poll::Ready(Ok(()));
        }
        let (client, target) = (&self.client, &self.target);
        let tending = self
            .tending
            .get_or_insert_with(|| Box::pin(tend(client.clone(), Arc::clone(target))));
        tending.as_mut().poll(cx).map(Err)
    }

    /// As [`Upload::poll_stored`].
    pub(crate) async fn stored(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| self.poll_stored(cx)).await
    }

    /// Makes what it was filled with a file, once all of it is stored. When that or the filling
    /// fails, nothing of it stays.
    pub(crate) async fn end(
        mut self,
        filled: Result<(), Error>,
    ) -> Result<FileMetaMetaData, Error> {
        let stored = match filled {
            Ok(()) => self.all_stored().await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.finish().await,
            Err(error) => {
                let aborting = self.leave();
                // A program may end when it is told. It is told at once if nobody answers anyway.
                if let Some(aborting) = aborting.filter(|_| !is_silent(&error)) {
                    drop(aborting.await);
                }
                Err(error)
            }
        }
    }

    async fn all_stored(&mut self) -> Result<(), Error> {
        while self.is_busy() {
            self.stored().await?;
        }
        Ok(())
    }

    /// Makes the stored blocks a file.
    async fn finish(&mut self) -> Result<FileMetaMetaData, Error> {
        self.is_finishing = true;
        let digest = self
            .hasher
            .as_ref()
            .map(|hasher| *hasher.finalize().as_bytes());
        for _ in 0..REFRESHES_MAX {
            let call = self.call(digest.map(Digest::Blake3));
            match self.client.ask(&call, Some(call.request)).await {
                Ok(PutFinished::Done { name }) => return Ok(name),
                Ok(PutFinished::Redo { begun }) => self.redo(begun).await?,
                Err(Error::Refused(Refusal::NotGranted)) => {
                    let deadline = self.client.deadline();
                    self.target.renew(&self.client, deadline).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let busy = "the name is replaced over and over by others".to_owned();
        Err(Error::Refused(Refusal::Busy { why: busy }))
    }

    fn call(&self, digest: Option<Digest>) -> FinishPut {
        FinishPut {
            request: self.begin.request,
            path: self.begin.path.clone(),
            descriptor: self.begun.descriptor,
            block_size: self.begun.block_size,
            locate: self.begun.locate.clone(),
            grant: self.target.grant(),
            size_bytes: self.size_bytes,
            blocks: self.entries.clone(),
            digest,
            options: self.begin.options.clone(),
            replace: self.begin.replace,
        }
    }

    /// Frees what was written, by a task of its own, unless it may be a file already.
    fn leave(&mut self) -> Option<JoinHandle<()>> {
        if self.is_finishing || self.entries.is_empty() {
            return None;
        }
        let abort = Abort {
            client: self.client.clone(),
            in_flight: mem::take(&mut self.in_flight),
            call: AbortPut {
                request: self.begin.request,
                path: self.begin.path.clone(),
                descriptor: self.begun.descriptor,
                proof: self.begun.proof,
                locate: self.begun.locate.clone(),
                blocks: mem::take(&mut self.entries),
            },
        };
        match Handle::try_current() {
            Ok(runtime) => Some(runtime.spawn(abort.run())),
            Err(_) => {
                tracing::warn!(path = %self.begin.path, "blocks of a put are left behind");
                None
            }
        }
    }

    /// Writes the blocks again under another descriptor, from what is stored: the source of the
    /// bytes may be gone by now.
    async fn redo(&mut self, begun: PutBegun) -> Result<(), Error> {
        self.client.take_volumes(&begun.plan).await;
        let new = Arc::new(Target::of_put(&self.client, &self.begin, &begun));
        let copying = Copying {
            client: &self.client,
            path: &self.begin.path,
            from: &self.target,
            to: &new,
        };
        new.patience.begin();
        let at_once = WINDOW_BYTES / begun.block_size.bytes();
        let at_once = usize::try_from(at_once.max(1)).unwrap_or(1);
        let copies: Vec<BoxFuture<'_, _>> = (0u16..)
            .zip(&self.entries)
            .map(|(index, entry)| copying.one(BlockIndex(index), *entry).boxed())
            .collect();
        let all = futures::stream::iter(copies)
            .buffered(at_once)
            .try_collect();
        let entries = new.patience.guard(all).await?;
        self.entries = entries;
        self.target = new;
        self.tending = None;
        self.begun = begun;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

/// Blocks on their way from one descriptor to another.
struct Copying<'a> {
    client: &'a Client,
    path: &'a FilePath,
    from: &'a Target,
    to: &'a Target,
}

impl Copying<'_> {
    async fn one(&self, block: BlockIndex, entry: BlockEntry) -> Result<BlockEntry, Error> {
        let patience = &self.to.patience;
        let part = Part {
            block,
            offset_bytes: 0,
            length_bytes: entry.length_bytes,
        };
        let data = loop {
            let wanted = Wanted {
                file: self.from.descriptor,
                grant: self.from.grant(),
                entry,
                part,
            };
            match self.client.fetch(&wanted, patience).await {
                Ok(data) => break data,
                Err(FetchFault::NotGranted) => {
                    self.from.renew(self.client, patience.deadline()).await?;
                }
                Err(fault) => return Err(again(fault, block, self.path.clone())),
            }
        };
        let choice = VersionChoice::after(BlockVersion::NONE);
        let stored = self.client.store(self.to, block, choice, data).await?;
        patience.progressed();
        Ok(stored)
    }
}

fn again(fault: FetchFault, block: BlockIndex, path: FilePath) -> Error {
    let last = match fault {
        FetchFault::Failed(error) => return error,
        FetchFault::NoCopy(last) => last,
        FetchFault::Stale => CopyCause::Missing,
        FetchFault::NotGranted => CopyCause::Refused(Refusal::NotGranted),
    };
    Error::NoCopy { path, block, last }
}
