//! The data-server role: keeps blocks of volumes in the segment logs of its spaces, writes every
//! copy at the same time, answers reads, and brings copies up to date.
//!
//! Holds nothing about names or files' metadata; which volumes there are and who keeps them is
//! decided by mservers and pushed here.

mod adopt;
mod ages;
mod anonymous;
mod anonymous_read;
mod block_index;
mod block_record;
mod block_table;
mod checkpoint;
mod compaction;
mod compaction_plan;
mod digest;
mod dserver;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod keeper;
mod left_behind;
pub mod limits;
mod locked;
mod memory;
mod named;
mod peers;
mod promised;
mod read;
mod read_lease;
mod repair;
mod reports;
mod reservations;
mod shared;
mod space;
mod space_file;
mod space_read;
#[cfg(test)]
mod space_tests;
mod space_walk;
mod space_write;
mod stamps;
mod surplus;
mod sync;
mod sync_pace;
mod sync_plan;
#[cfg(test)]
mod upgrade_tests;
mod worker;
mod write;
mod write_state;

pub use anonymous::{Among, AnonymousFile, AnonymousFiles};
pub use block_index::{BlockIndex, StoredBlock};
pub use dserver::{Dserver, DserverOptions, start};
pub use error::StartError;
pub use peers::Peers;
pub use promised::{Promised, RoomPromised};
pub use space::SpaceFault;
pub use worker::KeepFault;
