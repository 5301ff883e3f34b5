//! Volumes: the map of them as the root group agrees on it, where new ones and new files go,
//! fencing and healing of members, acceptance of new files by dservers, and the freeing of blocks
//! nobody refers to.
//!
//! Holds nothing about names, nor how block bytes are kept. What decides is pure (`machine`,
//! `placement`, `member_life`); what acts is thin (`supervisor`, `accept`, `sweep`).
//!
//! How the parts are put together:
//! - [`VolumeTable`] lives inside the root group's machine: `load` in its `open`, `apply` for its
//!   volume commands, `committed` in its `committed`.
//! - [`Supervisor`] starts on every mserver; reports of dservers go to it.
//! - [`Acceptor`] starts on every mserver; a main asks it for volumes.
//! - [`sweep()`] runs on every mserver once per meta group it is a member of.

mod accept;
#[cfg(test)]
mod accept_test;
mod balance;
mod command;
mod door;
#[cfg(test)]
mod fakes_test;
mod groups;
mod lanes;
mod limits;
mod machine;
#[cfg(test)]
mod machine_test;
mod maintenance;
mod member_life;
mod placement;
mod supervisor;
#[cfg(test)]
mod supervisor_test;
mod sweep;
#[cfg(test)]
mod sweep_test;

pub use accept::{Accepted, Acceptor, FileWanted};
pub use command::{MaintenanceCommand, MemberChange, VolumeAnswer, VolumeCommand};
pub use door::{AskFault, DserverListed, Listed, RaftRoot, RootFault, RootGroup, Servers};
pub use machine::{KEY_PREFIX, VolumeTable, VolumeWatch};
pub use maintenance::MaintenanceWatch;
pub use supervisor::{Supervisor, VolumeRules};
pub use sweep::{FreeKey, FreeList, ToFree, sweep};
