//! The shipped code of a whole cluster in one process and on one thread, under a seeded network,
//! clock and disk: one seed is one run.
//!
//! Every server is assembled by `core/server` from the shipped layers; what is simulated are the
//! doors alone: the transport of the net layer, the disk of the log and the steps of its threads,
//! the memory store, tokio's clock, and libc's `getrandom` and `clock_gettime`. A server is a
//! runtime of its own, so that dropping it is a kill: no destructor's good intentions reach the
//! disk, which has stopped before.
//!
//! Not simulated: fjall (the memory store stands in its place), the page cache under memory
//! pressure, reordering within a connection (TCP has none), and threads that race each other.

mod auditor;
mod clients;
mod cluster;
mod copies;
mod course;
mod deeds;
mod disk;
mod ending;
mod faults;
mod history;
mod host;
mod intruder;
mod leaders;
mod leaks;
mod ledger;
mod nemesis;
mod network;
mod operator;
mod pages;
mod panics;
mod properties;
mod random;
mod repeater;
mod replicas;
mod script;
mod setting;
mod simulation;
mod stream;
mod tally;
mod trace;
mod world;

pub use properties::Violation;
pub use script::Script;
pub use simulation::{Outcome, replay, run};
