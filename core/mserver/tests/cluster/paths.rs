//! The limits of names and paths, at the servers: what a client lets through and what it would
//! have refused itself.

use sdfs_types::calls::names::{CreateFile, FileOptions, Freshness, GetFile, ListDirectory};
use sdfs_types::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use sdfs_types::{FilePath, Refusal, RequestId, wire};

use crate::kit::{Client, Cluster, path, run};

/// The longest path there may be, of 16 of the longest names.
fn longest() -> String {
    let path = format!("/{}", "n".repeat(NAME_BYTES_MAX)).repeat(16);
    assert_eq!(path.len(), PATH_BYTES_MAX);
    path
}

async fn create_with_parents(client: &Client, at: &str) {
    let mut creation = client.creation(at);
    creation.options.make_parents = true;
    client.call(&creation).await.unwrap();
}

#[test]
fn the_longest_and_the_shortest_names_are_kept() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        for at in ["/a", "/文", "/b/c", &longest()] {
            create_with_parents(&client, at).await;
            let (parent, name) = path(at)
                .split_last()
                .map(|(p, n)| (p, n.to_owned()))
                .unwrap();
            let get = GetFile {
                path: path(at),
                write: false,
                freshness: Freshness::default(),
            };
            let found = other.call(&get).await.unwrap();
            assert_eq!(*found.name.name, *name);
            let list = ListDirectory {
                path: parent,
                after: None,
                limit: 100,
                freshness: Freshness::default(),
            };
            let listed = other.call(&list).await.unwrap().entries;
            assert!(listed.iter().any(|entry| *entry.name == *name), "{at}");
        }
    });
}

/// [`CreateFile`] as one writes it who does not check the path.
fn by_hand(request: RequestId, path: &str) -> bytes::Bytes {
    let (size_bytes, explain) = (0_u64, false);
    wire::encode(&(request, path, size_bytes, FileOptions::default(), explain))
}

#[test]
fn who_does_not_check_a_path_is_refused() {
    run(async {
        let cluster = Cluster::start().await;
        let client = cluster.admin(1).await;
        let long_name = format!("/{}", "n".repeat(NAME_BYTES_MAX + 1));
        let long_path = format!("{}n", longest());
        let longer_path = format!("{}/n", longest());
        let far_too_long = "n".repeat(1 << 20);
        for bad in [
            "/a//b",
            "/a/../b",
            "/a/./b",
            "/a\0b",
            &long_name,
            &long_path,
            &longer_path,
            &far_too_long,
        ] {
            assert!(FilePath::parse(bad).is_err());
            let head = by_hand(client.request(), bad);
            let refused = client.call_by_hand::<CreateFile>(head).await;
            assert!(
                matches!(refused, Err(Refusal::Malformed { .. } | Refusal::Path(_))),
                "{:.40}: {refused:?}",
                bad
            );
        }
        // The same bytes with a path as it should be, by the same client.
        let head = by_hand(client.request(), "/good");
        let made = client.call_by_hand::<CreateFile>(head).await.unwrap();
        assert_eq!(*made.open.name.name, *"good");
    });
}
