//! Content the cluster has already: named without being sent.

use std::io::SeekFrom;
use std::time::Duration;

use sdfs_types::calls::content::{
    ContentChallenge, ContentDigest, ContentLinked, ContentProof, ContentRange, ContentShared,
    GetSharing, LinkContent, ShareContent, Sharing,
};
use sdfs_types::{FileMetaMetaData, FilePath, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};

use crate::client::Client;
use crate::error::Error;
use crate::limits::{CHALLENGES_MAX, DIGEST_BYTES_PER_S_MIN, DIGEST_READ_BYTES};
use crate::options::{CallOptions, PutOptions};

/// How a file came to be that was put with [`Client::put_instant`].
#[derive(Debug)]
pub enum InstantPut {
    /// The cluster had the content: nothing of it was sent.
    Linked {
        /// What the name stands for.
        name: FileMetaMetaData,
    },
    /// The content was sent and is durable.
    Sent {
        /// What the name stands for.
        name: FileMetaMetaData,
        /// Whether others can be linked to it from now on; where not, the file is there all the
        /// same, and [`Client::share`] may be tried again.
        shared: Result<(), Error>,
    },
}

impl InstantPut {
    /// What the name stands for.
    #[must_use]
    pub fn name(&self) -> &FileMetaMetaData {
        match self {
            InstantPut::Linked { name } | InstantPut::Sent { name, .. } => name,
        }
    }
}

impl Client {
    /// Stores a whole file, without sending it when the cluster has a shared file of that content
    /// and the reader proves to have it too. Such files are kept once, however many names they
    /// have, and are never changed: a new file under the name replaces them.
    ///
    /// Contents are shared among the files of one user. An empty file and one with attributes share
    /// none: they are sent as by [`Client::put_from`].
    ///
    /// # Errors
    /// As [`Client::put_from`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::InstantPut;
    /// use std::io::Cursor;
    ///
    /// let mut video = Cursor::new(vec![7; 100_000]);
    /// let first = client.put_instant("/a", &mut video, Default::default()).await?;
    /// assert!(matches!(first, InstantPut::Sent { shared: Ok(()), .. }));
    /// let second = client.put_instant("/b", &mut video, Default::default()).await?;
    /// assert!(matches!(second, InstantPut::Linked { .. }));
    /// assert_eq!(client.sharing().await?.saved_bytes, 100_000);
    /// # Ok(()) }
    /// ```
    pub async fn put_instant<R>(
        &self,
        path: &str,
        reader: &mut R,
        options: PutOptions,
    ) -> Result<InstantPut, Error>
    where
        R: AsyncRead + AsyncSeek + Unpin + ?Sized,
    {
        let (digest, size_bytes) = digest_of(reader).await?;
        // One operation, whatever becomes of its parts: none of them can come after another.
        let client = self.with(CallOptions {
            request: Some(self.request()),
            ..self.options
        });
        let linked = match options.attributes.is_empty() {
            true => {
                let content = (digest, size_bytes);
                client.link(path, reader, content, &options).await?
            }
            false => None,
        };
        if let Some(name) = linked {
            return Ok(InstantPut::Linked { name });
        }
        let start = reader.seek(SeekFrom::Start(0)).await;
        start.map_err(Error::Source)?;
        let options = PutOptions {
            size_bytes: Some(size_bytes),
            ..options
        };
        let name = client.put_from(path, reader, options).await?;
        match self.share_file(path, &name).await {
            Ok(shared) if shared.digest == digest => Ok(InstantPut::Sent {
                name: shared.name,
                shared: Ok(()),
            }),
            // Another file has the name by now.
            Ok(_) => {
                let descriptor = name.descriptor;
                let shared = Err(Refusal::Gone { descriptor }.into());
                Ok(InstantPut::Sent { name, shared })
            }
            Err(error) => Ok(InstantPut::Sent {
                name,
                shared: Err(error),
            }),
        }
    }

    /// Makes the content of a file one that others can be linked to. The servers compute its digest
    /// where it is kept. The file is never changed again; when its content was shared already, its
    /// name stands for that one from now on, and its own bytes are given up.
    ///
    /// # Errors
    /// `NotFound`, `OutOfRange` for a file that is empty or has holes or attributes, `Changed` when
    /// it was changed meanwhile, `Denied` as [`Error::Refused`].
    pub async fn share(&self, path: &str) -> Result<ContentShared, Error> {
        let name = self.stat(path).await?.name;
        self.share_file(path, &name).await
    }

    async fn share_file(
        &self,
        path: &str,
        name: &FileMetaMetaData,
    ) -> Result<ContentShared, Error> {
        let call = ShareContent {
            path: FilePath::parse(path)?,
            descriptor: name.descriptor,
        };
        // A content that is shared already is looked at too.
        let longer = 2 * digesting(name.size_bytes);
        self.ask_for_long(&call, None, longer).await
    }

    /// How much names share.
    ///
    /// # Errors
    /// When no mserver answers.
    pub async fn sharing(&self) -> Result<Sharing, Error> {
        self.ask(&GetSharing {}, None).await
    }

    /// Gives a name to a content the cluster has, after proving to have it; nothing when the
    /// cluster does not have it.
    async fn link<R>(
        &self,
        path: &str,
        reader: &mut R,
        (digest, size_bytes): (ContentDigest, u64),
        options: &PutOptions,
    ) -> Result<Option<FileMetaMetaData>, Error>
    where
        R: AsyncRead + AsyncSeek + Unpin + ?Sized,
    {
        let mut call = LinkContent {
            request: self.request(),
            path: FilePath::parse(path)?,
            digest,
            size_bytes,
            make_parents: options.make_parents,
            replace: options.replace,
            proof: None,
        };
        for _ in 0..CHALLENGES_MAX {
            // Before a name is linked the content is read whole where it is kept.
            let longer = match call.proof {
                Some(_) => 2 * digesting(size_bytes),
                None => Duration::ZERO,
            };
            let asked = self.ask_for_long(&call, Some(call.request), longer);
            match asked.await? {
                ContentLinked::Linked { name } => return Ok(Some(name)),
                ContentLinked::Unknown => return Ok(None),
                ContentLinked::Prove(challenge) => {
                    let proof = prove(reader, &challenge).await?;
                    call.proof = Some(proof);
                }
            }
        }
        // The reader is too slow for any challenge: then it is sent.
        Ok(None)
    }
}

/// How long a content may be digested where it is kept.
fn digesting(bytes: u64) -> Duration {
    Duration::from_secs(bytes / DIGEST_BYTES_PER_S_MIN)
}

/// Digest and size of all that a reader gives from its start on.
async fn digest_of<R>(reader: &mut R) -> Result<(ContentDigest, u64), Error>
where
    R: AsyncRead + AsyncSeek + Unpin + ?Sized,
{
    let start = reader.seek(SeekFrom::Start(0)).await;
    start.map_err(Error::Source)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; DIGEST_READ_BYTES];
    loop {
        match reader.read(&mut piece).await.map_err(Error::Source)? {
            0 => return Ok((*hasher.finalize().as_bytes(), hasher.count())),
            read => hasher.update(&piece[..read]),
        };
    }
}

async fn prove<R>(reader: &mut R, challenge: &ContentChallenge) -> Result<ContentProof, Error>
where
    R: AsyncRead + AsyncSeek + Unpin + ?Sized,
{
    let mut digests = Vec::with_capacity(challenge.ranges.len());
    for range in &challenge.ranges {
        digests.push(
            keyed_digest(reader, &challenge.key, *range)
                .await
                .map_err(Error::Source)?,
        );
    }
    Ok(ContentProof::of(challenge.key, &digests))
}

async fn keyed_digest<R>(
    reader: &mut R,
    key: &[u8; 32],
    range: ContentRange,
) -> std::io::Result<[u8; 32]>
where
    R: AsyncRead + AsyncSeek + Unpin + ?Sized,
{
    reader.seek(SeekFrom::Start(range.offset_bytes)).await?;
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut piece = vec![0; DIGEST_READ_BYTES];
    let mut left = range.length_bytes as usize;
    while left > 0 {
        let most = left.min(piece.len());
        reader.read_exact(&mut piece[..most]).await?;
        hasher.update(&piece[..most]);
        left -= most;
    }
    Ok(*hasher.finalize().as_bytes())
}
