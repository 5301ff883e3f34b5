//! Commands of a storage that concern files with a record.

use sdfs_types::{Stamp, VolumeId};

use crate::change_request::{
    APPEND_BYTES, Following, MODIFY_BYTES, SLAVE_BYTES, SetMetadata, Slave, append, modify,
    truncate,
};
use crate::connection::Connection;
use crate::errno::Errno;
use crate::fields::Fields;
use crate::header::Header;
use crate::limits::CHANGE_BYTES_MAX;
use crate::name::{FileKind, FileName, NewName};
use crate::recorded::StoreFault;
use crate::storage::{Content, Fault, Found, Storage, checksum_of, soon};
use crate::storage_request::named;
use crate::wire::GROUP_BYTES;

impl From<StoreFault> for Fault {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Refused(errno) => Fault::Broken(errno),
            StoreFault::Over(end) => Fault::Over(end),
        }
    }
}

impl Storage {
    /// Stores content that gets a record, and gives its name. What was read in vain ends
    /// the connection only when more of it is on its way.
    pub(crate) async fn upload_recorded(
        &self,
        connection: &mut Connection,
        (kind, content_bytes, extension): (FileKind, u64, &str),
    ) -> Result<String, Fault> {
        let stamp = self
            .files
            .stamp(soon())
            .await
            .map_err(|r| Fault::Broken(Errno::of(&r)))?;
        let name = |crc32| {
            let new = NewName {
                volume: None,
                stamp,
                kind,
                crc32,
                extension,
            };
            self.names.make(&new).map_err(|_| Errno::Invalid)
        };
        if content_bytes <= self.block_bytes {
            let content = self.content(connection, content_bytes).await?;
            let name = name(checksum_of(&content.bytes))?;
            self.recorded.put(&name, content.bytes.clone()).await?;
            return Ok(name);
        }
        let draft = draft_of(stamp);
        let crc32 = self
            .recorded
            .receive(connection, (&draft, content_bytes))
            .await?;
        let name = name(crc32)?;
        self.recorded.publish(&draft, &name).await?;
        Ok(name)
    }

    pub(crate) async fn upload_slave(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let left = header
            .body_bytes
            .checked_sub(SLAVE_BYTES)
            .ok_or(Errno::Invalid)?;
        let fixed = connection.body(SLAVE_BYTES as usize).await?;
        let (
            slave,
            Following {
                name_bytes,
                content_bytes,
            },
        ) = Slave::read(&fixed, left)?;
        let master_name = connection.body(name_bytes).await?;
        let master = FileName::parse(&master_name).map_err(|_| Errno::Invalid)?;
        let name = slave.name(master.extension().0)?;
        let is_small = content_bytes <= self.block_bytes;
        // Read before anything is refused, so that the connection goes on.
        let content = match is_small {
            true => Some(self.content(connection, content_bytes).await?),
            false => None,
        };
        let broken = |errno| {
            if is_small {
                Fault::Refused(errno)
            } else {
                Fault::Broken(errno)
            }
        };
        self.expect(&master).await.map_err(broken)?;
        match content {
            Some(content) => self.recorded.put(&name, content.bytes.clone()).await?,
            None => {
                let draft = draft_of(self.files.stamp(soon()).await?);
                self.recorded
                    .receive(connection, (&draft, content_bytes))
                    .await?;
                self.recorded.publish(&draft, &name).await?;
            }
        }
        self.answer_name(connection, &name).await
    }

    pub(crate) async fn append(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let left = header
            .body_bytes
            .checked_sub(APPEND_BYTES)
            .ok_or(Errno::Invalid)?;
        let fixed = connection.body(APPEND_BYTES as usize).await?;
        let Following {
            name_bytes,
            content_bytes,
        } = append(&fixed, left)?;
        let name = connection.body(name_bytes).await?;
        let data = self.change_content(connection, content_bytes).await?;
        let name = appender(&name)?;
        match data.bytes.is_empty() {
            true => self.recorded.facts(name.text).await.map(drop)?,
            false => self.recorded.append(name.text, data.bytes.clone()).await?,
        }
        Ok(connection.answer(&[]).await?)
    }

    pub(crate) async fn modify(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        let left = header
            .body_bytes
            .checked_sub(MODIFY_BYTES)
            .ok_or(Errno::Invalid)?;
        let fixed = connection.body(MODIFY_BYTES as usize).await?;
        let (
            offset,
            Following {
                name_bytes,
                content_bytes,
            },
        ) = modify(&fixed, left)?;
        let name = connection.body(name_bytes).await?;
        let data = self.change_content(connection, content_bytes).await?;
        let name = appender(&name)?;
        self.recorded
            .modify(name.text, offset, data.bytes.clone())
            .await?;
        Ok(connection.answer(&[]).await?)
    }

    /// What one change writes: it is seen at once or not at all, so it is in memory.
    async fn change_content(
        &self,
        connection: &mut Connection,
        bytes: u64,
    ) -> Result<Content<'_>, Fault> {
        if bytes > CHANGE_BYTES_MAX {
            return Err(Errno::Invalid.into());
        }
        self.content(connection, bytes).await
    }

    pub(crate) async fn truncate(&self, body: &[u8]) -> Result<(), Fault> {
        let (size, name) = truncate(body)?;
        Ok(self.recorded.resize(appender(name)?.text, size).await?)
    }

    /// Makes a normal file of an appender file, with its size and checksum in its name.
    pub(crate) async fn regenerate(
        &self,
        connection: &mut Connection,
        body: &[u8],
    ) -> Result<(), Fault> {
        let old = appender(body)?;
        let (crc32, size) = self.recorded.checksum(old.text).await?;
        let new = NewName {
            volume: None::<VolumeId>,
            stamp: self.files.stamp(soon()).await?,
            kind: FileKind::Normal(size),
            crc32,
            extension: old.extension().1,
        };
        let name = self.names.make(&new).map_err(|_| Errno::Invalid)?;
        self.recorded.rename(old.text, &name).await?;
        self.answer_name(connection, &name).await
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
        self.expect(&name).await?;
        if let Some(file) = self.names.anonymous(&name) {
            // Before there is any: a file that is deleted looks for metadata only when marked.
            self.files.mark(file, soon()).await?;
        }
        Ok(self.recorded.set_metadata(name.text, set.how, text).await?)
    }

    pub(crate) async fn get_metadata(
        &self,
        connection: &mut Connection,
        body: &[u8],
    ) -> Result<(), Fault> {
        let name = named(&self.group, &mut Fields::of(body))?;
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        self.expect(&name).await?;
        if let Some(file) = self.names.anonymous(&name)
            && !self.files.is_marked(file, soon()).await?
        {
            return Err(Errno::NotFound.into());
        }
        let text = self.recorded.metadata(name.text).await?;
        Ok(connection.answer(&text).await?)
    }

    /// That there is such a file.
    async fn expect(&self, name: &FileName<'_>) -> Result<(), Errno> {
        match self.locate(name) {
            Found::Anonymous(file, _) => match self.files.length(file, soon()).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(Errno::NotFound),
                Err(refusal) => Err(Errno::of(&refusal)),
            },
            Found::Recorded => self.recorded.facts(name.text).await.map(drop),
        }
    }
}

/// The name of an appender file.
fn appender(name: &[u8]) -> Result<FileName<'_>, Errno> {
    let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
    if name.kind == FileKind::Appender && !name.is_slave() {
        Ok(name)
    } else {
        Err(Errno::Invalid)
    }
}

/// What a file is called until all of it has arrived.
fn draft_of(stamp: Stamp) -> String {
    format!("{}-{}-{}", stamp.server, stamp.second, stamp.number)
}
