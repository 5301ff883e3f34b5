//! The storage's commands on one connection after the other: reads a request, does it, answers.
//!
//! A small file goes from the connection's buffer to the disk's queue and its answer back to the
//! connection, without a task in between.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};
use sdfs_dserver::{AnonymousFile, AnonymousFiles};
use sdfs_server_group::{AddressWidth, Deadline, FastDfs, Mesh};
use sdfs_types::Refusal;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::connection::{Connection, End};
use crate::counters::{Counted, Counters};
use crate::errno::Errno;
use crate::fields::{Fields, put_text};
use crate::group_name::GroupName;
use crate::header::Header;
use crate::imports_known::ImportsKnown;
use crate::limits::{
    COMMAND_WAIT, IMPORTS_KNOWN_FOR, PARAMETERS_BYTES_MAX, PATIENCE, SMALL_UPLOAD_BYTES,
    UPLOADS_BYTES_MAX,
};
use crate::name::{FileKind, FileName, Given, Names, NewName};
use crate::recorded::Recorded;
use crate::storage_request::{NAMED_BYTES_MAX, UPLOAD_BYTES, Upload, named};
use crate::view::ip_text;
use crate::wire::{GROUP_BYTES, IPV4_BYTES, IPV6_BYTES, NAME_BYTES_END, common, storage};

/// The flag of an info that wants no checksum computed.
const NO_CHECKSUM: u8 = 1;

/// A storage's door.
pub(crate) struct Storage {
    pub(crate) mesh: Mesh,
    pub(crate) settings: FastDfs,
    /// Room for larger uploads, bytes.
    uploads: Semaphore,
    pub(crate) group: GroupName,
    pub(crate) files: AnonymousFiles,
    pub(crate) recorded: Recorded,
    imports: ImportsKnown,
    pub(crate) names: Names,
    pub(crate) block_bytes: u64,
    /// Whether contents are kept once.
    pub(crate) is_instant: bool,
}

/// Why a command ends without an answer of its own.
pub(crate) enum Fault {
    /// It is refused; the connection goes on unless the request was wrong, or much of it is unread.
    Refused(Errno),
    /// The connection is over.
    Over(End),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Fault::Refused(errno)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        tracing::debug!(%refusal, "a FastDFS command is refused");
        Fault::Refused(Errno::of(&refusal))
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Fault::Over(end)
    }
}

/// Content in memory, and its share of what larger uploads may take of it.
pub(crate) struct Content<'a> {
    pub(crate) bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

/// When a command that begins now ends.
pub(crate) fn soon() -> Deadline {
    Deadline::after(COMMAND_WAIT)
}

impl Storage {
    pub(crate) fn new(
        mesh: Mesh,
        settings: &FastDfs,
        (files, names, group): (AnonymousFiles, Names, &str),
    ) -> Self {
        let block_bytes = mesh.config().storage.block_bytes;
        Self {
            recorded: Recorded::new(Arc::clone(mesh.config()), group),
            imports: ImportsKnown::new(IMPORTS_KNOWN_FOR),
            mesh,
            settings: settings.clone(),
            uploads: Semaphore::new(UPLOADS_BYTES_MAX),
            is_instant: settings.instant.iter().any(|one| one == group),
            group: GroupName::of(group),
            files,
            names,
            block_bytes,
        }
    }

    /// Serves a connection until its end.
    pub(crate) async fn serve(&self, mut connection: Connection, counters: Arc<Counters>) -> End {
        loop {
            let errno = match self.serve_one(&mut connection).await {
                Ok(()) => {
                    counters.count(Counted::Served);
                    continue;
                }
                Err(Fault::Over(end)) => return end,
                Err(Fault::Refused(errno)) => errno,
            };
            counters.count(Counted::Refused);
            if let Err(end) = refuse(&mut connection, errno).await {
                return end;
            }
        }
    }

    async fn serve_one(&self, connection: &mut Connection) -> Result<(), Fault> {
        let header = connection.header().await?;
        let trace = self.mesh.fresh_trace();
        trace.scope(self.serve_command(connection, header)).await
    }

    async fn serve_command(
        &self,
        connection: &mut Connection,
        header: Header,
    ) -> Result<(), Fault> {
        match header.command {
            common::QUIT => {
                // What came before it was done, and is answered.
                connection.send().await?;
                Err(End::Clean.into())
            }
            storage::UPLOAD | storage::UPLOAD_APPENDER => self.upload(connection, header).await,
            storage::UPLOAD_SLAVE => self.upload_slave(connection, header).await,
            storage::APPEND => self.append(connection, header).await,
            storage::MODIFY => self.modify(connection, header).await,
            _ => {
                let body = self.content(connection, parameters_bytes(header)?).await?;
                self.perform(connection, header, &body.bytes).await
            }
        }
    }

    async fn perform(
        &self,
        connection: &mut Connection,
        header: Header,
        body: &[u8],
    ) -> Result<(), Fault> {
        match header.command {
            common::ACTIVE_TEST => {}
            storage::DOWNLOAD => return self.download(connection, body).await,
            storage::INFO => return self.info(connection, header.status, body).await,
            storage::GET_METADATA => return self.get_metadata(connection, body).await,
            storage::REGENERATE => return self.regenerate(connection, body).await,
            storage::SET_METADATA => self.set_metadata(body).await?,
            storage::DELETE => self.delete(body).await?,
            storage::TRUNCATE => self.truncate(body).await?,
            _ => return Err(Errno::Invalid.into()),
        }
        Ok(connection.answer(&[]).await?)
    }

    async fn upload(&self, connection: &mut Connection, header: Header) -> Result<(), Fault> {
        let content_bytes = header.body_bytes.checked_sub(UPLOAD_BYTES);
        let content_bytes = content_bytes.ok_or(Errno::Invalid)?;
        if content_bytes > sdfs_types::limits::FILE_BYTES_MAX {
            return Err(Errno::Invalid.into());
        }
        let parameters = connection.body(UPLOAD_BYTES as usize).await?;
        let upload = Upload::read(&parameters, content_bytes)?;
        let kind = match header.command {
            storage::UPLOAD_APPENDER => FileKind::Appender,
            _ => FileKind::Normal(content_bytes),
        };
        let is_shared = self.is_instant && content_bytes > 0;
        let is_large = content_bytes > self.block_bytes;
        let name = if kind == FileKind::Appender || is_large || is_shared {
            let new = (kind, content_bytes, &*upload.extension);
            self.upload_recorded(connection, new).await?
        } else {
            let content = self.content(connection, content_bytes).await?;
            self.upload_anonymous(content.bytes.clone(), &upload.extension)
                .await?
        };
        self.answer_name(connection, &name).await
    }

    async fn upload_anonymous(&self, content: Bytes, extension: &str) -> Result<String, Fault> {
        let (crc32, size) = (checksum_of(&content), content.len() as u64);
        let file = self.files.put(content, soon()).await?;
        let new = NewName {
            volume: Some(file.volume),
            stamp: file.stamp,
            kind: FileKind::Trunk(size),
            crc32,
            extension,
        };
        if let Ok(name) = self.names.make(&new) {
            return Ok(name);
        }
        tracing::error!(?file, "the volume's number is too high for a FastDFS name");
        self.files.free(file, soon()).await?;
        Err(Errno::NoSpace.into())
    }

    pub(crate) async fn answer_name(
        &self,
        connection: &mut Connection,
        name: &str,
    ) -> Result<(), Fault> {
        let mut answer = BytesMut::with_capacity(GROUP_BYTES + name.len());
        answer.put_slice(self.group.field());
        answer.put_slice(name.as_bytes());
        Ok(connection.answer(&answer).await?)
    }

    /// Content that is kept in memory until it is stored; a larger one waits for its share.
    pub(crate) async fn content(
        &self,
        connection: &mut Connection,
        bytes: u64,
    ) -> Result<Content<'_>, Fault> {
        let count = usize::try_from(bytes).map_err(|_| Errno::Invalid)?;
        let mut share = None;
        if count > SMALL_UPLOAD_BYTES {
            let wanted = u32::try_from(count).map_err(|_| Errno::Invalid)?;
            // Whoever has room is cut off when the content does not come.
            let given = timeout(PATIENCE, self.uploads.acquire_many(wanted)).await;
            let given = given.map_err(|_| Errno::Again)?;
            share = Some(given.map_err(|_| Errno::Again)?);
        }
        Ok(Content {
            bytes: connection.body(count).await?,
            _share: share,
        })
    }

    /// What keeps the file of a name. Nothing is looked up for a name that nobody was given, unless
    /// the group has files of another FastDFS.
    pub(crate) async fn locate(&self, name: &FileName<'_>) -> Result<Given, Errno> {
        if let Some(given) = self.names.given(name) {
            return Ok(given);
        }
        match self.imports.or(self.recorded.has_imports()).await? {
            true => Ok(Given::Imported),
            false => Err(Errno::NotFound),
        }
    }

    /// That an anonymous file is there, as its name says.
    pub(crate) async fn expect_block(&self, file: AnonymousFile, size: u64) -> Result<(), Errno> {
        match self.files.length(file, soon()).await {
            Ok(Some(length)) if u64::from(length) == size => Ok(()),
            Ok(Some(_)) => Err(Errno::Io),
            Ok(None) => Err(Errno::NotFound),
            Err(refusal) => Err(Errno::of(&refusal)),
        }
    }

    fn name_in<'a>(&self, body: &'a [u8]) -> Result<FileName<'a>, Errno> {
        let name = named(&self.group, &mut Fields::of(body))?;
        FileName::parse(name).map_err(|_| Errno::Invalid)
    }

    async fn info(&self, connection: &mut Connection, flags: u8, body: &[u8]) -> Result<(), Fault> {
        let name = self.name_in(body)?;
        let given = self.locate(&name).await?;
        let (size, second, crc32) = match given {
            Given::Anonymous(file, size) => {
                self.expect_block(file, size).await?;
                (size, u64::from(name.second), name.crc32)
            }
            _ => self.recorded_info(&name, given, flags).await?,
        };
        let address_bytes = match self.settings.addresses {
            AddressWidth::IPv4 => IPV4_BYTES,
            AddressWidth::IPv6 => IPV6_BYTES,
        };
        let mut answer = BytesMut::with_capacity(24 + address_bytes);
        answer.put_u64(size);
        answer.put_u64(second);
        // The original keeps it in a signed number of 32 bits.
        answer.put_i64(i64::from(crc32.cast_signed()));
        let source = self.source_text((&name, given), connection.client());
        put_text(&mut answer, &source, address_bytes);
        Ok(connection.answer(&answer).await?)
    }

    /// Size, time and checksum of a file with a record: from its name where that tells them.
    /// A turn to have a file of that size read for its checksum; a small one needs none.
    pub(crate) async fn checksum_turn(
        &self,
        size: u64,
    ) -> Result<Option<SemaphorePermit<'_>>, Errno> {
        match size > self.block_bytes {
            true => Ok(Some(self.recorded.turn().await?)),
            false => Ok(None),
        }
    }

    async fn recorded_info(
        &self,
        name: &FileName<'_>,
        given: Given,
        flags: u8,
    ) -> Result<(u64, u64, u32), Errno> {
        let facts = self.recorded.facts(name.text).await?;
        let is_imported = given == Given::Imported && name.tells_content();
        let is_ours = given == Given::Recorded && name.kind != FileKind::Appender;
        let crc32 = match (is_imported || is_ours, flags & NO_CHECKSUM) {
            (true, _) => name.crc32,
            (false, 0) => {
                let _turn = self.checksum_turn(facts.size).await?;
                self.recorded.checksum(name.text).await?.0
            }
            (false, _) => 0,
        };
        let second = match is_imported {
            true => u64::from(name.second),
            false => facts.modified_s,
        };
        Ok((facts.size, second, crc32))
    }

    /// Where a client reaches the storage a name tells. A number that another FastDFS gave means
    /// nothing.
    fn source_text(&self, (name, given): (&FileName<'_>, Given), client: IpAddr) -> String {
        let address = match given {
            Given::Imported => name.address().map(IpAddr::V4),
            _ => {
                let server = name.server().and_then(|server| self.mesh.server(server));
                server.map(|server| self.settings.ip_for(client, &server))
            }
        };
        address.map_or_else(String::new, ip_text)
    }

    async fn delete(&self, body: &[u8]) -> Result<(), Fault> {
        let name = self.name_in(body)?;
        let Given::Anonymous(file, _) = self.locate(&name).await? else {
            return Ok(self.recorded.delete(name.text).await?);
        };
        let is_marked = self.files.is_marked(file, soon()).await?;
        if !self.files.free(file, soon()).await? {
            return Err(Errno::NotFound.into());
        }
        if is_marked {
            // After it: a file that stays keeps its own.
            self.recorded.delete_metadata(name.text).await?;
        }
        Ok(())
    }
}

/// Tells that a command is refused, and comes to the next one, if there can be one.
async fn refuse(connection: &mut Connection, errno: Errno) -> Result<(), End> {
    connection.refuse(errno);
    // What follows a wrong request need not be the next one.
    if errno != Errno::Invalid && connection.skip().await? {
        return Ok(());
    }
    connection.close().await?;
    Err(End::Counted(Counted::Invalid))
}

/// Bytes of a body that is no content, if the command may have so many.
fn parameters_bytes(header: Header) -> Result<u64, Errno> {
    let most = match header.command {
        common::ACTIVE_TEST => 0,
        storage::DOWNLOAD
        | storage::DELETE
        | storage::INFO
        | storage::GET_METADATA
        | storage::TRUNCATE => NAMED_BYTES_MAX,
        storage::REGENERATE => NAME_BYTES_END as u64,
        storage::SET_METADATA => NAMED_BYTES_MAX + PARAMETERS_BYTES_MAX,
        _ => return Err(Errno::Invalid),
    };
    match header.body_bytes > most {
        true => Err(Errno::Invalid),
        false => Ok(header.body_bytes),
    }
}

/// The checksum of FastDFS's names: zlib's.
pub(crate) fn checksum_of(content: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32IsoHdlc, content)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_zlib() {
        assert_eq!(checksum_of(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum_of(b""), 0);
    }
}
