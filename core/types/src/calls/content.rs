//! Content that files share: a name for bytes the cluster has already, without sending them.

use serde::{Deserialize, Serialize};

use super::call;
use crate::file::FileMetaMetaData;
use crate::ids::{BlockDescriptor, FileDescriptor, RequestId, VolumeId};
use crate::path::FilePath;

/// BLAKE3 of a content.
pub type ContentDigest = [u8; 32];

/// Gives a name to content the cluster has, when whoever asks has it too. Without a proof it is
/// answered with what is to be proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkContent {
    /// Repeat it to learn the first outcome.
    pub request: RequestId,
    /// The name.
    pub path: FilePath,
    /// Digest of the content.
    pub digest: ContentDigest,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Make missing directories on the way.
    pub make_parents: bool,
    /// Whether a file of that name is replaced.
    pub replace: bool,
    /// That the caller has the content.
    pub proof: Option<ContentProof>,
}
call!(LinkContent => ContentLinked, LinkContent, path);

/// The answer to [`LinkContent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentLinked {
    /// No such content, or none the caller has proven to have: it is to be sent.
    Unknown,
    /// The content is there; what the caller is to prove.
    Prove(ContentChallenge),
    /// The name stands for it.
    Linked {
        /// What the name stands for.
        name: FileMetaMetaData,
    },
}

/// Ranges of a content nobody could foresee, and the key they are to be digested with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentChallenge {
    /// The key.
    pub key: [u8; 32],
    /// The ranges, each within one block.
    pub ranges: Vec<ContentRange>,
}

/// A part of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRange {
    /// Where it begins, bytes.
    pub offset_bytes: u64,
    /// How long it is, bytes.
    pub length_bytes: u32,
}

/// That somebody has a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentProof {
    /// The challenge's key.
    pub key: [u8; 32],
    /// What the ranges come to, see [`ContentProof::of`].
    pub sum: [u8; 32],
}

impl ContentProof {
    /// The proof from the digests of the challenge's ranges, in order: keyed BLAKE3 of them all.
    #[must_use]
    pub fn of(key: [u8; 32], ranges: &[[u8; 32]]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for digest in ranges {
            hasher.update(digest);
        }
        let sum = *hasher.finalize().as_bytes();
        Self { key, sum }
    }
}

/// Makes the content of a file one that other names may stand for too. The file is never changed
/// again; when its content was known already, the name stands for that one and its own bytes are
/// given up. The servers compute the digest themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareContent {
    /// The file's name.
    pub path: FilePath,
    /// The file it must stand for.
    pub descriptor: FileDescriptor,
}
call!(ShareContent => ContentShared, ShareContent, path);

/// The content of a file is one that names may share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentShared {
    /// What the name stands for.
    pub name: FileMetaMetaData,
    /// Digest of the content.
    pub digest: ContentDigest,
}

/// Asks how much is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSharing {}
call!(GetSharing => Sharing, GetSharing);

/// How much is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Contents that may be shared.
    pub contents: u64,
    /// Names that stand for them.
    pub names: u64,
    /// The contents together, bytes; each is kept once (in as many copies as everything is).
    pub bytes: u64,
    /// Bytes more it would be if each name had its own.
    pub saved_bytes: u64,
}

/// Asks a dserver for the digest of a range of a block, verified by its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestBlock {
    /// The volume.
    pub volume: VolumeId,
    /// The name of the bytes.
    pub block: BlockDescriptor,
    /// CRC-32C of the whole block, as its file's record has it: readers insist on it.
    pub crc32c: u32,
    /// Where in the block the range begins, bytes.
    pub offset_bytes: u32,
    /// How long it is, bytes; all of it must be there.
    pub length_bytes: u32,
    /// Which digest.
    pub how: DigestHow,
}
call!(DigestBlock => ContentDigest, DigestBlock);

/// Which BLAKE3 of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigestHow {
    /// Of the bytes as they are.
    Plain,
    /// The chaining value of the subtree they are in a longer content, at this many bytes.
    Subtree(u64),
    /// With a key.
    Keyed([u8; 32]),
}
