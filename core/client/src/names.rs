//! The calls on names: stat, delete, rename, directories, attributes, quotas.

use sdfs_types::calls::Call;
use sdfs_types::calls::names::{
    DeleteFile, FileDeleted, FileStat, Freshness, MakeDirectory, Quota, Rename, SetAttributes,
    SetQuota, Stat,
};
use sdfs_types::{
    Attributes, FileDescriptor, FileMetaData, FileMetaMetaData, FilePath, Refusal, RequestId,
};

use crate::client::Client;
use crate::error::Error;
use crate::limits::REFRESHES_MAX;

impl Client {
    /// What a name stands for.
    ///
    /// # Errors
    /// `NotFound`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.put("/a", "five!", Default::default()).await?;
    /// let found = client.stat("/a").await?;
    /// assert_eq!(found.name.size_bytes, 5);
    /// assert!(found.file.is_some(), "a directory has no content");
    /// # Ok(()) }
    /// ```
    pub async fn stat(&self, path: &str) -> Result<FileStat, Error> {
        let call = Stat {
            path: FilePath::parse(path)?,
            freshness: self.options.freshness,
        };
        self.ask(&call, None).await
    }

    /// Deletes a file or an empty directory. A file goes to the trash, see [`Client::restore`].
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.put("/a", "text", Default::default()).await?;
    /// client.delete("/a").await?;
    /// let gone = client.stat("/a").await;
    /// assert!(gone.is_err_and(|error| error.is_not_found()));
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, path: &str) -> Result<FileDeleted, Error> {
        self.delete_entry(path, false).await
    }

    /// Deletes a file, or a directory with everything in it. Files go to the trash.
    ///
    /// # Errors
    /// `NotFound`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.mkdir_all("/d/e").await?;
    /// client.put("/d/e/f", "text", Default::default()).await?;
    /// client.delete_all("/d").await?;
    /// let gone = client.stat("/d").await;
    /// assert!(gone.is_err_and(|error| error.is_not_found()));
    /// # Ok(()) }
    /// ```
    pub async fn delete_all(&self, path: &str) -> Result<FileDeleted, Error> {
        self.delete_entry(path, true).await
    }

    /// Gives a file or directory a name that is free.
    ///
    /// # Errors
    /// `NotFound`, `Exists`, `IntoItself`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.put("/a", "text", Default::default()).await?;
    /// client.put("/b", "other", Default::default()).await?;
    /// client.rename("/a", "/c").await?;
    /// assert_eq!(client.get("/c").await?, "text");
    /// let taken = client.rename("/c", "/b").await;
    /// assert!(taken.is_err_and(|error| error.is_exists()));
    /// # Ok(()) }
    /// ```
    pub async fn rename(&self, from: &str, to: &str) -> Result<FileMetaMetaData, Error> {
        self.rename_entry(from, to, false).await
    }

    /// Gives a file a name that may be another file's, which goes to the trash then.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, `IntoItself`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.put("/a.new", "new", Default::default()).await?;
    /// client.put("/a", "old", Default::default()).await?;
    /// client.rename_over("/a.new", "/a").await?;
    /// assert_eq!(client.get("/a").await?, "new");
    /// # Ok(()) }
    /// ```
    pub async fn rename_over(&self, from: &str, to: &str) -> Result<FileMetaMetaData, Error> {
        self.rename_entry(from, to, true).await
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `Exists`, `NotFound` for a missing one above it, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.mkdir("/d").await?;
    /// client.put("/d/a", "text", Default::default()).await?;
    /// let again = client.mkdir("/d").await;
    /// assert!(again.is_err_and(|error| error.is_exists()));
    /// # Ok(()) }
    /// ```
    pub async fn mkdir(&self, path: &str) -> Result<FileMetaMetaData, Error> {
        self.make_directory(path, false).await
    }

    /// Makes a directory and the missing ones above it; content when it exists.
    ///
    /// # Errors
    /// `NotDirectory`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// client.mkdir_all("/d/e/f").await?;
    /// client.mkdir_all("/d/e/f").await?;
    /// client.put("/d/e/f/a", "text", Default::default()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn mkdir_all(&self, path: &str) -> Result<FileMetaMetaData, Error> {
        self.make_directory(path, true).await
    }

    /// Sets attributes of a file and takes others away.
    ///
    /// # Errors
    /// `NotFound`, `OutOfRange` when they become too many bytes, `Denied` as
    /// [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::Attributes;
    ///
    /// client.put("/a", "text", Default::default()).await?;
    /// let set = Attributes::from([("color".to_owned(), "red".to_owned())]);
    /// let file = client.set_attributes("/a", set, &["shape"]).await?;
    /// assert_eq!(file.attributes["color"], "red");
    /// assert!(!file.attributes.contains_key("shape"));
    /// # Ok(()) }
    /// ```
    pub async fn set_attributes(
        &self,
        path: &str,
        set: Attributes,
        remove: &[&str],
    ) -> Result<FileMetaData, Error> {
        let file_path = FilePath::parse(path)?;
        let change = |request, descriptor| SetAttributes {
            request,
            path: file_path.clone(),
            descriptor,
            set: set.clone(),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        };
        self.change_file(path, change).await
    }

    /// Changes the file a name stands for, by one request. It is named in every attempt: one that
    /// comes late must not change another file that has the name by then.
    pub(crate) async fn change_file<C>(
        &self,
        path: &str,
        change: impl Fn(RequestId, FileDescriptor) -> C,
    ) -> Result<FileMetaData, Error>
    where
        C: Call<Reply = FileMetaData>,
    {
        let (request, deadline) = (self.request(), self.deadline());
        let stat = Stat {
            path: FilePath::parse(path)?,
            freshness: Freshness::Linearizable,
        };
        for _ in 0..REFRESHES_MAX {
            let changed = match self.ask_by(&stat, None, deadline).await {
                Ok(seen) => {
                    let change = change(request, seen.name.descriptor);
                    self.ask_by(&change, Some(request), deadline).await
                }
                Err(error) => Err(error),
            };
            match changed {
                Err(Error::Refused(Refusal::Gone { .. })) => {}
                changed => return changed,
            }
        }
        let why = "the name is replaced over and over by others".to_owned();
        Err(Error::Refused(Refusal::Busy { why }))
    }

    /// Sets or lifts (`None`) the quota of a directory: files and declared bytes below it.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::{Error, Refusal};
    ///
    /// client.mkdir("/d").await?;
    /// client.set_quota("/d", Some(1), None).await?;
    /// client.put("/d/a", "first", Default::default()).await?;
    /// let second = client.put("/d/b", "second", Default::default()).await;
    /// assert!(matches!(second, Err(Error::Refused(Refusal::Quota { .. }))));
    /// # Ok(()) }
    /// ```
    pub async fn set_quota(
        &self,
        path: &str,
        files_max: Option<u64>,
        bytes_max: Option<u64>,
    ) -> Result<Quota, Error> {
        let path = FilePath::parse(path)?;
        let call = SetQuota {
            request: self.request(),
            path,
            files_max,
            bytes_max,
        };
        self.ask(&call, Some(call.request)).await
    }

    async fn delete_entry(&self, path: &str, recursive: bool) -> Result<FileDeleted, Error> {
        let path = FilePath::parse(path)?;
        let call = DeleteFile {
            request: self.request(),
            path,
            recursive,
        };
        self.ask(&call, Some(call.request)).await
    }

    async fn rename_entry(
        &self,
        from: &str,
        to: &str,
        replace: bool,
    ) -> Result<FileMetaMetaData, Error> {
        let (from, to) = (FilePath::parse(from)?, FilePath::parse(to)?);
        let call = Rename {
            request: self.request(),
            from,
            to,
            replace,
        };
        self.ask(&call, Some(call.request)).await
    }

    async fn make_directory(&self, path: &str, parents: bool) -> Result<FileMetaMetaData, Error> {
        let path = FilePath::parse(path)?;
        let call = MakeDirectory {
            request: self.request(),
            path,
            parents,
        };
        self.ask(&call, Some(call.request)).await
    }
}
