//! Content that names share: finding it, having the possession of it proven, and making a file's
//! content one. What is kept of it and how is in `root::contents`.

use std::sync::Arc;

use blake3::hazmat::{ChainingValue, Mode, merge_subtrees_non_root, merge_subtrees_root};
use futures::{StreamExt, TryStreamExt};

use sdfs_server_group::Deadline;
use sdfs_types::calls::content::{
    ContentChallenge, ContentDigest, ContentLinked, ContentProof, ContentRange, ContentShared,
    DigestBlock, DigestHow, LinkContent, ShareContent, Sharing,
};
use sdfs_types::calls::names::Freshness;
use sdfs_types::{
    Access, BlockDescriptor, BlockEntry, BlockIndex, Digest, FileMetaData, FileMetaMetaData,
    FilePath, Refusal, SHARED_ATTRIBUTE, ServerId, UserName, clock,
};

use crate::core::{AskFailed, Core};
use crate::limits::{
    CHALLENGE_RANGE_BYTES, CHALLENGE_RANGES, CHALLENGE_S, CHALLENGE_WHOLE_BYTES, DIGEST_ATTEMPT,
    DIGESTS_AT_ONCE,
};
use crate::meta::MetaCommand;
use crate::names::name_of;
use crate::read::{look, whole_record};
use crate::root::{Content, ContentKey, Link, RootCommand};
use crate::trash::trashing;
use crate::voter::unreadable;

/// What the key of challenges is derived for.
const CHALLENGES_LABEL: &str = "content challenges";

/// Answers `LinkContent`.
pub(crate) async fn link(
    core: Arc<Core>,
    call: LinkContent,
    user: UserName,
    deadline: Deadline,
) -> Result<ContentLinked, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    core.root_barrier(deadline).await?;
    if let Some(before) = core.root.outcome(call.request).map_err(unreadable)? {
        let name = name_of(before.answer?)?;
        return Ok(ContentLinked::Linked { name });
    }
    let key = key_of(core, &call.path, &user, call.digest);
    let found = core.root.content(&key).map_err(unreadable)?;
    let Some(content) = found.filter(|content| content.size_bytes == call.size_bytes) else {
        return Ok(ContentLinked::Unknown);
    };
    let turn = clock::now_ms() / 1_000 / CHALLENGE_S;
    let good = [turn, turn.saturating_sub(1), turn + 1];
    let good = good.map(|turn| challenge_key(core, &key, turn));
    let Some(proof) = call.proof.filter(|proof| good.contains(&proof.key)) else {
        let [key, ..] = good;
        let ranges = ranges_of(&key, &content);
        return Ok(ContentLinked::Prove(ContentChallenge { key, ranges }));
    };
    // So that the answer that it is to be sent comes in time, too.
    let soon = deadline.earlier(Deadline::after(deadline.remaining() / 2));
    match is_proven(core, &content, &proof, soon).await {
        Ok(true) => {}
        Ok(false) => return Ok(ContentLinked::Unknown),
        // Sending it needs nothing of the one there is.
        Err(refusal) => {
            tracing::warn!(path = %call.path, %refusal, "a shared content cannot be read");
            return Ok(ContentLinked::Unknown);
        }
    }
    match decide(core, call, key, (user, deadline)).await {
        Ok(name) => Ok(ContentLinked::Linked { name }),
        Err(Refusal::NoSuchContent) => Ok(ContentLinked::Unknown),
        Err(refusal) => Err(refusal),
    }
}

async fn decide(
    core: &Arc<Core>,
    call: LinkContent,
    key: ContentKey,
    (user, deadline): (UserName, Deadline),
) -> Result<FileMetaMetaData, Refusal> {
    let now_ms = clock::now_ms();
    let link = Link {
        key,
        request: call.request,
        path: call.path,
        size_bytes: call.size_bytes,
        owner: Arc::clone(&user),
        now_ms,
        make_parents: call.make_parents,
        replace: call.replace,
    };
    let mut command = RootCommand::Link(Box::new(link));
    if call.replace {
        command = trashing(core, command, &user, now_ms);
    }
    name_of(core.propose_root(command, deadline).await?)
}

/// Answers `ShareContent`.
pub(crate) async fn share(
    core: Arc<Core>,
    call: ShareContent,
    user: UserName,
    deadline: Deadline,
) -> Result<ContentShared, Refusal> {
    let core = &core;
    let path = call.path;
    let seen = look(core, &path, Freshness::Linearizable, deadline).await?;
    core.check_right(&user, Access::Write, &path, deadline)
        .await?;
    let entry = seen.walk.file(&path)?;
    let kept = Kept::find(core, &entry, deadline).await?;
    if entry.descriptor != call.descriptor && !kept.file.is_shared() {
        let descriptor = call.descriptor;
        return Err(Refusal::Gone { descriptor });
    }
    kept.has_no_attributes()?;
    let digest = kept.whole_digest().await?;
    let key = key_of(core, &path, &entry.owner, digest);
    // A copy that is good is not given up for one that cannot be read.
    if let Some(known) = core.root.content(&key).map_err(unreadable)?
        && known.name.descriptor != entry.descriptor
        && Kept::find(core, &known.name, deadline)
            .await?
            .whole_digest()
            .await?
            != digest
    {
        return Err(Refusal::Corrupt);
    }
    let seal = MetaCommand::Seal {
        descriptor: entry.descriptor,
        revision: kept.file.revision,
        digest: Digest::Blake3(digest),
    };
    let locate = entry.locate.as_ref();
    let group = locate
        .map(|locate| locate.group)
        .ok_or(Refusal::NotServed)?;
    // Nothing is written to it any more: what was digested is what the names will share.
    core.propose_meta(group, seal, deadline).await?;
    let command = RootCommand::Share {
        key,
        path,
        descriptor: entry.descriptor,
        size_bytes: kept.file.size_bytes,
    };
    let name = name_of(core.propose_root(command, deadline).await?)?;
    Ok(ContentShared { name, digest })
}

/// Answers `GetSharing`.
pub(crate) async fn sharing(core: &Core, deadline: Deadline) -> Result<Sharing, Refusal> {
    core.root_barrier(deadline).await?;
    core.root.sharing().map_err(unreadable)
}

fn key_of(core: &Core, path: &FilePath, owner: &UserName, digest: ContentDigest) -> ContentKey {
    ContentKey {
        digest,
        owner: Arc::clone(owner),
        within: core.group_of(path).cloned(),
    }
}

/// The key of a challenge: the same at every mserver for a while, so nobody needs to remember what
/// was asked of whom, and nobody can ask for another one.
fn challenge_key(core: &Core, content: &ContentKey, turn: u64) -> [u8; 32] {
    let secret = core.mesh.derive_key(CHALLENGES_LABEL);
    let mut hasher = blake3::Hasher::new_keyed(&secret);
    hasher.update(&turn.to_le_bytes());
    hasher.update(&content.digest);
    hasher.update(content.owner.as_bytes());
    *hasher.finalize().as_bytes()
}

/// The ranges to be proven: all of a small content, else some that the key picks.
fn ranges_of(key: &[u8; 32], content: &Content) -> Vec<ContentRange> {
    let (size, block) = (content.size_bytes, content.name.block_size.bytes());
    let range = |offset_bytes: u64, most: u64| {
        let in_block = block - offset_bytes % block;
        let length = most.min(in_block).min(size - offset_bytes);
        ContentRange {
            offset_bytes,
            length_bytes: u32::try_from(length).unwrap_or(u32::MAX),
        }
    };
    if size <= CHALLENGE_WHOLE_BYTES {
        let step = usize::try_from(block).unwrap_or(usize::MAX);
        let starts = (0..size).step_by(step);
        return starts.map(|start| range(start, block)).collect();
    }
    let mut picks = blake3::Hasher::new_keyed(key).finalize_xof();
    let pick = |_| {
        let mut number = [0; 8];
        picks.fill(&mut number);
        range(u64::from_le_bytes(number) % size, CHALLENGE_RANGE_BYTES)
    };
    (0..CHALLENGE_RANGES).map(pick).collect()
}

/// Whether somebody has the content; and it is there, all of it: a name is not given to what
/// nobody can read.
async fn is_proven(
    core: &Arc<Core>,
    content: &Content,
    proof: &ContentProof,
    deadline: Deadline,
) -> Result<bool, Refusal> {
    let kept = Kept::find(core, &content.name, deadline).await?;
    let block_bytes = kept.file.block_size.bytes();
    let one = |range: ContentRange| {
        let index = range.offset_bytes / block_bytes;
        let within = (range.offset_bytes % block_bytes, range.length_bytes);
        kept.digest(index, within, DigestHow::Keyed(proof.key))
    };
    let asks = futures::stream::iter(ranges_of(&proof.key, content)).map(one);
    let digests: Vec<_> = asks.buffered(DIGESTS_AT_ONCE).try_collect().await?;
    if ContentProof::of(proof.key, &digests) != *proof {
        return Ok(false);
    }
    Ok(kept.whole_digest().await? == content.key.digest)
}

/// A file whose bytes are digested where they are kept.
struct Kept<'a> {
    core: &'a Core,
    file: FileMetaData,
    entries: Vec<BlockEntry>,
    deadline: Deadline,
}

impl<'a> Kept<'a> {
    async fn find(
        core: &'a Arc<Core>,
        name: &FileMetaMetaData,
        deadline: Deadline,
    ) -> Result<Kept<'a>, Refusal> {
        let (file, entries) = whole_record(core, name, deadline).await?;
        Ok(Kept {
            core,
            file,
            entries,
            deadline,
        })
    }

    /// They would show under every name.
    fn has_no_attributes(&self) -> Result<(), Refusal> {
        let mut names = self.file.attributes.keys();
        match names.any(|name| name != SHARED_ATTRIBUTE) {
            true => Err(not_shareable("has attributes".to_owned())),
            false => Ok(()),
        }
    }

    /// The digest of all of a file that was written whole.
    async fn whole_digest(&self) -> Result<ContentDigest, Refusal> {
        let (size, block_bytes) = (self.file.size_bytes, self.file.block_size.bytes());
        let blocks = size.div_ceil(block_bytes);
        let one = |index: u64| {
            let start = index * block_bytes;
            let length = u32::try_from(block_bytes.min(size - start)).unwrap_or(u32::MAX);
            let how = match blocks {
                1 => DigestHow::Plain,
                _ => DigestHow::Subtree(start),
            };
            self.digest(index, (0, length), how)
        };
        let asks = futures::stream::iter(0..blocks).map(one);
        let values: Vec<ChainingValue> = asks.buffered(DIGESTS_AT_ONCE).try_collect().await?;
        root_of(&values).ok_or_else(|| not_shareable("is empty".to_owned()))
    }

    /// The digest of a range of one block, of any copy in sync.
    async fn digest(
        &self,
        index: u64,
        (offset_bytes, length_bytes): (u64, u32),
        how: DigestHow,
    ) -> Result<ContentDigest, Refusal> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let offset_bytes = u32::try_from(offset_bytes).unwrap_or(u32::MAX);
        let end_bytes = offset_bytes.saturating_add(length_bytes);
        let entry = self.entries.get(at);
        let entry = entry.filter(|entry| entry.length_bytes >= end_bytes);
        let (Some(entry), Ok(block)) = (entry, u16::try_from(index)) else {
            return Err(not_shareable(format!("has a hole in block {index}")));
        };
        let call = DigestBlock {
            volume: entry.volume,
            block: BlockDescriptor {
                file: self.file.descriptor,
                block: BlockIndex(block),
                version: entry.version,
            },
            crc32c: entry.crc32c,
            offset_bytes,
            length_bytes,
            how,
        };
        let map = self.core.root.volumes();
        let volume = map.volumes.get(&entry.volume);
        let volume = volume.ok_or(Refusal::NoSuchVolume {
            volume: entry.volume,
        })?;
        let mut last = Refusal::Busy {
            why: format!("no copy of volume {} can be read", entry.volume),
        };
        let is_up = |member: &ServerId| self.core.mesh.is_up(*member);
        for member in volume.readable().filter(is_up) {
            // One that is silent does not take the time of the others.
            let soon = self.deadline.earlier(Deadline::after(DIGEST_ATTEMPT));
            match self.core.ask(member, &call, soon).await {
                Ok(digest) => return Ok(digest),
                Err(AskFailed::Refused(refusal)) => last = refusal,
                Err(fault) => {
                    let why = fault.to_string();
                    last = Refusal::Busy { why };
                }
            }
        }
        Err(last)
    }
}

/// The digest of a content from the chaining values of its blocks; of a single block, from its
/// digest. Blocks are a power of two long, so each is a subtree.
fn root_of(values: &[ChainingValue]) -> Option<ContentDigest> {
    if let [digest] = values {
        return Some(*digest);
    }
    let (left, right) = values.split_at_checked(left_of(values.len()))?;
    let root = merge_subtrees_root(&subtree(left)?, &subtree(right)?, Mode::Hash);
    Some(*root.as_bytes())
}

fn subtree(values: &[ChainingValue]) -> Option<ChainingValue> {
    if let [value] = values {
        return Some(*value);
    }
    let (left, right) = values.split_at_checked(left_of(values.len()))?;
    let merged = merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash);
    Some(merged)
}

/// How many of two and more subtrees are left of the root: the largest power of two below.
fn left_of(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two()
}

fn not_shareable(what: String) -> Refusal {
    Refusal::OutOfRange {
        what: "the file to be shared".to_owned(),
        value: format!("one that {what}"),
        allowed: "a file with every byte written, and without attributes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use blake3::hazmat::HasherExt;

    use super::*;

    #[test]
    fn blocks_come_to_the_digest_of_the_whole() {
        const BLOCK: usize = 64 << 10;
        let content: Vec<u8> = (0..9 * BLOCK as u32).map(|at| (at % 251) as u8).collect();
        for size in [
            BLOCK + 1,
            2 * BLOCK,
            3 * BLOCK - 1,
            4 * BLOCK,
            5 * BLOCK + 1_025,
            7 * BLOCK,
            8 * BLOCK + 1,
            9 * BLOCK,
        ] {
            let whole = &content[..size];
            let value = |(index, block): (usize, &[u8])| {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset((index * BLOCK) as u64);
                hasher.update(block).finalize_non_root()
            };
            let values: Vec<_> = whole.chunks(BLOCK).enumerate().map(value).collect();
            assert_eq!(
                root_of(&values),
                Some(*blake3::hash(whole).as_bytes()),
                "{size}"
            );
        }
        let one = *blake3::hash(b"a").as_bytes();
        assert_eq!((root_of(&[one]), root_of(&[])), (Some(one), None));
    }
}
