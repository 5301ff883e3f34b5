//! Files through any mserver: puts, sizes, blocks, attributes.

use sdfs_types::calls::names::{
    BeginPut, CommitBlocks, FileOptions, FinishPut, Freshness, GetBlocks, GetFile, ListDirectory,
    PutFinished, Resize, ResizeFile, SetAttributes, Stat,
};
use sdfs_types::calls::names::{BlockWritten, PutBegun};
use sdfs_types::{BlockEntry, BlockIndex, BlockVersion, Grant, Refusal, VolumeId};

use crate::kit::{Client, Cluster, path, run};

fn entry(version: u16, length_bytes: u32) -> BlockEntry {
    BlockEntry {
        version: BlockVersion(version),
        volume: VolumeId(1),
        length_bytes,
        crc32c: 7,
    }
}

struct Put {
    begin: BeginPut,
    begun: PutBegun,
}

async fn begin(client: &Client, at: &str, replace: bool) -> Result<Put, Refusal> {
    let begin = BeginPut {
        request: client.request(),
        path: path(at),
        size_bytes: Some(100),
        options: FileOptions::default(),
        replace,
    };
    let begun = client.call(&begin).await?;
    Ok(Put { begin, begun })
}

fn finish(put: &Put) -> FinishPut {
    FinishPut {
        request: put.begin.request,
        path: put.begin.path.clone(),
        descriptor: put.begun.descriptor,
        block_size: put.begun.block_size,
        locate: put.begun.locate.clone(),
        grant: put.begun.grant,
        size_bytes: 100,
        blocks: vec![entry(1, 100)],
        digest: None,
        options: FileOptions::default(),
        replace: put.begin.replace,
    }
}

fn get(at: &str) -> GetFile {
    GetFile {
        path: path(at),
        write: true,
        freshness: Freshness::Linearizable,
    }
}

#[test]
fn put_is_seen_whole_at_its_end() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        let put = begin(&client, "/a", false).await.unwrap();
        assert!(!put.begun.plan.is_empty());
        assert_eq!(
            other.call(&get("/a")).await,
            Err(Refusal::NotFound { path: path("/a") })
        );
        let done = client.call(&finish(&put)).await.unwrap();
        let PutFinished::Done { name } = &done else {
            panic!("{done:?}")
        };
        assert_eq!(name.descriptor, put.begun.descriptor);
        let seen = other.call(&get("/a")).await.unwrap();
        assert_eq!(seen.name, *name);
        assert_eq!(
            (seen.file.size_bytes, seen.blocks.entries),
            (100, vec![entry(1, 100)])
        );
        assert_eq!(
            other.call(&finish(&put)).await,
            Ok(done),
            "the end may be repeated anywhere"
        );
        assert!(matches!(
            begin(&other, "/a", false).await,
            Err(Refusal::Exists { .. })
        ));
        let forged = Grant {
            expires_ms: u64::MAX,
            ..put.begun.grant
        };
        let mut unproven = finish(&put);
        unproven.grant = forged;
        assert_eq!(client.call(&unproven).await, Err(Refusal::NotGranted));
    });
}

#[test]
fn overtaking_puts_never_share_a_descriptor() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        let slow = begin(&client, "/a", true).await.unwrap();
        let fast = begin(&other, "/a", true).await.unwrap();
        assert_ne!(slow.begun.descriptor.id, fast.begun.descriptor.id);
        for (client, put) in [(&other, &fast), (&client, &slow)] {
            let done = client.call(&finish(put)).await.unwrap();
            assert!(matches!(done, PutFinished::Done { .. }), "{done:?}");
            let seen = other.call(&get("/a")).await.unwrap();
            assert_eq!(seen.name.descriptor, put.begun.descriptor);
        }
        // What stands for the name next counts on from the last.
        let next = begin(&other, "/a", true).await.unwrap().begun.descriptor;
        let last = slow.begun.descriptor;
        assert_eq!(
            Some(next.version),
            last.next_life().map(|life| life.version)
        );
    });
}

#[test]
fn blocks_are_committed_by_comparison() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(3).await);
        let open = client.create("/a").await.unwrap().open;
        let group = open.name.locate.clone().unwrap().group;
        let commit = |client: &Client, previous, entry| CommitBlocks {
            request: client.request(),
            descriptor: open.name.descriptor,
            group,
            grant: open.grant,
            written: vec![BlockWritten {
                block: BlockIndex(0),
                previous: BlockVersion(previous),
                entry,
            }],
            size_bytes_at_least: 50,
        };
        let first = commit(&client, 0, entry(1, 50));
        let file = client.call(&first).await.unwrap();
        assert_eq!(file.size_bytes, 50);
        let stale = other.call(&commit(&other, 0, entry(1, 60))).await;
        assert_eq!(
            stale,
            Err(Refusal::Conflict {
                block: 0,
                current: BlockVersion(1)
            })
        );
        other.call(&commit(&other, 1, entry(2, 60))).await.unwrap();
        assert!(
            client.call(&first).await.is_ok(),
            "its repetition changes nothing"
        );
        let blocks = GetBlocks {
            descriptor: open.name.descriptor,
            group,
            grant: open.grant,
            first: 0,
            count: 10,
            freshness: Freshness::Linearizable,
        };
        assert_eq!(
            client.call(&blocks).await.unwrap().page.entries,
            [entry(2, 60)]
        );
    });
}

#[test]
fn sizes_and_attributes_change() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        client.create("/a").await.unwrap();
        let resize = |size_bytes, resize| ResizeFile {
            request: client.request(),
            path: path("/a"),
            size_bytes,
            resize,
        };
        client.call(&resize(1 << 30, Resize::Expand)).await.unwrap();
        let refused = client.call(&resize(5, Resize::Expand)).await;
        assert!(matches!(refused, Err(Refusal::OutOfRange { .. })));
        client.call(&resize(500, Resize::Truncate)).await.unwrap();
        let set = SetAttributes {
            request: client.request(),
            path: path("/a"),
            set: [("colour".to_owned(), "red".to_owned())].into(),
            remove: Vec::new(),
        };
        client.call(&set).await.unwrap();
        let stat = Stat {
            path: path("/a"),
            freshness: Freshness::Linearizable,
        };
        let file = other.call(&stat).await.unwrap().file.unwrap();
        assert_eq!(file.size_bytes, 500);
        assert_eq!(
            file.attributes.get("colour").map(String::as_str),
            Some("red")
        );
        let (path, freshness) = (path("/"), Freshness::Linearizable);
        let list = ListDirectory {
            path,
            after: None,
            limit: 10,
            freshness,
        };
        let entries = other.call(&list).await.unwrap().entries;
        let sizes: Vec<_> = entries
            .iter()
            .map(|entry| (&*entry.name, entry.size_bytes))
            .collect();
        assert_eq!(sizes, [("a", 500), ("ready", 0)]);
    });
}
