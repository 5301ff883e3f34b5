//! Everything dies at once.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sdfs_client::{Client, CreateOptions, PutOptions};
use sdfs_types::FileDescriptor;

use super::content;
use super::servers::{Servers, run};

const TURNS: u64 = 3;
const PUTS: u64 = 40;
const CREATES: u64 = 340;
const AT_ONCE: usize = 32;

/// A client of each mserver.
async fn clients(servers: &Servers) -> Vec<Client> {
    let mut clients = Vec::new();
    for name in servers.mservers() {
        clients.push(servers.client_via(&name).await);
    }
    clients
}

fn content_of(turn: u64, number: u64) -> Bytes {
    content::bytes(turn * 100 + number, (number * 997) as usize)
}

/// Stores the files of a turn through every mserver in turn: their paths and descriptors.
async fn store(clients: &[Client], turn: u64) -> Vec<(String, FileDescriptor)> {
    let stores = (0..PUTS + CREATES).map(|number| async move {
        let client = &clients[number as usize % clients.len()];
        let path = format!("/{turn}-{number}");
        let descriptor = if number < PUTS {
            let put = client
                .put(&path, content_of(turn, number), PutOptions::default())
                .await;
            put.unwrap_or_else(|error| panic!("put {path}: {error}"))
                .descriptor
        } else {
            let options = CreateOptions {
                size_bytes: number,
                ..CreateOptions::default()
            };
            let created = client.create_file_meta_data(&path, options).await;
            let created = created.unwrap_or_else(|error| panic!("create {path}: {error}"));
            created.file.meta_data().descriptor
        };
        (path, descriptor)
    });
    stream::iter(stores).buffered(AT_ONCE).collect().await
}

/// Every file of a turn is there, asked of every mserver in turn, but of others than it was
/// stored through.
async fn check(
    servers: &Servers,
    clients: &[Client],
    turn: u64,
    stored: &[(String, FileDescriptor)],
) {
    let checks = (0..)
        .zip(stored)
        .map(|(number, (path, descriptor))| async move {
            let client = &clients[(number as usize + 1) % clients.len()];
            let stat = client.stat(path).await;
            let stat = stat.unwrap_or_else(|error| panic!("{path}: {error}\n{}", servers.logs()));
            assert_eq!(stat.name.descriptor, *descriptor, "{path}");
            let file = stat.file.unwrap_or_else(|| panic!("{path} is no file"));
            if number < PUTS {
                let read = client.get(path).await;
                let read =
                    read.unwrap_or_else(|error| panic!("{path}: {error}\n{}", servers.logs()));
                assert!(
                    read == content_of(turn, number),
                    "{path}: other bytes came back"
                );
            } else {
                assert_eq!(file.size_bytes, number, "{path}");
            }
        });
    stream::iter(checks).buffered(AT_ONCE).collect::<()>().await;
}

#[test]
fn a_restart_of_all_keeps_everything() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let mut turns = Vec::new();
        for turn in 0..TURNS {
            turns.push(store(&clients(&servers).await, turn).await);
            servers.kill_all();
            servers.spawn_all();
            // Read before any write.
            let clients = clients(&servers).await;
            for (turn, stored) in (0..).zip(&turns) {
                check(&servers, &clients, turn, stored).await;
            }
        }
        let all = turns.iter().flatten().map(|(_, descriptor)| *descriptor);
        let different: BTreeSet<_> = all.collect();
        let count = TURNS * (PUTS + CREATES);
        assert_eq!(different.len() as u64, count, "a descriptor came twice");
    });
}

#[test]
fn a_name_returns_with_the_next_version() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        let create = || client.create_file_meta_data("/again", CreateOptions::default());
        let first = create()
            .await
            .expect("a create")
            .file
            .meta_data()
            .descriptor;
        client.delete("/again").await.expect("a delete");
        servers.kill_all();
        servers.spawn_all();
        servers.usable().await;
        let second = create()
            .await
            .expect("a create")
            .file
            .meta_data()
            .descriptor;
        assert_eq!(second.id, first.id);
        assert_eq!(second.version.0, first.version.0 + 1);
    });
}

#[test]
fn another_list_of_mservers_is_refused() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        servers.kill_all();
        let fourth = "(id: 77, name: \"mserver-4\", role: Mserver, \
                      address: \"127.0.0.1:1\", space: [\"data/mserver-4\"]),";
        servers.rewrite_config(|text| text.replacen("    ],\n", &format!("{fourth}],\n"), 1));
        let (code, said) = servers.sdfs(&["serve", "--name", "mserver-1"]);
        assert_ne!(code, 0, "{said}");
        assert!(said.contains("was begun with the voters 1, 2, 3"), "{said}");
        assert!(said.contains("put the former list back"), "{said}");
    });
}
