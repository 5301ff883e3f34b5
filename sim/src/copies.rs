//! What the members of a volume say they keep of the files there are.

use std::collections::BTreeMap;
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::{CallError, Deadline, Mesh, Payload, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::{ListVolume, VolumePage};
use sdfs_types::{BlockDescriptor, BlockIndex, OpenFile, Refusal, Volume, wire};
use tokio::time::sleep;

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
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    /// The file's name.
    pub(crate) name: String,
    /// The block.
    pub(crate) block: BlockDescriptor,
    /// What the file's meta-data says of its bytes.
    pub(crate) crc32c: u32,
    /// What each member in sync says.
    pub(crate) members: Vec<(ServerId, Kept)>,
}

impl Copies {
    fn are_told(&self) -> bool {
        let mut members = self.members.iter();
        !members.any(|(_, kept)| matches!(kept, Kept::Untold(_)))
    }
}

/// Looks at the blocks of these files at every member in sync of their volumes.
pub(crate) async fn look_at_copies(client: &Client, mesh: &Mesh, names: &[&str]) -> Vec<Copies> {
    let mut copies = Vec::new();
    for name in names {
        let mut of_file = Vec::new();
        for _ in 0..ASKED_MAX {
            // Anew each time: the members of a volume, and its epoch, may be others by now.
            let is_told = match client.open(name).await {
                Ok(file) => {
                    of_file = look_at(mesh, name, &file.record()).await;
                    of_file.iter().all(Copies::are_told)
                }
                // Whether it can be read is judged elsewhere.
                Err(error) => error.is_not_found(),
            };
            if is_told {
                break;
            }
            tracing::info!(name, ?of_file, "asked again what is kept");
            sleep(ASKED_EVERY).await;
        }
        copies.extend(of_file);
    }
    copies
}

async fn look_at(mesh: &Mesh, name: &str, open: &OpenFile) -> Vec<Copies> {
    let mut copies = Vec::new();
    let mut lists = BTreeMap::new();
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
        let mut members = Vec::new();
        for member in volume.readable() {
            let key = (volume.id, member);
            let list = match lists.remove(&key) {
                Some(list) => list,
                None => list(mesh, member, volume).await,
            };
            let kept = match &list {
                Ok(blocks) => blocks.get(&block).map_or(Kept::Absent, |c| Kept::Crc(*c)),
                Err(why) => Kept::Untold(why.clone()),
            };
            lists.insert(key, list);
            members.push((member, kept));
        }
        copies.push(Copies {
            name: name.to_owned(),
            block,
            crc32c: entry.crc32c,
            members,
        });
    }
    copies
}

/// All blocks a member keeps of a volume, with their checksums; or why it does not tell.
async fn list(
    mesh: &Mesh,
    member: ServerId,
    volume: &Volume,
) -> Result<BTreeMap<BlockDescriptor, u32>, String> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let call = ListVolume {
            volume: volume.id,
            epoch: volume.epoch,
            after,
            limit: PAGE_BLOCKS,
        };
        let page = ask(mesh, member, &call).await?;
        after = page.blocks.last().map(|kept| kept.block);
        all.extend(page.blocks.iter().map(|kept| (kept.block, kept.crc32c)));
        if !page.more || after.is_none() {
            return Ok(all);
        }
    }
}

async fn ask(mesh: &Mesh, member: ServerId, call: &ListVolume) -> Result<VolumePage, String> {
    let kind = ListVolume::KIND.to_wire();
    let deadline = Deadline::after_ms(ANSWER_MS);
    let head = wire::encode(call);
    let answer = mesh.call(member, kind, head, Payload::new(), deadline);
    let reply = answer.await.map_err(|error: CallError| error.to_string())?;
    let answer = wire::decode_answer::<VolumePage>(&reply.head).map_err(|e| e.to_string())?;
    answer.map_err(|refusal: Refusal| refusal.to_string())
}
