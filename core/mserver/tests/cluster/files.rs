//! Files through any mserver: puts, sizes, blocks, attributes.

use std::time::Duration;

use sdfs_types::calls::names::{
    AbortPut, BeginPut, CommitBlocks, FileOptions, FinishPut, Freshness, GetBlocks, GetFile,
    ListDirectory, PutFinished, Resize, ResizeFile, SetAttributes, Stat,
};
use sdfs_types::calls::names::{BlockWritten, PutBeginning, PutBegun, PutUser, RenewGrant};
use sdfs_types::{
    Access, BlockEntry, BlockIndex, BlockVersion, Grant, PathRight, PutProof, Refusal, VolumeId,
    clock,
};

use sdfs_mserver::Layout;
use sdfs_server_group::{ServerId, UserKey};

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
        may_be_repeated: false,
    };
    match client.call(&begin).await? {
        PutBeginning::Begun(begun) => Ok(Put { begin, begun }),
        finished => panic!("a new request is not finished: {finished:?}"),
    }
}

fn renewal(put: &Put) -> RenewGrant {
    RenewGrant {
        request: put.begin.request,
        path: put.begin.path.clone(),
        descriptor: put.begun.descriptor,
        proof: put.begun.proof,
    }
}

fn abort(put: &Put) -> AbortPut {
    AbortPut {
        request: put.begin.request,
        path: put.begin.path.clone(),
        descriptor: put.begun.descriptor,
        proof: put.begun.proof,
        locate: put.begun.locate.clone(),
        blocks: vec![entry(1, 100)],
    }
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
fn a_grant_is_renewed_until_the_end() {
    run(async {
        let cluster = Cluster::with_grants(1_500).await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        let mut put = begin(&client, "/a", false).await.unwrap();
        while clock::now_ms() <= put.begun.grant.expires_ms {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let late = client.call(&finish(&put)).await;
        assert_eq!(late, Err(Refusal::NotGranted));
        let done = loop {
            put.begun.grant = other.call(&renewal(&put)).await.unwrap();
            assert_eq!(put.begun.grant.descriptor, put.begun.descriptor);
            match client.call(&finish(&put)).await {
                // A machine so slow that the new one was over too.
                Err(Refusal::NotGranted) => {}
                done => break done.unwrap(),
            }
        };
        let PutFinished::Done { name } = &done else {
            panic!("{done:?}")
        };
        assert_eq!(name.descriptor, put.begun.descriptor);
        while clock::now_ms() <= put.begun.grant.expires_ms {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let again = other.call(&finish(&put)).await;
        assert_eq!(again, Ok(done), "what is done is told without a grant");
        let descriptor = put.begun.descriptor;
        let over = client.call(&renewal(&put)).await;
        assert_eq!(over, Err(Refusal::Gone { descriptor }));
    });
}

#[test]
fn a_grant_is_renewed_for_its_put_only() {
    run(async {
        let cluster = Cluster::start().await;
        let admin = cluster.admin(1).await;
        let put = begin(&admin, "/a", false).await.unwrap();
        let forged = RenewGrant {
            proof: PutProof([7; 16]),
            ..renewal(&put)
        };
        assert_eq!(admin.call(&forged).await, Err(Refusal::NotGranted));
        let elsewhere = RenewGrant {
            path: path("/b"),
            ..renewal(&put)
        };
        assert_eq!(admin.call(&elsewhere).await, Err(Refusal::NotGranted));
        let secret = "the secret of somebody else";
        let right = PathRight {
            path: path("/"),
            access: Access::Write,
        };
        let rights = |rights| PutUser {
            request: admin.request(),
            name: "ann".into(),
            key: Some(UserKey::of_secret(secret).0),
            rights,
        };
        admin.call(&rights(vec![right])).await.unwrap();
        let ann = cluster.client_as(1, "ann", secret).await.unwrap();
        assert_eq!(ann.call(&renewal(&put)).await, Err(Refusal::NotGranted));
        let hers = begin(&ann, "/c", false).await.unwrap();
        ann.call(&renewal(&hers)).await.unwrap();
        admin.call(&rights(Vec::new())).await.unwrap();
        let denied = ann.call(&renewal(&hers)).await;
        assert!(matches!(denied, Err(Refusal::Denied { .. })), "{denied:?}");
    });
}

#[test]
fn a_put_is_finished_or_aborted() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        let put = begin(&client, "/a", false).await.unwrap();
        let descriptor = put.begun.descriptor;
        let forged = AbortPut {
            proof: PutProof([7; 16]),
            ..abort(&put)
        };
        assert_eq!(other.call(&forged).await, Err(Refusal::NotGranted));
        for client in [&client, &other] {
            assert_eq!(client.call(&abort(&put)).await, Ok(()));
        }
        let late = client.call(&finish(&put)).await;
        assert_eq!(late, Err(Refusal::Gone { descriptor }));
        let none = other.call(&get("/a")).await;
        assert_eq!(none, Err(Refusal::NotFound { path: path("/a") }));
        let put = begin(&client, "/a", false).await.unwrap();
        client.call(&finish(&put)).await.unwrap();
        let mservers: Vec<_> = (1..=3).map(ServerId).collect();
        let layout = Layout::new(mservers.clone());
        for main in mservers {
            // Whatever group it is said to be of.
            let elsewhere = AbortPut {
                locate: layout.locate(main).unwrap(),
                ..abort(&put)
            };
            for client in [&client, &other] {
                let refused = client.call(&elsewhere).await;
                let descriptor = put.begun.descriptor;
                let path = path("/a");
                assert_eq!(refused, Err(Refusal::Exists { path, descriptor }));
            }
        }
        let seen = other.call(&get("/a")).await.unwrap();
        assert_eq!(seen.blocks.entries, [entry(1, 100)]);
    });
}

#[test]
fn a_decided_put_begins_as_it_ended() {
    run(async {
        let cluster = Cluster::start().await;
        for replace in [false, true] {
            let at = if replace { "/b" } else { "/a" };
            let client = cluster.admin(1).await;
            let put = begin(&client, at, replace).await.unwrap();
            let done = client.call(&finish(&put)).await.unwrap();
            let PutFinished::Done { name } = done else {
                panic!("{done:?}")
            };
            for mserver in 1..=3 {
                let again = BeginPut {
                    may_be_repeated: true,
                    ..put.begin.clone()
                };
                let other = cluster.admin(mserver).await;
                let finished = PutBeginning::Finished { name: name.clone() };
                assert_eq!(other.call(&again).await, Ok(finished), "at {mserver}");
            }
        }
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
            revision: None,
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
        let descriptor = client.create("/a").await.unwrap().open.name.descriptor;
        let resize = |size_bytes, resize| ResizeFile {
            request: client.request(),
            path: path("/a"),
            descriptor,
            size_bytes,
            resize,
            revision: None,
        };
        client.call(&resize(1 << 30, Resize::Expand)).await.unwrap();
        let refused = client.call(&resize(5, Resize::Expand)).await;
        assert!(matches!(refused, Err(Refusal::OutOfRange { .. })));
        client.call(&resize(500, Resize::Truncate)).await.unwrap();
        let set = SetAttributes {
            request: client.request(),
            path: path("/a"),
            descriptor,
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
