//! The client against doubles of a cluster, which fail when told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod block_calls;
mod bytes;
mod calls;
mod endings;
mod kit;
mod model;
mod nearest;
#[allow(dead_code, unreachable_pub, reason = "a part of it is used here")]
#[path = "../../../../server-group/tests/kit/proxy.rs"]
mod proxy;
#[path = "../shared/mod.rs"]
mod shared;
