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
    Access, BlockDescriptor, BlockEntry, BlockIndex, FileMetaData, FileMetaMetaData, FilePath,
    Refusal, UserName, clock,
};

use crate::core::{AskFailed, Core, unknown};
use crate::limits::{
    CHALLENGE_RANGE_BYTES, CHALLENGE_RANGES, CHALLENGE_S, CHALLENGE_WHOLE_BYTES, DIGESTS_AT_ONCE,
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
    core.root.users().check(&user, Access::Write, &call.path)?;
    core.root_barrier(deadline).await?;
    if !core.root.is_decided(call.request) {
        let key = key_of(core, &call.path, call.digest);
        let found = core.root.content(&key).map_err(unreadable)?;
        let Some(content) = found.filter(|content| content.size_bytes == call.size_bytes) else {
            return Ok(ContentLinked::Unknown);
        };
        let turn = clock::now_ms() / 1_000 / CHALLENGE_S;
        let Some(proof) = call.proof.filter(|proof| {
            let turns = [turn, turn.saturating_sub(1), turn + 1];
            turns
                .into_iter()
                .any(|turn| challenge_key(core, &call, &user, turn) == proof.key)
        }) else {
            let key = challenge_key(core, &call, &user, turn);
            let ranges = ranges_of(&key, &content);
            return Ok(ContentLinked::Prove(ContentChallenge { key, ranges }));
        };
        if expected(core, &content, proof.key, deadline).await? != proof {
            return Ok(ContentLinked::Unknown);
        }
    }
    match decide(core, call, user, deadline).await {
        Ok(name) => Ok(ContentLinked::Linked { name }),
        Err(Refusal::NoSuchContent) => Ok(ContentLinked::Unknown),
        Err(refusal) => Err(refusal),
    }
}

async fn decide(
    core: &Arc<Core>,
    call: LinkContent,
    user: UserName,
    deadline: Deadline,
) -> Result<FileMetaMetaData, Refusal> {
    let now_ms = clock::now_ms();
    let link = Link {
        key: key_of(core, &call.path, call.digest),
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
    core.root.users().check(&user, Access::Write, &path)?;
    let entry = seen.walk.file(&path)?;
    let (file, entries) = whole_record(core, &entry, deadline).await?;
    let digest = digest_of(core, &file, &entries, deadline).await?;
    let locate = entry
        .locate
        .as_ref()
        .ok_or_else(|| unknown("the name has no meta group"))?;
    let seal = MetaCommand::Seal {
        descriptor: file.descriptor,
        revision: file.revision,
    };
    // Nothing is written to it any more: what was digested is what the names will share.
    core.propose_meta(locate.group, seal, deadline).await?;
    let command = RootCommand::Share {
        key: key_of(core, &path, digest),
        path,
        descriptor: file.descriptor,
        size_bytes: file.size_bytes,
    };
    let name = name_of(core.propose_root(command, deadline).await?)?;
    Ok(ContentShared { name, digest })
}

/// Answers `GetSharing`.
pub(crate) async fn sharing(core: &Core, deadline: Deadline) -> Result<Sharing, Refusal> {
    core.root_barrier(deadline).await?;
    core.root.sharing().map_err(unreadable)
}

fn key_of(core: &Core, path: &FilePath, digest: ContentDigest) -> ContentKey {
    ContentKey {
        digest,
        within: core.group_of(path).cloned(),
    }
}

/// The key of a challenge: the same at every mserver for a while, so nobody needs to remember what
/// was asked of whom.
fn challenge_key(core: &Core, call: &LinkContent, user: &UserName, turn: u64) -> [u8; 32] {
    let secret = core.mesh.derive_key(CHALLENGES_LABEL);
    let mut hasher = blake3::Hasher::new_keyed(&secret);
    hasher.update(&turn.to_le_bytes());
    hasher.update(&call.digest);
    hasher.update(&call.request.to_key());
    hasher.update(user.as_bytes());
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

/// What somebody who has the content answers to a challenge.
async fn expected(
    core: &Arc<Core>,
    content: &Content,
    key: [u8; 32],
    deadline: Deadline,
) -> Result<ContentProof, Refusal> {
    let (file, entries) = whole_record(core, &content.name, deadline).await?;
    let block_bytes = file.block_size.bytes();
    let one = |range: ContentRange| {
        let (file, entries) = (&file, &entries);
        async move {
            let index = range.offset_bytes / block_bytes;
            let within = (range.offset_bytes % block_bytes, range.length_bytes);
            digest(
                core,
                file,
                (index, entries),
                within,
                DigestHow::Keyed(key),
                deadline,
            )
            .await
        }
    };
    let asks = futures::stream::iter(ranges_of(&key, content)).map(one);
    let digests: Vec<_> = asks.buffered(DIGESTS_AT_ONCE).try_collect().await?;
    Ok(ContentProof::of(key, &digests))
}

/// The digest of a file that was written whole, from its blocks where they are kept.
async fn digest_of(
    core: &Arc<Core>,
    file: &FileMetaData,
    entries: &[BlockEntry],
    deadline: Deadline,
) -> Result<ContentDigest, Refusal> {
    let (size, block_bytes) = (file.size_bytes, file.block_size.bytes());
    let blocks = size.div_ceil(block_bytes);
    if blocks == 0 {
        return Err(not_whole("is empty".to_owned()));
    }
    let one = |index: u64| async move {
        let start = index * block_bytes;
        let length = u32::try_from(block_bytes.min(size - start)).unwrap_or(u32::MAX);
        let how = match blocks {
            1 => DigestHow::Plain,
            _ => DigestHow::Subtree(start),
        };
        digest(core, file, (index, entries), (0, length), how, deadline).await
    };
    let asks = futures::stream::iter(0..blocks).map(one);
    let values: Vec<ChainingValue> = asks.buffered(DIGESTS_AT_ONCE).try_collect().await?;
    Ok(root_of(&values))
}

/// The digest of a content from the chaining values of its blocks. Blocks are a power of two long,
/// so each is a subtree.
fn root_of(values: &[ChainingValue]) -> ContentDigest {
    match values.split_at_checked(left_of(values.len())) {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            let (left, right) = (subtree(left), subtree(right));
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        }
        _ => values.first().copied().unwrap_or_default(),
    }
}

fn subtree(values: &[ChainingValue]) -> ChainingValue {
    match values.split_at_checked(left_of(values.len())) {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
        _ => values.first().copied().unwrap_or_default(),
    }
}

/// How many of so many subtrees are left of the root: the largest power of two below.
fn left_of(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two().min(count)
}

/// The digest of a range of one block, of any copy in sync.
async fn digest(
    core: &Arc<Core>,
    file: &FileMetaData,
    (index, entries): (u64, &[BlockEntry]),
    (offset_bytes, length_bytes): (u64, u32),
    how: DigestHow,
    deadline: Deadline,
) -> Result<ContentDigest, Refusal> {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let offset_bytes = u32::try_from(offset_bytes).unwrap_or(u32::MAX);
    let entry = entries
        .get(at)
        .filter(|entry| entry.length_bytes >= offset_bytes.saturating_add(length_bytes));
    let (Some(entry), Ok(block)) = (entry, u16::try_from(index)) else {
        return Err(not_whole(format!("has a hole in block {index}")));
    };
    let call = DigestBlock {
        volume: entry.volume,
        block: BlockDescriptor {
            file: file.descriptor,
            block: BlockIndex(block),
            version: entry.version,
        },
        offset_bytes,
        length_bytes,
        how,
    };
    let map = core.root.volumes();
    let volume = map.volumes.get(&entry.volume);
    let volume = volume.ok_or(Refusal::NoSuchVolume {
        volume: entry.volume,
    })?;
    let mut last = Refusal::Busy {
        why: format!("no copy of volume {} can be read", entry.volume),
    };
    for member in volume.readable().filter(|member| core.mesh.is_up(*member)) {
        match core.ask(member, &call, deadline).await {
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

fn not_whole(what: String) -> Refusal {
    Refusal::OutOfRange {
        what: "the file to be shared".to_owned(),
        value: format!("one that {what}"),
        allowed: "a file with every byte written".to_owned(),
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
            assert_eq!(root_of(&values), *blake3::hash(whole).as_bytes(), "{size}");
        }
        let one = *blake3::hash(b"a").as_bytes();
        assert_eq!(root_of(&[one]), one);
    }
}
