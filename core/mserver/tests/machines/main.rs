//! The deciding parts of a mserver, driven through their public doors.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and so does what several tests share"
)]

mod contents;
mod driver;
mod files;
mod given_up;
mod names;
mod names_model;
mod negotiation;
mod reservations;
mod servers;
mod trash;
mod unread;
