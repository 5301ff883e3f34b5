//! The file store for programs: an asynchronous client on any tokio runtime.
//!
//! Holds links to servers, what they told, how calls are repeated, and how bytes become blocks
//! and blocks bytes. Holds no server, decides nothing about the cluster and keeps nothing on
//! disk.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
//! # let config = cluster.config().clone();
//! use sdfs_client::{Client, PutOptions};
//!
//! let client = Client::connect_admin(config).await?;
//! client.put("/hello", "world", PutOptions::default()).await?;
//! assert_eq!(client.get("/hello").await?, "world");
//! client.delete("/hello").await?;
//! # Ok(()) }
//! ```

mod abort;
mod blocks;
mod client;
mod cluster;
mod content;
mod counters;
mod error;
mod extent;
mod fetch;
mod file;
mod get;
mod journey;
pub mod limits;
mod list;
mod names;
mod nearest;
mod operation;
mod options;
mod patience;
mod pause;
mod pick;
mod pool;
mod probe;
mod put;
mod ranking;
mod read_ahead;
mod retry;
mod rewrite;
mod source;
mod store;
mod stream;
mod target;
mod tend;
mod topology;
mod trash;
mod trouble;
mod upload;
mod verify;
mod version;
mod volumes;
mod writer;

pub use blocks::{Committed, Created};
pub use client::Client;
pub use content::InstantPut;
pub use counters::Counters;
pub use error::{CopyCause, Error, UnknownCause};
pub use file::File;
pub use list::Entries;
pub use options::{CallOptions, ClientOptions, CreateOptions, OnConflict, PutOptions, Servers};
pub use stream::ByteStream;
pub use trash::TrashEntries;
pub use writer::FileWriter;

pub use sdfs_server_group::{Config, UserKey};
pub use sdfs_types::calls::blocks::Durability;
pub use sdfs_types::calls::content::{ContentShared, Sharing};
pub use sdfs_types::calls::names::{DirectoryEntry, DirectoryPage, FileStat, Freshness};
pub use sdfs_types::calls::trash::{TrashEmptied, TrashEntry, TrashName, TrashRestored};
pub use sdfs_types::{
    Attributes, BlockIndex, BlockSize, FileMetaData, FileMetaMetaData, OpenFile, Refusal, RequestId,
};
