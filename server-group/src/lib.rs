//! Who is in the cluster, who is alive, how far away, and calls with deadlines between them.
//!
//! Holds the configuration, the handshake, the peers' life, the mesh of links and the calls on
//! them. Holds nothing about files: what a call means is the affair of the `Service` above.

mod accept;
mod assembly;
mod awake;
mod board;
mod call_times;
mod caller;
mod cancelled;
mod client;
pub mod clock;
pub mod config;
mod deadline;
mod errors;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod handshake;
mod hello;
mod ids;
mod keep_alive;
mod key;
pub mod limits;
mod link;
mod link_keeper;
mod link_reader;
mod link_state;
mod load_wire;
mod mesh;
mod observed;
mod payload;
mod peer;
mod peer_life;
mod pending;
mod replier;
mod rtt;
mod service;
mod shared;
mod slowest;
mod ticket;
mod trace;
mod wire;

pub use call_times::{BUCKETS, CallTiming, bucket_limit_us};
pub use caller::{Caller, UserName};
pub use client::{ClientCredentials, ClientLink, ConnectError, connect_client};
pub use config::{
    AddressWidth, Advertised, Config, ConfigError, FastDfs, Groups, Network, Operator, OperatorTls,
    ServerConfig, Storage, Timers,
};
pub use deadline::Deadline;
pub use errors::{CallError, LostReason, RefusalReason, StartError};
pub use group::{AddServer, Group, GroupOptions, RemoveServer, Stop, start};
pub use ids::{Role, ServerId, ServerName};
pub use key::{ClusterSecret, LinkSecret, SecretError, UserKey, UserKeys};
pub use link::{Link, ReplyBody};
pub use mesh::Mesh;
pub use observed::{GroupEvent, GroupSnapshot, Load, PeerSnapshot, PeerState};
pub use payload::Payload;
pub use replier::Replier;
pub use rtt::{Rtt, choose_nearest};
pub use service::{IncomingCall, Service};
pub use slowest::SlowCall;
pub use ticket::Ticket;
pub use trace::{Span, Trace, Traces, tell_answered, tell_call, us_since};
