//! Directories as streams, page by page, the next page on its way while one is looked at.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use sdfs_types::calls::names::{DirectoryEntry, DirectoryPage, ListDirectory};
use sdfs_types::limits::LIST_ENTRIES_MAX;
use sdfs_types::{FilePath, Name, PathFault};

use crate::client::Client;
use crate::error::Error;

/// The entries of a directory, in order of the names' bytes, as a [`Stream`]. Ends after the
/// first error.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
/// # let config = cluster.config().clone();
/// # let client = sdfs_client::Client::connect_admin(config).await?;
/// use futures::TryStreamExt;
///
/// client.mkdir_all("/photos/2026").await?;
/// let names: Vec<_> = client.list("/photos").map_ok(|entry| entry.name).try_collect().await?;
/// assert_eq!(names, ["2026".into()]);
/// # Ok(()) }
/// ```
pub struct Entries {
    client: Client,
    path: Result<FilePath, Option<PathFault>>,
    page: std::vec::IntoIter<DirectoryEntry>,
    next: Option<BoxFuture<'static, Result<DirectoryPage, Error>>>,
}

impl Client {
    /// The entries of a directory in order. Names made or deleted meanwhile may be seen or not;
    /// all others are seen once.
    ///
    /// The stream fails with `NotFound`, `NotDirectory`, `Denied` as [`Error::Refused`].
    pub fn list(&self, path: &str) -> Entries {
        self.list_after(path, None)
    }

    /// The entries of a directory after a name.
    pub fn list_after(&self, path: &str, after: Option<Name>) -> Entries {
        let path = FilePath::parse(path).map_err(Some);
        let client = self.begin();
        let next = path.as_ref().ok().map(|path| page(&client, path, after));
        Entries {
            client,
            path,
            page: Vec::new().into_iter(),
            next,
        }
    }

    /// One page of a directory: at most `limit` entries after a name.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn list_page(
        &self,
        path: &str,
        after: Option<Name>,
        limit: u32,
    ) -> Result<DirectoryPage, Error> {
        let freshness = self.options.freshness;
        let limit = limit.min(LIST_ENTRIES_MAX);
        let call = ListDirectory {
            path: FilePath::parse(path)?,
            after,
            limit,
            freshness,
        };
        self.ask(&call, None).await
    }
}

fn page(
    client: &Client,
    path: &FilePath,
    after: Option<Name>,
) -> BoxFuture<'static, Result<DirectoryPage, Error>> {
    let freshness = client.options.freshness;
    let call = ListDirectory {
        path: path.clone(),
        after,
        limit: LIST_ENTRIES_MAX,
        freshness,
    };
    let client = client.clone();
    Box::pin(async move { client.ask(&call, None).await })
}

impl Entries {
    /// Takes over a page and sends the question for the next one off.
    fn turn(&mut self, page_got: DirectoryPage, cx: &mut Context<'_>) {
        let last = page_got.entries.last().map(|entry| entry.name.clone());
        if let (true, Some(after), Ok(path)) = (page_got.more, last, &self.path) {
            let mut next = page(&self.client, path, Some(after));
            self.next = Some(match next.as_mut().poll(cx) {
                Poll::Pending => next,
                Poll::Ready(outcome) => Box::pin(std::future::ready(outcome)),
            });
        }
        self.page = page_got.entries.into_iter();
    }
}

impl Stream for Entries {
    type Item = Result<DirectoryEntry, Error>;

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
            match next.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => {
                    self.next = None;
                    match outcome {
                        Ok(page) => self.turn(page, cx),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }
}
