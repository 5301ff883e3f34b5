//! Everything dies at once.

use std::collections::BTreeSet;

use sdfs_client::{CreateOptions, PutOptions};

use super::content;
use super::servers::{Servers, run};

#[test]
fn a_restart_of_all_keeps_everything() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let mut descriptors = BTreeSet::new();
        for turn in 0..3_u64 {
            let client = servers.client().await;
            for number in 0..40_u64 {
                let path = format!("/{turn}-{number}");
                let data = content::bytes(turn * 100 + number, (number * 997) as usize);
                let put = client
                    .put(&path, data, PutOptions::default())
                    .await
                    .expect("a put");
                assert!(
                    descriptors.insert(put.descriptor),
                    "{path}: a descriptor came twice"
                );
            }
            servers.kill_all();
            servers.spawn_all();
            // Read before any write.
            let client = servers.client().await;
            for before in 0..=turn {
                for number in 0..40_u64 {
                    let path = format!("/{before}-{number}");
                    let read = client.get(&path).await.unwrap_or_else(|error| {
                        panic!("{path}: {error}\n{}", servers.logs());
                    });
                    let expected = content::bytes(before * 100 + number, (number * 997) as usize);
                    assert!(read == expected, "{path}: other bytes came back");
                }
            }
        }
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
