//! The doors for those who run a cluster, on every server: HTTP with metrics and readiness, and a
//! console that speaks lines.
//!
//! Translates what the server tells of itself, and keeps no state of files. What it shows comes
//! through [`Observed`]; nothing here knows a role from within.

mod activity;
mod allowed;
mod ask;
mod changes;
mod console;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod lately;
pub mod limits;
mod looking;
pub mod metrics;
mod observed;
mod ready;
mod view;

pub use activity::activity;
pub use changes::group_name;
pub use console::{
    CLUSTER_LOGIN_LABEL, ConsoleCounters, ConsoleDoor, ConsoleOptions, HELP, Hands, HandsFault,
    Help, greeting_of, signed_text, start_console,
};
pub use http::{HttpCounters, HttpDoor, HttpOptions, start_http};
pub use lately::{Lately, Watching, watch};
pub use observed::{
    FastDfsReading, GroupReading, LockReading, LogReading, MemberReading, Observed,
};
pub use ready::not_ready;
