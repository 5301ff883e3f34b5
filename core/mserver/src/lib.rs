//! The mserver role: names, directories, file-meta-data, the negotiation of a name, users and
//! quotas, and the volume map.
//!
//! Holds no block bytes and no sockets: calls arrive through [`Mserver::serve`], other servers
//! are asked through the mesh, agreement is reached through the raft groups.

mod asker;
mod batch;
mod behalf;
mod cache;
mod change;
mod content;
mod core;
mod create;
mod duties;
mod fault;
mod ids;
mod inspect;
mod layout;
mod leftovers;
mod life;
mod limits;
mod list;
mod mains;
mod maintenance;
mod membership;
pub mod meta;
mod meta_data;
mod names;
mod negotiate;
pub mod negotiation;
mod outcomes;
mod put;
mod read;
pub mod reservations;
pub mod root;
mod serve;
mod servers;
mod stamps;
mod start;
mod timeline;
mod timelines;
mod traced;
mod trash;
pub mod volumes;
mod voter;
mod voters;

pub use layout::{Layout, raft_group};
pub use life::FileLife;
pub use sdfs_raft::LogKept;
pub use start::{Mserver, MserverOptions, StartError, start};
pub use voter::NameReserved;
