//! Framed packets over TCP or TLS: the codec, connections with bounded coalescing queues, the
//! listener and the dialer.
//!
//! Nothing here knows of servers, calls or files; `sdfs-server-group` builds those on packets.

mod transport;

pub use transport::{Acceptor, Duplex, Stream, TcpTransport, Transport};
