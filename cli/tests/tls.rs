//! A cluster of processes that speaks TLS, also at its doors for operators.

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;

use common::{TestCluster, bytes, small};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sdfs_net_layer::{TcpTransport, TlsFiles, TlsTransport, Transport};
use sdfs_server::ClusterOptions;
use sdfs_server_group::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TLS: &str =
    "tls: (certificate: \"certificate.pem\", key: \"key.pem\", authority: \"authority.pem\")";

/// Sends a request to the first server's HTTP door and reads the whole answer.
fn got(config: &Config, transport: &dyn Transport) -> io::Result<String> {
    let operator = config.operator.as_ref().expect("wanted");
    let address = operator
        .http_address(config, &config.servers[0])
        .expect("open");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stream = transport.connect(address).await?;
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        stream.flush().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
}

fn doors_speak_nothing_but_tls(cluster: &TestCluster) {
    let transport = cluster.config.operator_transport().expect("files");
    let answer = got(&cluster.config, &*transport).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"),
        "{answer}"
    );
    // Whoever speaks without TLS gets an alert of it, and that is no text.
    let plain = got(&cluster.config, &TcpTransport).unwrap_or_default();
    assert!(!plain.contains("HTTP"), "{plain}");
    let other = tempfile::tempdir().expect("a folder");
    write_certificates(other.path());
    let files = |folder: &Path| TlsFiles {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
        authority: cluster.folder.path().join("authority.pem"),
    };
    let stranger = TlsTransport::new(Arc::new(TcpTransport), &files(other.path()));
    let refused = got(&cluster.config, &stranger.expect("files"));
    assert!(refused.is_err(), "{refused:?}");

    let status = cluster.ok(&["console", "dserver-1", "-c", "status"]);
    assert!(status.contains("dserver-1"), "{status}");
    let top = cluster.ok(&["top", "--once"]);
    assert!(top.contains("dserver-3") && top.contains("ready"), "{top}");
    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    let plain = cluster.local(
        "plain-doors.conf",
        text.replace("tls: Mutual, ", "").as_bytes(),
    );
    let ran = common::sdfs(&["--config", &plain, "console", "dserver-1", "-c", "status"]);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
}

/// An authority, and a certificate of it for the loopback address.
fn write_certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in [
        ("certificate.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
        ("authority.pem", authority.pem()),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

#[test]
fn a_cluster_speaks_nothing_but_tls() {
    let plain = small();
    let storage = plain.storage.as_deref().expect("options of storage");
    let mut cluster = TestCluster::prepared(&ClusterOptions {
        storage: Some(format!("{storage},\n    {TLS}")),
        operator: true,
        ..small()
    });
    write_certificates(cluster.folder.path());
    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    let mutual = text.replace("operator: (", "operator: (tls: Mutual, ");
    std::fs::write(&cluster.config_file, mutual).expect("written");
    cluster.config = Config::load(&cluster.config_file).expect("read back");
    cluster.up();
    let content = bytes(9_000_000);
    let local = cluster.local("file", &content);
    cluster.ok(&["put", &local, "/file"]);
    assert!(cluster.pipe(&["get", "/file", "-"], b"").stdout == content);
    cluster.wait_whole();
    doors_speak_nothing_but_tls(&cluster);

    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    assert!(text.contains(TLS));
    let plain = cluster.local(
        "plain.conf",
        text.replace(&format!("{TLS},"), "")
            .replace("tls: Mutual, ", "")
            .as_bytes(),
    );
    let ran = common::sdfs(&["--config", &plain, "--timeout", "3s", "ls", "/"]);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
}
