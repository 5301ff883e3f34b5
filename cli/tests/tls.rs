//! A cluster of processes that speaks TLS.

mod common;

use std::path::Path;

use common::{TestCluster, bytes, small};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sdfs_server::ClusterOptions;

const TLS: &str =
    "tls: (certificate: \"certificate.pem\", key: \"key.pem\", authority: \"authority.pem\")";

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
        ..small()
    });
    write_certificates(cluster.folder.path());
    cluster.up();
    let content = bytes(9_000_000);
    let local = cluster.local("file", &content);
    cluster.ok(&["put", &local, "/file"]);
    assert!(cluster.pipe(&["get", "/file", "-"], b"").stdout == content);
    cluster.wait_whole();

    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    assert!(text.contains(TLS));
    let plain = cluster.local(
        "plain.conf",
        text.replace(&format!("{TLS},"), "").as_bytes(),
    );
    let ran = common::sdfs(&["--config", &plain, "--timeout", "3s", "ls", "/"]);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
}
