//! A cluster of processes that speaks TLS, also at its doors for operators.

mod common;

use std::io;
use std::net::SocketAddr;
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
    got_from(address, "/healthz", transport)
}

/// As [`got`], of any door and path.
fn got_from(address: SocketAddr, path: &str, transport: &dyn Transport) -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stream = transport.connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
}

/// Who may speak to the doors for operators.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doors {
    /// `tls: Server`: whoever trusts the authority.
    Server,
    /// `tls: Mutual`: whoever has a certificate of it.
    Mutual,
}

impl Doors {
    fn text(self) -> &'static str {
        match self {
            Doors::Server => "tls: Server, ",
            Doors::Mutual => "tls: Mutual, ",
        }
    }
}

fn doors_speak_nothing_but_tls(cluster: &TestCluster, doors: Doors) {
    let is_alive = |answer: &str| answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n");
    let transport = cluster.config.operator_transport().expect("files");
    let answer = got(&cluster.config, &*transport).expect("an answer");
    assert!(is_alive(&answer), "{answer}");
    // Whoever speaks without TLS gets an alert of it, and that is no text.
    let plain = got(&cluster.config, &TcpTransport).unwrap_or_default();
    assert!(!plain.contains("HTTP"), "{plain}");
    // A certificate of another authority is as good as none.
    let other = tempfile::tempdir().expect("a folder");
    write_certificates(other.path());
    let ask = |authority: &Path| {
        let files = TlsFiles {
            certificate: other.path().join("certificate.pem"),
            key: other.path().join("key.pem"),
            authority: authority.join("authority.pem"),
        };
        let stranger = TlsTransport::new(Arc::new(TcpTransport), &files).expect("files");
        got(&cluster.config, &stranger)
    };
    let answer = ask(cluster.folder.path());
    match doors {
        Doors::Server => assert!(is_alive(&answer.expect("an answer"))),
        Doors::Mutual => assert!(answer.is_err(), "{answer:?}"),
    }
    // Whoever does not trust the cluster's authority speaks to none of its doors.
    let answer = ask(other.path());
    assert!(answer.is_err(), "{answer:?}");

    let status = cluster.ok(&["console", "dserver-1", "-c", "status"]);
    assert!(status.contains("dserver-1"), "{status}");
    let top = cluster.ok(&["top", "--once"]);
    assert!(top.contains("dserver-3") && top.contains("ready"), "{top}");
    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    let plain = cluster.local(
        "plain-doors.conf",
        text.replace(doors.text(), "").as_bytes(),
    );
    let ran = common::sdfs(&["--config", &plain, "console", "dserver-1", "-c", "status"]);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
}

/// Files are stored and read through the FastDFS ports by whoever speaks TLS there, and by nobody
/// else.
fn fastdfs_speaks_nothing_but_tls(cluster: &TestCluster) {
    let bench = [
        "bench",
        "fastdfs",
        "download",
        "--count",
        "20",
        "--no-limits",
    ];
    let told = cluster.json(&bench);
    let counted = (&told["operations"], &told["errors"]);
    assert_eq!(counted, (&20.into(), &0.into()), "{told}");
    let config = &cluster.config;
    let settings = config.fastdfs.as_ref().expect("wanted");
    let tracker = settings.tracker_address(config, &config.servers[0]);
    let tracker = tracker.to_string();
    let plain = [&bench[..], &["--tracker", &tracker]].concat();
    cluster.fails(4, &plain);
    // So is what they give to browsers.
    let id = format!("group1/M00/00/00/{}1234567", "A".repeat(27));
    let link = cluster.ok(&["fastdfs", "link", &id]);
    let place = link.strip_prefix("https://").expect("encrypted");
    let (address, _) = place.split_once('/').expect("a path");
    let address = address.parse().expect("an address");
    let path = format!("/{id}");
    let encrypted = config.fastdfs_transport().expect("files");
    let answer = got_from(address, &path, &*encrypted).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = got_from(address, &path, &TcpTransport).unwrap_or_default();
    assert!(!answer.contains("HTTP"), "{answer}");
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

/// A cluster that speaks TLS and takes writes.
fn cluster_with(doors: Doors) -> TestCluster {
    let plain = small();
    let storage = plain.storage.as_deref().expect("options of storage");
    let mut cluster = TestCluster::prepared(&ClusterOptions {
        storage: Some(format!("{storage},\n    {TLS}")),
        operator: true,
        fastdfs: true,
        ..small()
    });
    write_certificates(cluster.folder.path());
    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    let wanted = text
        .replace("operator: (", &format!("operator: ({}", doors.text()))
        .replace("fastdfs: (", &format!("fastdfs: ({}", doors.text()));
    std::fs::write(&cluster.config_file, wanted).expect("written");
    cluster.config = Config::load(&cluster.config_file).expect("read back");
    cluster.up();
    cluster
}

#[test]
fn doors_may_take_whoever_trusts_them() {
    let cluster = cluster_with(Doors::Server);
    cluster.wait_whole();
    doors_speak_nothing_but_tls(&cluster, Doors::Server);
    fastdfs_speaks_nothing_but_tls(&cluster);
}

#[test]
fn a_cluster_speaks_nothing_but_tls() {
    let cluster = cluster_with(Doors::Mutual);
    let content = bytes(9_000_000);
    let local = cluster.local("file", &content);
    cluster.ok(&["put", &local, "/file"]);
    assert!(cluster.pipe(&["get", "/file", "-"], b"").stdout == content);
    cluster.wait_whole();
    doors_speak_nothing_but_tls(&cluster, Doors::Mutual);
    fastdfs_speaks_nothing_but_tls(&cluster);

    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    assert!(text.contains(TLS));
    let plain = cluster.local(
        "plain.conf",
        text.replace(&format!("{TLS},"), "")
            .replace(Doors::Mutual.text(), "")
            .as_bytes(),
    );
    let ran = common::sdfs(&["--config", &plain, "--timeout", "3s", "ls", "/"]);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
}
