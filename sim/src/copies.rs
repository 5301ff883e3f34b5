//! What the members of a volume say they keep of the files there are.

use std::collections::BTreeMap;
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{CallError, Deadline, Mesh, Payload, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::{ListVolume, VolumePage};
use sdfs_types::{
    BlockDescriptor, BlockIndex, Epoch, MemberState, OpenFile, Refusal, Volume, VolumeId, wire,
};
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::pages::PAGES;

/// Blocks asked for at a time.
const PAGE_BLOCKS: u32 = 4_096;
/// How long a member may take to answer.
const ANSWER_MS: u64 = 5_000;
/// How often a member is asked that does not say what it keeps: it may be an epoch behind or
/// ahead, or be repairing a block it has found damaged.
const ASKED_MAX: u32 = 40;
/// How long it is left alone between two of these.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// What a member says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It keeps bytes of this checksum.
    Crc(u32),
    /// It does not keep the block.
    Absent,
    /// It did not say, for this reason.
    Untold(String),
}

/// One block of one file, and who says to keep it with which checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copies {
    /// The file's name.
    pub(crate) name: String,
    /// The block.
    pub(crate) block: BlockDescriptor,
    /// What the file's meta-data says of its bytes.
    pub(crate) crc32c: u32,
    /// The epoch of its volume as it was told with the file.
    pub(crate) epoch: Epoch,
    /// Whether all copies were said to be in sync then.
    pub(crate) are_all_in_sync: bool,
    /// What each member in sync says.
    pub(crate) members: Vec<(ServerId, Kept)>,
}

impl Copies {
    fn are_told(&self) -> bool {
        let mut members = self.members.iter();
        !members.any(|(_, kept)| matches!(kept, Kept::Untold(_)))
    }

    /// Whether every member in sync keeps the bytes.
    #[must_use]
    pub(crate) fn agree(&self) -> bool {
        let expected = Kept::Crc(self.crc32c);
        let mut members = self.members.iter();
        !self.members.is_empty() && members.all(|(_, kept)| *kept == expected)
    }

    /// Whether a member that must keep the bytes says that it does not.
    #[must_use]
    pub(crate) fn are_missed(&self) -> bool {
        let expected = Kept::Crc(self.crc32c);
        let mut members = self.members.iter();
        members.any(|(_, kept)| *kept != expected && !matches!(kept, Kept::Untold(_)))
    }
}

/// The blocks a member lists of a volume, by name; or why it does not.
pub(crate) type List = Result<BTreeMap<BlockDescriptor, u32>, String>;

/// Whoever asks dservers what they keep.
#[derive(Clone)]
pub(crate) struct Looker {
    /// That of some dserver: only those may ask.
    pub(crate) mesh: Mesh,
    /// Where all that is listed is noted.
    pub(crate) ledger: Ledger,
}

impl Looker {
    /// Looks at the blocks of these files at every member in sync of their volumes.
    pub(crate) async fn look_at_all(&self, client: &Client, names: &[String]) -> Vec<Copies> {
        let mut left = names.to_vec();
        let mut copies = BTreeMap::new();
        for _ in 0..ASKED_MAX {
            let mut untold = Vec::new();
            let mut lists = BTreeMap::new();
            for name in left {
                // Anew each time: the members of a volume, and its epoch, may be others by now.
                let is_told = match client.open(&name).await {
                    Ok(file) => {
                        let of_file = self.look_at(&name, &file.record(), &mut lists).await;
                        let are_told = of_file.iter().all(Copies::are_told);
                        copies.insert(name.clone(), of_file);
                        are_told
                    }
                    // Whether it can be read is judged elsewhere.
                    Err(error) => {
                        copies.remove(&name);
                        error.is_not_found()
                    }
                };
                if !is_told {
                    untold.push(name);
                }
            }
            left = untold;
            if left.is_empty() {
                break;
            }
            tracing::info!(?left, "asked again what is kept");
            sleep(ASKED_EVERY).await;
        }
        copies.into_values().flatten().collect()
    }

    /// Looks at the blocks of one file, asking each member for each volume once.
    pub(crate) async fn look_at(
        &self,
        name: &str,
        open: &OpenFile,
        lists: &mut BTreeMap<(VolumeId, ServerId), List>,
    ) -> Vec<Copies> {
        if PAGES.contains(&name) {
            self.ledger.note_shared(open.file.descriptor);
        }
        let mut copies = Vec::new();
        for (index, entry) in (0..).zip(&open.blocks.entries) {
            let volume = open.volumes.iter().find(|v| v.id == entry.volume);
            let Some(volume) = volume.filter(|_| entry.length_bytes > 0) else {
                continue;
            };
            let block = BlockDescriptor {
                file: open.file.descriptor,
                block: BlockIndex(index),
                version: entry.version,
            };
            self.ledger.note_record(block, entry);
            let mut members = Vec::new();
            for member in volume.readable() {
                let key = (volume.id, member);
                let list = match lists.remove(&key) {
                    Some(list) => list,
                    None => self.list(member, volume).await,
                };
                let kept = match &list {
                    Ok(blocks) => blocks.get(&block).map_or(Kept::Absent, |c| Kept::Crc(*c)),
                    Err(why) => Kept::Untold(why.clone()),
                };
                lists.insert(key, list);
                members.push((member, kept));
            }
            let mut states = volume.members.iter().map(|member| member.state);
            copies.push(Copies {
                name: name.to_owned(),
                block,
                crc32c: entry.crc32c,
                epoch: volume.epoch,
                are_all_in_sync: states.all(|state| state == MemberState::InSync),
                members,
            });
        }
        copies
    }

    /// All blocks a member keeps of a volume.
    pub(crate) async fn list(&self, member: ServerId, volume: &Volume) -> List {
        let mut all = BTreeMap::new();
        let mut after = None;
        loop {
            let call = ListVolume {
                volume: volume.id,
                epoch: volume.epoch,
                after,
                limit: PAGE_BLOCKS,
            };
            let page = self.ask(member, &call).await?;
            self.ledger.note(member, volume.id, &page.blocks);
            after = page.blocks.last().map(|kept| kept.block);
            all.extend(page.blocks.iter().map(|kept| (kept.block, kept.crc32c)));
            if !page.more || after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn ask(&self, member: ServerId, call: &ListVolume) -> Result<VolumePage, String> {
        let kind = ListVolume::KIND.to_wire();
        let deadline = Deadline::after_ms(ANSWER_MS);
        let head = wire::encode(call);
        let answer = self.mesh.call(member, kind, head, Payload::new(), deadline);
        let reply = answer.await.map_err(|error: CallError| error.to_string())?;
        let answer = wire::decode_answer::<VolumePage>(&reply.head).map_err(|e| e.to_string())?;
        answer.map_err(|refusal: Refusal| refusal.to_string())
    }
}
