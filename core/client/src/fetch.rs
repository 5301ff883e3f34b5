//! Reads one part of a block: from a copy that is near and idle, from another when that one is
//! bad, missing or silent.

use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::blocks::ReadBlock;
use sdfs_types::{
    BlockDescriptor, BlockEntry, FileDescriptor, Grant, Refusal, ServerId, Volume, wire,
};

use crate::client::{Client, Shared, call_peer};
use crate::counters::count;
use crate::error::{CopyCause, Error};
use crate::extent::Part;
use crate::limits::ATTEMPT_READ;
use crate::patience::Patience;
use crate::pause::{pause, random};
use crate::pool::OnTheWay;
use crate::retry::{Next, verdict};
use crate::store::travel;
use crate::trouble::Trouble;
use crate::verify::{checked, zeros};

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) file: FileDescriptor,
    pub(crate) grant: Grant,
    pub(crate) entry: BlockEntry,
    pub(crate) part: Part,
}

/// Why a part was not read.
#[derive(Debug)]
pub(crate) enum FetchFault {
    /// No copy has this version any more: the file was written or replaced meanwhile.
    Stale,
    /// The grant is over.
    NotGranted,
    /// Every copy failed until the deadline.
    NoCopy(CopyCause),
    /// It cannot be read at all.
    Failed(Error),
}

impl Client {
    /// The bytes of one part, what was never stored filled up with zeros; for as long as the
    /// transfer has patience: whoever waits for this has an eye on that.
    pub(crate) async fn fetch(
        &self,
        wanted: &Wanted,
        patience: &Patience,
    ) -> Result<Payload, FetchFault> {
        let Wanted { entry, part, .. } = wanted;
        let stored = entry
            .length_bytes
            .saturating_sub(part.offset_bytes)
            .min(part.length_bytes);
        let mut bytes = if entry.version.is_written() && stored > 0 {
            let fetching = self.fetch_stored(wanted, stored, patience);
            self.within(fetching).await?
        } else {
            Payload::new()
        };
        let missing = u64::from(part.length_bytes).saturating_sub(bytes.len() as u64);
        for piece in zeros(missing).into_pieces() {
            bytes.push(piece);
        }
        Ok(bytes)
    }

    async fn fetch_stored(
        &self,
        wanted: &Wanted,
        length: u32,
        patience: &Patience,
    ) -> Result<Payload, FetchFault> {
        let allowance = travel(length as usize);
        let call = wanted.call(length);
        let mut failures = 0;
        let mut last = CopyCause::NoMember;
        loop {
            let mut is_missing = false;
            for server in self.shared.copies(wanted) {
                let limit = Deadline::after(ATTEMPT_READ + allowance);
                let trouble = match self.shared.read(server, wanted, &call, limit).await {
                    Ok(bytes) => return Ok(bytes),
                    Err(trouble) => trouble,
                };
                tracing::debug!(%server, block = %call.block, ?trouble, "block not read");
                let verdict = verdict(&trouble);
                if verdict.is_server_at_fault {
                    self.shared.leave_server(server);
                }
                match verdict.next {
                    Next::RefreshGrant => return Err(FetchFault::NotGranted),
                    Next::GiveUp => return Err(FetchFault::Failed(definite(trouble))),
                    Next::RefreshFile => {
                        count(&self.shared.counting.missing_copies);
                        is_missing = true;
                    }
                    _ => {}
                }
                if let Trouble::Refused(Refusal::StaleEpoch { current }) = &trouble {
                    self.shared.learn_volume(current);
                }
                last = cause(trouble);
                count(&self.shared.counting.retries);
            }
            failures += 1;
            let wait = pause(failures, random());
            if is_missing {
                return Err(FetchFault::Stale);
            }
            if wait >= patience.deadline().remaining() {
                return Err(FetchFault::NoCopy(last));
            }
            tokio::time::sleep(wait).await;
            let refreshed = self.refresh_volumes(patience.deadline()).await;
            refreshed.map_err(FetchFault::Failed)?;
        }
    }
}

impl Wanted {
    fn call(&self, length_bytes: u32) -> ReadBlock {
        ReadBlock {
            volume: self.entry.volume,
            block: BlockDescriptor {
                file: self.file,
                block: self.part.block,
                version: self.entry.version,
            },
            offset_bytes: self.part.offset_bytes,
            length_bytes,
            grant: Some(self.grant),
        }
    }
}

impl Shared {
    /// The members to read from, the best first.
    fn copies(&self, wanted: &Wanted) -> Vec<ServerId> {
        let turn = u64::from(wanted.file.id.0) + u64::from(wanted.part.block.0);
        let volume = self.volume(wanted.entry.volume);
        let servers = volume
            .iter()
            .flat_map(|volume: &std::sync::Arc<Volume>| volume.readable());
        self.ranked(servers, turn)
            .into_iter()
            .map(|member| member.server)
            .collect()
    }

    async fn read(
        &self,
        server: ServerId,
        wanted: &Wanted,
        call: &ReadBlock,
        limit: Deadline,
    ) -> Result<Payload, Trouble> {
        let Some(address) = self.address_of(server) else {
            return Err(Trouble::Call(sdfs_server_group::CallError::NotConnected));
        };
        let peer = self
            .pool
            .link(address, limit)
            .await
            .map_err(Trouble::Connect)?;
        let counted = OnTheWay::begin(&peer, call.length_bytes.into());
        let head = wire::encode(call);
        let (range, payload) = call_peer::<ReadBlock>(&peer, head, Payload::new(), limit).await?;
        drop(counted);
        let range_wanted = (call.offset_bytes, call.length_bytes);
        checked(&wanted.entry, &range, payload, range_wanted).ok_or_else(|| {
            count(&self.counting.corrupt_copies);
            Trouble::Corrupt
        })
    }
}

fn cause(trouble: Trouble) -> CopyCause {
    match trouble {
        Trouble::Refused(Refusal::NoSuchBlock) => CopyCause::Missing,
        Trouble::Refused(Refusal::Corrupt) | Trouble::Corrupt => CopyCause::Corrupt,
        Trouble::Refused(refusal) => CopyCause::Refused(refusal),
        Trouble::Call(error) => CopyCause::Call(error),
        Trouble::Connect(_) => CopyCause::Unreachable,
        Trouble::Answer(_) => CopyCause::Corrupt,
    }
}

fn definite(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Refused(refusal) => Error::Refused(refusal),
        Trouble::Call(error) => Error::Call(error),
        Trouble::Connect(error) => Error::Untrusted(error),
        Trouble::Answer(fault) => Error::Answer(fault),
        Trouble::Corrupt => Error::Refused(Refusal::Corrupt),
    }
}
