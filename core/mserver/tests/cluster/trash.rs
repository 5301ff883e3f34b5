//! The trash through any mserver: listing, restoring, emptying, rights, repetition, expiry.

use std::time::Duration;

use sdfs_types::calls::names::{DeleteFile, Freshness, GetFile, MakeDirectory, PutUser, Stat};
use sdfs_types::calls::trash::{
    DeleteNow, EmptyTrash, ListTrash, RestoreTrash, TrashEntry, TrashName, TrashRestored,
};
use sdfs_types::{Access, FilePath, PathRight, Refusal};

use crate::kit::{Client, Cluster, path, run};

async fn delete(client: &Client, at: &str) {
    let call = DeleteFile {
        request: client.request(),
        path: path(at),
        recursive: true,
    };
    client.call(&call).await.unwrap();
}

async fn list(client: &Client, at: &str, limit: u32) -> Vec<TrashEntry> {
    let mut all = Vec::new();
    let mut after: Option<FilePath> = None;
    loop {
        let call = ListTrash {
            path: path(at),
            after: after.take(),
            limit,
        };
        let page = client.call(&call).await.unwrap();
        assert!(!page.is_growing);
        all.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn restoration(client: &Client, what: TrashName, to: Option<&str>) -> RestoreTrash {
    RestoreTrash {
        request: client.request(),
        what,
        to: to.map(path),
        replace: false,
    }
}

fn paths(entries: &[TrashEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn a_deleted_tree_can_be_restored() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        let mkdir = MakeDirectory {
            request: client.request(),
            path: path("/d/e"),
            parents: true,
        };
        client.call(&mkdir).await.unwrap();
        let mut made = Vec::new();
        for at in ["/d/1", "/d/2", "/d/e/1", "/d/e/2"] {
            made.push(client.create(at).await.unwrap().open.name);
        }
        delete(&client, "/d").await;
        // Another mserver shows all of it at once, page by page.
        let listed = list(&other, "/d", 3).await;
        assert_eq!(paths(&listed), ["/d/1", "/d/2", "/d/e/1", "/d/e/2"]);
        assert_eq!(&*listed[0].deleted_by, "admin");
        let day_ms = 24 * 60 * 60 * 1_000;
        assert_eq!(listed[0].until_ms - listed[0].deleted_ms, day_ms);
        let call = restoration(&other, TrashName::Path(path("/d/e/1")), None);
        let restored = other.call(&call).await.unwrap();
        let expected = TrashRestored {
            path: path("/d/e/1"),
            name: made[2].clone(),
        };
        assert_eq!(restored, expected);
        let third = cluster.admin(3).await;
        assert_eq!(third.call(&call).await, Ok(expected), "repeated elsewhere");
        let get = GetFile {
            path: path("/d/e/1"),
            write: false,
            freshness: Freshness::Linearizable,
        };
        let open = third.call(&get).await.unwrap();
        assert_eq!(
            open.file.descriptor, made[2].descriptor,
            "its record stayed"
        );
        let again = restoration(&client, TrashName::Path(path("/d/e/1")), None);
        let what = TrashName::Path(path("/d/e/1"));
        assert_eq!(client.call(&again).await, Err(Refusal::NotInTrash { what }));
    });
}

#[test]
fn trash_is_seen_by_those_who_may_write() {
    run(async {
        let cluster = Cluster::start().await;
        let admin = cluster.admin(1).await;
        let put = PutUser {
            request: admin.request(),
            name: "bob".into(),
            key: Some(sdfs_server_group::UserKey::of_secret("the secret of bob").0),
            rights: vec![
                PathRight {
                    path: path("/"),
                    access: Access::Read,
                },
                PathRight {
                    path: path("/b"),
                    access: Access::Write,
                },
            ],
        };
        admin.call(&put).await.unwrap();
        for at in ["/a", "/b"] {
            admin.create(at).await.unwrap();
            delete(&admin, at).await;
        }
        let bob = cluster.client_as(1, "bob", "the secret of bob").await;
        let bob = bob.unwrap();
        assert_eq!(paths(&list(&bob, "/", 1).await), ["/b"]);
        let what = TrashName::Descriptor(list(&admin, "/a", 9).await[0].descriptor);
        let call = restoration(&bob, what.clone(), Some("/b"));
        assert_eq!(bob.call(&call).await, Err(Refusal::NotInTrash { what }));
        let what = TrashName::Path(path("/b"));
        let call = restoration(&bob, what, Some("/a"));
        assert!(matches!(bob.call(&call).await, Err(Refusal::Denied { .. })));
        let empty = |client: &Client| EmptyTrash {
            request: client.request(),
            path: path("/"),
            older_than_ms: 0,
            after: None,
        };
        assert_eq!(bob.call(&empty(&bob)).await.unwrap().files, 1);
        assert_eq!(paths(&list(&admin, "/", 9).await), ["/a"]);
        assert_eq!(admin.call(&empty(&admin)).await.unwrap().files, 1);
        admin.create("/c").await.unwrap();
        let now = DeleteNow {
            request: admin.request(),
            path: path("/c"),
            recursive: false,
        };
        admin.call(&now).await.unwrap();
        assert_eq!(list(&admin, "/", 9).await, []);
    });
}

#[test]
fn what_is_due_goes_by_itself() {
    run(async {
        let cluster = Cluster::with_storage("storage: (trash_s: 10)").await;
        let client = cluster.admin(1).await;
        client.create("/a").await.unwrap();
        delete(&client, "/a").await;
        assert_eq!(paths(&list(&client, "/", 9).await), ["/a"]);
        // A new root leader goes on with it.
        cluster.stop(1).await;
        let client = cluster.admin(2).await;
        while !list(&client, "/", 9).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stat = Stat {
            path: path("/a"),
            freshness: Freshness::Linearizable,
        };
        let missing = client.call(&stat).await;
        assert!(matches!(missing, Err(Refusal::NotFound { .. })));
    });
}
