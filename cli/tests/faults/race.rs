//! Racing creators of one name, each at a mserver of its own.

use futures::future::join_all;
use sdfs_client::{Client, CreateOptions, Error, Refusal};
use sdfs_types::FileDescriptor;

use super::servers::{Servers, run};

const ROUNDS: usize = 400;

async fn create(client: &Client, path: &str) -> Result<FileDescriptor, FileDescriptor> {
    match client
        .create_file_meta_data(path, CreateOptions::default())
        .await
    {
        Ok(created) => Ok(created.file.meta_data().descriptor),
        Err(Error::Refused(Refusal::Exists { descriptor, .. })) => Err(descriptor),
        Err(other) => panic!("{path}: {other}"),
    }
}

async fn race(clients: &[Client], path: &str) -> FileDescriptor {
    let outcomes = join_all(clients.iter().map(|client| create(client, path))).await;
    let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.ok()).collect();
    assert_eq!(winners.len(), 1, "{path}: {outcomes:?}");
    for loser in outcomes.iter().filter_map(|outcome| outcome.err()) {
        assert_eq!(
            loser, winners[0],
            "{path}: a loser was told of another winner"
        );
    }
    winners[0]
}

#[test]
fn racing_creators_have_one_winner() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let mut clients = Vec::new();
        for name in servers.mservers() {
            clients.push(servers.client_via(&name).await);
        }
        for turn in 0..3 {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                let path = format!("/race-{turn}-{round}");
                won.push((race(&clients, &path).await, path));
            }
            for client in &clients {
                for (winner, path) in &won {
                    let seen = client.stat(path).await.expect("the name exists");
                    assert_eq!(seen.name.descriptor, *winner, "{path}: mservers disagree");
                }
            }
        }
    });
}
