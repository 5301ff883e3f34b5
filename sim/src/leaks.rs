//! What is kept that nobody needs any more, once a cluster is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sdfs_client::{Client, Error};
use sdfs_server_group::ServerId;
use sdfs_types::calls::inspect::{InspectAnswer, InspectAsk, RecordListed};
use sdfs_types::{BlockDescriptor, FileDescriptor, MetaGroup, Refusal, Volume, VolumeId};
use tokio::time::sleep;

use crate::cluster::Slot;
use crate::copies::Looker;

/// How often is looked until nothing is left: what was deleted last is in the trash for a while,
/// and its blocks are freed only when nobody reads them any more.
const LOOKS_MAX: u32 = 45;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Records asked for at a time.
const PAGE_FILES: u32 = 4_096;

/// Whoever looks.
pub(crate) struct Search {
    pub(crate) looker: Looker,
    pub(crate) mservers: Vec<Slot>,
    pub(crate) dservers: Vec<Slot>,
    /// Files of which nothing may stay once they have gone.
    pub(crate) clean: BTreeSet<FileDescriptor>,
}

impl Search {
    /// What is left in the end.
    pub(crate) async fn leaks(&self, client: &Client) -> Vec<String> {
        let mut left = Vec::new();
        for _ in 0..LOOKS_MAX {
            left = match self.look(client).await {
                Ok(left) => left,
                Err(error) => vec![format!("nobody could look: {error}")],
            };
            if left.is_empty() {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        left
    }

    async fn look(&self, client: &Client) -> Result<Vec<String>, Error> {
        let volumes = self.volumes();
        let records = self.records(client).await?;
        let mut needed = BTreeSet::new();
        for record in records.values() {
            let blocks = record.blocks.iter();
            needed.extend(blocks.map(|(index, entry)| {
                let block = BlockDescriptor {
                    file: record.file,
                    block: *index,
                    version: entry.version,
                };
                (entry.volume, block)
            }));
        }
        let mut left = self.misplaced(&volumes);
        left.extend(self.unneeded(&volumes, &needed).await);
        left.extend(self.nameless(client, &records).await?);
        Ok(left)
    }

    /// The map as a mserver that stands knows it.
    fn volumes(&self) -> Vec<Volume> {
        let standing = self.mservers.iter().find_map(|slot| slot.borrow().clone());
        standing.map_or_else(Vec::new, |running| running.status().volumes)
    }

    /// All records by file.
    async fn records(
        &self,
        client: &Client,
    ) -> Result<BTreeMap<FileDescriptor, RecordListed>, Error> {
        let mut records = BTreeMap::new();
        for number in 1..=self.mservers.len() {
            let group = MetaGroup(u8::try_from(number).unwrap_or(u8::MAX));
            let (mut after, mut more) = (None, true);
            while more {
                let limit = PAGE_FILES;
                let ask = InspectAsk::Records {
                    group,
                    after,
                    limit,
                };
                let InspectAnswer::Records(page) = client.inspect(ask).await? else {
                    return Err(Error::Refused(Refusal::NotServed));
                };
                after = page.files.last().map(|record| record.file);
                more = page.more && after.is_some();
                records.extend(page.files.into_iter().map(|record| (record.file, record)));
            }
        }
        Ok(records)
    }

    /// Volumes kept by who is no member of them, or that are no more.
    fn misplaced(&self, volumes: &[Volume]) -> Vec<String> {
        let mut left = Vec::new();
        for running in self
            .dservers
            .iter()
            .filter_map(|slot| slot.borrow().clone())
        {
            let status = running.status();
            for kept in status.kept {
                let volume = volumes.iter().find(|volume| volume.id == kept.volume);
                if volume.is_none_or(|volume| volume.state_of(status.server).is_none()) {
                    left.push(format!("{} keeps {}: {volume:?}", status.name, kept.volume));
                }
            }
        }
        left
    }

    /// Blocks of clean files that are no record's.
    async fn unneeded(
        &self,
        volumes: &[Volume],
        needed: &BTreeSet<(VolumeId, BlockDescriptor)>,
    ) -> Vec<String> {
        let mut left = Vec::new();
        for volume in volumes {
            let mut keepers = BTreeMap::<BlockDescriptor, Vec<ServerId>>::new();
            for member in volume.readable() {
                let blocks = match self.looker.list(member, volume).await {
                    Ok(blocks) => blocks,
                    Err(why) => {
                        left.push(format!("{member} does not list {}: {why}", volume.id));
                        continue;
                    }
                };
                let unneeded = blocks.into_keys().filter(|block| {
                    self.clean.contains(&block.file) && !needed.contains(&(volume.id, *block))
                });
                unneeded.for_each(|block| keepers.entry(block).or_default().push(member));
            }
            let kept = keepers.into_iter();
            left.extend(kept.map(|(block, by)| format!("{by:?} keep {} {block}", volume.id)));
        }
        left
    }

    /// Records of clean files without a name.
    async fn nameless(
        &self,
        client: &Client,
        records: &BTreeMap<FileDescriptor, RecordListed>,
    ) -> Result<Vec<String>, Error> {
        let files = records.keys().filter(|file| self.clean.contains(file));
        let files: Vec<FileDescriptor> = files.copied().collect();
        let ask = InspectAsk::Named {
            files: files.clone(),
        };
        let InspectAnswer::Flags(named) = client.inspect(ask).await? else {
            return Err(Error::Refused(Refusal::NotServed));
        };
        let nameless = files.iter().zip(named).filter(|(_, is_named)| !is_named);
        Ok(nameless
            .map(|(file, _)| format!("{file} has a record and no name"))
            .collect())
    }
}
