//! Reading files: a small one in one answer, others piece by piece.

use std::sync::Arc;

use futures::StreamExt;
use sdfs_dserver::AnonymousFile;

use crate::connection::{Connection, End};
use crate::counters::Counted;
use crate::errno::Errno;
use crate::fields::Fields;
use crate::limits::{DOWNLOAD_PIECE_BYTES, READ_WAIT};
use crate::name::{FileName, Given};
use crate::source::Source;
use crate::storage::{Fault, Storage, soon};
use crate::storage_request::{Range, named};

/// An answer that was begun cannot be ended otherwise.
const CUT_OFF: End = End::Counted(Counted::Gone);

impl Storage {
    pub(crate) async fn download(
        &self,
        connection: &mut Connection,
        body: &[u8],
    ) -> Result<(), Fault> {
        let mut fields = Fields::of(body);
        let range = Range::read(&mut fields)?;
        let name = named(&self.group, &mut fields)?;
        let name = FileName::parse(name).map_err(|_| Errno::Invalid)?;
        match self.locate(&name).await? {
            Given::Anonymous(file, size) => {
                let part = range.within(size)?;
                self.download_block(connection, (file, size), part).await
            }
            Given::Recorded | Given::Beside | Given::Imported => {
                self.download_recorded(connection, name.text, range).await
            }
        }
    }

    async fn download_block(
        &self,
        connection: &mut Connection,
        (file, size): (AnonymousFile, u64),
        (offset, length): (u64, u64),
    ) -> Result<(), Fault> {
        let within = |number: u64| u32::try_from(number).map_err(|_| Errno::Invalid);
        let (offset, length) = (within(offset)?, within(length)?);
        if let Some(whole) = self.files.load_now(file) {
            let part = whole.get(offset as usize..offset as usize + length as usize);
            let part = part.filter(|_| whole.len() as u64 == size);
            return Ok(connection.answer(part.ok_or(Errno::Io)?).await?);
        }
        let mut done = 0;
        loop {
            let count = DOWNLOAD_PIECE_BYTES.min(length - done);
            let load = self.files.load(file, (offset + done, count), soon()).await;
            let piece = match load {
                Ok(Some(piece)) if piece.len() == count as usize => piece,
                // Before the first piece there is an answer that says so.
                Ok(None) if done == 0 => return Err(Errno::NotFound.into()),
                Err(refusal) if done == 0 => return Err(refusal.into()),
                Ok(_) if done == 0 => return Err(Errno::Io.into()),
                _ => return Err(CUT_OFF.into()),
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

    async fn download_recorded(
        &self,
        connection: &mut Connection,
        name: &str,
        range: Range,
    ) -> Result<(), Fault> {
        let file = self.recorded.open_within(name, READ_WAIT).await?;
        let (offset, length) = range.within(file.size_bytes())?;
        let source = Source::Recorded(Arc::new(file));
        let mut pieces = source.pieces(offset..offset + length);
        let mut left = length;
        let mut first = None;
        if length > 0 {
            first = Some(pieces.next().await.ok_or(Errno::Io)??);
        }
        connection.begin(length);
        while left > 0 {
            let piece = match first.take() {
                Some(piece) => piece,
                None => pieces.next().await.and_then(Result::ok).ok_or(CUT_OFF)?,
            };
            left = left.checked_sub(piece.len() as u64).ok_or(CUT_OFF)?;
            connection.piece(&piece).await?;
        }
        Ok(())
    }
}
