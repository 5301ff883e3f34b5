//! The same connections over TLS.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sdfs_net_layer::{
    CloseReason, ConnectionOptions, Flags, Packet, PacketKind, PacketLimits, TcpTransport,
    TlsFiles, TlsTransport, Transport, open,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// An authority, and a certificate of it for the loopback address.
fn files(folder: &Path) -> TlsFiles {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let files = TlsFiles {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
        authority: folder.join("authority.pem"),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    std::fs::write(&files.authority, authority.pem()).unwrap();
    files
}

fn transport(folder: &Path) -> TlsTransport {
    TlsTransport::new(Arc::new(TcpTransport), &files(folder)).unwrap()
}

fn options() -> ConnectionOptions {
    let options = ConnectionOptions::before_auth(Arc::default(), Arc::default());
    ConnectionOptions {
        limits: PacketLimits::default(),
        ..options
    }
}

#[tokio::test]
async fn packets_travel_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let transport = transport(folder.path());
    let mut acceptor = transport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let serving = tokio::spawn(async move {
        let (sender, mut receiver) = open(acceptor.accept().await.unwrap().0, options());
        while let Ok(packet) = receiver.next().await {
            sender.send(packet).await.unwrap();
        }
    });
    let stream = transport.connect(address).await.unwrap();
    let (sender, mut receiver) = open(stream, options());
    for bytes in [0, 1, 20_000, 1 << 20] {
        let packet = Packet {
            kind: PacketKind::Request,
            flags: Flags::NONE,
            request_id: bytes,
            head: Bytes::from_static(b"head"),
            payload: Bytes::from(vec![5; bytes as usize]),
        };
        sender.send(packet.clone()).await.unwrap();
        assert_eq!(receiver.next().await.unwrap(), packet);
    }
    sender.close(CloseReason::Ours);
    timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn stranger_without_certificate_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let transport_here = transport(folder.path());
    let mut acceptor = transport_here
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = acceptor.accept().await.unwrap();
        stream.read_u8().await.map(|_| ())
    });
    assert!(transport(other.path()).connect(address).await.is_err());
    assert!(serving.await.unwrap().is_err());
}

/// Speaks TLS to a port without a certificate of its own, and tells whether a byte comes back.
async fn is_answered(folder: &Path, address: SocketAddr) -> bool {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("authority.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpTransport.connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    // With TLS 1.3 this end is content before the other has looked at its certificate.
    let Ok(mut stream) = connected else {
        return false;
    };
    stream.read_u8().await.is_ok()
}

#[tokio::test]
async fn a_door_for_anybody_asks_for_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let open = TlsTransport::for_anybody(Arc::new(TcpTransport), &files).unwrap();
    let mutual = TlsTransport::new(Arc::new(TcpTransport), &files).unwrap();
    for (transport, expected) in [(open, true), (mutual, false)] {
        let bound = transport.bind("127.0.0.1:0".parse().unwrap());
        let mut acceptor = bound.await.unwrap();
        let address = acceptor.local_address().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = acceptor.accept().await.unwrap();
            stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok()
        });
        assert_eq!(is_answered(folder.path(), address).await, expected);
        assert_eq!(serving.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn silent_stranger_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let transport = transport(folder.path());
    let mut acceptor = transport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let _silent = TcpTransport.connect(address).await.unwrap();
    let _first = acceptor.accept().await.unwrap();
    let (dialed, second) = tokio::join!(transport.connect(address), async {
        let (mut stream, _) = acceptor.accept().await.unwrap();
        // The handshake is done by reading; nothing is sent, so the time ends it.
        assert!(
            timeout(Duration::from_millis(500), stream.read_u8())
                .await
                .is_err()
        );
    });
    dialed.unwrap();
    second
}
