//! FastDFS's two protocols: the tracker's on every mserver, the storage's on every dserver; and
//! beside the latter the HTTP door of its module for nginx, for reading.
//!
//! Translates and keeps no state of files: small files are anonymous files of the data-server,
//! named by what the FastDFS file id says; the others are ordinary files of the cluster. Holds no
//! rules about who keeps copies.

mod base64;
mod change_request;
mod connection;
mod counters;
mod door;
mod errno;
mod fields;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
mod group_name;
mod header;
mod http;
mod imports;
mod imports_known;
pub mod limits;
mod metadata;
mod name;
mod pace;
mod recorded;
mod source;
mod storage;
mod storage_changes;
mod storage_download;
mod storage_request;
mod tracker;
mod tracker_records;
mod view;
pub mod wire;

pub use counters::{Counted, Counters};
pub use door::{Doors, StorageOptions, TrackerOptions, Volumes, start_storage, start_tracker};
pub use errno::Errno;
pub use group_name::all_groups;
pub use group_name::group_of;
pub use http::{LinkFault, Links};
pub use imports::Imports;
pub use name::{FileKind, FileName, Given, NameFault, Names, NewName};
