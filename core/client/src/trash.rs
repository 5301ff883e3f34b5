//! The trash: what was deleted or replaced and can be restored for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use sdfs_types::calls::names::FileDeleted;
use sdfs_types::calls::trash::{
    DeleteNow, EmptyTrash, ListTrash, RestoreTrash, TrashEmptied, TrashEntry, TrashName, TrashPage,
    TrashRestored,
};
use sdfs_types::limits::LIST_ENTRIES_MAX;
use sdfs_types::{FilePath, PathFault};

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Deletes a file or an empty directory for good: it does not go to the trash.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn delete_now(&self, path: &str) -> Result<FileDeleted, Error> {
        self.delete_for_good(path, false).await
    }

    /// Deletes a file, or a directory with everything in it, for good.
    ///
    /// # Errors
    /// As [`Client::delete_all`].
    pub async fn delete_all_now(&self, path: &str) -> Result<FileDeleted, Error> {
        self.delete_for_good(path, true).await
    }

    async fn delete_for_good(&self, path: &str, recursive: bool) -> Result<FileDeleted, Error> {
        let call = DeleteNow {
            request: self.request(),
            path: FilePath::parse(path)?,
            recursive,
        };
        self.ask(&call, Some(call.request)).await
    }

    /// What the trash holds that had the name `path` or lay below it, as far as the user may
    /// write there: in order of the paths' bytes, and of one path in the order it was deleted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use futures::TryStreamExt;
    ///
    /// client.put("/report", "first", Default::default()).await?;
    /// client.put("/report", "second", Default::default()).await?;
    /// client.delete("/report").await?;
    /// let trash: Vec<_> = client.trash_list("/").try_collect().await?;
    /// assert_eq!(trash.len(), 2);
    /// assert_eq!(trash[0].size_bytes, 5);
    /// # Ok(()) }
    /// ```
    pub fn trash_list(&self, path: &str) -> TrashEntries {
        let path = FilePath::parse(path).map_err(Some);
        let client = self.begin();
        let next = path.as_ref().ok().map(|path| page(&client, path, None));
        TrashEntries {
            client,
            path,
            page: Vec::new().into_iter(),
            next,
            is_growing: false,
        }
    }

    /// Gives a file of the trash the name again that it had, or another one; missing directories
    /// are made. It keeps its content, attributes and owner. With `replace`, a file of that name
    /// goes to the trash itself.
    ///
    /// # Errors
    /// `NotInTrash`, also when the user may not write there; `Exists`, `IsDirectory`,
    /// `NotDirectory`, `Quota`, `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::TrashName;
    /// use sdfs_types::FilePath;
    ///
    /// client.put("/report", "first", Default::default()).await?;
    /// let first = client.stat("/report").await?.name.descriptor;
    /// client.put("/report", "second", Default::default()).await?;
    /// client.delete("/report").await?;
    /// // The one that was deleted last, by its name; an earlier one by its descriptor.
    /// let report = TrashName::Path(FilePath::parse("/report")?);
    /// client.restore(report, None, false).await?;
    /// let first = TrashName::Descriptor(first);
    /// client.restore(first, Some("/report.old"), false).await?;
    /// assert_eq!(client.get("/report").await?, "second");
    /// assert_eq!(client.get("/report.old").await?, "first");
    /// # Ok(()) }
    /// ```
    pub async fn restore(
        &self,
        what: TrashName,
        to: Option<&str>,
        replace: bool,
    ) -> Result<TrashRestored, Error> {
        let call = RestoreTrash {
            request: self.request(),
            what,
            to: to.map(FilePath::parse).transpose()?,
            replace,
        };
        self.ask(&call, Some(call.request)).await
    }

    /// Takes away for good what [`Client::trash_list`] shows and what has been in the trash for
    /// `older_than` or longer. Counts what it took.
    ///
    /// # Errors
    /// Whatever reaching the cluster fails with; some may be taken away then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use std::time::Duration;
    ///
    /// client.put("/old", "bytes", Default::default()).await?;
    /// client.delete("/old").await?;
    /// let hour = Duration::from_secs(3_600);
    /// assert_eq!(client.empty_trash("/", hour).await?.files, 0);
    /// assert_eq!(client.empty_trash("/", Duration::ZERO).await?.files, 1);
    /// # Ok(()) }
    /// ```
    pub async fn empty_trash(
        &self,
        path: &str,
        older_than: Duration,
    ) -> Result<TrashEmptied, Error> {
        let path = FilePath::parse(path)?;
        let client = self.begin();
        let older_than_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
        let mut all = TrashEmptied {
            files: 0,
            bytes: 0,
            next: None,
        };
        loop {
            // Each step is a change of its own.
            let call = EmptyTrash {
                request: self.next_request(),
                path: path.clone(),
                older_than_ms,
                after: all.next.take(),
            };
            let step = client.ask(&call, Some(call.request)).await?;
            all.files += step.files;
            all.bytes += step.bytes;
            all.next = step.next;
            if all.next.is_none() {
                return Ok(all);
            }
        }
    }
}

/// What is in the trash, as a [`Stream`]. Ends after the first error.
pub struct TrashEntries {
    client: Client,
    path: Result<FilePath, Option<PathFault>>,
    page: std::vec::IntoIter<TrashEntry>,
    next: Option<BoxFuture<'static, Result<TrashPage, Error>>>,
    is_growing: bool,
}

impl TrashEntries {
    /// Whether a large directory was still being taken apart when the last page was made: more of
    /// it will be in the trash.
    pub fn is_growing(&self) -> bool {
        self.is_growing
    }
}

fn page(
    client: &Client,
    path: &FilePath,
    after: Option<FilePath>,
) -> BoxFuture<'static, Result<TrashPage, Error>> {
    let call = ListTrash {
        path: path.clone(),
        after,
        limit: LIST_ENTRIES_MAX,
    };
    let client = client.clone();
    Box::pin(async move { client.ask(&call, None).await })
}

impl Stream for TrashEntries {
    type Item = Result<TrashEntry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(entry) = self.page.next() {
                return Poll::Ready(Some(Ok(entry)));
            }
            if let Err(fault) = &mut self.path {
                return Poll::Ready(fault.take().map(|fault| Err(fault.into())));
            }
            let Some(next) = &mut self.next else {
                return Poll::Ready(None);
            };
            let Poll::Ready(outcome) = next.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.next = None;
            match outcome {
                Ok(got) => {
                    self.is_growing = got.is_growing;
                    if let (Some(after), Ok(path)) = (got.next, &self.path) {
                        let next = page(&self.client, path, Some(after));
                        self.next = Some(next);
                    }
                    self.page = got.entries.into_iter();
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
