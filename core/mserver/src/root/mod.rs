//! The root group's state, on every mserver: names, tombstones, the trash, quotas, users, the list
//! of servers, contents names share, leases of file ids and stamps, outcomes of requests, and
//! (kept by `volumes`) the volume map.
//!
//! `machine` applies committed commands; `view` is what everybody else reads.

pub mod command;
mod contents;
mod counters;
mod create;
mod delete;
mod given_up;
mod keys;
mod machine;
mod names;
mod quota;
mod rename;
mod servers;
mod stamps;
mod tombstones;
mod trash;
mod users;
mod view;

pub use command::{Begun, Decide, RootAnswer, RootAnswers, RootCommand, ToTrash};
pub use contents::{Content, ContentKey, Link};
pub use machine::{RememberedAnswer, RootMachine};
pub(crate) use names::prefix;
pub use names::{Walk, root_entry};
pub(crate) use servers::Upkeep;
pub use servers::{NewServer, ServerWatch, ServersCommand};
pub use trash::{TrashCounters, Trashed};
pub use users::Users;
pub use view::{RootView, ViewFault};
