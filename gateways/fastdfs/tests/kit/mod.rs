//! A FastDFS client of a few lines, and a cluster to talk to.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod bodies;
pub mod file_id;
pub mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_server::{Cluster, ClusterOptions};
use sdfs_server_group::{Config, FastDfs, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest a test waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster that lets FastDFS clients in.
pub async fn cluster(mservers: u16, dservers: u16, storage: &str) -> Cluster {
    let options = ClusterOptions {
        mservers,
        dservers,
        fastdfs: true,
        storage: Some(format!(
            "storage: (segment_bytes: 16777216, reserve_bytes: 0, {storage})"
        )),
        ..ClusterOptions::default()
    };
    Cluster::embedded(options).await.expect("a cluster")
}

/// A cluster that keeps each content once.
pub async fn cluster_of_instant_uploads(dservers: u16, storage: &str) -> Cluster {
    let options = ClusterOptions {
        mservers: 1,
        dservers,
        fastdfs: true,
        instant: vec!["group1".to_owned()],
        storage: Some(format!(
            "storage: (segment_bytes: 16777216, reserve_bytes: 0, {storage})"
        )),
        ..ClusterOptions::default()
    };
    Cluster::embedded(options).await.expect("a cluster")
}

/// A cluster whose dservers have these groups. One that is away is soon replaced.
pub async fn cluster_of_groups(mservers: u16, groups: &[&str], storage: &str) -> Cluster {
    let options = ClusterOptions {
        mservers,
        dservers: u16::try_from(groups.len()).unwrap(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        fastdfs: true,
        storage: Some(format!(
            "storage: (segment_bytes: 16777216, reserve_bytes: 0, {storage})"
        )),
        ..ClusterOptions::default()
    };
    Cluster::embedded(options).await.expect("a cluster")
}

/// The doors of all servers of a role.
pub fn doors(cluster: &Cluster, role: Role) -> Vec<SocketAddr> {
    let config = cluster.config();
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let of = |server| match role {
        Role::Mserver => settings.tracker_address(config, server),
        _ => settings.storage_address(config, server),
    };
    config.servers_of(role).map(of).collect()
}

/// The HTTP doors of all dservers.
pub fn http_doors(cluster: &Cluster) -> Vec<SocketAddr> {
    let config = cluster.config();
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let of = |server| settings.http_address(config, server);
    config.servers_of(Role::Dserver).filter_map(of).collect()
}

/// Status and body of an answer.
pub type Answer = (u8, Vec<u8>);

/// A connection.
pub struct Talk {
    pub stream: TcpStream,
}

impl Talk {
    pub async fn to(address: SocketAddr) -> Talk {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Talk { stream }
    }

    pub async fn ask(&mut self, command: u8, body: &[u8]) -> Answer {
        self.ask_with(command, 0, body).await
    }

    pub async fn ask_with(&mut self, command: u8, status: u8, body: &[u8]) -> Answer {
        self.send(&request(command, status, body)).await;
        self.answer().await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// Sends nothing more. Who has closed already needs not be told.
    pub async fn end(&mut self) {
        drop(self.stream.shutdown().await);
    }

    pub async fn answer(&mut self) -> Answer {
        self.answer_or_close().await.expect("an answer")
    }

    /// The next answer, if the other side does not close before the end of it.
    pub async fn answer_or_close(&mut self) -> Option<Answer> {
        let read = tokio::time::timeout(PATIENCE, self.read_answer()).await;
        read.expect("in time").ok()
    }

    async fn read_answer(&mut self) -> std::io::Result<Answer> {
        let mut header = [0; 10];
        self.stream.read_exact(&mut header).await?;
        assert_eq!(header[8], 100, "the command of an answer");
        let length = u64::from_be_bytes(header[..8].try_into().expect("8 bytes"));
        let mut body = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut body).await?;
        Ok((header[9], body))
    }

    /// Whether the other side closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await;
        matches!(read.expect("in time"), Ok(0) | Err(_))
    }

    /// Uploads and gives the file name.
    pub async fn upload(&mut self, content: &[u8], extension: &str) -> String {
        name_of(self.ask(11, &upload(content, extension)).await)
    }

    /// The same, a file that grows.
    pub async fn upload_appender(&mut self, content: &[u8], extension: &str) -> String {
        name_of(self.ask(23, &upload(content, extension)).await)
    }

    pub async fn download(&mut self, name: &str) -> Answer {
        self.ask(14, &range(0, 0, name)).await
    }

    pub async fn delete(&mut self, name: &str) -> u8 {
        self.ask(12, &named(name)).await.0
    }
}

pub const GROUP: &[u8; 16] = b"group1\0\0\0\0\0\0\0\0\0\0";

pub fn request(command: u8, status: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u64).to_be_bytes().to_vec();
    bytes.extend([command, status]);
    bytes.extend(body);
    bytes
}

pub fn field(text: &str, width: usize) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(width, 0);
    field
}

pub fn upload(content: &[u8], extension: &str) -> Vec<u8> {
    let size = (content.len() as u64).to_be_bytes();
    [&[0xff], &size[..], &field(extension, 6), content].concat()
}

pub fn named(name: &str) -> Vec<u8> {
    [&GROUP[..], name.as_bytes()].concat()
}

pub fn range(offset: i64, count: i64, name: &str) -> Vec<u8> {
    [
        &offset.to_be_bytes()[..],
        &count.to_be_bytes(),
        &named(name),
    ]
    .concat()
}

/// The file name that an upload is answered with.
pub fn name_of((status, answer): Answer) -> String {
    assert_eq!(status, 0);
    assert_eq!(&answer[..16], GROUP);
    String::from_utf8(answer[16..].to_vec()).expect("a name")
}

/// The checksum of file names: zlib's.
pub fn crc32(content: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, content) as u32
}

/// Another configuration for the servers that are started from now on.
pub fn configure(cluster: &mut Cluster, change: impl FnOnce(&mut FastDfs)) {
    let mut config: Config = (**cluster.config()).clone();
    change(config.fastdfs.as_mut().expect("FastDFS is wanted"));
    cluster.set_config(Arc::new(config));
}

pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
