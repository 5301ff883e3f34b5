//! Framed packets over TCP or TLS: the codec, connections with bounded coalescing queues, the
//! listener and the dialer.
//!
//! Nothing here knows of servers, calls or files; `sdfs-server-group` builds those on packets.

mod buffers;
mod close;
mod codec;
mod connection;
mod counters;
mod descriptors;
mod dial;
mod lane;
mod lazy_timer;
pub mod limits;
mod listener;
mod out_queue;
mod packet;
mod receiver;
mod tls;
mod transport;
mod writer;

pub use buffers::Buffers;
pub use close::{CloseReason, SendFault};
pub use codec::{CodecError, PacketCodec, PacketFault, PacketParts};
pub use connection::{ConnectionOptions, PacketSender, open};
pub use counters::Counters;
pub use descriptors::raise_descriptor_limit;
pub use dial::{DialError, dial};
pub use listener::{Accepted, Listener, StopListening, UnprovenPlace};
pub use packet::{FRAMING_VERSION, Flags, MAGIC, Packet, PacketKind, PacketLimits};
pub use receiver::PacketReceiver;
pub use tls::{TlsError, TlsFiles, TlsTransport};
pub use transport::{Acceptor, Duplex, Stream, TcpTransport, Transport};
