//! Three mservers agree on names, over real sockets, with make-believe dservers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and so does what several tests share"
)]

mod crashes;
mod files;
mod kit;
mod names;
mod paths;
mod trash;
