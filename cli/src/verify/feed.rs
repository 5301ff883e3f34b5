//! Pages of records and copies as streams of files in order: what of each is in memory is bounded.

use std::collections::VecDeque;

use sdfs_client::{Client, Error};
use sdfs_types::calls::blocks::BlockKept;
use sdfs_types::calls::inspect::{
    CopiesPage, InspectAnswer, InspectAsk, ListCopies, RecordListed, RecordPage,
};
use sdfs_types::{
    BlockDescriptor, BlockIndex, BlockVersion, FileDescriptor, MetaGroup, Refusal, ServerId,
    VolumeId,
};

use super::judge::Copies;

/// Records and blocks of one page.
const PAGE: u32 = 2_048;
/// The same for a look at one file.
const PAGE_OF_ONE: u32 = 64;

/// The records of a meta group.
pub(crate) struct Records {
    group: MetaGroup,
    page: VecDeque<RecordListed>,
    after: Option<FileDescriptor>,
    more: bool,
}

/// What a member of a volume keeps.
pub(crate) struct Kept {
    server: ServerId,
    volume: VolumeId,
    page: VecDeque<(BlockKept, bool)>,
    after: Option<BlockDescriptor>,
    more: bool,
    /// It does not answer: nothing is said of what it has.
    is_silent: bool,
}

/// All of them, merged by file.
pub(crate) struct Feeds {
    client: Client,
    old_s: u64,
    limit: u32,
    records: Vec<Records>,
    kept: Vec<Kept>,
}

/// A file as it was found.
pub(crate) struct Found {
    pub(crate) file: FileDescriptor,
    pub(crate) records: Vec<(MetaGroup, RecordListed)>,
    pub(crate) copies: Copies,
}

impl Feeds {
    /// Everything, or one file.
    pub(crate) fn new(
        client: &Client,
        groups: &[MetaGroup],
        members: &[(VolumeId, ServerId)],
        old_s: u64,
        only: Option<FileDescriptor>,
    ) -> Feeds {
        let records = groups.iter().map(|group| Records {
            group: *group,
            page: VecDeque::new(),
            after: only.and_then(before),
            more: true,
        });
        let kept = members.iter().map(|(volume, server)| Kept {
            server: *server,
            volume: *volume,
            page: VecDeque::new(),
            after: only.map(|file| BlockDescriptor {
                file,
                block: BlockIndex(0),
                version: BlockVersion(0),
            }),
            more: true,
            is_silent: false,
        });
        Feeds {
            client: client.clone(),
            old_s,
            limit: only.map_or(PAGE, |_| PAGE_OF_ONE),
            records: records.collect(),
            kept: kept.collect(),
        }
    }

    /// The next file that is recorded or has blocks anywhere.
    pub(crate) async fn next(&mut self) -> Result<Option<Found>, Error> {
        self.fill().await?;
        let recorded = self.records.iter().filter_map(|feed| feed.page.front());
        let kept = self.kept.iter().filter_map(|feed| feed.page.front());
        let files = recorded
            .map(|record| record.file)
            .chain(kept.map(|(kept, _)| kept.block.file));
        let Some(file) = files.min() else {
            return Ok(None);
        };
        let mut found = Found {
            file,
            records: Vec::new(),
            copies: Copies::new(),
        };
        for feed in &mut self.records {
            let group = feed.group;
            while let Some(record) = feed.page.pop_front_if(|record| record.file == file) {
                found.records.push((group, record));
            }
        }
        for feed in self.kept.iter_mut().filter(|feed| !feed.is_silent) {
            let members = found.copies.entry(feed.volume).or_default();
            let blocks = members.entry(feed.server).or_default();
            loop {
                while let Some((kept, is_old)) =
                    feed.page.pop_front_if(|(kept, _)| kept.block.file == file)
                {
                    blocks.insert(kept.block, (kept, is_old));
                }
                // The file may go on in the next page.
                if !feed.page.is_empty() || !feed.more {
                    break;
                }
                feed.fill(&self.client, self.old_s, self.limit).await?;
            }
            if feed.is_silent {
                members.remove(&feed.server);
            }
        }
        Ok(Some(found))
    }

    /// The copies that could not be read to their ends.
    pub(crate) fn silent(&self) -> Vec<(VolumeId, ServerId)> {
        let silent = self.kept.iter().filter(|feed| feed.is_silent);
        silent.map(|feed| (feed.volume, feed.server)).collect()
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let (client, old_s, limit) = (&self.client, self.old_s, self.limit);
        let records = self.records.iter_mut();
        let records = records.map(|feed| feed.fill(client, limit));
        futures::future::try_join_all(records).await?;
        let kept = self.kept.iter_mut();
        let kept = kept.map(|feed| feed.fill(client, old_s, limit));
        futures::future::try_join_all(kept).await?;
        Ok(())
    }
}

/// The file in front of all that follow; nothing for the very first.
fn before(file: FileDescriptor) -> Option<FileDescriptor> {
    let number = u64::from_be_bytes(file.to_key()).checked_sub(1)?;
    FileDescriptor::from_key(&number.to_be_bytes())
}

impl Records {
    async fn fill(&mut self, client: &Client, limit: u32) -> Result<(), Error> {
        while self.page.is_empty() && self.more {
            let ask = InspectAsk::Records {
                group: self.group,
                after: self.after,
                limit,
            };
            let page: RecordPage = match client.inspect(ask).await? {
                InspectAnswer::Records(page) => page,
                _ => return Err(other_answer()),
            };
            self.more = page.more && !page.files.is_empty();
            self.after = page.files.last().map(|record| record.file);
            self.page = page.files.into();
        }
        Ok(())
    }
}

impl Kept {
    async fn fill(&mut self, client: &Client, old_s: u64, limit: u32) -> Result<(), Error> {
        while self.page.is_empty() && self.more {
            let list = ListCopies {
                volume: self.volume,
                after: self.after,
                limit,
                old_s,
            };
            let server = self.server;
            let answer = client.inspect(InspectAsk::Copies { server, list }).await;
            let page: CopiesPage = match answer {
                Ok(InspectAnswer::Copies(page)) => page,
                Ok(_) => return Err(other_answer()),
                // Without the mservers nothing else goes on either, and ends with its own error.
                Err(error) => {
                    tracing::warn!(%server, volume = %self.volume, %error, "a copy is not read");
                    self.is_silent = true;
                    self.more = false;
                    return Ok(());
                }
            };
            self.more = page.more && !page.blocks.is_empty();
            self.after = page.blocks.last().map(|(kept, _)| kept.block);
            self.page = page.blocks.into();
        }
        Ok(())
    }
}

pub(crate) fn other_answer() -> Error {
    Error::Refused(Refusal::NotServed)
}
