//! An end that speaks the wire by hand, and so can lie.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, Mac};
use sdfs_net_layer::{Packet, PacketCodec, PacketKind};
use sdfs_server_group::{RefusalReason, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder};

#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    pub cluster: String,
    pub role: Role,
    pub id: u16,
    pub name: String,
    pub instance: u64,
    pub nonce: [u8; 32],
    pub to: u16,
    pub credential: Credential,
}

#[derive(Clone, Serialize, Deserialize)]
pub enum Credential {
    Cluster,
    User(String),
    Ticket(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
pub struct TicketBody {
    pub user: String,
    pub expires_ms: u64,
    pub salt: [u8; 32],
}

impl Hello {
    /// What server `id` of a plan with `mservers` mservers says to server `to`.
    pub fn of_server(id: u16, mservers: u16, to: u16) -> Self {
        Self {
            cluster: "test".to_owned(),
            role: if id <= mservers {
                Role::Mserver
            } else {
                Role::Dserver
            },
            id,
            name: format!("s{}", id - 1),
            instance: 4711,
            nonce: [8; 32],
            to,
            credential: Credential::Cluster,
        }
    }

    /// What a client says.
    pub fn of_client(credential: Credential) -> Self {
        Self {
            cluster: String::new(),
            role: Role::Client,
            id: 0,
            name: "client".to_owned(),
            instance: 0,
            nonce: [9; 32],
            to: 0,
            credential,
        }
    }

    pub fn wire(&self) -> Bytes {
        postcard::to_extend(self, vec![sdfs_server_group::limits::PROTOCOL_VERSION])
            .unwrap()
            .into()
    }
}

pub fn key_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    for part in parts {
        hmac.update(&(part.len() as u64).to_le_bytes());
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

/// The proof of a dialer, as it travels.
pub fn dialer_proof(key: &[u8; 32], mine: &[u8], theirs: &[u8]) -> Bytes {
    let mut wire = mac(key, &[b"sdfs dialer", mine, theirs, b""]).to_vec();
    wire.push(0);
    wire.into()
}

pub struct Stranger {
    pub stream: TcpStream,
    buffer: BytesMut,
}

impl Stranger {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::of(stream)
    }

    pub fn of(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    pub async fn send(&mut self, kind: PacketKind, head: Bytes) {
        self.send_packet(Packet::control(kind, 1, head)).await;
    }

    pub async fn send_packet(&mut self, packet: Packet) {
        let mut wire = BytesMut::new();
        PacketCodec::default().encode(packet, &mut wire).unwrap();
        // The other end may have closed already; then the answer says why.
        let _closed: std::io::Result<()> = self.stream.write_all(&wire).await;
    }

    /// The next packet; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = PacketCodec::default().decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match timeout(Duration::from_secs(10), read)
                .await
                .expect("an answer or the end")
            {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Whether the other end closes, whatever it says before.
    pub async fn is_closed(&mut self) -> bool {
        while self.next().await.is_some() {}
        true
    }

    /// Says hello and proves the key; what came back last.
    pub async fn shake(&mut self, hello: &Hello, key: &[u8; 32]) -> Result<Packet, RefusalReason> {
        let mine = hello.wire();
        self.send(PacketKind::Hello, mine.clone()).await;
        let theirs = self.expect(PacketKind::Hello).await?;
        self.send(PacketKind::Proof, dialer_proof(key, &mine, &theirs.head))
            .await;
        self.expect(PacketKind::Proof).await
    }

    pub async fn expect(&mut self, kind: PacketKind) -> Result<Packet, RefusalReason> {
        let packet = self.next().await.expect("a packet");
        if packet.kind == PacketKind::Refusal {
            return Err(postcard::from_bytes(&packet.head).unwrap());
        }
        assert_eq!(packet.kind, kind);
        Ok(packet)
    }
}
