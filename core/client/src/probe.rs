//! Measures the way to each mserver from time to time while the client is used, and takes the
//! volume map and the list of servers along.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures::future::join_all;
use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::names::GetVolumeMap;
use sdfs_types::calls::servers::GetServers;
use sdfs_types::wire;
use tokio::time::{Instant, sleep};

use crate::client::{Shared, call_peer};
use crate::limits::{ATTEMPT_READ, PROBE_EVERY};
use crate::trouble::Trouble;

/// Probes until the last clone of the client is dropped.
pub(crate) fn start(shared: &Arc<Shared>) {
    let client = Arc::downgrade(shared);
    // Ends with the client: it holds no more than a weak reference between two rounds.
    drop(tokio::spawn(probes(client)));
}

async fn probes(client: Weak<Shared>) {
    loop {
        sleep(PROBE_EVERY).await;
        let Some(shared) = client.upgrade() else {
            return;
        };
        if shared.idle() <= PROBE_EVERY {
            round(&shared).await;
        }
    }
}

async fn round(shared: &Shared) {
    let topology = shared.pool.topology();
    join_all(
        topology
            .mservers
            .iter()
            .map(|address| probe(shared, *address)),
    )
    .await;
    shared.settle();
    learn_servers(shared).await;
}

/// Takes along who the servers are.
async fn learn_servers(shared: &Shared) {
    let current = *shared.current.borrow();
    let Some(peer) = current.and_then(|address| shared.pool.standing(address)) else {
        return;
    };
    let known_version = shared.pool.topology().list_version;
    let head = wire::encode(&GetServers { known_version });
    let limit = Deadline::after(ATTEMPT_READ);
    let asked = call_peer::<GetServers>(&peer, head, Payload::new(), limit).await;
    if let Ok((told, _)) = asked
        && let Some(list) = told.list
    {
        shared.learn_servers(&list);
    }
}

async fn probe(shared: &Shared, address: SocketAddr) {
    let known_version = shared.map_version.load(Ordering::Relaxed);
    let limit = Deadline::after(ATTEMPT_READ);
    let Ok(peer) = shared.pool.link(address, limit).await else {
        return;
    };
    let head = wire::encode(&GetVolumeMap { known_version });
    let begin = Instant::now();
    match call_peer::<GetVolumeMap>(&peer, head, Payload::new(), limit).await {
        Ok((map, _)) => {
            shared.pool.measured(address, begin.elapsed());
            if let Some(map) = map {
                shared.learn_map(&map);
            }
        }
        Err(Trouble::Call(_)) => shared.leave(address),
        Err(_) => {}
    }
}
