//! Files with a record: appender and slave files, metadata, and what is larger than a block. Kept
//! as ordinary files below a reserved directory through a client of the cluster.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use futures::StreamExt;
use sdfs_client::{ByteStream, CallOptions, Client, Error, File, InstantPut, PutOptions};
use sdfs_server_group::{Config, Deadline};
use sdfs_types::{Attributes, FileMetaData, Refusal, clock};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::connection::{Connection, End};
use crate::errno::Errno;
use crate::folders::Folders;
use crate::imports::{framed, new_file};
use crate::limits::{
    CHECKSUM_WAIT, CHECKSUMS_AT_ONCE, COMMAND_WAIT, CONFLICT_PAUSE, READ_BYTES_MAX, SEAL_MAX,
    SEALED_PAUSE, SHARED_AT_ONCE,
};
use crate::metadata::{self, SetHow};

/// The attribute of an appender file that becomes a normal one: since when, milliseconds since the
/// Unix epoch. Nothing is written to it any more.
const SEALED: &str = "fastdfs.sealed";

/// What a file was sealed with.
pub(crate) struct Seal(String);

/// The files of a group.
pub(crate) struct Recorded {
    config: Arc<Config>,
    folders: Folders,
    client: OnceCell<Client>,
    /// Turns of those whose content is digested.
    sharing: Arc<Semaphore>,
    /// Turns of those who have a large file read for its checksum.
    reading: Semaphore,
}

/// Why content that arrives was not stored.
pub(crate) enum StoreFault {
    /// The cluster refused; what is left of the content was not read.
    Refused(Errno),
    /// The connection is over.
    Over(End),
}

impl From<Error> for StoreFault {
    fn from(error: Error) -> Self {
        StoreFault::Refused(errno_of(&error))
    }
}

/// What is done to an appender file.
pub(crate) enum Change {
    /// Written at its end, which must be there when it is told.
    Append(Option<u64>, Bytes),
    /// Written within it or at its end.
    Modify(u64, Bytes),
    /// Cut, or made longer with zeros.
    Resize(u64),
}

/// Size and time of a file.
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) modified_s: u64,
}

impl Recorded {
    pub(crate) fn new(config: Arc<Config>, group: &str) -> Self {
        Self {
            config,
            folders: Folders::of(group),
            client: OnceCell::new(),
            sharing: Arc::new(Semaphore::new(SHARED_AT_ONCE)),
            reading: Semaphore::new(CHECKSUMS_AT_ONCE),
        }
    }

    async fn client(&self) -> Result<&Client, Errno> {
        let connect = || Client::connect_admin(Arc::clone(&self.config));
        self.client.get_or_try_init(connect).await.map_err(|error| {
            tracing::warn!(%error, "files with a record cannot be reached");
            errno_of(&error)
        })
    }

    fn data(&self, name: &str) -> String {
        self.folders.data(name)
    }

    fn meta(&self, name: &str) -> String {
        self.folders.meta(name)
    }

    /// Whether files of another FastDFS were brought into the group.
    pub(crate) async fn has_imports(&self) -> Result<bool, Errno> {
        match self.client().await?.stat(&self.folders.imported()).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(errno_of(&error)),
        }
    }

    /// Stores a file that is in memory, under a name that must be new.
    pub(crate) async fn put(&self, name: &str, content: Bytes) -> Result<(), Errno> {
        let (client, path) = (self.client().await?, self.data(name));
        let put = client.put(&path, content, new_file());
        put.await.map(drop).map_err(|error| errno_of(&error))
    }

    /// The same, kept once with other files of that content.
    pub(crate) async fn put_instant(&self, name: &str, content: Bytes) -> Result<(), Errno> {
        let (client, path) = (self.client().await?, self.data(name));
        let mut reader = Cursor::new(content);
        let put = client.put_instant(&path, &mut reader, new_file()).await;
        match put.map_err(|error| errno_of(&error))? {
            InstantPut::Sent {
                shared: Err(error), ..
            } => tell_unshared(name, &error),
            InstantPut::Sent { .. } | InstantPut::Linked { .. } => {}
        }
        Ok(())
    }

    /// Has a stored file kept once with others of its content, some time: its client does not wait.
    pub(crate) async fn share(&self, name: &str) -> Result<(), Errno> {
        let (client, path) = (self.client().await?.clone(), self.data(name));
        let sharing = Arc::clone(&self.sharing);
        tokio::spawn(async move {
            // Never closed.
            let Ok(_turn) = sharing.acquire_owned().await else {
                return;
            };
            if let Err(error) = client.share(&path).await {
                tell_unshared(&path, &error);
            }
        });
        Ok(())
    }

    /// Stores content as it arrives, and gives its checksum. Nobody sees it before it gets its
    /// name; when the connection ends before, nothing of it stays.
    pub(crate) async fn receive(
        &self,
        connection: &mut Connection,
        (draft, bytes): (&str, u64),
    ) -> Result<u32, StoreFault> {
        let client = self.client().await.map_err(StoreFault::Refused)?;
        let options = PutOptions {
            size_bytes: Some(bytes),
            ..new_file()
        };
        let draft = self.folders.draft(draft);
        let mut writer = client.create(&draft, options).await?;
        let mut sum = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        let mut left = bytes;
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(READ_BYTES_MAX);
            let piece = connection.some(most).await.map_err(StoreFault::Over)?;
            sum.update(&piece);
            let written = writer.write_all(&piece).await;
            written.map_err(|error| StoreFault::Refused(errno_of_write(&error)))?;
            left -= piece.len() as u64;
        }
        writer.finish().await?;
        Ok(u32::try_from(sum.finalize()).unwrap_or(0))
    }

    /// Gives a received file its name, which must be new.
    pub(crate) async fn publish(&self, draft: &str, name: &str) -> Result<(), Errno> {
        let client = self.client().await?;
        let draft = self.folders.draft(draft);
        let mut renamed = client.rename(&draft, &self.data(name)).await;
        if renamed.as_ref().is_err_and(Error::is_not_found) {
            // The first file: a put makes directories, a rename makes none.
            let made = client.mkdir_all(&self.folders.all_data()).await;
            made.map_err(|error| errno_of(&error))?;
            renamed = client.rename(&draft, &self.data(name)).await;
        }
        if let Err(error) = renamed {
            if let Err(left) = client.delete_now(&draft).await {
                tracing::warn!(%draft, error = %left, "a draft is left behind");
            }
            return Err(errno_of(&error));
        }
        Ok(())
    }

    pub(crate) async fn facts(&self, name: &str) -> Result<Facts, Errno> {
        let stat = self.client().await?.stat(&self.data(name)).await;
        let stat = stat.map_err(|error| errno_of(&error))?;
        let file = stat.file.ok_or(Errno::NotFound)?;
        let modified_ms = match file.is_shared() {
            // The content may be older than the name.
            true => stat.name.created_ms,
            false => file.modified_ms,
        };
        Ok(Facts {
            size: file.size_bytes,
            modified_s: modified_ms / 1_000,
        })
    }

    /// An open file.
    pub(crate) async fn open(&self, name: &str) -> Result<File, Errno> {
        let open = self.client().await?.open(&self.data(name)).await;
        open.map_err(|error| errno_of(&error))
    }

    /// As [`Recorded::open`], for a reader who waits no longer than so for any part of it.
    pub(crate) async fn open_within(&self, name: &str, wait: Duration) -> Result<File, Errno> {
        let options = CallOptions {
            timeout: Some(wait),
            ..CallOptions::default()
        };
        let client = self.client().await?.with(options);
        let open = client.open(&self.data(name)).await;
        open.map_err(|error| errno_of(&error))
    }

    /// A turn of those who have a large file read for its checksum.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Errno> {
        match timeout(COMMAND_WAIT, self.reading.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Errno::Again),
        }
    }

    /// The checksum of all of a file, and its size.
    pub(crate) async fn checksum(&self, name: &str) -> Result<(u32, u64), Errno> {
        let summed = timeout(CHECKSUM_WAIT, self.checksum_now(name)).await;
        summed.unwrap_or(Err(Errno::Again))
    }

    async fn checksum_now(&self, name: &str) -> Result<(u32, u64), Errno> {
        let file = self.open(name).await?;
        let size = file.size_bytes();
        let mut stream: ByteStream = file.stream(0..size);
        let mut sum = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        while let Some(piece) = stream.next().await {
            sum.update(&piece.map_err(|error| errno_of(&error))?);
            // Nothing is waited for where a file has holes, and others are served here.
            tokio::task::yield_now().await;
        }
        Ok((u32::try_from(sum.finalize()).unwrap_or(0), size))
    }

    /// Changes a file that is not sealed, as it was seen at one moment: when it was changed
    /// meanwhile it is looked at again. So of two appends at once both count. Gives where what is
    /// written ends.
    pub(crate) async fn change(&self, name: &str, change: Change) -> Result<u64, Errno> {
        let (client, path) = (self.client().await?, self.data(name));
        let deadline = Deadline::after(COMMAND_WAIT);
        loop {
            match change.once(client, &path).await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => return Err(Errno::Busy),
                Err(error) => look_again(error, deadline).await?,
            }
        }
    }

    /// From now on nothing is written to the file, until it is unsealed or [`SEAL_MAX`] is over.
    pub(crate) async fn seal(&self, name: &str) -> Result<Seal, Errno> {
        if is_sealed(&self.attributes(name).await?) {
            return Err(Errno::Busy);
        }
        let seal = Seal(clock::now_ms().to_string());
        let sealed = Attributes::from([(SEALED.to_owned(), seal.0.clone())]);
        let client = self.client().await?;
        let set = client.set_attributes(&self.data(name), sealed, &[]).await;
        set.map_err(|error| errno_of(&error))?;
        Ok(seal)
    }

    /// Undoes a seal, unless another one stands in its place.
    pub(crate) async fn unseal(&self, name: &str, seal: &Seal) -> Result<(), Errno> {
        if self.attributes(name).await?.get(SEALED) != Some(&seal.0) {
            return Ok(());
        }
        let (client, path) = (self.client().await?, self.data(name));
        let set = client.set_attributes(&path, Attributes::new(), &[SEALED]);
        set.await.map(drop).map_err(|error| errno_of(&error))
    }

    async fn attributes(&self, name: &str) -> Result<Attributes, Errno> {
        Ok(self.record(name).await?.attributes)
    }

    async fn record(&self, name: &str) -> Result<FileMetaData, Errno> {
        let stat = self.client().await?.stat(&self.data(name)).await;
        let stat = stat.map_err(|error| errno_of(&error))?;
        stat.file.ok_or(Errno::NotFound)
    }

    /// Gives a file another name. It is told as done when the file has it: under which name it is
    /// must not be lost with an answer.
    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let client = self.client().await?;
        if let Err(error) = client.rename(&self.data(from), &self.data(to)).await
            && self.record(to).await.is_err()
        {
            return Err(errno_of(&error));
        }
        match client.rename(&self.meta(from), &self.meta(to)).await {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(from, to, %error, "metadata stays under the former name");
            }
            _ => {}
        }
        Ok(())
    }

    /// Deletes a file and its metadata: before it, so that a file of that name made anew has none,
    /// and after it, when some was set meanwhile.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Errno> {
        self.delete_metadata(name).await?;
        let deleted = self.client().await?.delete_now(&self.data(name)).await;
        deleted.map_err(|error| errno_of(&error))?;
        // One that was made anew meanwhile keeps its own.
        if matches!(self.record(name).await, Err(Errno::NotFound))
            && let Err(errno) = self.delete_metadata(name).await
        {
            tracing::warn!(name, ?errno, "metadata of a deleted file may stay");
        }
        Ok(())
    }

    /// Takes the metadata of a file away, if it has any.
    pub(crate) async fn delete_metadata(&self, name: &str) -> Result<(), Errno> {
        match self.client().await?.delete_now(&self.meta(name)).await {
            Err(error) if !error.is_not_found() => Err(errno_of(&error)),
            _ => Ok(()),
        }
    }

    /// The metadata of a file.
    pub(crate) async fn metadata(&self, name: &str) -> Result<Bytes, Errno> {
        let whole = self.client().await?.get(&self.meta(name)).await;
        unframed(whole.map_err(|error| errno_of(&error))?)
    }

    /// Sets metadata over what there is at that moment: when another one has set some meanwhile,
    /// it is looked at again.
    pub(crate) async fn set_metadata(
        &self,
        name: &str,
        how: SetHow,
        new: &[u8],
    ) -> Result<(), Errno> {
        let (client, path) = (self.client().await?, self.meta(name));
        let text = metadata::set(how, b"", new)?;
        let deadline = Deadline::after(COMMAND_WAIT);
        loop {
            let set = match client.open_for_write(&path).await {
                Ok(file) => over(client, &file, (how, new)).await,
                Err(error) if error.is_not_found() && text.is_empty() => Ok(()),
                Err(error) if error.is_not_found() => {
                    client.put(&path, framed(&text), new_file()).await.map(drop)
                }
                Err(error) => Err(error),
            };
            match set {
                Ok(()) => return Ok(()),
                // Another one has deleted it while this one looked.
                Err(error) if error.is_not_found() && !deadline.is_over() => {
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                }
                Err(error) => look_again(error, deadline).await?,
            }
        }
    }
}

impl Change {
    /// Gives where what was written ends; nothing when another one has moved the file's end.
    async fn once(&self, client: &Client, path: &str) -> Result<Option<u64>, Error> {
        let file = client.open_for_write(path).await?;
        let seen = file.meta_data();
        let size = seen.size_bytes;
        if is_sealed(&seen.attributes) {
            tokio::time::sleep(SEALED_PAUSE).await;
            let revision = seen.revision;
            return Err(Error::Refused(Refusal::Changed { revision }));
        }
        let (offset, data) = match self {
            Change::Append(Some(end), _) if *end != size => return Ok(None),
            Change::Append(_, data) => (size, data),
            Change::Modify(offset, _) if *offset > size => {
                return Err(Error::OutOfRange {
                    what: "the offset",
                    value: *offset,
                    max: size,
                });
            }
            Change::Modify(offset, data) => (*offset, data),
            Change::Resize(wanted) => {
                client.resize_if(path, &seen, *wanted).await?;
                return Ok(Some(*wanted));
            }
        };
        file.write_at_if(&seen, offset, data.clone()).await?;
        Ok(Some(offset + data.len() as u64))
    }
}

/// Whether a file is sealed, and by one who may still be at work.
fn is_sealed(attributes: &Attributes) -> bool {
    let since_ms = attributes.get(SEALED).and_then(|since| since.parse().ok());
    let age_ms = since_ms.map(|since_ms: u64| clock::now_ms().abs_diff(since_ms));
    age_ms.is_some_and(|age_ms| u128::from(age_ms) < SEAL_MAX.as_millis())
}

/// Waits a moment when a change failed for another one that was faster.
async fn look_again(error: Error, deadline: Deadline) -> Result<(), Errno> {
    if !was_changed(&error) || deadline.is_over() {
        return Err(errno_of(&error));
    }
    tokio::time::sleep(CONFLICT_PAUSE).await;
    Ok(())
}

/// Sets metadata in the place of what is looked at, unless it has been changed since.
async fn over(client: &Client, file: &File, (how, new): (SetHow, &[u8])) -> Result<(), Error> {
    let seen = file.meta_data();
    let old = unframed(file.read_at(0..seen.size_bytes).await?);
    let old = old.map_err(|_| Refusal::Corrupt)?;
    let wrong = |_| Refusal::Malformed {
        why: "metadata too long".to_owned(),
    };
    let text = metadata::set(how, &old, new).map_err(wrong)?;
    if text.is_empty() {
        return client.delete_now(file.path().as_str()).await.map(drop);
    }
    let written = file.write_at_if(&seen, 0, framed(&text));
    written.await.map(drop)
}

fn unframed(whole: Bytes) -> Result<Bytes, Errno> {
    let length = whole
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length));
    let end = length
        .and_then(|length| usize::try_from(length).ok())
        .map(|length| 4 + length);
    match end {
        Some(end) if end <= whole.len() => Ok(whole.slice(4..end)),
        _ => Err(Errno::Io),
    }
}

/// The file is stored, but not kept once.
fn tell_unshared(name: &str, error: &Error) {
    tracing::warn!(name, %error, "the content of an upload is not shared");
}

fn was_changed(error: &Error) -> bool {
    let is_refused =
        |refusal: &Refusal| matches!(refusal, Refusal::Changed { .. } | Refusal::Gone { .. });
    matches!(error, Error::Replaced { .. })
        || error.is_exists()
        || matches!(error, Error::Refused(refusal) if is_refused(refusal))
}

/// How it is told that content was not written on its way.
fn errno_of_write(error: &io::Error) -> Errno {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.map_or(Errno::Io, errno_of)
}

/// How an error of the client is told.
pub(crate) fn errno_of(error: &Error) -> Errno {
    tracing::debug!(%error, "a FastDFS command fails in the cluster");
    match error {
        Error::Refused(refusal) => Errno::of(refusal),
        Error::Replaced { .. } => Errno::NotFound,
        Error::OutOfRange { .. } => Errno::Invalid,
        Error::NoCopy { .. } | Error::Unknown { .. } | Error::Secret(_) => Errno::Io,
        _ => Errno::Again,
    }
}
