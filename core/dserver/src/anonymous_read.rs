//! Reading anonymous files: here when this server has every block of the volume, or at a member
//! that has. Only under a lease of a mserver.

use bytes::Bytes;
use sdfs_log::crc32c;
use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::blocks::ReadBlock;
use sdfs_types::{BlockDescriptor, Refusal, VolumeId};

use crate::anonymous::{AnonymousFile, AnonymousFiles};
use crate::limits::ELSEWHERE_WAIT;
use crate::locked::locked;
use crate::peers::{AskFault, ask};
use crate::space_read::LoadFault;

/// What is said of a block, here or elsewhere.
enum Said<T> {
    Has(T),
    /// Whoever must have it has not.
    Lacks,
    /// Nobody can say.
    Unknown,
}

impl<T> Said<T> {
    /// What it comes to, when this is what is said here and `elsewhere` what the others say.
    fn or(self, elsewhere: Said<T>) -> Result<Option<T>, Refusal> {
        match (self, elsewhere) {
            (Said::Has(it), _) | (_, Said::Has(it)) => Ok(Some(it)),
            (Said::Lacks, _) | (_, Said::Lacks) => Ok(None),
            (Said::Unknown, Said::Unknown) => {
                let why = "no member that has the file can be read".to_owned();
                Err(Refusal::Busy { why })
            }
        }
    }
}

impl AnonymousFiles {
    /// A whole small file that is here in memory; nothing when anything must be waited for.
    #[must_use]
    pub fn load_now(&self, file: AnonymousFile) -> Option<Bytes> {
        if !self.shared.may_read_now() {
            return None;
        }
        let here = self.shared.in_sync_here(file.volume)?;
        let space = here.space.as_ref()?;
        self.shared.note_client();
        let loaded = space.load_now(file.volume, &file.stamp.block(), (0, u32::MAX))?;
        Some(loaded.bytes)
    }

    /// A range of a file, cut at its end; nothing when there is no such file.
    ///
    /// # Errors
    /// When no member that has it can be read, or this server is cut off from all mservers.
    pub async fn load(
        &self,
        file: AnonymousFile,
        range: (u32, u32),
        deadline: Deadline,
    ) -> Result<Option<Bytes>, Refusal> {
        self.shared.may_read(deadline).await?;
        let block = (file.volume, file.stamp.block());
        let here = self.load_here(block, range).await;
        if let Said::Has(bytes) = here {
            self.shared.note_client();
            return Ok(Some(bytes));
        }
        // One that was taken out of the volume and has not heard of it lacks what came since.
        let elsewhere = match self.load_elsewhere(block, range, deadline).await? {
            Said::Has((bytes, _)) => Said::Has(bytes),
            Said::Lacks => Said::Lacks,
            Said::Unknown => Said::Unknown,
        };
        here.or(elsewhere)
    }

    async fn load_here(
        &self,
        (volume, block): (VolumeId, BlockDescriptor),
        (offset, length): (u32, u32),
    ) -> Said<Bytes> {
        let here = self.shared.in_sync_here(volume);
        let Some(space) = here.as_ref().and_then(|here| here.space.as_ref()) else {
            return Said::Unknown;
        };
        match space.load(volume, block, (offset, length)).await {
            Ok(loaded) => {
                let skipped = offset.saturating_sub(loaded.offset_bytes) as usize;
                Said::Has(part_of(loaded.bytes, skipped, length))
            }
            Err(LoadFault::Absent) => {
                // One that was put aside as damaged is to be had elsewhere.
                let damaged = locked(&space.table).identity_of_damaged(volume, block);
                damaged.map_or(Said::Lacks, |_| Said::Unknown)
            }
            Err(LoadFault::Damaged | LoadFault::Failed | LoadFault::Busy) => Said::Unknown,
        }
    }

    /// Length of a file; nothing when there is no such file.
    ///
    /// # Errors
    /// As of [`AnonymousFiles::load`].
    pub async fn length(
        &self,
        file: AnonymousFile,
        deadline: Deadline,
    ) -> Result<Option<u32>, Refusal> {
        self.shared.may_read(deadline).await?;
        let block = (file.volume, file.stamp.block());
        let here = self.length_here(block);
        if let Said::Has(length) = here {
            return Ok(Some(length));
        }
        let elsewhere = self.length_elsewhere(block, deadline).await?;
        here.or(elsewhere)
    }

    /// Whether a file was marked.
    ///
    /// # Errors
    /// As of [`AnonymousFiles::load`].
    pub async fn is_marked(
        &self,
        file: AnonymousFile,
        deadline: Deadline,
    ) -> Result<bool, Refusal> {
        self.shared.may_read(deadline).await?;
        let block = (file.volume, file.stamp.mark());
        // Few files are: what is said here is enough, or each delete would ask around.
        let said = match self.length_here(block) {
            Said::Unknown => {
                let elsewhere = self.length_elsewhere(block, deadline).await?;
                Said::Unknown.or(elsewhere)?
            }
            here => here.or(Said::Lacks)?,
        };
        Ok(said.is_some())
    }

    fn length_here(&self, (volume, block): (VolumeId, BlockDescriptor)) -> Said<u32> {
        let here = self.shared.in_sync_here(volume);
        let space = here.as_ref().and_then(|here| here.space.as_ref());
        let Some(space) = space.filter(|space| space.is_open()) else {
            return Said::Unknown;
        };
        let stored = space.look_up(volume, &block);
        let damaged = locked(&space.table).identity_of_damaged(volume, block);
        let stored = stored.map(|stored| stored.length_bytes);
        let length = stored.or(damaged.map(|identity| identity.length_bytes));
        length.map_or(Said::Lacks, Said::Has)
    }

    async fn length_elsewhere(
        &self,
        block: (VolumeId, BlockDescriptor),
        deadline: Deadline,
    ) -> Result<Said<u32>, Refusal> {
        Ok(match self.load_elsewhere(block, (0, 1), deadline).await? {
            Said::Has((_, length)) => Said::Has(length),
            Said::Lacks => Said::Lacks,
            Said::Unknown => Said::Unknown,
        })
    }

    /// Asks the members in sync, one after the other.
    async fn load_elsewhere(
        &self,
        (volume, block): (VolumeId, BlockDescriptor),
        (offset, length): (u32, u32),
        deadline: Deadline,
    ) -> Result<Said<(Bytes, u32)>, Refusal> {
        let me = self.shared.me;
        let mut known = self.shared.newest(volume);
        if known.is_none() {
            // It may be newer than the lease.
            self.shared.end_read_lease();
            self.shared.may_read(deadline).await?;
            known = self.shared.newest(volume);
        }
        let Some(known) = known else {
            return Ok(Said::Lacks);
        };
        let call = ReadBlock {
            volume,
            block,
            offset_bytes: offset,
            length_bytes: length,
            grant: None,
        };
        let (mut lacks, mut is_sure) = (0, true);
        for other in known.readable().filter(|other| *other != me) {
            let asked = (&call, Payload::default());
            let soon = deadline.earlier(Deadline::after(ELSEWHERE_WAIT));
            match ask(&*self.shared.peers, other, asked, soon).await {
                Ok((range, payload)) => {
                    let bytes = payload.to_bytes();
                    let is_whole = range.piece_crc32c.is_empty();
                    if is_whole && crc32c(&bytes) != range.crc32c {
                        is_sure = false;
                        continue;
                    }
                    let skipped = offset.saturating_sub(range.offset_bytes) as usize;
                    let part = part_of(bytes, skipped, length);
                    return Ok(Said::Has((part, range.block_bytes)));
                }
                Err(AskFault::Refused(Refusal::NoSuchBlock)) => lacks += 1,
                Err(fault) => {
                    tracing::debug!(%other, ?fault, %block, "not read there");
                    is_sure = false;
                }
            }
        }
        Ok(if lacks > 0 && is_sure {
            Said::Lacks
        } else {
            Said::Unknown
        })
    }
}

fn part_of(bytes: Bytes, skipped: usize, length: u32) -> Bytes {
    let from = skipped.min(bytes.len());
    let to = from.saturating_add(length as usize).min(bytes.len());
    bytes.slice(from..to)
}
