//! The data-server role: keeps blocks of volumes in the segment logs of its spaces, writes every
//! copy at the same time, answers reads, and brings copies up to date.
//!
//! Holds nothing about names or files' metadata; which volumes there are and who keeps them is
//! decided by mservers and pushed here.

mod dserver;
mod error;
pub mod limits;

pub use dserver::{Dserver, DserverOptions, start};
pub use error::StartError;
