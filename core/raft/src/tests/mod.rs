//! Tests of the crate as a whole: against openraft's own suite, against a model with crashes, and
//! as a cluster.

mod beginnings;
mod changes;
mod cluster;
mod faults;
mod groups;
mod install;
mod lives;
mod log_model;
mod room;
mod suite;
mod upgrade;
