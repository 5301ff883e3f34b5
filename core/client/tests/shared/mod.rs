//! One embedded cluster for all tests of a file that run at the same time.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::sync::{Arc, Mutex, Weak};
use std::thread;

use bytes::Bytes;
use sdfs_client::{Client, ClientOptions};
use sdfs_server::{Cluster, ClusterOptions};

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// The running cluster, started by whoever needs it first; it ends with its last user.
pub fn cluster() -> Arc<Cluster> {
    let mut shared = SHARED.lock().unwrap();
    if let Some(running) = shared.upgrade() {
        return running;
    }
    // A thread and runtime of its own: the caller is inside of one that must not be blocked on.
    let starting = thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(Cluster::embedded(ClusterOptions::default()))
            .unwrap()
    });
    let running = Arc::new(starting.join().unwrap());
    *shared = Arc::downgrade(&running);
    running
}

/// A client of the administrator.
pub async fn client_of(cluster: &Cluster) -> Client {
    Client::connect_admin(Arc::clone(cluster.config()))
        .await
        .unwrap()
}

/// A client of the administrator that talks to one mserver only.
pub async fn client_via(cluster: &Cluster, mserver: &str) -> Client {
    let options = ClientOptions::of_admin(Arc::clone(cluster.config())).unwrap();
    let via = Some(mserver.to_owned());
    Client::connect(ClientOptions { via, ..options })
        .await
        .unwrap()
}

/// Bytes that differ everywhere.
pub fn bytes(length: usize) -> Bytes {
    (0..length)
        .map(|at| (at * 31 + at / 251 + at / 65_537) as u8)
        .collect()
}
