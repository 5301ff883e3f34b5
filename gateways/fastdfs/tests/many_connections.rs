//! Thousands of clients that stay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use kit::{GROUP, Talk, cluster, content, doors, named};
use sdfs_net_layer::raise_descriptor_limit;
use sdfs_server_group::Role;

/// Connections to each of two doors.
const CONNECTIONS: usize = 2_000;

#[actix_rt::test]
async fn thousands_of_connections_are_served() {
    // Both ends of each are in this process, and files.
    let needed = 2 * 2 * CONNECTIONS as u64 + 1_000;
    let limit = raise_descriptor_limit();
    assert!(limit >= needed, "{limit} descriptors for {needed}");
    let cluster = cluster(1, 1, "copies: 1, copies_min: 1").await;
    let [tracker, storage] = [Role::Mserver, Role::Dserver].map(|role| doors(&cluster, role)[0]);
    let bytes = content(1, 1_000);
    let name = Talk::to(storage).await.upload(&bytes, "txt").await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = (Talk::to(tracker).await, Talk::to(storage).await);
        // Who has asked once may rest.
        assert_eq!(client.0.ask(111, &[]).await, (0, vec![]));
        assert_eq!(client.1.ask(111, &[]).await, (0, vec![]));
        clients.push(client);
    }
    // All of them at once, then each in its turn.
    for (tracker, storage) in &mut clients {
        tracker.send(&kit::request(102, 0, &named(&name))).await;
        storage.send(&kit::request(111, 0, &[])).await;
    }
    for (tracker, storage) in &mut clients {
        let (status, told) = tracker.answer().await;
        assert_eq!((status, told.len(), &told[..16]), (0, 39, &GROUP[..]));
        assert_eq!(storage.answer().await, (0, vec![]));
    }
    for (tracker, storage) in &mut clients {
        assert_eq!(tracker.ask(111, &[]).await, (0, vec![]));
        let (status, found) = storage.download(&name).await;
        assert!(status == 0 && found == bytes);
    }
}
