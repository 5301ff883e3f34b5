//! The door to sockets: how streams are dialed and accepted. A simulator implements the same
//! traits.

use std::io;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::descriptors::leave_some_for_files;
use crate::limits::{KEEP_ALIVE_COUNT, KEEP_ALIVE_EVERY, KEEP_ALIVE_IDLE};

/// Bytes both ways: what a transport hands out and a connection runs on.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One established byte stream.
pub type Stream = Box<dyn Duplex>;

/// Makes streams: towards an address, or from a bound one.
pub trait Transport: Send + Sync + 'static {
    /// Connects to `address`. The caller bounds the time.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Stream>>;

    /// Listens on `address`; port 0 takes a free one.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>>;
}

/// A bound address that yields incoming streams.
pub trait Acceptor: Send + 'static {
    /// The address bound, with the port that was really taken.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// The next stream and who it is from. May be dropped and asked again without loss.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>>;
}

/// Plain TCP with `TCP_NODELAY`: a small packet never waits for the peer's delayed
/// acknowledgement (40 ms on Linux).
#[derive(Debug, Default, Clone, Copy)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(TcpAcceptor { listener }) as Box<dyn Acceptor>)
        })
    }
}

/// Has the kernel notice that a peer which sends nothing is gone, with its machine or its network.
/// Protocols of our own ping; those of others may be silent for hours.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_COUNT)?;
    Ok(())
}

struct TcpAcceptor {
    listener: TcpListener,
}

impl Acceptor for TcpAcceptor {
    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            leave_some_for_files(&stream)?;
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            Ok((Box::new(stream) as Stream, peer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_streams_are_kept_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (accepted, _) = accepted.expect("accepted");
        keep_alive(&accepted).expect("set");
        let idle = sockopt::tcp_keepidle(&accepted);
        assert_eq!(idle.ok(), Some(KEEP_ALIVE_IDLE));
        assert_eq!(sockopt::socket_keepalive(&accepted).ok(), Some(true));
        drop(dialed);
    }
}
