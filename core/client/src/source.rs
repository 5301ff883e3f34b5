//! An open file as it is read: its metadata, its block entries page by page, and the bytes of
//! any part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::names::{BlockWritten, BlocksGot, GetBlocks, GetFile};
use sdfs_types::limits::BLOCK_PAGE_ENTRIES_MAX;
use sdfs_types::{BlockEntry, BlockIndex, FileMetaData, FilePath, MetaGroup, OpenFile, Refusal};
use tokio::sync::watch;

use crate::client::Client;
use crate::counters::count;
use crate::error::{CopyCause, Error};
use crate::extent::Part;
use crate::fetch::{FetchFault, Wanted};
use crate::limits::REFRESHES_MAX;
use crate::patience::Patience;
use crate::pause::{pause, random};

/// What is known of an open file.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) open: OpenFile,
    /// Pages of block entries beyond the ones that came with `open`, by number.
    pages: BTreeMap<u32, Arc<Vec<BlockEntry>>>,
    /// Counts the looks at the metadata and the writes of this handle: what was read ahead
    /// before is of no use after.
    pub(crate) generation: u64,
}

impl View {
    fn new(open: OpenFile, generation: u64) -> View {
        let pages = BTreeMap::new();
        View {
            open,
            pages,
            generation,
        }
    }

    /// The group that keeps the file's metadata.
    pub(crate) fn group(&self) -> MetaGroup {
        self.open
            .name
            .locate
            .as_ref()
            .map(|locate| locate.group)
            .unwrap_or_default()
    }

    /// The entry of a block; `None` when its page has yet to be asked for.
    fn entry(&self, block: BlockIndex) -> Option<BlockEntry> {
        let first = &self.open.blocks;
        let index = u32::from(block.0);
        let at = usize::try_from(index.wrapping_sub(first.first)).unwrap_or(usize::MAX);
        if let Some(entry) = first.entries.get(at) {
            return Some(*entry);
        }
        let known = u64::from(first.first) + first.entries.len() as u64;
        let file = &self.open.file;
        if first.first == 0 && known >= file.block_size.blocks_in(file.size_bytes) {
            return Some(BlockEntry::default());
        }
        let page = self.pages.get(&(index / BLOCK_PAGE_ENTRIES_MAX))?;
        let at = (index % BLOCK_PAGE_ENTRIES_MAX) as usize;
        Some(page.get(at).copied().unwrap_or_default())
    }

    /// The view of a later revision, of whose blocks nothing is known.
    fn without_blocks(&self, file: FileMetaData) -> View {
        let mut view = self.clone();
        view.generation += 1;
        view.open.file = file;
        view.open.blocks.entries.clear();
        view.pages.clear();
        view
    }

    /// The view after blocks were committed.
    fn with_written(&self, file: FileMetaData, written: &[BlockWritten]) -> View {
        let mut view = self.clone();
        view.generation += 1;
        view.open.file = file;
        let first = view.open.blocks.first;
        for change in written {
            let index = u32::from(change.block.0);
            let at = usize::try_from(index.wrapping_sub(first)).unwrap_or(usize::MAX);
            match view.open.blocks.entries.get_mut(at) {
                Some(entry) => *entry = change.entry,
                // A page is asked for again when it is needed.
                None => drop(view.pages.remove(&(index / BLOCK_PAGE_ENTRIES_MAX))),
            }
        }
        view
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) client: Client,
    pub(crate) path: FilePath,
    is_for_writing: bool,
    view: watch::Sender<Arc<View>>,
}

impl Source {
    /// Asks for a file's metadata.
    pub(crate) async fn open(
        client: &Client,
        path: FilePath,
        is_for_writing: bool,
    ) -> Result<Source, Error> {
        let client = &client.begin();
        let open = client.get_file(path.clone(), is_for_writing).await?;
        Ok(Source::of(client, path, is_for_writing, open))
    }

    /// Of metadata just got.
    pub(crate) fn of(
        client: &Client,
        path: FilePath,
        is_for_writing: bool,
        open: OpenFile,
    ) -> Source {
        let view = watch::Sender::new(Arc::new(View::new(open, 0)));
        Source {
            client: client.begin(),
            path,
            is_for_writing,
            view,
        }
    }

    /// The same file for a client with other options, as part of the same operation.
    pub(crate) fn with_client(&self, client: &Client) -> Source {
        let operation = self.client.operation.clone();
        Source {
            client: Client {
                operation,
                ..client.clone()
            },
            path: self.path.clone(),
            is_for_writing: self.is_for_writing,
            view: watch::Sender::new(self.view()),
        }
    }

    /// What is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// The file's size as last seen.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.view.borrow().open.file.size_bytes
    }

    /// The bytes of one part, whatever copy they come from, for as long as there is patience.
    pub(crate) async fn read(&self, part: Part, patience: &Patience) -> Result<Payload, Error> {
        let mut refreshes = 0;
        loop {
            let (view, entry) = self.entry(part.block, patience.deadline()).await?;
            let open = &view.open;
            let wanted = Wanted {
                file: open.file.descriptor,
                grant: open.grant,
                entry,
                part,
            };
            let last = match self.client.fetch(&wanted, patience).await {
                Ok(bytes) => return Ok(bytes),
                Err(FetchFault::Failed(error)) => return Err(error),
                Err(FetchFault::NoCopy(last)) => return Err(self.no_copy(part.block, last)),
                Err(FetchFault::Stale) => CopyCause::Missing,
                Err(FetchFault::NotGranted) => CopyCause::Refused(Refusal::NotGranted),
            };
            refreshes += 1;
            if refreshes > REFRESHES_MAX {
                return Err(self.no_copy(part.block, last));
            }
            if refreshes > 1 {
                tokio::time::sleep(pause(refreshes, random())).await;
            }
            self.refresh(&view, patience.deadline()).await?;
        }
    }

    /// As [`Source::read`], as an operation of its own.
    pub(crate) async fn read_alone(&self, part: Part) -> Result<Payload, Error> {
        let patience = self.patience();
        patience.begin();
        patience.guard(self.read(part, &patience)).await
    }

    /// How long a transfer of this file goes on without progress.
    pub(crate) fn patience(&self) -> Patience {
        self.client
            .patience(self.view.borrow().open.file.block_size)
    }

    fn no_copy(&self, block: BlockIndex, last: CopyCause) -> Error {
        Error::NoCopy {
            path: self.path.clone(),
            block,
            last,
        }
    }

    /// The entry of a block, its page asked for if need be, and the view it is from.
    pub(crate) async fn entry(
        &self,
        block: BlockIndex,
        deadline: Deadline,
    ) -> Result<(Arc<View>, BlockEntry), Error> {
        let mut refreshes = 0;
        loop {
            let view = self.view();
            if let Some(entry) = view.entry(block) {
                return Ok((view, entry));
            }
            let number = u32::from(block.0) / BLOCK_PAGE_ENTRIES_MAX;
            match self
                .client
                .get_blocks(&view, number * BLOCK_PAGE_ENTRIES_MAX, deadline)
                .await
            {
                // Entries of a later revision do not fit to those that are known.
                Ok(got) if got.file.revision > view.open.file.revision => {
                    self.change(&view, |view| *view = view.without_blocks(got.file));
                }
                Ok(got) => self.change(&view, |view| {
                    view.pages.insert(number, Arc::new(got.page.entries));
                }),
                Err(Error::Refused(Refusal::NotGranted | Refusal::Gone { .. }))
                    if refreshes < REFRESHES_MAX =>
                {
                    refreshes += 1;
                    self.refresh(&view, deadline).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the metadata again unless somebody has done so since `seen`.
    ///
    /// # Errors
    /// [`Error::Replaced`] when the name stands for another file now.
    pub(crate) async fn refresh(&self, seen: &Arc<View>, deadline: Deadline) -> Result<(), Error> {
        if !Arc::ptr_eq(seen, &self.view()) {
            return Ok(());
        }
        count(&self.client.shared.counting.refreshes);
        let open = self
            .client
            .get_file_by(self.path.clone(), self.is_for_writing, deadline)
            .await?;
        let was = seen.open.file.descriptor;
        if open.file.descriptor != was && !is_kept_with_others(&seen.open, &open) {
            return Err(Error::Replaced {
                path: self.path.clone(),
                was,
            });
        }
        self.change(seen, |view| *view = View::new(open, view.generation + 1));
        Ok(())
    }

    /// Takes over what this client has just committed, if that is known. Only the next revision is
    /// what was seen with these blocks in it: before a later one others have changed other blocks,
    /// or, when a commit had to be repeated, these. Then all entries are asked for again.
    pub(crate) fn written(&self, file: &FileMetaData, written: Option<&[BlockWritten]>) {
        self.view.send_if_modified(|view| {
            let seen = view.open.file.revision;
            if file.revision > seen {
                let is_next = file.revision == seen + 1;
                *view = Arc::new(match written.filter(|_| is_next) {
                    Some(written) => view.with_written(file.clone(), written),
                    None => view.without_blocks(file.clone()),
                });
            }
            file.revision > seen
        });
    }

    /// Changes the view unless it is no longer the one `seen`.
    fn change(&self, seen: &Arc<View>, change: impl FnOnce(&mut View)) {
        self.view.send_if_modified(|view| {
            let is_same = Arc::ptr_eq(view, seen)
                || view.open.file.descriptor == seen.open.file.descriptor
                    && view.open.file.revision == seen.open.file.revision;
            if is_same {
                change(Arc::make_mut(view));
            }
            is_same
        });
    }
}

/// Whether a name stands for the same bytes as before, kept once with those of other names since:
/// the put it came from is the same.
fn is_kept_with_others(before: &OpenFile, now: &OpenFile) -> bool {
    now.file.is_shared()
        && now.name.request == before.name.request
        && now.file.size_bytes == before.file.size_bytes
        && now.file.block_size == before.file.block_size
}

impl Client {
    /// Asks for a file's metadata and learns its volumes.
    pub(crate) async fn get_file(&self, path: FilePath, write: bool) -> Result<OpenFile, Error> {
        self.get_file_by(path, write, self.deadline()).await
    }

    /// As [`Client::get_file`]. When the file goes between the look at its name and the look at
    /// its metadata, the name stands for another one, or for none.
    async fn get_file_by(
        &self,
        path: FilePath,
        write: bool,
        deadline: Deadline,
    ) -> Result<OpenFile, Error> {
        let freshness = self.options.freshness;
        let call = GetFile {
            path,
            write,
            freshness,
        };
        let mut gone = 0;
        let open = loop {
            match self.ask_by(&call, None, deadline).await {
                Err(Error::Refused(Refusal::Gone { .. })) if gone < REFRESHES_MAX => {
                    gone += 1;
                    tokio::time::sleep(pause(gone, random())).await;
                }
                outcome => break outcome?,
            }
        };
        self.take_volumes(&open.volumes).await;
        Ok(open)
    }

    /// One page of block entries from `first` on, and the metadata they belong to.
    pub(crate) async fn get_blocks(
        &self,
        view: &View,
        first: u32,
        deadline: Deadline,
    ) -> Result<BlocksGot, Error> {
        let call = GetBlocks {
            descriptor: view.open.file.descriptor,
            group: view.group(),
            grant: view.open.grant,
            first,
            count: BLOCK_PAGE_ENTRIES_MAX,
            freshness: self.options.freshness,
        };
        let got = self.ask_by(&call, None, deadline).await?;
        self.take_volumes(&got.volumes).await;
        Ok(got)
    }
}
