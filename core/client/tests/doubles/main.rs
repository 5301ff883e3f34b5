//! The client against doubles of a cluster, which fail when told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bytes;
mod calls;
mod endings;
mod kit;
mod model;
#[path = "../shared/mod.rs"]
mod shared;
