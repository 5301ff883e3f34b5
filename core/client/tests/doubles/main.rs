//! The client against doubles of a cluster, which fail when told.

mod bytes;
mod calls;
mod endings;
mod kit;
mod model;
#[path = "../shared/mod.rs"]
mod shared;
