//! The ordered, embedded store of a server process: keyspaces of sorted keys, atomic batches,
//! consistent snapshots. On disk it is an LSM tree (fjall); in memory, for tests and simulation,
//! a `BTreeMap` behind the same door.
//!
//! What it does not hold: what the keys mean (state machines decide) and durability of single
//! batches. A committed batch survives the death of the process; it survives the loss of power
//! only after [`Store::persist`]. The raft log above is the write-ahead log.

mod batch;
mod disk;
mod error;
mod limits;
mod memory;
mod range;
mod store;

pub use batch::Batch;
pub use error::StoreError;
pub use range::KeyRange;
pub use store::{Keyspace, Pair, Pairs, Snapshot, Store};
