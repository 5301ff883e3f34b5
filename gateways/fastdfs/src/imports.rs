//! Bringing in files of another FastDFS under the names they have there: what stands behind
//! `sdfs import`. Where they come from is the caller's.

use bytes::{BufMut, Bytes, BytesMut};
use sdfs_client::{Client, Error, FileWriter, PutOptions};

use crate::folders::Folders;
use crate::name::FileName;

/// A group that takes files of another FastDFS in.
pub struct Imports {
    client: Client,
    folders: Folders,
}

impl Imports {
    /// From now on the storages of `group` look for names that nobody here was given: each begins
    /// within [`crate::limits::IMPORTS_KNOWN_FOR`].
    ///
    /// # Errors
    /// When the cluster does not make a directory.
    pub async fn begin(client: Client, group: &str) -> Result<Imports, Error> {
        let folders = Folders::of(group);
        client.mkdir_all(&folders.imported()).await?;
        Ok(Imports { client, folders })
    }

    /// The size of a file that is here, bytes.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn size(&self, name: &FileName<'_>) -> Result<Option<u64>, Error> {
        match self.client.stat(&self.folders.data(name.text)).await {
            Ok(stat) => Ok(stat.file.map(|file| file.size_bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a file of `bytes` that must be new. Nobody sees it before it is finished.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn create(&self, name: &FileName<'_>, bytes: u64) -> Result<FileWriter, Error> {
        let options = PutOptions {
            size_bytes: Some(bytes),
            ..new_file()
        };
        let path = self.folders.data(name.text);
        self.client.create(&path, options).await
    }

    /// Sets the metadata of a file that is about to be finished, as it came.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn set_metadata(&self, name: &FileName<'_>, text: &[u8]) -> Result<(), Error> {
        let options = PutOptions {
            replace: true,
            ..new_file()
        };
        let path = self.folders.meta(name.text);
        self.client.put(&path, framed(text), options).await?;
        Ok(())
    }
}

/// How a file with a record is made.
pub(crate) fn new_file() -> PutOptions {
    PutOptions {
        replace: false,
        make_parents: true,
        digest: false,
        ..PutOptions::default()
    }
}

/// A length in front: what is behind is of longer metadata before. So setting it is one write.
pub(crate) fn framed(text: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(4 + text.len());
    framed.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    framed.put_slice(text);
    framed.freeze()
}
