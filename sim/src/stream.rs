//! One end of a simulated connection, and the transport that makes them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use sdfs_net_layer::{Acceptor, Stream, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};

use crate::network::{Found, Network};

/// How often a dial over a cut link is tried again, as TCP repeats its first packet.
const DIAL_AGAIN: Duration = Duration::from_millis(50);

/// One end of a connection.
pub(crate) struct SimStream {
    network: Network,
    incoming: u64,
    outgoing: u64,
    /// Ends when the next bytes arrive.
    arrival: Option<Pin<Box<Sleep>>>,
}

impl SimStream {
    pub(crate) fn new(network: Network, incoming: u64, outgoing: u64) -> Self {
        Self {
            network,
            incoming,
            outgoing,
            arrival: None,
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let waker = context.waker();
            match self.network.read(self.incoming, buffer.remaining(), waker) {
                Found::Bytes(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Found::End => return Poll::Ready(Ok(())),
                Found::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Found::Nothing => return Poll::Pending,
                Found::Later(at) => {
                    let arrival = self.arrival.insert(Box::pin(sleep_until(at)));
                    ready!(arrival.as_mut().poll(context));
                }
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match self.network.write(self.outgoing, bytes, context.waker()) {
            Some(written) => Poll::Ready(written),
            None => Poll::Pending,
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            bytes.extend_from_slice(piece);
        }
        self.poll_write(context, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.end(self.outgoing);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network.leave(self.incoming, self.outgoing);
    }
}

/// The transport of one host.
pub(crate) struct SimTransport {
    pub(crate) network: Network,
    pub(crate) host: IpAddr,
}

impl Transport for SimTransport {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        let (network, host) = (self.network.clone(), self.host);
        Box::pin(async move {
            sleep(network.delay()).await;
            while network.is_cut(host, address.ip()) {
                sleep(DIAL_AGAIN).await;
            }
            let opened = network.open(host, address);
            sleep(network.delay()).await;
            Ok(Box::new(opened?) as Stream)
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        let network = self.network.clone();
        Box::pin(async move {
            network.listen(address)?;
            Ok(Box::new(SimAcceptor { network, address }) as Box<dyn Acceptor>)
        })
    }
}

struct SimAcceptor {
    network: Network,
    address: SocketAddr,
}

impl Acceptor for SimAcceptor {
    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let taken =
                poll_fn(
                    |context| match self.network.accept(self.address, context.waker()) {
                        Some(taken) => Poll::Ready(taken),
                        None => Poll::Pending,
                    },
                );
            let (stream, peer) = taken.await;
            Ok((Box::new(stream) as Stream, peer))
        })
    }
}

impl Drop for SimAcceptor {
    fn drop(&mut self) {
        self.network.stop_listening(self.address);
    }
}
