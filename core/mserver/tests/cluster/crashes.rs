//! Creates whose coordinator ends in the midst of them, and records that are late.

use std::time::Duration;

use futures::future::join_all;
use sdfs_types::calls::names::{CreateFile, Freshness, GetFile};
use sdfs_types::{FileDescriptor, Refusal};
use tokio::time::{Instant, sleep};

use crate::kit::{Client, Cluster, path, run};

/// How long a name may be unusable after its coordinator has ended: a reservation's life, the
/// election of leaders, and as much again for a busy machine.
const USABLE_WITHIN: Duration = Duration::from_secs(30);
/// Clusters that run at once.
const AT_ONCE: u32 = 4;

/// Who has the name in the end; asked again until somebody knows.
async fn decided(client: &Client, creation: &CreateFile, since: Instant) -> Outcome {
    loop {
        let refusal = match client.call(creation).await {
            Ok(created) => return Outcome::Mine(created.open.name.descriptor),
            Err(Refusal::Exists { descriptor, .. }) => return Outcome::Others(descriptor),
            Err(refusal) => refusal,
        };
        assert!(since.elapsed() < USABLE_WITHIN, "not usable: {refusal}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Mine(FileDescriptor),
    Others(FileDescriptor),
}

/// Creates a file by a coordinator that ends with its call of that number to other servers.
/// Whether the create was done before.
async fn crash_at(coordinator: u16, call: u32) -> bool {
    let cluster = Cluster::start().await;
    let clients = cluster.admins().await;
    let (mine, others): (Vec<_>, Vec<_>) =
        (1..).zip(&clients).partition(|(id, _)| *id == coordinator);
    let (first, second, third) = (mine[0].1, others[0].1, others[1].1);
    let creation = first.creation("/crash");
    cluster.between.crash_after(coordinator, call);
    let crashed = async {
        while !cluster.between.has_crashed() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let answer = tokio::select! {
        answer = first.call(&creation) => answer,
        () = crashed => Err(Refusal::Unknown { why: "crashed".to_owned() }),
    };
    let is_done = !cluster.between.has_crashed();
    if is_done {
        answer.as_ref().expect("nothing stood in the way");
    }
    cluster.between.crash_after(coordinator, 0);
    cluster.stop(coordinator).await;

    let since = Instant::now();
    let other = second.creation("/crash");
    let found = decided(second, &other, since).await;
    let (has, repeated) = match found {
        Outcome::Mine(descriptor) => (descriptor, Outcome::Others(descriptor)),
        Outcome::Others(descriptor) => (descriptor, Outcome::Mine(descriptor)),
    };
    if let Ok(created) = answer {
        assert_eq!(created.open.name.descriptor, has, "it was answered");
        assert_eq!(repeated, Outcome::Mine(has), "it was answered");
    }
    for client in [third, second] {
        let told = decided(client, &creation, Instant::now()).await;
        assert_eq!(told, repeated, "call {call} of {coordinator}");
    }
    let get = GetFile {
        path: path("/crash"),
        write: true,
        freshness: Freshness::default(),
    };
    let open = third.call(&get).await.unwrap();
    assert_eq!(open.file.descriptor, has);
    is_done
}

/// Lets that coordinator end at each of its calls, until a create is done before.
fn crash_everywhere(coordinator: u16) {
    let mut calls = 0;
    loop {
        let mut is_done = false;
        run(async {
            let runs = (calls..calls + AT_ONCE).map(|call| crash_at(coordinator, call));
            is_done = join_all(runs).await.contains(&true);
        });
        calls += AT_ONCE;
        if is_done {
            assert!(calls > AT_ONCE, "a create takes more calls than that");
            return;
        }
        assert!(calls < 200, "a create ends");
    }
}

#[test]
fn a_leading_coordinator_may_end_at_any_step() {
    crash_everywhere(1);
}

#[test]
fn a_following_coordinator_may_end_at_any_step() {
    crash_everywhere(2);
}

#[test]
fn attributes_outlive_a_reader_who_came_before_the_record() {
    run(async {
        let cluster = Cluster::start().await;
        let (clients, reader) = (cluster.admins().await, cluster.admin(1).await);
        cluster.between.hold_records();
        // The root group's leader makes all records: the other two ask it.
        let creations: Vec<_> = (0..12)
            .map(|number| {
                let mut creation = clients[number % 3].creation(&format!("/early-{number}"));
                let number = number.to_string();
                creation.options.attributes = [("number".to_owned(), number)].into();
                creation
            })
            .collect();
        let asks = creations.iter().zip(clients.iter().cycle());
        let creating = join_all(asks.map(|(creation, client)| client.call(creation)));
        let reading = async {
            while cluster.between.held().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            for wanted in cluster.between.held() {
                let get = GetFile {
                    path: path(&format!("/{}", wanted.name.name)),
                    write: false,
                    freshness: Freshness::default(),
                };
                let early = loop {
                    match reader.call(&get).await {
                        Ok(open) => break open.file,
                        // The name is being decided.
                        Err(Refusal::NotFound { .. }) => sleep(Duration::from_millis(5)).await,
                        Err(refusal) => panic!("{refusal}"),
                    }
                };
                assert!(early.attributes.is_empty(), "made for the reader");
            }
            cluster.between.release_records();
        };
        let (created, ()) = futures::join!(creating, reading);
        for (creation, created) in creations.iter().zip(created) {
            let wanted = &creation.options.attributes;
            assert_eq!(created.unwrap().open.file.attributes, *wanted);
            let get = GetFile {
                path: creation.path.clone(),
                write: false,
                freshness: Freshness::default(),
            };
            let open = reader.call(&get).await.unwrap();
            assert_eq!(open.file.attributes, *wanted);
        }
    });
}
