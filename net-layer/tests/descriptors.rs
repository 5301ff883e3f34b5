//! Connections never take the last descriptors. A process of its own, since it lowers its limit.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use sdfs_net_layer::{TcpTransport, Transport, raise_descriptor_limit};

const LIMIT: u64 = 256;

/// Connects; the system does without the acceptor, which runs on this thread.
fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a connection");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a timeout");
    stream
}

#[actix_rt::test]
async fn connections_leave_descriptors_for_files() {
    let lowered = Rlimit {
        current: Some(LIMIT / 2),
        maximum: Some(LIMIT),
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    assert_eq!(raise_descriptor_limit(), LIMIT);
    let mut acceptor = TcpTransport
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = acceptor.local_address().unwrap();
    let mut kept = Vec::new();
    let refused = loop {
        assert!(kept.len() < 256, "somebody is turned away in time");
        let client = connect(address);
        match acceptor.accept().await {
            Ok((stream, _)) => kept.push((client, stream)),
            Err(error) => break (client, error),
        }
    };
    let (mut client, error) = refused;
    assert!(error.to_string().contains("kept for files"), "{error}");
    assert!(client.read(&mut [0]).is_ok_and(|read| read == 0), "closed");
    let files: Vec<File> = (0..LIMIT / 4)
        .map(|_| File::open("/dev/null").expect("a descriptor for a file"))
        .collect();
    drop(files);
    kept.truncate(kept.len() / 2);
    let client = connect(address);
    acceptor.accept().await.expect("there is room again");
    drop(client);
}
