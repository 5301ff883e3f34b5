//! A FastDFS as its trackers tell it, and the list of what its storages have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sdfs_net_layer::{TcpTransport, Transport};

use super::binlog::Binlog;
use super::listed::Listed;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::fastdfs::{FastDfs, StorageRecord};

/// Where trackers of FastDFS listen.
const TRACKER_PORT: u16 = 22_122;

/// Where it is reached.
pub(super) struct OldCluster {
    transport: Arc<dyn Transport>,
    trackers: Vec<SocketAddr>,
}

impl OldCluster {
    /// Finds the trackers, one of which must answer.
    pub(super) async fn reach(trackers: &[String]) -> Outcome<OldCluster> {
        let mut addresses = Vec::new();
        for tracker in trackers {
            addresses.extend(resolve(tracker).await?);
        }
        let cluster = OldCluster {
            transport: Arc::new(TcpTransport),
            trackers: addresses,
        };
        cluster.client(0).test().await?;
        Ok(cluster)
    }

    /// A client with connections of its own; `turn` says which tracker it asks.
    pub(super) fn client(&self, turn: usize) -> FastDfs {
        FastDfs::new(&self.transport, &self.trackers, turn)
    }

    /// The names of its groups.
    pub(super) async fn groups(&self) -> Outcome<Vec<String>> {
        Ok(self.client(0).groups().await?)
    }

    /// Everything the storages of the group have, each by its own list: what one has taken and not
    /// passed on yet stands in no other's. Those that do not tell theirs are noted.
    pub(super) async fn list(&self, group: &str, listed: &mut Listed) -> Outcome {
        let mut client = self.client(0);
        let storages = client.storages(group).await?;
        let storages = storages.iter().filter(|storage| !storage.is_deleted);
        let mut told = 0;
        for storage in storages {
            let list = match storage.is_active {
                true => list_of(&mut client, group, storage).await,
                false => Err(io::Error::other("it is not active")),
            };
            match list {
                Ok(binlog) => {
                    binlog.finish(group, listed);
                    told += 1;
                }
                Err(error) => listed.silent.push(format!("{}: {error}", storage.address)),
            }
        }
        if told > 0 {
            return Ok(());
        }
        let last = listed.silent.pop();
        let last = last.unwrap_or_else(|| "it has none".to_owned());
        let what = format!("no storage of {group} tells what it has: {last}");
        Err(Failure::new(Code::Unreachable, what).advise(
            "Run it again, or give the ids you know with --ids: the newest tell their list to \
             nobody but storages",
        ))
    }
}

/// The log of all store paths of a storage.
async fn list_of(client: &mut FastDfs, group: &str, at: &StorageRecord) -> io::Result<Binlog> {
    let mut binlog = Binlog::default();
    for path in 0..at.paths {
        let mut log = client.path_log(at.address, group, path).await?;
        while let Some(piece) = log.piece().await? {
            binlog.take(&piece);
        }
        if binlog.is_within_a_line() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(binlog)
}

/// The addresses of a tracker as typed.
async fn resolve(tracker: &str) -> Outcome<Vec<SocketAddr>> {
    let with_port = match (tracker.parse::<IpAddr>(), tracker.contains(':')) {
        (Ok(ip), _) => SocketAddr::new(ip, TRACKER_PORT).to_string(),
        (Err(_), true) => tracker.to_owned(),
        (Err(_), false) => format!("{tracker}:{TRACKER_PORT}"),
    };
    let found = tokio::net::lookup_host(with_port).await;
    let found: Vec<SocketAddr> = found.map(Iterator::collect).map_err(|error| {
        let what = format!("the tracker {tracker} is not found: {error}");
        Failure::new(Code::Unreachable, what).advise("--tracker takes HOST or HOST:PORT")
    })?;
    Ok(found)
}
