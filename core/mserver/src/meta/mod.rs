//! A meta group's state, on its main and slaves: the file-meta-data of the files assigned to it,
//! their block entries, and the blocks that are to be freed.
//!
//! `machine` applies committed commands; `view` is what everybody else reads.

mod blocks;
pub mod command;
mod free;
mod keys;
mod machine;
mod record;
mod view;

pub use command::{MetaAnswer, MetaAnswers, MetaCommand};
pub use free::{FreeEntry, GroupFreeList};
pub use machine::MetaMachine;
pub(crate) use machine::check_attributes;
pub use record::FileRecord;
pub use view::MetaView;
