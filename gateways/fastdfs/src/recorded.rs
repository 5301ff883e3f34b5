//! Files with a record: appender and slave files, metadata, and what is larger than a block. Kept
//! as ordinary files below a reserved directory through a client of the cluster.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use futures::StreamExt;
use sdfs_client::{ByteStream, CallOptions, Client, Error, File, OnConflict, PutOptions};
use sdfs_server_group::{Config, Deadline};
use sdfs_types::Refusal;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::connection::{Connection, End};
use crate::errno::Errno;
use crate::limits::{COMMAND_WAIT, CONFLICT_PAUSE, READ_BYTES_MAX};
use crate::metadata::{self, SetHow};

/// The directory of all of them; users see it.
const ROOT: &str = "/.fastdfs";

/// The files of a group.
pub(crate) struct Recorded {
    config: Arc<Config>,
    group: String,
    client: OnceCell<Client>,
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

/// Size and time of a file.
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) modified_s: u64,
}

impl Recorded {
    pub(crate) fn new(config: Arc<Config>, group: &str) -> Self {
        Self {
            config,
            group: group.to_owned(),
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Result<&Client, Errno> {
        let connect = || Client::connect_admin(Arc::clone(&self.config));
        self.client.get_or_try_init(connect).await.map_err(|error| {
            tracing::warn!(%error, "files with a record cannot be reached");
            errno_of(&error)
        })
    }

    /// The slashes of a name stand at fixed places, so no two names share a path.
    fn path(&self, folder: &str, name: &str) -> String {
        format!("{ROOT}/{}/{folder}/{}", self.group, name.replace('/', "-"))
    }

    fn data(&self, name: &str) -> String {
        self.path("data", name)
    }

    fn meta(&self, name: &str) -> String {
        self.path("meta", name)
    }

    /// Stores a file that is in memory, under a name that must be new.
    pub(crate) async fn put(&self, name: &str, content: Bytes) -> Result<(), Errno> {
        let (client, path) = (self.client().await?, self.data(name));
        let put = client.put(&path, content, new_file());
        put.await.map(drop).map_err(|error| errno_of(&error))
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
        let mut writer = client.create(&self.path("draft", draft), options).await?;
        let mut sum = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        let mut left = bytes;
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(READ_BYTES_MAX);
            let piece = connection.some(most).await.map_err(StoreFault::Over)?;
            sum.update(&piece);
            let written = writer.write_all(&piece).await;
            written.map_err(|_| StoreFault::Refused(Errno::Io))?;
            left -= piece.len() as u64;
        }
        writer.finish().await?;
        Ok(u32::try_from(sum.finalize()).unwrap_or(0))
    }

    /// Gives a received file its name, which must be new.
    pub(crate) async fn publish(&self, draft: &str, name: &str) -> Result<(), Errno> {
        let client = self.client().await?;
        let draft = self.path("draft", draft);
        let mut renamed = client.rename(&draft, &self.data(name)).await;
        if renamed.as_ref().is_err_and(Error::is_not_found) {
            // The first file: a put makes directories, a rename makes none.
            let folder = format!("{ROOT}/{}/data", self.group);
            client
                .mkdir_all(&folder)
                .await
                .map_err(|error| errno_of(&error))?;
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
        let file = stat
            .map_err(|error| errno_of(&error))?
            .file
            .ok_or(Errno::NotFound)?;
        Ok(Facts {
            size: file.size_bytes,
            modified_s: file.modified_ms / 1_000,
        })
    }

    /// An open file.
    pub(crate) async fn open(&self, name: &str) -> Result<File, Errno> {
        let open = self.client().await?.open(&self.data(name)).await;
        open.map_err(|error| errno_of(&error))
    }

    /// The checksum of all of a file.
    pub(crate) async fn checksum(&self, name: &str) -> Result<(u32, u64), Errno> {
        let file = self.open(name).await?;
        let size = file.size_bytes();
        let mut stream: ByteStream = file.stream(0..size);
        let mut sum = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        while let Some(piece) = stream.next().await {
            sum.update(&piece.map_err(|error| errno_of(&error))?);
        }
        Ok((u32::try_from(sum.finalize()).unwrap_or(0), size))
    }

    /// Appends. Two at once both count: the one that comes second looks again.
    pub(crate) async fn append(&self, name: &str, data: Bytes) -> Result<(), Errno> {
        let client = self.client().await?.with(unless_changed());
        let deadline = Deadline::after(COMMAND_WAIT);
        loop {
            let appended = async {
                let file = client.open_for_write(&self.data(name)).await?;
                file.write_at(file.size_bytes(), data.clone()).await
            };
            match appended.await {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) && !deadline.is_over() => {}
                Err(error) => return Err(errno_of(&error)),
            }
            tokio::time::sleep(CONFLICT_PAUSE).await;
        }
    }

    /// Writes within a file or at its end.
    pub(crate) async fn modify(&self, name: &str, offset: u64, data: Bytes) -> Result<(), Errno> {
        let client = self.client().await?;
        let file = client.open_for_write(&self.data(name)).await;
        let file = file.map_err(|error| errno_of(&error))?;
        if offset > file.size_bytes() {
            return Err(Errno::Invalid);
        }
        let written = file.write_at(offset, data).await;
        written.map(drop).map_err(|error| errno_of(&error))
    }

    /// Cuts a file or makes it longer with zeros.
    pub(crate) async fn resize(&self, name: &str, size: u64) -> Result<(), Errno> {
        let now = self.facts(name).await?.size;
        let (client, path) = (self.client().await?, self.data(name));
        let resized = match size.cmp(&now) {
            std::cmp::Ordering::Less => client.truncate(&path, size).await,
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => client.expand_file_size(&path, size).await,
        };
        resized.map(drop).map_err(|error| errno_of(&error))
    }

    /// Gives a file another name.
    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let client = self.client().await?;
        let renamed = client.rename(&self.data(from), &self.data(to)).await;
        renamed.map_err(|error| errno_of(&error))?;
        match client.rename(&self.meta(from), &self.meta(to)).await {
            Err(error) if !error.is_not_found() => Err(errno_of(&error)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), Errno> {
        let deleted = self.client().await?.delete_now(&self.data(name)).await;
        deleted.map_err(|error| errno_of(&error))?;
        self.delete_metadata(name).await
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
        let client = self.client().await?.with(unless_changed());
        let (path, deadline) = (self.meta(name), Deadline::after(COMMAND_WAIT));
        loop {
            let set = match client.open_for_write(&path).await {
                Ok(file) => over(&client, &file, (how, new)).await,
                Err(error) if error.is_not_found() => {
                    let text = metadata::set(how, b"", new)?;
                    if text.is_empty() {
                        return Ok(());
                    }
                    client.put(&path, framed(&text), new_file()).await.map(drop)
                }
                Err(error) => Err(error),
            };
            match set {
                Ok(()) => return Ok(()),
                Err(error)
                    if (is_conflict(&error) || error.is_exists() || error.is_not_found())
                        && !deadline.is_over() => {}
                Err(error) => return Err(errno_of(&error)),
            }
            tokio::time::sleep(CONFLICT_PAUSE).await;
        }
    }
}

/// Sets metadata in the place of what is looked at, unless it has been changed since.
async fn over(client: &Client, file: &File, (how, new): (SetHow, &[u8])) -> Result<(), Error> {
    let old = unframed(file.read_at(0..file.size_bytes()).await?);
    let old = old.map_err(|_| Refusal::Corrupt)?;
    let wrong = |_| Refusal::Malformed {
        why: "metadata too long".to_owned(),
    };
    let text = metadata::set(how, &old, new).map_err(wrong)?;
    if text.is_empty() {
        return client.delete_now(file.path().as_str()).await.map(drop);
    }
    file.write_at(0, framed(&text)).await.map(drop)
}

/// A length in front: what is behind is of longer metadata before. So setting it is one write.
fn framed(text: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(4 + text.len());
    framed.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    framed.put_slice(text);
    framed.freeze()
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

fn new_file() -> PutOptions {
    PutOptions {
        replace: false,
        make_parents: true,
        digest: false,
        ..PutOptions::default()
    }
}

fn unless_changed() -> CallOptions {
    CallOptions {
        on_conflict: OnConflict::Fail,
        ..CallOptions::default()
    }
}

fn is_conflict(error: &Error) -> bool {
    let is_refused =
        |refusal: &Refusal| matches!(refusal, Refusal::Conflict { .. } | Refusal::Gone { .. });
    matches!(error, Error::Replaced { .. })
        || matches!(error, Error::Refused(refusal) if is_refused(refusal))
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
