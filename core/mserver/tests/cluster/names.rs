//! Names through any mserver: one winner, repetition, listings, quotas, rights.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use sdfs_types::calls::Call;
use sdfs_types::calls::names::{
    DeleteFile, Freshness, GetFile, ListDirectory, MakeDirectory, PutUser, Rename, SetQuota,
};
use sdfs_types::{Access, Name, PathRight, Refusal, TraceWhat};

use crate::kit::{ADMIN_SECRET, Client, Cluster, path, run};

async fn mkdir(client: &Client, at: &str) -> Result<(), Refusal> {
    let (request, path) = (client.request(), path(at));
    client
        .call(&MakeDirectory {
            request,
            path,
            parents: false,
        })
        .await
        .map(|_| ())
}

async fn delete(client: &Client, at: &str, recursive: bool) -> Result<(), Refusal> {
    let (request, path) = (client.request(), path(at));
    client
        .call(&DeleteFile {
            request,
            path,
            recursive,
        })
        .await
        .map(|_| ())
}

async fn list_all(client: &Client, at: &str, limit: u32) -> Vec<Name> {
    let mut all = Vec::new();
    loop {
        let page = client
            .call(&ListDirectory {
                path: path(at),
                after: all.last().cloned(),
                limit,
                freshness: Freshness::Linearizable,
            })
            .await
            .unwrap();
        all.extend(page.entries.into_iter().map(|entry| entry.name));
        if !page.more {
            return all;
        }
    }
}

#[test]
fn racing_creators_get_one_winner() {
    run(async {
        let cluster = Cluster::start().await;
        let clients = cluster.admins().await;
        for round in 0..40 {
            let at = format!("/race-{round}");
            let answers =
                futures::future::join_all(clients.iter().map(|client| client.create(&at))).await;
            let winners: Vec<_> = answers.iter().flatten().collect();
            assert_eq!(winners.len(), 1, "{answers:?}");
            let winner = winners[0].open.name.descriptor;
            for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
                assert_eq!(
                    *refusal,
                    Refusal::Exists {
                        path: path(&at),
                        descriptor: winner
                    }
                );
            }
        }
    });
}

/// Its first attempt was held up, and reaches a mserver when the name is free.
#[test]
fn a_refused_create_is_not_done_later() {
    run(async {
        let cluster = Cluster::start().await;
        let (first, second) = (cluster.admin(1).await, cluster.admin(2).await);
        let descriptor = first.create("/taken").await.unwrap().open.name.descriptor;
        let creation = first.creation("/taken");
        let path = path("/taken");
        let refused = Refusal::Exists { path, descriptor };
        assert_eq!(second.call(&creation).await.err(), Some(refused.clone()));
        delete(&second, "/taken", false).await.unwrap();
        assert_eq!(first.call(&creation).await.err(), Some(refused));
        first.create("/taken").await.unwrap();
    });
}

#[test]
fn repetition_at_another_mserver_gets_the_first_outcome() {
    run(async {
        let cluster = Cluster::start().await;
        let (first, second) = (cluster.admin(1).await, cluster.admin(2).await);
        let creation = first.creation("/once");
        let (a, b) = futures::join!(first.call(&creation), second.call(&creation));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.open.name, b.open.name);
        let c = cluster.admin(3).await.call(&creation).await.unwrap();
        assert_eq!(c.open.name, a.open.name);

        let request = first.request();
        let deletion = DeleteFile {
            request,
            path: path("/once"),
            recursive: false,
        };
        let gone = first.call(&deletion).await.unwrap();
        assert_eq!(gone.descriptor, a.open.name.descriptor);
        assert_eq!(second.call(&deletion).await, Ok(gone));
        let next = second.create("/once").await.unwrap().open.name.descriptor;
        assert_eq!(
            Some(next),
            gone.descriptor.next_life(),
            "a new life of the same id"
        );
        assert_eq!(first.call(&deletion).await, Ok(gone));
        let get = GetFile {
            path: path("/once"),
            write: false,
            freshness: Freshness::default(),
        };
        assert_eq!(
            first.call(&get).await.unwrap().name.descriptor,
            next,
            "not deleted twice"
        );
    });
}

/// Every mserver is asked for the same thirty times, all at once.
async fn storm<C: Call>(clients: &[Client; 3], call: &C) -> C::Reply
where
    C::Reply: PartialEq + std::fmt::Debug,
{
    let asks = (0..90).map(|number| clients[number % 3].call(call));
    let mut answers = join_all(asks).await.into_iter();
    let first = answers.next().expect("an answer").unwrap();
    for answer in answers {
        assert_eq!(answer.as_ref(), Ok(&first));
    }
    first
}

#[test]
fn a_storm_of_one_request_is_done_once() {
    run(async {
        let cluster = Cluster::start().await;
        let clients = cluster.admins().await;
        for round in 0..5 {
            let making = MakeDirectory {
                request: clients[0].request(),
                path: path(&format!("/storm-{round}")),
                parents: false,
            };
            storm(&clients, &making).await;
            let creation = clients[1].creation(&format!("/storm-{round}/file"));
            let asks = (0..90).map(|number| clients[number % 3].call(&creation));
            let created = join_all(asks).await;
            let names: Vec<_> = created
                .into_iter()
                .map(|one| one.unwrap().open.name)
                .collect();
            assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
            let deletion = DeleteFile {
                request: clients[2].request(),
                path: creation.path.clone(),
                recursive: false,
            };
            let gone = storm(&clients, &deletion).await;
            assert_eq!(gone.descriptor, names[0].descriptor);
            let next = clients[0].create(creation.path.as_str()).await.unwrap();
            let next = next.open.name.descriptor;
            assert_eq!(Some(next), gone.descriptor.next_life(), "one life a create");
            assert_eq!(storm(&clients, &deletion).await, gone);
            let listed = list_all(&clients[1], making.path.as_str(), 10).await;
            assert_eq!(listed, [Name::from("file")], "not deleted twice");
        }
    });
}

#[test]
fn what_is_answered_is_seen_everywhere() {
    run(async {
        let cluster = Cluster::start().await;
        let clients = cluster.admins().await;
        for round in 0..30 {
            let at = format!("/d{round}");
            mkdir(&clients[round % 3], &at).await.unwrap();
            let file = format!("{at}/文件");
            let made = clients[(round + 1) % 3].create(&file).await.unwrap();
            let get = GetFile {
                path: path(&file),
                write: true,
                freshness: Freshness::default(),
            };
            let seen = clients[(round + 2) % 3].call(&get).await.unwrap();
            assert_eq!(seen.name, made.open.name);
            delete(&clients[round % 3], &file, false).await.unwrap();
            let again = clients[(round + 1) % 3].create(&file).await.unwrap();
            let next = made.open.name.descriptor.next_life();
            assert_eq!(Some(again.open.name.descriptor), next);
        }
    });
}

#[test]
fn listing_pages_hold_under_change() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(2).await);
        mkdir(&client, "/d").await.unwrap();
        let names: Vec<String> = (0..120)
            .map(|number| format!("/d/keep-{number:03}"))
            .collect();
        futures::future::join_all(names.iter().map(|at| client.create(at))).await;
        let changing = async {
            for number in 0..60 {
                let at = format!("/d/keep-{number:03}-more");
                other.create(&at).await.unwrap();
                delete(&other, &at, false).await.unwrap();
            }
        };
        let listing = async {
            for _ in 0..10 {
                let seen = list_all(&client, "/d", 7).await;
                assert!(seen.is_sorted());
                let seen: BTreeSet<String> =
                    seen.into_iter().map(|name| format!("/d/{name}")).collect();
                assert!(
                    names.iter().all(|name| seen.contains(name)),
                    "none is missed"
                );
            }
        };
        futures::join!(changing, listing);
        assert_eq!(list_all(&client, "/d", 50).await.len(), 120);
    });
}

#[test]
fn directories_move_and_go_as_a_whole() {
    run(async {
        let cluster = Cluster::start().await;
        let (client, other) = (cluster.admin(1).await, cluster.admin(3).await);
        mkdir(&client, "/d").await.unwrap();
        let file = client.create("/d/a").await.unwrap().open.name.descriptor;
        let request = client.request();
        let (from, to) = (path("/d"), path("/e"));
        client
            .call(&Rename {
                request,
                from,
                to,
                replace: false,
            })
            .await
            .unwrap();
        let get = GetFile {
            path: path("/e/a"),
            write: false,
            freshness: Freshness::default(),
        };
        assert_eq!(other.call(&get).await.unwrap().name.descriptor, file);
        assert_eq!(
            delete(&other, "/e", false).await,
            Err(Refusal::NotEmpty { path: path("/e") })
        );
        delete(&other, "/e", true).await.unwrap();
        assert_eq!(
            client.call(&get).await,
            Err(Refusal::NotFound { path: path("/e") })
        );
    });
}

#[test]
fn quota_holds_over_all_mservers() {
    run(async {
        let cluster = Cluster::start().await;
        let clients = cluster.admins().await;
        mkdir(&clients[0], "/d").await.unwrap();
        let request = clients[0].request();
        let set = SetQuota {
            request,
            path: path("/d"),
            files_max: Some(5),
            bytes_max: None,
        };
        clients[0].call(&set).await.unwrap();
        let creations = (0..12).map(|number| {
            let client = &clients[number % 3];
            async move { client.create(&format!("/d/{number}")).await }
        });
        let answers = futures::future::join_all(creations).await;
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(made, 5);
        let is_quota = |answer: &Result<_, Refusal>| matches!(answer, Err(Refusal::Quota { .. }));
        assert_eq!(
            answers.iter().filter(|answer| is_quota(answer)).count(),
            7,
            "{answers:?}"
        );
    });
}

#[test]
fn mserver_without_news_calls_no_secret_wrong() {
    run(async {
        let alone = Cluster::start_first(1).await;
        for secret in [ADMIN_SECRET, "a wrong secret"] {
            refused_until(&alone, secret, ("cannot tell yet", "is wrong")).await;
        }
        let cluster = Cluster::start().await;
        refused_until(&cluster, "a wrong secret", ("is wrong", "nothing else")).await;
    });
}

/// Logs in until it is refused with the words wanted, and never with the others. A busy machine
/// may first be too slow for any answer.
async fn refused_until(cluster: &Cluster, secret: &str, (wanted, never): (&str, &str)) {
    loop {
        let refused = cluster.client_as(1, "admin", secret).await.err().unwrap();
        assert!(!refused.contains(never), "{refused}");
        if refused.contains(wanted) {
            return;
        }
    }
}

#[test]
fn rights_are_checked_on_every_path() {
    run(async {
        let cluster = Cluster::start().await;
        let admin = cluster.admin(1).await;
        mkdir(&admin, "/bob").await.unwrap();
        mkdir(&admin, "/pub").await.unwrap();
        let secret = "bob's own long secret";
        admin
            .call(&PutUser {
                request: admin.request(),
                name: "bob".into(),
                key: Some(sdfs_server_group::UserKey::of_secret(secret).0),
                rights: vec![
                    PathRight {
                        path: path("/bob"),
                        access: Access::Write,
                    },
                    PathRight {
                        path: path("/pub"),
                        access: Access::Read,
                    },
                ],
            })
            .await
            .unwrap();
        assert!(
            cluster
                .client_as(1, "bob", "not bob's secret at all")
                .await
                .is_err()
        );
        let bob = cluster.client_as(1, "bob", secret).await.unwrap();
        bob.create("/bob/a").await.unwrap();
        let denied = |access, at: &str| Refusal::Denied {
            user: "bob".to_owned(),
            access,
            path: path(at),
        };
        assert_eq!(
            bob.create("/pub/a").await.err(),
            Some(denied(Access::Write, "/pub/a"))
        );
        assert_eq!(
            delete(&bob, "/pub", true).await,
            Err(denied(Access::Write, "/pub"))
        );
        let request = bob.request();
        let (from, to) = (path("/bob/a"), path("/pub/a"));
        let moved = bob
            .call(&Rename {
                request,
                from,
                to,
                replace: false,
            })
            .await;
        assert_eq!(moved, Err(denied(Access::Write, "/pub/a")));
        assert_eq!(list_all(&bob, "/pub", 10).await, Vec::<Name>::new());
        let get = GetFile {
            path: path("/ready"),
            write: false,
            freshness: Freshness::default(),
        };
        assert_eq!(bob.call(&get).await, Err(denied(Access::Read, "/ready")));
        let request = bob.request();
        let set = SetQuota {
            request,
            path: path("/bob"),
            files_max: None,
            bytes_max: None,
        };
        assert_eq!(bob.call(&set).await, Err(denied(Access::Admin, "/bob")));
    });
}

#[test]
fn a_create_shows_its_nine_steps() {
    run(async {
        let cluster = Cluster::start().await;
        let client = cluster.admin(1).await;
        let mut creation = client.creation("/shown");
        creation.explain = true;
        let trace = client.call(&creation).await.unwrap().trace.unwrap();
        let at = |wanted: fn(&TraceWhat) -> bool| {
            let found = trace.steps.iter().position(|step| wanted(&step.what));
            found.unwrap_or_else(|| panic!("{trace:?}"))
        };
        let beginning = [
            at(|what| matches!(what, TraceWhat::Received)),
            at(|what| matches!(what, TraceWhat::Asked)),
            at(|what| matches!(what, TraceWhat::Can { .. })),
            at(|what| {
                matches!(
                    what,
                    TraceWhat::Majority {
                        votes: 2..,
                        voters: 3
                    }
                )
            }),
            at(|what| matches!(what, TraceWhat::Chose { .. })),
        ];
        let end = [
            at(|what| matches!(what, TraceWhat::MainAnswered)),
            at(|what| matches!(what, TraceWhat::Answered)),
        ];
        // The main works while the name is being decided.
        let decision = vec![at(|what| matches!(what, TraceWhat::Decided))];
        let main = vec![
            at(|what| matches!(what, TraceWhat::Accepted { .. })),
            at(|what| matches!(what, TraceWhat::MetaDataCreated)),
        ];
        for between in [decision, main] {
            let order = [&beginning[..], &between, &end].concat();
            assert!(order.is_sorted(), "{trace:?}");
        }
        assert!(trace.steps.is_sorted_by_key(|step| step.at_us), "{trace:?}");
    });
}

/// Whatever its coordinator, and whether the name stood for something before: a file that no
/// dserver accepts is not there for a moment either.
#[test]
fn no_dserver_no_file() {
    run(async {
        let cluster = Cluster::start().await;
        let clients = cluster.admins().await;
        mkdir(&clients[0], "/d").await.unwrap();
        for at in ["/d/former-0", "/d/former-1", "/d/former-2"] {
            clients[0].create(at).await.unwrap();
            delete(&clients[0], at, false).await.unwrap();
        }
        cluster.refuses.store(true, Ordering::SeqCst);
        let names = (0..3).flat_map(|of| {
            [
                (of, format!("/d/new-{of}")),
                (of, format!("/d/former-{of}")),
            ]
        });
        let clients = &clients;
        let refused = join_all(names.map(|(of, name): (usize, String)| async move {
            let refused = clients[of].create(&name).await;
            matches!(refused, Err(Refusal::NoVolume { .. })).then_some(name)
        }));
        let watcher = cluster.admin(1).await;
        let refused = tokio::select! {
            refused = refused => refused,
            there = first_name(&watcher) => panic!("{there} is there for a moment"),
        };
        assert_eq!(list_all(&watcher, "/d", 10).await, Vec::<Name>::new());
        cluster.refuses.store(false, Ordering::SeqCst);
        for name in refused {
            let name = name.expect("refused for want of dservers");
            clients[1].create(&name).await.unwrap();
        }
    });
}

/// Waits for a name in the directory.
async fn first_name(client: &Client) -> Name {
    loop {
        if let Some(name) = list_all(client, "/d", 10).await.pop() {
            return name;
        }
    }
}

#[test]
fn names_outlive_a_lost_mserver() {
    run(async {
        let cluster = Cluster::start().await;
        let client = cluster.admin(2).await;
        let before = client.create("/before").await.unwrap().open.name;
        cluster.stop(1).await;
        let get = GetFile {
            path: path("/before"),
            write: false,
            freshness: Freshness::default(),
        };
        assert_eq!(client.call(&get).await.unwrap().name, before);
        let creation = client.creation("/after");
        let begun = tokio::time::Instant::now();
        while client.call(&creation).await.is_err() {
            assert!(begun.elapsed().as_secs() < 30, "names stay writable");
        }
        cluster.stop(3).await;
        let alone = client.create("/alone").await;
        assert!(matches!(alone, Err(Refusal::NoQuorum { .. })), "{alone:?}");
    });
}
