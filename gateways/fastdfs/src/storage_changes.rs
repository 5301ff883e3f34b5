//! Commands of a storage that concern files with a record.

use bytes::Bytes;
use sdfs_types::limits::FILE_BYTES_MAX;
use sdfs_types::{Stamp, VolumeId};
use tokio::time::Instant;

use crate::change_request::{
    APPEND_BYTES, Following, MODIFY_BYTES, SLAVE_BYTES, SetMetadata, Slave, append, modify,
    truncate,
};
use crate::connection::Connection;
use crate::errno::Errno;
use crate::fields::Fields;
use crate::header::Header;
use crate::limits::{CHANGE_BYTES_MAX, SEAL_MAX};
use crate::name::{FileKind, FileName, Given, NewName};
use crate::recorded::{Change, StoreFault};
use crate::storage::{Content, Fault, Storage, checksum_of, soon};
use crate::storage_request::named;
use crate::wire::GROUP_BYTES;

impl From<StoreFault> for Fault {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Refused(errno) => Fault::Refused(errno),
            StoreFault::Over(end) => Fault::Over(end),
        }
    }
}

/// A request that changes a file, up to its content.
struct Begun<T> {
    told: T,
    name: Bytes,
    content_bytes: u64,
}

/// Content to be stored.
struct Arrived<'a> {
    /// All of it, when it was read already.
    small: Option<Content<'a>>,
    bytes: u64,
    /// Whether it is kept once with other files of that content.
    is_shared: bool,
}

impl Storage {
    /// Stores content that gets a record, and gives its name.
    pub(crate) async fn upload_recorded(
        &self,
        connection: &mut Connection,
        (kind, content_bytes, extension): (FileKind, u64, &str),
    ) -> Result<String, Fault> {
        let stamp = self.files.stamp(soon()).await?;
        let content = self.small(connection, content_bytes).await?;
        let name_of = |crc32| {
            let new = NewName {
                volume: None,
                stamp,
                kind,
                crc32,
                extension,
            };
            self.names.make(&new).map_err(|_| Errno::Invalid)
        };
        let content = Arrived {
            small: content,
            bytes: content_bytes,
            is_shared: self.is_instant && content_bytes > 0 && kind != FileKind::Appender,
        };
        self.store(connection, content, stamp, name_of).await
    }

    /// Content that fits into a block is read before anything is refused, so that the connection
    /// goes on whatever becomes of it.
    async fn small(
        &self,
        connection: &mut Connection,
        bytes: u64,
    ) -> Result<Option<Content<'_>>, Fault> {
        if bytes > self.block_bytes {
            return Ok(None);
        }
        self.content(connection, bytes).await.map(Some)
    }

    /// Stores content that was read, or is as it arrives, under the name its checksum gives it.
    async fn store(
        &self,
        connection: &mut Connection,
        arrived: Arrived<'_>,
        stamp: Stamp,
        name_of: impl FnOnce(u32) -> Result<String, Errno>,
    ) -> Result<String, Fault> {
        if let Some(content) = arrived.small {
            let name = name_of(checksum_of(&content.bytes))?;
            let bytes = content.bytes.clone();
            match arrived.is_shared {
                true => self.recorded.put_instant(&name, bytes).await?,
                false => self.recorded.put(&name, bytes).await?,
            }
            return Ok(name);
        }
        // What a file is called until all of it has arrived.
        let draft = format!("{}-{}-{}", stamp.server, stamp.second, stamp.number);
        let drafted = (&*draft, arrived.bytes);
        let received = self.recorded.receive(connection, drafted).await?;
        let name = name_of(received)?;
        self.recorded.publish(&draft, &name).await?;
        if arrived.is_shared {
            self.recorded.share(&name).await?;
        }
        Ok(name)
    }

    /// Reads a request up to its content.
    async fn begin<T>(
        &self,
        connection: &mut Connection,
        (header, fixed_bytes): (Header, u64),
        read: impl FnOnce(&[u8], u64) -> Result<(T, Following), Errno>,
    ) -> Result<Begun<T>, Fault> {
        let left = header.body_bytes.checked_sub(fixed_bytes);
        let left = left.ok_or(Errno::Invalid)?;
        let fixed = connection.body(fixed_bytes as usize).await?;
        let (told, following) = read(&fixed, left)?;
        Ok(Begun {
            told,
            name: connection.body(following.name_bytes).await?,
            content_bytes: following.content_bytes,
        })
    }

    pub(crate) async fn upload_slave(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let begun = self
            .begin(connection, (header, SLAVE_BYTES), Slave::read)
            .await?;
        let master = FileName::parse(&begun.name).map_err(|_| Errno::Invalid)?;
        let name = begun.told.name(master.extension().0)?;
        let content = self.small(connection, begun.content_bytes).await?;
        self.expect(&master).await?;
        let stamp = self.files.stamp(soon()).await?;
        let content = Arrived {
            small: content,
            bytes: begun.content_bytes,
            is_shared: self.is_instant && begun.content_bytes > 0,
        };
        let name = self.store(connection, content, stamp, |_| Ok(name)).await?;
        self.answer_name(connection, &name).await
    }

    pub(crate) async fn append(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let read = |fixed: &[u8], left| Ok(((), append(fixed, left)?));
        let begun = self.begin(connection, (header, APPEND_BYTES), read).await?;
        // Before the content: a name that was never given out gets no share of the memory.
        let name = self.appender(&begun.name).await?;
        self.change(connection, (name.text, begun.content_bytes), Change::Append)
            .await
    }

    pub(crate) async fn modify(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let begun = self
            .begin(connection, (header, MODIFY_BYTES), modify)
            .await?;
        let name = self.appender(&begun.name).await?;
        let modify = |end: Option<u64>, data| Change::Modify(end.unwrap_or(begun.told), data);
        self.change(connection, (name.text, begun.content_bytes), modify)
            .await
    }

    /// Changes a file by content that arrives, in pieces that fit into memory: each is seen at once
    /// or not at all. `change` is told where the piece before ended.
    async fn change(
        &self,
        connection: &mut Connection,
        (name, bytes): (&str, u64),
        change: impl Fn(Option<u64>, Bytes) -> Change,
    ) -> Result<(), Fault> {
        if bytes > FILE_BYTES_MAX {
            return Err(Errno::Invalid.into());
        }
        let (mut left, mut end) = (bytes, None);
        loop {
            let most = left.min(CHANGE_BYTES_MAX);
            let piece = self.content(connection, most).await?;
            let change = change(end, piece.bytes.clone());
            end = Some(self.recorded.change(name, change).await?);
            left -= most;
            if left == 0 {
                return Ok(connection.answer(&[]).await?);
            }
        }
    }

    pub(crate) async fn truncate(&self, body: &[u8]) -> Result<(), Fault> {
        let (size, name) = truncate(body)?;
        let name = self.appender(name).await?.text;
        self.recorded.change(name, Change::Resize(size)).await?;
        Ok(())
    }

    /// Makes a normal file of an appender file, with its size and checksum in its name.
    pub(crate) async fn regenerate(
        &self,
        connection: &mut Connection,
        body: &[u8],
    ) -> Result<(), Fault> {
        let old = self.appender(body).await?;
        let size = self.recorded.facts(old.text).await?.size;
        // Before it is sealed: nobody writes to it while it is.
        let _turn = self.checksum_turn(size).await?;
        // What is written from now on would not be in the name.
        let begun = Instant::now();
        let seal = self.recorded.seal(old.text).await?;
        let named = self.rename_to_content(&old, begun).await;
        if named.is_err()
            && let Err(errno) = self.recorded.unseal(old.text, &seal).await
        {
            tracing::warn!(name = old.text, ?errno, "an appender file may stay sealed");
        }
        self.answer_name(connection, &named?).await
    }

    /// Renames a file that was sealed after `begun`.
    async fn rename_to_content(&self, old: &FileName<'_>, begun: Instant) -> Result<String, Errno> {
        let (crc32, size) = self.recorded.checksum(old.text).await?;
        let new = NewName {
            volume: None::<VolumeId>,
            stamp: self
                .files
                .stamp(soon())
                .await
                .map_err(|refusal| Errno::of(&refusal))?,
            kind: FileKind::Normal(size),
            crc32,
            extension: old.extension().1,
        };
        let name = self.names.make(&new).map_err(|_| Errno::Invalid)?;
        // A process that stood still may have outlived its seal.
        if begun.elapsed() > SEAL_MAX / 2 {
            return Err(Errno::Again);
        }
        self.recorded.rename(old.text, &name).await?;
        Ok(name)
    }

    pub(crate) async fn set_metadata(&self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::of(body);
        let set = SetMetadata::read(&mut fields)?;
        let name = fields
            .bytes(GROUP_BYTES + set.name_bytes)
            .ok_or(Errno::Invalid)?;
        let text = fields.rest();
        if text.len() != set.text_bytes {
            return Err(Errno::Invalid.into());
        }
        let name = named(&self.group, &mut Fields::of(name))?;
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        let given = self.expect(&name).await?;
        if let Given::Anonymous(file, _) = given {
            // Before there is any: a file that is deleted looks for metadata only when marked.
            self.files.mark(file, soon()).await?;
        }
        self.recorded.set_metadata(name.text, set.how, text).await?;
        // Who deleted the file meanwhile may have looked for its metadata too early.
        match self.expect(&name).await {
            Ok(_) => Ok(()),
            Err(Errno::NotFound) => {
                self.recorded.delete_metadata(name.text).await?;
                if let Given::Anonymous(file, _) = given {
                    // The mark may have come after the file had gone.
                    self.files.free(file, soon()).await?;
                }
                Err(Errno::NotFound.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) async fn get_metadata(
        &self,
        connection: &mut Connection,
        body: &[u8],
    ) -> Result<(), Fault> {
        let name = named(&self.group, &mut Fields::of(body))?;
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        if let Given::Anonymous(file, _) = self.expect(&name).await?
            && !self.files.is_marked(file, soon()).await?
        {
            return Err(Errno::NotFound.into());
        }
        let text = self.recorded.metadata(name.text).await?;
        Ok(connection.answer(&text).await?)
    }

    /// That there is such a file, and what keeps it.
    async fn expect(&self, name: &FileName<'_>) -> Result<Given, Errno> {
        let given = self.locate(name).await?;
        match given {
            Given::Anonymous(file, size) => self.expect_block(file, size).await?,
            Given::Recorded | Given::Beside | Given::Imported => {
                self.recorded.facts(name.text).await?;
            }
        }
        Ok(given)
    }

    /// The name of an appender file.
    async fn appender<'a>(&self, name: &'a [u8]) -> Result<FileName<'a>, Errno> {
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        if name.kind != FileKind::Appender || name.is_slave() {
            return Err(Errno::Invalid);
        }
        // A name that anybody can make up gets nothing before its file is seen.
        if self.locate(&name).await? == Given::Imported {
            self.recorded.facts(name.text).await?;
        }
        Ok(name)
    }
}
