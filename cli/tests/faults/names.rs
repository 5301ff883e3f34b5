//! Many names, listed in order while they change. A million by `sdfs bench create`; here as many
//! as a test may take.

use futures::TryStreamExt;
use futures::future::join_all;
use sdfs_client::CreateOptions;

use super::servers::{Servers, run};

const NAMES: usize = 20_000;

#[test]
fn listing_stays_in_order_under_change() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        client.mkdir("/many").await.expect("a directory");
        let creators = (0..64).map(|creator| {
            let client = client.clone();
            async move {
                for number in (creator..NAMES).step_by(64) {
                    let path = format!("/many/{number:08}");
                    client
                        .create_file_meta_data(&path, CreateOptions::default())
                        .await
                        .unwrap_or_else(|error| panic!("{path}: {error}"));
                }
            }
        });
        join_all(creators).await;

        let changing = client.clone();
        let changes = async move {
            for number in (0..NAMES).step_by(200) {
                changing
                    .delete(&format!("/many/{number:08}"))
                    .await
                    .expect("a delete");
                let other = format!("/many/{number:08}-new");
                changing
                    .create_file_meta_data(&other, CreateOptions::default())
                    .await
                    .expect("a create");
            }
        };
        let listing = async {
            client
                .list("/many")
                .map_ok(|entry| entry.name.to_string())
                .try_collect::<Vec<String>>()
                .await
                .expect("a listing")
        };
        let ((), listed) = tokio::join!(changes, listing);
        assert!(listed.is_sorted(), "names came out of order");
        let untouched = (0..NAMES).filter(|number| number % 200 != 0);
        for number in untouched {
            let name = format!("{number:08}");
            assert!(listed.binary_search(&name).is_ok(), "{name} is missing");
        }
    });
}
