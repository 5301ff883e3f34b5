//! Links between servers that a test slows down or cuts: what is sent is late, or arrives when the
//! link is whole again. Nobody is told, as on a network.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sdfs_net_layer::{Acceptor, Stream, TcpTransport, Transport};
use sdfs_server_group::Config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::sync::watch;
use tokio::time::sleep;

/// Bytes carried at once.
const CARRIED_BYTES: usize = 64 << 10;

/// How the links are.
#[derive(Clone, Debug, Default)]
pub struct Wires {
    /// Two servers, and how long each way between them takes.
    pub slow: Option<([&'static str; 2], Duration)>,
    /// Servers that reach one another and nobody else, nor are reached.
    pub apart: BTreeSet<&'static str>,
}

impl Wires {
    fn delay(&self, ends: &[String; 2]) -> Option<Duration> {
        let (between, delay) = self.slow?;
        let is_it = between
            .iter()
            .all(|name| ends.iter().any(|end| end == name));
        is_it.then_some(delay)
    }

    fn is_cut(&self, ends: &[String; 2]) -> bool {
        let [one, other] = ends;
        self.apart.contains(&**one) != self.apart.contains(&**other)
    }
}

/// The sockets of one server.
pub struct Wiring {
    pub me: SocketAddr,
    pub config: Arc<Config>,
    pub wires: watch::Receiver<Wires>,
    pub tcp: TcpTransport,
}

impl Wiring {
    fn name_of(&self, address: SocketAddr) -> String {
        let mut servers = self.config.servers.iter();
        let server = servers.find(|server| server.address == address);
        server.unwrap().name.to_string()
    }
}

impl Transport for Wiring {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        let ends = [self.name_of(self.me), self.name_of(address)];
        let (connecting, mut wires) = (self.tcp.connect(address), self.wires.clone());
        Box::pin(async move {
            passable(&mut wires, &ends).await?;
            let (there, back) = split(connecting.await?);
            let (near, far) = duplex(CARRIED_BYTES);
            let (from_me, to_me) = split(far);
            let (ends, wires) = ((ends.clone(), ends), (wires.clone(), wires));
            tokio::spawn(carry(from_me, back, wires.0, ends.0));
            tokio::spawn(carry(there, to_me, wires.1, ends.1));
            Ok(Box::new(near) as Stream)
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        self.tcp.bind(address)
    }
}

/// Waits until the link is not cut; an error when the test is over.
async fn passable(wires: &mut watch::Receiver<Wires>, ends: &[String; 2]) -> io::Result<()> {
    let whole = wires.wait_for(|wires| !wires.is_cut(ends)).await;
    whole.map(drop).map_err(io::Error::other)
}

/// Carries bytes one way, and their end.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut wires: watch::Receiver<Wires>,
    ends: [String; 2],
) -> io::Result<()> {
    let mut bytes = vec![0; CARRIED_BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        let delay = wires.borrow().delay(&ends);
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        passable(&mut wires, &ends).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
        to.flush().await?;
    }
}
