//! The storage's commands on one connection after the other: reads a request, does it, answers.
//!
//! A small file goes from the connection's buffer to the disk's queue and its answer back to the
//! connection, without a task in between.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};
use sdfs_dserver::{AnonymousFile, AnonymousFiles};
use sdfs_server_group::{AddressWidth, Deadline, FastDfs, Mesh};
use sdfs_types::{Refusal, ServerId};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::{Connection, End};
use crate::counters::{Counted, Counters};
use crate::errno::Errno;
use crate::fields::{Fields, put_text};
use crate::group_name::GroupName;
use crate::header::Header;
use crate::limits::{COMMAND_WAIT, DOWNLOAD_PIECE_BYTES, SMALL_UPLOAD_BYTES};
use crate::name::{FileKind, FileName, Names, NewName};
use crate::storage_request::{NAMED_BYTES_MAX, Range, UPLOAD_BYTES, Upload, named};
use crate::view::ip_text;
use crate::wire::{GROUP_BYTES, IPV4_BYTES, IPV6_BYTES, common, storage};

/// A storage's door.
pub(crate) struct Storage {
    mesh: Mesh,
    group: GroupName,
    address_bytes: usize,
    files: AnonymousFiles,
    names: Names,
    /// Room for larger uploads, bytes.
    uploads: Semaphore,
    block_bytes: u64,
}

/// Why a command ends without an answer of its own.
enum Fault {
    /// It is refused; the connection goes on unless the request was wrong.
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

/// A name taken apart, and the file it stands for.
type Found<'a> = (FileName<'a>, AnonymousFile, u64);

impl Storage {
    pub(crate) fn new(
        mesh: Mesh,
        settings: &FastDfs,
        (files, names): (AnonymousFiles, Names),
        uploads: Semaphore,
    ) -> Self {
        let block_bytes = mesh.config().storage.block_bytes;
        Self {
            mesh,
            group: GroupName::of(&settings.group),
            address_bytes: match settings.addresses {
                AddressWidth::IPv4 => IPV4_BYTES,
                AddressWidth::IPv6 => IPV6_BYTES,
            },
            files,
            names,
            uploads,
            block_bytes,
        }
    }

    /// Serves a connection until its end.
    pub(crate) async fn serve(&self, mut connection: Connection, counters: Arc<Counters>) -> End {
        loop {
            match self.serve_one(&mut connection).await {
                Ok(()) => counters.count(Counted::Served),
                Err(Fault::Over(end)) => return end,
                Err(Fault::Refused(errno)) => {
                    counters.count(Counted::Refused);
                    connection.refuse(errno);
                    // What follows a wrong request need not be the next one.
                    if errno == Errno::Invalid {
                        return match connection.send().await {
                            Ok(()) => End::Counted(Counted::Invalid),
                            Err(end) => end,
                        };
                    }
                }
            }
        }
    }

    async fn serve_one(&self, connection: &mut Connection) -> Result<(), Fault> {
        let header = connection.header().await?;
        match header.command {
            common::QUIT => Err(End::Clean.into()),
            storage::UPLOAD => self.upload(connection, header).await,
            _ => {
                let body_bytes = parameters_bytes(header)?;
                let body = connection.body(body_bytes).await?;
                self.perform(connection, header, &body).await
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
            storage::INFO => return self.info(connection, body).await,
            storage::DELETE => self.delete(body).await?,
            _ => return Err(Errno::Unsupported.into()),
        }
        Ok(connection.answer(&[]).await?)
    }

    async fn upload(&self, connection: &mut Connection, header: Header) -> Result<(), Fault> {
        let content_bytes = header.body_bytes.checked_sub(UPLOAD_BYTES);
        let content_bytes = content_bytes.ok_or(Errno::Invalid)?;
        let parameters = connection.body(UPLOAD_BYTES as usize).await?;
        let upload = Upload::read(&parameters, content_bytes)?;
        let content_bytes = usize::try_from(content_bytes).map_err(|_| Errno::Invalid)?;
        if content_bytes as u64 > self.block_bytes {
            return Err(Errno::Invalid.into());
        }
        let _room = self.room_for(content_bytes).await?;
        let content = connection.body(content_bytes).await?;
        let crc32 = checksum_of(&content);
        let put = self.files.put(content, Deadline::after(COMMAND_WAIT));
        let file = put.await?;
        let new = NewName {
            volume: Some(file.volume),
            stamp: file.stamp,
            kind: FileKind::Normal(content_bytes as u64),
            crc32,
            extension: &upload.extension,
        };
        let Ok(name) = self.names.make(&new) else {
            tracing::error!(?file, "the volume's number is too high for a FastDFS name");
            self.files.free(file, Deadline::after(COMMAND_WAIT)).await?;
            return Err(Errno::NoSpace.into());
        };
        let mut answer = BytesMut::with_capacity(GROUP_BYTES + name.len());
        answer.put_slice(self.group.field());
        answer.put_slice(name.as_bytes());
        Ok(connection.answer(&answer).await?)
    }

    /// Waits for a share of the memory that larger uploads have.
    async fn room_for(&self, bytes: usize) -> Result<Option<SemaphorePermit<'_>>, Errno> {
        if bytes <= SMALL_UPLOAD_BYTES {
            return Ok(None);
        }
        let bytes = u32::try_from(bytes).map_err(|_| Errno::Invalid)?;
        self.uploads
            .acquire_many(bytes)
            .await
            .map(Some)
            .map_err(|_| Errno::Again)
    }

    /// The file of a name in our group.
    fn find<'a>(&self, fields: &mut Fields<'a>) -> Result<Found<'a>, Errno> {
        let name = named(&self.group, fields)?;
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        let file = self.names.anonymous(&name).ok_or(Errno::NotFound)?;
        match name.kind {
            FileKind::Normal(size) => Ok((name, file, size)),
            FileKind::Appender | FileKind::Trunk(_) => Err(Errno::NotFound),
        }
    }

    async fn download(&self, connection: &mut Connection, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::of(body);
        let range = Range::read(&mut fields)?;
        let (_, file, size) = self.find(&mut fields)?;
        let (offset, length) = range.within(size)?;
        let within = |number: u64| u32::try_from(number).map_err(|_| Errno::Invalid);
        let (offset, length) = (within(offset)?, within(length)?);
        if let Some(whole) = self.files.load_now(file) {
            let part = whole.get(offset as usize..offset as usize + length as usize);
            return Ok(connection.answer(part.ok_or(Errno::Io)?).await?);
        }
        let mut done = 0;
        loop {
            let count = DOWNLOAD_PIECE_BYTES.min(length - done);
            let deadline = Deadline::after(COMMAND_WAIT);
            let load = self
                .files
                .load(file, (offset + done, count), deadline)
                .await;
            let piece = match load {
                Ok(Some(piece)) if piece.len() == count as usize => piece,
                // Before the first piece there is an answer that says so.
                Ok(None) if done == 0 => return Err(Errno::NotFound.into()),
                Err(refusal) if done == 0 => return Err(refusal.into()),
                Ok(_) if done == 0 => return Err(Errno::Io.into()),
                _ => return Err(End::Counted(Counted::Gone).into()),
            };
            if done == 0 {
                connection.begin(u64::from(length));
            }
            connection.piece(&piece).await?;
            done += count;
            if done == length {
                return Ok(());
            }
        }
    }

    async fn info(&self, connection: &mut Connection, body: &[u8]) -> Result<(), Fault> {
        let (name, file, size) = self.find(&mut Fields::of(body))?;
        let length = self
            .files
            .length(file, Deadline::after(COMMAND_WAIT))
            .await?;
        length.ok_or(Errno::NotFound)?;
        let mut answer = BytesMut::with_capacity(24 + self.address_bytes);
        answer.put_u64(size);
        answer.put_u64(u64::from(name.second));
        // The original keeps it in a signed number of 32 bits.
        answer.put_i64(i64::from(name.crc32.cast_signed()));
        put_text(
            &mut answer,
            &self.address_text(file.stamp.server),
            self.address_bytes,
        );
        Ok(connection.answer(&answer).await?)
    }

    fn address_text(&self, server: ServerId) -> String {
        let server = self.mesh.server(server);
        server.map_or_else(String::new, |server| ip_text(server.address.ip()))
    }

    async fn delete(&self, body: &[u8]) -> Result<(), Fault> {
        let (_, file, _) = self.find(&mut Fields::of(body))?;
        let freed = self.files.free(file, Deadline::after(COMMAND_WAIT)).await?;
        if freed {
            Ok(())
        } else {
            Err(Errno::NotFound.into())
        }
    }
}

/// Bytes of a body that is no content, if the command may have so many.
fn parameters_bytes(header: Header) -> Result<usize, Errno> {
    let most = match header.command {
        common::ACTIVE_TEST => 0,
        storage::DOWNLOAD | storage::DELETE | storage::INFO => NAMED_BYTES_MAX,
        _ => return Err(Errno::Invalid),
    };
    if header.body_bytes > most {
        return Err(Errno::Invalid);
    }
    usize::try_from(header.body_bytes).map_err(|_| Errno::Invalid)
}

/// The checksum of FastDFS's names: zlib's.
fn checksum_of(content: &[u8]) -> u32 {
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
